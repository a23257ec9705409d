//! Names: accepted exactly when they are DNS labels within the bounds; else the first broken rule is told.

use std::sync::LazyLock;

use hyperfleet_domain::name;
use hyperfleet_domain::registry::NameLength;
use hyperfleet_domain::resource::Refusal;
use regex::Regex;

/// A DNS label of any length.
static DNS_LABEL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$").expect("the pattern is valid"));

/// Bounds, and the greatest length that they mean.
const BOUNDS: [(NameLength, usize); 4] = [
    (NameLength { min: 0, max: 0 }, 100),
    (NameLength { min: 3, max: 53 }, 53),
    (NameLength { min: 3, max: 15 }, 15),
    (NameLength { min: 5, max: 0 }, 100),
];

/// The input is a name.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    for (length, max) in BOUNDS {
        let bytes = text.len();
        let expected = if bytes == 0 {
            Err(Refusal::NameRequired)
        } else if bytes < length.min {
            Err(Refusal::NameTooShort { min: length.min })
        } else if bytes > max {
            Err(Refusal::NameTooLong { max })
        } else if DNS_LABEL.is_match(text) {
            Ok(())
        } else {
            Err(Refusal::NamePattern)
        };
        assert_eq!(
            name::check(text, length),
            expected,
            "{text:?} for {length:?}"
        );
    }
}
