//! From the headers of a gateway to the tenant of the caller (API contract v1, §7.4).

use std::collections::BTreeMap;

use axum::http::HeaderMap;

use super::config::{Isolation, TenantConfig};

/// Longest value of a dimension, as of a label.
const MAX_VALUE_BYTES: usize = 63;

/// Whose headers say what.
pub(super) struct Tenancy {
    config: TenantConfig,
}

/// The tenant of a caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tenant {
    /// Part of the system.
    System,
    /// These dimensions, at least one.
    Dimensions(BTreeMap<String, String>),
}

/// Why a caller has no tenant; the text is the detail that the API shows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TenantRefusal {
    #[error("required tenant header \"{0}\" is missing")]
    Missing(String),
    #[error("tenant header \"{0}\" has an invalid value")]
    Invalid(String),
    #[error("caller resolved no tenant dimensions")]
    None,
}

impl Tenancy {
    pub(super) fn new(config: TenantConfig) -> Self {
        Self { config }
    }

    /// Whether tenants see each other's resources.
    pub(super) fn isolation(&self) -> Isolation {
        self.config.isolation
    }

    pub(super) fn resolve(&self, headers: &HeaderMap) -> Result<Tenant, TenantRefusal> {
        if self.is_system(headers) {
            return Ok(Tenant::System);
        }
        let mut dimensions = BTreeMap::new();
        for dimension in &self.config.dimensions {
            let header = &dimension.header;
            let mut sent = headers
                .get_all(header)
                .iter()
                .filter(|value| !value.is_empty());
            match (sent.next(), sent.next()) {
                (None, _) if dimension.required => {
                    return Err(TenantRefusal::Missing(header.clone()));
                }
                (None, _) => {}
                (Some(value), None) => {
                    let value = value.to_str().ok().filter(|value| is_value(value));
                    let value = value.ok_or_else(|| TenantRefusal::Invalid(header.clone()))?;
                    dimensions.insert(dimension.key.clone(), value.to_owned());
                }
                // Which of several a gateway meant is anybody's guess.
                (Some(_), Some(_)) => return Err(TenantRefusal::Invalid(header.clone())),
            }
        }
        if dimensions.is_empty() {
            return Err(TenantRefusal::None);
        }
        Ok(Tenant::Dimensions(dimensions))
    }

    /// The system header says `true`, and does not also say something else.
    fn is_system(&self, headers: &HeaderMap) -> bool {
        let mut sent = headers
            .get_all(&self.config.system_header)
            .iter()
            .peekable();
        sent.peek().is_some()
            && sent.all(|value| {
                let text = value.to_str().unwrap_or_default();
                text.trim().eq_ignore_ascii_case("true")
            })
    }
}

fn is_value(text: &str) -> bool {
    text.len() <= MAX_VALUE_BYTES
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resolve(sent: &[(&'static str, &'static str)]) -> Result<Tenant, TenantRefusal> {
        let config = serde_json::from_value(json!({
            "enabled": true,
            "system_header": "X-System",
            "dimensions": [
                {"header": "X-Org", "key": "org", "required": true},
                {"header": "X-Team", "key": "team"},
            ],
        }));
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().expect("a header value"));
        }
        Tenancy::new(config.expect("valid")).resolve(&headers)
    }

    fn dimensions(pairs: &[(&str, &str)]) -> Tenant {
        let owned = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Tenant::Dimensions(owned.collect())
    }

    #[test]
    fn optional_dimensions_may_be_absent_required_ones_not() {
        assert_eq!(resolve(&[("x-org", "a")]), Ok(dimensions(&[("org", "a")])));
        assert_eq!(
            resolve(&[("x-org", "a"), ("x-team", "t.1_2-3")]),
            Ok(dimensions(&[("org", "a"), ("team", "t.1_2-3")]))
        );
        for sent in [&[][..], &[("x-team", "t")], &[("x-org", "")]] {
            assert_eq!(
                resolve(sent),
                Err(TenantRefusal::Missing("X-Org".to_owned()))
            );
        }
    }

    #[test]
    fn a_value_is_a_short_word_sent_once() {
        let long: &'static str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        assert_eq!(long.len(), 64);
        for sent in [
            &[("x-org", "a b")][..],
            &[("x-org", long)],
            &[("x-org", "a/b")],
            &[("x-org", "a"), ("x-org", "b")],
        ] {
            assert_eq!(
                resolve(sent),
                Err(TenantRefusal::Invalid("X-Org".to_owned()))
            );
        }
        assert!(resolve(&[("x-org", &long[1..])]).is_ok());
    }

    #[test]
    fn only_true_makes_a_system_identity() {
        for value in ["true", "TRUE", " True "] {
            assert_eq!(resolve(&[("x-system", value)]), Ok(Tenant::System));
        }
        for value in ["false", "1", "yes", ""] {
            assert!(resolve(&[("x-system", value)]).is_err(), "{value}");
        }
    }
}
