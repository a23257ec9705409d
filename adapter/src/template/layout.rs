//! Go's reference-time layouts (`2006-01-02T15:04:05Z07:00`).

use chrono::{DateTime, Datelike, FixedOffset, Timelike};

/// A time as Go prints one by default; also how times travel between template functions.
pub(super) fn print_time(time: &DateTime<FixedOffset>) -> String {
    format_go(time, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// Reads what [`print_time`] wrote, or RFC 3339 text.
pub(super) fn parse_time(text: &str) -> Option<DateTime<FixedOffset>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time);
    }
    let without_zone_name = text.rsplit_once(' ').map_or(text, |(rest, _)| rest);
    DateTime::parse_from_str(without_zone_name, "%Y-%m-%d %H:%M:%S%.f %z").ok()
}

/// Formats by a Go layout.
pub fn format_go(time: &DateTime<FixedOffset>, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while !rest.is_empty() {
        if let Some((token, format)) = TOKENS.iter().find(|(token, _)| rest.starts_with(token)) {
            out.push_str(&format(time));
            rest = &rest[token.len()..];
            continue;
        }
        if let Some((text, used)) = fraction(time, rest) {
            out.push_str(&text);
            rest = &rest[used..];
            continue;
        }
        let mut characters = rest.chars();
        if let Some(character) = characters.next() {
            out.push(character);
        }
        rest = characters.as_str();
    }
    out
}

type Format = fn(&DateTime<FixedOffset>) -> String;

/// Longest tokens first, because one may begin with another.
const TOKENS: [(&str, Format); 32] = [
    ("January", |t| t.format("%B").to_string()),
    ("Monday", |t| t.format("%A").to_string()),
    ("2006", |t| format!("{:04}", t.year())),
    ("Jan", |t| t.format("%b").to_string()),
    ("Mon", |t| t.format("%a").to_string()),
    ("MST", zone_name),
    ("Z07:00:00", |t| zone(t, true, ":", true)),
    ("Z07:00", |t| zone(t, true, ":", true)),
    ("Z0700", |t| zone(t, true, "", true)),
    ("Z07", |t| zone(t, true, "", false)),
    ("-07:00", |t| zone(t, false, ":", true)),
    ("-0700", |t| zone(t, false, "", true)),
    ("-07", |t| zone(t, false, "", false)),
    ("002", |t| format!("{:03}", t.ordinal())),
    ("01", |t| format!("{:02}", t.month())),
    ("02", |t| format!("{:02}", t.day())),
    ("03", |t| format!("{:02}", t.hour12().1)),
    ("04", |t| format!("{:02}", t.minute())),
    ("05", |t| format!("{:02}", t.second())),
    ("06", |t| format!("{:02}", t.year() % 100)),
    ("15", |t| format!("{:02}", t.hour())),
    ("__2", |t| format!("{:3}", t.ordinal())),
    ("_2006", |t| format!("_{:04}", t.year())),
    ("_2", |t| format!("{:2}", t.day())),
    ("PM", |t| if t.hour12().0 { "PM" } else { "AM" }.to_owned()),
    ("pm", |t| if t.hour12().0 { "pm" } else { "am" }.to_owned()),
    ("1", |t| t.month().to_string()),
    ("2", |t| t.day().to_string()),
    ("3", |t| t.hour12().1.to_string()),
    ("4", |t| t.minute().to_string()),
    ("5", |t| t.second().to_string()),
    ("\u{0}", |_| String::new()),
];

fn zone_name(time: &DateTime<FixedOffset>) -> String {
    if time.offset().local_minus_utc() == 0 {
        "UTC".to_owned()
    } else {
        zone(time, false, "", true)
    }
}

fn zone(time: &DateTime<FixedOffset>, z_for_utc: bool, separator: &str, minutes: bool) -> String {
    let seconds = time.offset().local_minus_utc();
    if z_for_utc && seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let total = seconds.abs() / 60;
    if minutes {
        format!("{sign}{:02}{separator}{:02}", total / 60, total % 60)
    } else {
        format!("{sign}{:02}", total / 60)
    }
}

/// `.000` keeps trailing zeros, `.999` drops them; returns the text and the layout bytes used.
fn fraction(time: &DateTime<FixedOffset>, layout: &str) -> Option<(String, usize)> {
    let mut characters = layout.chars();
    let separator = characters.next().filter(|c| matches!(c, '.' | ','))?;
    let digit = characters.next().filter(|c| matches!(c, '0' | '9'))?;
    let run = layout[1..].chars().take_while(|c| *c == digit).count();
    let after = layout[1 + run..].chars().next();
    if after.is_some_and(|c| c.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{:09}", time.nanosecond() % 1_000_000_000);
    let digits = &nanoseconds[..run.min(9)];
    let digits = if digit == '9' {
        digits.trim_end_matches('0')
    } else {
        digits
    };
    let text = if digits.is_empty() {
        String::new()
    } else {
        format!("{separator}{digits}")
    };
    Some((text, 1 + run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_layouts_format() {
        let time = DateTime::parse_from_rfc3339("2026-03-04T15:06:07.089Z").unwrap();
        let cases = [
            ("2006-01-02T15:04:05Z07:00", "2026-03-04T15:06:07Z"),
            ("2006-01-02T15:04:05.000Z07:00", "2026-03-04T15:06:07.089Z"),
            (
                "2006-01-02T15:04:05.999999999Z07:00",
                "2026-03-04T15:06:07.089Z",
            ),
            ("2006", "2026"),
            (
                "Mon, 02 Jan 2006 15:04:05 MST",
                "Wed, 04 Mar 2026 15:06:07 UTC",
            ),
            ("3:04PM", "3:06PM"),
            ("20060102", "20260304"),
            ("January _2", "March  4"),
        ];
        for (layout, expected) in cases {
            assert_eq!(format_go(&time, layout), expected, "{layout}");
        }
        let east = DateTime::parse_from_rfc3339("2026-03-04T15:06:07+02:00").unwrap();
        assert_eq!(format_go(&east, "15:04:05Z07:00"), "15:06:07+02:00");
        assert_eq!(format_go(&east, "-0700"), "+0200");
    }

    #[test]
    fn printed_times_are_read_back() {
        let time = DateTime::parse_from_rfc3339("2026-03-04T15:06:07.089Z").unwrap();
        assert_eq!(print_time(&time), "2026-03-04 15:06:07.089 +0000 UTC");
        assert_eq!(parse_time(&print_time(&time)), Some(time));
    }
}
