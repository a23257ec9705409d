//! Values of a search, read as what the field that they are compared with needs.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use hyperfleet_domain::timestamp;

use super::error::SearchError;
use super::predicate::Number;
use super::syntax::Expression;

/// Most characters and largest exponent of a number: what is stored has far fewer, and the
/// database reads any such number.
const NUMBER_LENGTH: usize = 400;
const NUMBER_EXPONENT: usize = 3;

/// What the suffixes stand for.
const FACTORS: [(&str, i64); 12] = [
    ("Ki", 1 << 10),
    ("ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("K", 1_000),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

/// A text in quotes, or a date or timestamp without.
pub(super) fn text(value: &Expression) -> Option<&str> {
    match value {
        Expression::Text(text) | Expression::Moment(text) => Some(text),
        _ => None,
    }
}

/// As [`text`], and `true` or `false` for those words without quotes.
pub(super) fn text_or_boolean(value: &Expression) -> Option<&str> {
    match value {
        Expression::Boolean(true) => Some("true"),
        Expression::Boolean(false) => Some("false"),
        other => text(other),
    }
}

/// A number without quotes. `None` when it is none.
pub(super) fn number(value: &Expression) -> Option<Result<Number, SearchError>> {
    let Expression::Number(written) = value else {
        return None;
    };
    let suffix = FACTORS.iter().find(|(suffix, _)| written.ends_with(suffix));
    let (decimal, factor) = suffix.map_or((written.as_str(), 1), |(suffix, factor)| {
        (written.trim_end_matches(suffix), *factor)
    });
    let exponent = decimal.split(['e', 'E']).nth(1).unwrap_or_default();
    let exponent = exponent.trim_start_matches(['+', '-']).len();
    if decimal.len() > NUMBER_LENGTH || exponent > NUMBER_EXPONENT {
        return Some(Err(SearchError::NumberRange {
            number: written.clone(),
        }));
    }
    Some(Ok(Number {
        decimal: decimal.to_owned(),
        factor,
    }))
}

impl Number {
    /// The nearest double.
    #[expect(
        clippy::cast_precision_loss,
        reason = "factors are exact up to 2^50, and 10^15 is below 2^53"
    )]
    pub fn as_double(&self) -> f64 {
        self.decimal.parse::<f64>().unwrap_or(f64::NAN) * self.factor as f64
    }
}

/// A whole number; beyond what an integer holds, the greatest or least that it does.
pub(super) fn integer(value: &Expression) -> Option<i64> {
    let number = number(value)?.ok()?.as_double();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, which keeps the order against any 32-bit column"
    )]
    (number.fract() == 0.0).then_some(number as i64)
}

/// An RFC 3339 timestamp; with `allow_date` also a date, which is its first instant in UTC. Cut to
/// whole microseconds, as times are stored.
pub(super) fn time(value: &Expression, allow_date: bool) -> Option<DateTime<Utc>> {
    let text = text(value)?;
    if allow_date && text.len() == "2026-01-01".len() {
        let date = text.parse::<NaiveDate>().ok()?;
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    // The parser also takes a space between date and time.
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
        return None;
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(timestamp::to_microseconds(time.to_utc()))
}

/// A value as the user would write it without quotes, for messages.
pub(super) fn shown(value: &Expression) -> String {
    match value {
        Expression::Text(text) | Expression::Moment(text) | Expression::Number(text) => {
            text.clone()
        }
        Expression::Boolean(value) => value.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_factors() {
        for (written, expected) in [
            ("3", 3.0),
            ("-2.5", -2.5),
            ("1e3", 1000.0),
            ("1.5k", 1500.0),
            ("2Ki", 2048.0),
            ("1P", 1e15),
        ] {
            let number = number(&Expression::Number(written.to_owned()));
            let number = number.expect("a number").expect("in range");
            assert!((number.as_double() - expected).abs() < 1e-9, "{written}");
        }
    }

    #[test]
    fn numbers_that_the_database_could_not_hold_are_refused() {
        for written in ["1e9999".to_owned(), "9".repeat(401)] {
            let number = number(&Expression::Number(written));
            assert!(matches!(number, Some(Err(SearchError::NumberRange { .. }))));
        }
    }

    #[test]
    fn integers_are_whole_and_saturate() {
        let integer = |written: &str| integer(&Expression::Number(written.to_owned()));
        assert_eq!(integer("1k"), Some(1000));
        assert_eq!(integer("2.0"), Some(2));
        assert_eq!(integer("1.5"), None);
        assert_eq!(integer("-1e300"), Some(i64::MIN));
    }

    #[test]
    fn a_time_is_rfc_3339_and_a_date_only_where_allowed() {
        let time = |text: &str, dates| time(&Expression::Text(text.to_owned()), dates);
        assert!(time("2026-01-01", true).is_some());
        assert!(time("2026-01-01", false).is_none());
        assert!(time("2026-13-01", true).is_none());
        assert!(time("not-a-date", true).is_none());
        assert!(time("2026-01-01 00:00:00Z", true).is_none());
        let time = time("2026-01-01T02:00:00.1234567+02:00", false).expect("a time");
        assert_eq!(timestamp::format(&time), "2026-01-01T00:00:00.123456Z");
    }
}
