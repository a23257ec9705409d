//! Decimal numbers compared exactly, as PostgreSQL's `numeric` compares them.
//!
//! Only what searches need: reading, a factor, and the order.

use std::cmp::Ordering;

/// A number: its sign, and the digits of its size with the power of ten of the last one.
#[derive(Clone, Debug, Default)]
pub(super) struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty for 0.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads `[+-]digits[.digits][e[+-]digits]`, where one side of the point may lack digits. `None` when
    /// the text is anything else, or its exponent has more than three digits.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        if all().next().is_none() || !all().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = all().map(|byte| byte - b'0').collect();
        let exponent = exponent - i64::try_from(fraction.len()).ok()?;
        Some(Self::of(negative, digits, exponent))
    }

    fn of(negative: bool, mut digits: Vec<u8>, mut exponent: i64) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
            exponent += 1;
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        Self {
            negative: negative && !digits.is_empty(),
            digits,
            exponent,
        }
    }

    /// The number times a factor.
    pub(super) fn times(&self, factor: i64) -> Self {
        let mut carry: u128 = 0;
        let mut reversed = Vec::with_capacity(self.digits.len() + 20);
        let size = u128::from(factor.unsigned_abs());
        for digit in self.digits.iter().rev() {
            carry += u128::from(*digit) * size;
            reversed.push(last_digit(carry));
            carry /= 10;
        }
        while carry > 0 {
            reversed.push(last_digit(carry));
            carry /= 10;
        }
        reversed.reverse();
        Self::of(self.negative != (factor < 0), reversed, self.exponent)
    }

    fn compare_sizes(&self, other: &Self) -> Ordering {
        if self.digits.is_empty() || other.digits.is_empty() {
            return other.digits.is_empty().cmp(&self.digits.is_empty());
        }
        // Without leading zeros the place of the first digit decides, then digit after digit; a number
        // whose digits go on is the greater.
        self.magnitude()
            .cmp(&other.magnitude())
            .then_with(|| self.digits.cmp(&other.digits))
    }

    fn magnitude(&self) -> i64 {
        self.exponent
            .saturating_add(i64::try_from(self.digits.len()).unwrap_or(i64::MAX))
    }

    /// The digits as `numeric` prints a number read from this text: no exponent, and as many digits after
    /// the point as were written.
    pub(super) fn printed(text: &str) -> Option<String> {
        let number = Self::read(text)?;
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let written = mantissa
            .split_once('.')
            .map_or(0, |(_, fraction)| fraction.len());
        let scale = i64::try_from(written).ok()? - read_exponent(exponent)?;
        let scale = usize::try_from(scale.max(0)).ok()?;
        let mut digits: String = number
            .digits
            .iter()
            .map(|digit| char::from(b'0' + digit))
            .collect();
        let after_last = number.exponent + i64::try_from(scale).ok()?;
        if !number.digits.is_empty() {
            digits.push_str(&"0".repeat(usize::try_from(after_last).ok()?));
        }
        if digits.len() <= scale {
            digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
        }
        if scale > 0 {
            digits.insert(digits.len() - scale, '.');
        }
        if number.negative {
            digits.insert(0, '-');
        }
        Some(digits)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_sizes(other),
            (true, true) => other.compare_sizes(self),
        }
    }
}

fn last_digit(number: u128) -> u8 {
    // Below 10.
    u8::try_from(number % 10).unwrap_or_default()
}

fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_short = !digits.is_empty() && digits.len() <= 3;
    if !is_short || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Decimal {
        Decimal::read(text).expect(text)
    }

    #[test]
    fn numbers_are_ordered_by_value_not_by_how_they_are_written() {
        let ascending = [
            "-1e300", "-12.5", "-12", "-0.1", "0", "1e-300", "0.1", ".5", "1", "1.0001", "9", "10",
            "11e1", "1e999",
        ];
        for (left, smaller) in ascending.iter().enumerate() {
            for (right, greater) in ascending.iter().enumerate() {
                let found = read(smaller).cmp(&read(greater));
                assert_eq!(found, left.cmp(&right), "{smaller} {greater}");
            }
        }
        for (one, other) in [("1", "1.0"), ("1e2", "100"), ("-0", "0"), ("+5.", "05")] {
            assert_eq!(read(one), read(other));
        }
    }

    #[test]
    fn a_factor_multiplies_exactly() {
        assert_eq!(read("1.5").times(1000), read("1500"));
        assert_eq!(read("-0.1").times(1 << 50), read("-112589990684262.4"));
        assert_eq!(read("0").times(7), read("0"));
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for text in ["", ".", "e5", "1e", "1e1000", "1 ", "NaN", "0x1", "--1"] {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_printed_as_the_database_prints_them() {
        for (text, printed) in [
            ("1", "1"),
            ("1.50", "1.50"),
            ("1e3", "1000"),
            ("1.5e-7", "0.00000015"),
            ("-2.5", "-2.5"),
            ("0.0", "0.0"),
            ("1e-2", "0.01"),
            ("100", "100"),
        ] {
            assert_eq!(Decimal::printed(text).as_deref(), Some(printed), "{text}");
        }
    }
}
