//! Durations as configuration files write them: `90s`, `1h30m`, `500ms`.

use std::time::Duration;

/// The text is not a duration.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error(
    "{text:?} is not a duration: write a number and a unit, for example 500ms, 30s, 5m or 1h30m"
)]
pub struct InvalidDuration {
    /// The text found.
    pub text: String,
}

/// Reads a duration: one or more numbers, each with a unit of `ns`, `us`, `ms`, `s`, `m`, `h`. A plain `0`
/// needs no unit; any other plain number is refused, because it would mean nanoseconds.
///
/// # Errors
/// The text is something else, or negative.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration {
        text: text.to_owned(),
    };
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(invalid()),
        };
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| invalid())?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = tail;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_with_units_only() {
        for (text, expected) in [
            ("0", Duration::ZERO),
            ("0s", Duration::ZERO),
            ("5s", Duration::from_secs(5)),
            ("500ms", Duration::from_millis(500)),
            ("1h30m", Duration::from_mins(90)),
            ("1.5s", Duration::from_millis(1500)),
            (" 2m ", Duration::from_mins(2)),
        ] {
            assert_eq!(parse_duration(text).as_ref(), Ok(&expected), "{text}");
        }
        for text in [
            "",
            "5",
            "5x",
            "-1s",
            "s",
            "1s5",
            "..s",
            "1 s",
            "999999999999999999999h",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
