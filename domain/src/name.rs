//! Rules for the names of resources (API contract v1, create).

use crate::registry::NameLength;
use crate::resource::Refusal;

/// Checks a name: present, within the bounds (in bytes), and a DNS label.
///
/// # Errors
/// The first fault.
pub fn check(name: &str, length: NameLength) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::NameRequired);
    }
    if name.len() < length.min {
        return Err(Refusal::NameTooShort { min: length.min });
    }
    if name.len() > length.effective_max() {
        return Err(Refusal::NameTooLong {
            max: length.effective_max(),
        });
    }
    if is_dns_label(name) {
        Ok(())
    } else {
        Err(Refusal::NamePattern)
    }
}

/// Lower-case letters, digits and hyphens, with a letter or digit at both ends; of any length.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: NameLength = NameLength { min: 3, max: 53 };

    fn refusal(name: &str) -> String {
        check(name, CLUSTER).unwrap_err().to_string()
    }

    #[test]
    fn lengths_are_checked_at_both_bounds() {
        assert_eq!(refusal(""), "name is required");
        assert_eq!(refusal("ab"), "name must be at least 3 characters");
        assert_eq!(check("abc", CLUSTER), Ok(()));
        assert_eq!(check(&"a".repeat(53), CLUSTER), Ok(()));
        assert_eq!(
            refusal(&"a".repeat(54)),
            "name must be at most 53 characters"
        );
    }

    #[test]
    fn a_kind_without_bounds_allows_one_to_a_hundred() {
        let none = NameLength::default();
        assert_eq!(check("x", none), Ok(()));
        assert_eq!(check(&"x".repeat(100), none), Ok(()));
        assert_eq!(
            check(&"x".repeat(101), none),
            Err(Refusal::NameTooLong { max: 100 })
        );
    }

    #[test]
    fn only_dns_labels_are_names() {
        for name in ["Abc", "a_b", "a.b.c", "-abc", "abc-", "a b", "äbc"] {
            assert_eq!(check(name, CLUSTER), Err(Refusal::NamePattern), "{name}");
        }
        assert_eq!(check("a-0-b", CLUSTER), Ok(()));
    }
}
