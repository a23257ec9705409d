//! Entity tags and the headers that carry them (RFC 9110 §8.8.3, §13.1).
//!
//! A tag of this API is strong and has the form `"VERSION-MARK"`: the version of the resource's
//! event stream, and a mark that moves when a time in the representation moved without a new
//! version. Invariants:
//! - `If-None-Match` compares whole tags, so 304 is answered only for the very same representation;
//! - `If-Match` compares versions: what it protects from is a change by somebody else, and an
//!   adapter that says "still so" is none. `"VERSION"` alone is accepted too;
//! - a weak tag never satisfies `If-Match`.

use std::fmt;

use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyperfleet_api_types::problem::{Fault, codes};

/// Most tags that one request may list: a client knows a few representations of one resource, and
/// every tag is compared.
const MAX_TAGS: usize = 64;

/// One entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag {
    weak: bool,
    opaque: String,
}

impl EntityTag {
    /// The tag of a representation: the version of its stream and the mark of its liveness.
    pub fn of(version: u64, mark: u64) -> Self {
        Self {
            weak: false,
            opaque: format!("{version}-{mark:x}"),
        }
    }

    /// The version that the tag names; `None` when it is weak or not one of this API.
    pub fn version(&self) -> Option<u64> {
        let version = self.opaque.split('-').next()?;
        let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        if self.weak || !is_number {
            return None;
        }
        version.parse().ok()
    }

    fn matches_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The tag as a header value.
    pub fn header_value(&self) -> HeaderValue {
        // A tag holds visible characters only, see `opaque`.
        HeaderValue::from_str(&self.to_string()).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.weak { "W/" } else { "" };
        write!(formatter, "{weak}\"{}\"", self.opaque)
    }
}

/// What an `If-Match` or `If-None-Match` header lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: whatever exists.
    Any,
    /// These.
    Listed(Vec<EntityTag>),
}

impl EntityTags {
    /// The `If-Match` of a request.
    ///
    /// # Errors
    /// When it is not a list of entity tags.
    pub fn if_match(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        Self::of_header(headers, &IF_MATCH)
    }

    /// The `If-None-Match` of a request.
    ///
    /// # Errors
    /// When it is not a list of entity tags.
    pub fn if_none_match(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        Self::of_header(headers, &IF_NONE_MATCH)
    }

    /// Whether one of them names this version (for `If-Match`).
    pub fn name_version(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag.version() == Some(version)),
        }
    }

    /// Whether one of them is this tag, strong or weak (for `If-None-Match`).
    pub fn include(&self, current: &EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag.matches_weakly(current)),
        }
    }

    fn of_header(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Fault> {
        let mut tags = Vec::new();
        let mut any = false;
        let mut sent = false;
        for value in headers.get_all(name) {
            sent = true;
            let text = value.to_str().map_err(|_| malformed(name))?;
            if text.trim() == "*" {
                any = true;
            } else {
                parse_list(text, &mut tags).ok_or_else(|| malformed(name))?;
            }
        }
        if !sent {
            return Ok(None);
        }
        match (any, tags.is_empty()) {
            (true, true) => Ok(Some(Self::Any)),
            (false, false) if tags.len() <= MAX_TAGS => Ok(Some(Self::Listed(tags))),
            _ => Err(malformed(name)),
        }
    }
}

fn malformed(name: &HeaderName) -> Fault {
    let name = if *name == IF_MATCH {
        "If-Match"
    } else {
        "If-None-Match"
    };
    Fault::new(
        codes::BAD_REQUEST,
        format!(
            "invalid {name} header: expected '*' or at most {MAX_TAGS} entity tags like \"12-0\", \
             separated by commas"
        ),
    )
}

/// Reads `"a", W/"b"`; empty members are allowed between commas (RFC 9110 §5.6.1.2).
fn parse_list(text: &str, tags: &mut Vec<EntityTag>) -> Option<()> {
    let mut rest = text.trim_start();
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return Some(());
        }
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
        let is_opaque = |byte: u8| byte == 0x21 || (0x23..=0x7e).contains(&byte);
        if !opaque.bytes().all(is_opaque) {
            return None;
        }
        tags.push(EntityTag {
            weak,
            opaque: opaque.to_owned(),
        });
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

/// 304: the caller has this representation already.
pub fn not_modified(tag: &EntityTag) -> Response {
    (StatusCode::NOT_MODIFIED, [(ETAG, tag.header_value())]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(values: &[&str]) -> Result<Option<EntityTags>, Fault> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, HeaderValue::from_str(value).expect("a value"));
        }
        EntityTags::if_match(&headers)
    }

    fn versions(values: &[&str]) -> Vec<Option<u64>> {
        match if_match(values).expect("well-formed").expect("sent") {
            EntityTags::Any => panic!("a list"),
            EntityTags::Listed(tags) => tags.iter().map(EntityTag::version).collect(),
        }
    }

    #[test]
    fn lists_are_read_over_several_headers() {
        assert_eq!(if_match(&[]), Ok(None));
        assert_eq!(if_match(&["*"]), Ok(Some(EntityTags::Any)));
        assert_eq!(versions(&["\"12-ff\""]), [Some(12)]);
        assert_eq!(
            versions(&["\"1\" , ,W/\"2-0\",\"\"", "\"a,b\",\"3-0-gzip\""]),
            [Some(1), None, None, None, Some(3)]
        );
        assert_eq!(
            versions(&["\"99999999999999999999999\"", "\"+1\""]),
            [None, None]
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for value in [
            "12",
            "\"12",
            "12\"",
            "\"a\" \"b\"",
            "w/\"1\"",
            "\"a b\"",
            "",
            ",",
            "*, \"1\"",
            "W/",
            "\"\u{e9}\"",
        ] {
            let fault = if_match(&[value]).expect_err(value);
            assert!(
                fault.detail.starts_with("invalid If-Match header"),
                "{value}"
            );
        }
        assert!(if_match(&["*", "\"1\""]).is_err());
        let many = vec!["\"1\""; MAX_TAGS + 1].join(",");
        assert!(if_match(&[&many]).is_err());
    }

    #[test]
    fn versions_satisfy_if_match_and_whole_tags_if_none_match() {
        let listed = if_match(&["\"12-1\""]).expect("well-formed").expect("sent");
        assert!(listed.name_version(12) && !listed.name_version(1));
        assert!(listed.include(&EntityTag::of(12, 1)) && !listed.include(&EntityTag::of(12, 2)));
        let weak = if_match(&["W/\"12-1\""])
            .expect("well-formed")
            .expect("sent");
        assert!(!weak.name_version(12) && weak.include(&EntityTag::of(12, 1)));
        assert_eq!(EntityTag::of(7, 255).to_string(), "\"7-ff\"");
    }
}
