//! Moments as people write them: `2026-01-02T03:04:05Z`, `2026-01-02`, `10m ago`, `-1h30m`, `now`, or a
//! version of a resource.

use anyhow::bail;
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use hyperfleet_runtime::duration::parse_duration;

/// A moment of a resource, as a parameter of the API.
pub(crate) type Parameter = (&'static str, String);

/// A time as the API takes it.
pub(crate) fn time(text: &str, now: DateTime<Utc>) -> anyhow::Result<String> {
    let text = text.trim();
    let time = absolute(text).or_else(|| relative(text, now));
    let Some(time) = time else {
        bail!(
            "{text:?} is not a time: write it like 2026-01-02T03:04:05Z, 2026-01-02, `10m ago` or -10m"
        );
    };
    Ok(time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// A time as it is printed.
pub(crate) fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A time, or a version.
pub(crate) fn time_or_version(text: &str, now: DateTime<Utc>) -> anyhow::Result<Parameter> {
    let number: Option<u64> = text.trim().trim_start_matches('v').parse().ok();
    match number {
        Some(version) => Ok(("version", version.to_string())),
        None => Ok(("at", time(text, now)?)),
    }
}

fn absolute(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok();
    time.map(|time| time.to_utc()).or_else(|| {
        let day: NaiveDate = text.parse().ok()?;
        Some(day.and_time(NaiveTime::MIN).and_utc())
    })
}

fn relative(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if text == "now" {
        return Some(now);
    }
    let ago = text
        .strip_suffix("ago")
        .or_else(|| text.strip_prefix('-'))?
        .trim();
    let span = match ago.strip_suffix('d') {
        Some(days) => TimeDelta::try_days(days.trim().parse().ok()?)?,
        None => TimeDelta::from_std(parse_duration(ago).ok()?).ok()?,
    };
    now.checked_sub_signed(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let now = "2026-01-02T03:04:05Z".parse().expect("a time");
        time(text, now).expect(text)
    }

    #[test]
    fn times_are_absolute_or_relative() {
        assert_eq!(
            read("2026-01-01T02:00:00+02:00"),
            "2026-01-01T00:00:00.000000Z"
        );
        assert_eq!(read("2026-01-01"), "2026-01-01T00:00:00.000000Z");
        for ten_minutes_ago in ["10m ago", "-10m", "600s ago"] {
            assert_eq!(read(ten_minutes_ago), "2026-01-02T02:54:05.000000Z");
        }
        assert_eq!(read("2d ago"), "2025-12-31T03:04:05.000000Z");
        assert_eq!(read("now"), "2026-01-02T03:04:05.000000Z");
    }

    #[test]
    fn what_is_no_time_is_told_how_to_write_one() {
        let error = time("yesterday", DateTime::UNIX_EPOCH).expect_err("no time");
        assert!(error.to_string().contains("10m ago"), "{error}");
    }

    #[test]
    fn a_number_is_a_version() {
        let read = |text| time_or_version(text, DateTime::UNIX_EPOCH).expect("a moment");
        assert_eq!(read("7"), ("version", "7".to_owned()));
        assert_eq!(read("v7"), ("version", "7".to_owned()));
        assert_eq!(read("2026-01-01").0, "at");
    }
}
