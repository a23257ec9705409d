//! Go durations: `10s`, `500ms`, `1m30s`.

use std::time::Duration;

/// The units, longest names first so that `ms` is not read as `m`.
const UNITS: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("h", 3600.0),
    ("m", 60.0),
    ("s", 1.0),
];

/// The longest duration accepted: far above any timeout, far below overflow.
const LIMIT_SECONDS: f64 = 1e9;

/// Parses a duration by Go's syntax; a unit is required.
///
/// # Errors
/// Says what is expected instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || {
        format!("{text:?} is not a duration; write a number with a unit, as in 10s, 500ms or 1m30s")
    };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.starts_with('-') {
        return Err(format!("{text:?} is negative; a duration must not be"));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(expected());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(expected)?;
        let amount: f64 = rest[..digits].parse().map_err(|_| expected())?;
        rest = &rest[digits..];
        let (unit, factor) = UNITS
            .iter()
            .find(|(unit, _)| rest.starts_with(unit) && (*unit != "m" || !rest.starts_with("ms")))
            .ok_or_else(expected)?;
        seconds += amount * factor;
        rest = &rest[unit.len()..];
    }
    if seconds > LIMIT_SECONDS {
        return Err(format!("{text:?} is too long"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_parse() {
        let cases = [
            ("10s", 10_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("0", 0),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_unit_is_required() {
        for text in ["10", "", "s", "10 s", "abc", "1d"] {
            assert!(parse_duration(text).unwrap_err().contains("unit"), "{text}");
        }
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("99999999999h").is_err());
    }
}
