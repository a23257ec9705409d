//! Instants on the wire: RFC 3339 in UTC, whole microseconds, trailing zeros of the fraction
//! trimmed (`…:00.5Z`, not `…:00.500Z`).
//!
//! chrono's own serde prints the fraction in groups of three digits, which clients that compare
//! text would see as a different value; hence the `with` modules here.

use chrono::{DateTime, SecondsFormat, Timelike as _, Utc};

/// Cuts an instant to whole microseconds, the precision that every store of this system keeps.
///
/// By the fraction alone: chrono's own rounding knows the years 1677 to 2262 only.
pub fn to_microseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    let nanoseconds = time.nanosecond();
    time.with_nanosecond(nanoseconds - nanoseconds % 1000)
        .unwrap_or(time)
}

/// RFC 3339 text of an instant, with the shortest exact fraction.
pub fn format(time: &DateTime<Utc>) -> String {
    let text = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
    let (whole, fraction) = text.split_at(text.len() - ".000000000Z".len());
    match fraction.trim_end_matches('Z').trim_end_matches('0') {
        "." => format!("{whole}Z"),
        fraction => format!("{whole}{fraction}Z"),
    }
}

/// `#[serde(with = "timestamp::rfc3339")]` for `DateTime<Utc>`.
pub mod rfc3339 {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes the text of [`super::format`].
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(
        time: &DateTime<Utc>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&super::format(time))
    }

    /// Reads any RFC 3339 text and converts it to UTC.
    ///
    /// # Errors
    /// When the text is not RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        DateTime::<Utc>::deserialize(deserializer)
    }
}

/// `#[serde(with = "timestamp::rfc3339_option")]` for `Option<DateTime<Utc>>`.
pub mod rfc3339_option {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes the text of [`super::format`], or null.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(
        time: &Option<DateTime<Utc>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::rfc3339::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads any RFC 3339 text, or null.
    ///
    /// # Errors
    /// When the text is not RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        Option::<DateTime<Utc>>::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        format(&text.parse().unwrap())
    }

    #[test]
    fn the_fraction_is_the_shortest_exact_one() {
        assert_eq!(formatted("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05Z");
        assert_eq!(
            formatted("2026-01-02T03:04:05.500000Z"),
            "2026-01-02T03:04:05.5Z"
        );
        assert_eq!(
            formatted("2026-01-02T03:04:05.000010Z"),
            "2026-01-02T03:04:05.00001Z"
        );
        assert_eq!(
            formatted("2026-01-02T03:04:05.123456789Z"),
            "2026-01-02T03:04:05.123456789Z"
        );
    }

    #[test]
    fn other_offsets_are_read_as_utc() {
        assert_eq!(
            formatted("2026-01-02T05:04:05+02:00"),
            "2026-01-02T03:04:05Z"
        );
    }

    #[test]
    fn microseconds_are_cut_not_rounded() {
        let cut = to_microseconds("2026-01-02T03:04:05.123456999Z".parse().unwrap());
        assert_eq!(format(&cut), "2026-01-02T03:04:05.123456Z");
    }

    #[test]
    fn microseconds_are_cut_in_every_year() {
        for (time, expected) in [
            (
                "0000-01-01T00:00:00.0000019Z",
                "0000-01-01T00:00:00.000001Z",
            ),
            (
                "1676-12-31T23:59:59.9999999Z",
                "1676-12-31T23:59:59.999999Z",
            ),
            (
                "1969-12-31T23:59:59.1234567Z",
                "1969-12-31T23:59:59.123456Z",
            ),
            (
                "2016-12-31T23:59:60.9999999Z",
                "2016-12-31T23:59:60.999999Z",
            ),
            (
                "9999-12-31T23:59:59.9999999Z",
                "9999-12-31T23:59:59.999999Z",
            ),
        ] {
            let cut = to_microseconds(time.parse().unwrap());
            assert_eq!(format(&cut), expected);
        }
    }
}
