//! Carrying out a command under the conditions of its request: `If-Match` and `Idempotency-Key`.
//!
//! A key belongs to its caller: the same key of another caller is another key. A key is used for
//! one request: its method, path and body. Only what was carried out is kept; a refusal changed
//! nothing, so the same request is decided anew.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::{IntoResponse as _, Response};
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::resource::{self as domain, Command};
use hyperfleet_runtime::http::{Effect, EntityTags};
use sha2::{Digest as _, Sha256};

use super::KindState;
use super::answer::Answered;
use super::request::Caller;
use crate::handler::conditions::{Conditions, Execution, Key, Outcome};
use crate::handler::{CommandError, Target};
use crate::identity::Identity;

/// Header with the caller's key.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Header of an answer that was given before.
const REPLAYED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("idempotency-replayed"),
    HeaderValue::from_static("true"),
);

/// Longest key: room for any UUID, hash or path-like name that callers make keys of.
const MAX_KEY_CHARACTERS: usize = 255;

/// What the headers of a request ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestConditions {
    expected: Option<EntityTags>,
    key: Option<String>,
}

impl RequestConditions {
    /// Reads the headers. `If-Match` says something about what exists, so it is read on requests
    /// that change or remove something only.
    pub(crate) fn read(headers: &HeaderMap, method: &Method, path: &str) -> Result<Self, Fault> {
        let changes = *method == Method::PATCH
            || *method == Method::DELETE
            || (*method == Method::POST && path.ends_with("/force-delete"));
        Ok(Self {
            expected: if changes {
                EntityTags::if_match(headers)?
            } else {
                None
            },
            key: key(headers)?,
        })
    }

    /// The caller's key, as recorded with the events.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// A command and where it goes.
pub(crate) struct Task<'a> {
    pub(crate) target: &'a Target,
    pub(crate) command: &'a Command,
    pub(crate) caller: &'a Caller,
    pub(crate) body: &'a [u8],
}

/// Carries out a command and answers, or answers as before. The outcome is given when the command
/// was carried out now.
pub(crate) async fn carry_out(
    state: &KindState,
    task: Task<'_>,
    answer: impl Fn(&Outcome) -> Answered + Sync,
) -> Result<(Response, Option<Box<Outcome>>), CommandError> {
    let caller = task.caller;
    let metadata = caller.metadata(task.command);
    let keep = |outcome: &Outcome| serde_json::to_value(answer(outcome)).unwrap_or_default();
    let stored_key = caller
        .conditions
        .key()
        .map(|key| stored_key(&caller.identity, key));
    let fingerprint = fingerprint(caller, task.body);
    let conditions = Conditions {
        expected: caller.conditions.expected.as_ref(),
        key: stored_key.as_ref().map(|key| Key {
            key,
            fingerprint: &fingerprint,
            answer: &keep,
        }),
    };
    let handler = &state.command.handler;
    match handler
        .execute(task.target, task.command, &metadata, conditions)
        .await?
    {
        Execution::Done(outcome) => {
            let mut response = answer(&outcome).into_response();
            response.extensions_mut().insert(match outcome.effect {
                domain::Effect::Recorded => Effect::Changed,
                domain::Effect::Liveness => Effect::Liveness,
                domain::Effect::Unchanged => Effect::Unchanged,
            });
            Ok((response, Some(outcome)))
        }
        Execution::DoneBefore(kept) => {
            let answered: Answered =
                serde_json::from_value(kept).map_err(CommandError::UnreadableReceipt)?;
            let mut response = answered.into_response();
            response.headers_mut().insert(REPLAYED.0, REPLAYED.1);
            response.extensions_mut().insert(Effect::Replayed);
            Ok((response, None))
        }
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    // The form of a structured header, a quoted string, names the same key.
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    let is_key = (1..=MAX_KEY_CHARACTERS).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if !is_key || values.next().is_some() {
        let detail = format!(
            "invalid Idempotency-Key header: expected one key of 1 to {MAX_KEY_CHARACTERS} visible \
             ASCII characters, for example a UUID"
        );
        return Err(Fault::new(codes::BAD_REQUEST, detail));
    }
    Ok(Some(key.to_owned()))
}

/// The caller and its key as one key of bounded length.
fn stored_key(identity: &Identity, key: &str) -> String {
    let mut digest = Sha256::new();
    update(&mut digest, identity.actor.as_bytes());
    for (dimension, value) in &identity.tenancy {
        update(&mut digest, dimension.as_bytes());
        update(&mut digest, value.as_bytes());
    }
    update(&mut digest, key.as_bytes());
    format!("idempotency/{}", hex::encode(digest.finalize()))
}

/// Tells requests of one key apart.
fn fingerprint(caller: &Caller, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    update(&mut digest, caller.method.as_str().as_bytes());
    update(&mut digest, caller.path.as_bytes());
    update(&mut digest, body);
    hex::encode(digest.finalize())
}

/// Each part with its length, so that no two sequences of parts look alike.
fn update(digest: &mut Sha256, part: &[u8]) {
    digest.update((part.len() as u64).to_be_bytes());
    digest.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<String>, Fault> {
        let value = HeaderValue::from_str(value).expect("a header value");
        key(&HeaderMap::from_iter([(IDEMPOTENCY_KEY, value)]))
    }

    #[test]
    fn a_key_is_visible_text_quoted_or_not() {
        assert_eq!(key(&HeaderMap::new()), Ok(None));
        assert_eq!(read("a-1"), Ok(Some("a-1".to_owned())));
        assert_eq!(read("\"a-1\""), Ok(Some("a-1".to_owned())));
        let longest = "k".repeat(MAX_KEY_CHARACTERS);
        assert_eq!(read(&longest), Ok(Some(longest.clone())));
        for wrong in ["", "\"\"", "a b", "a\"b", "ü", &format!("{longest}k")] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn callers_do_not_share_keys() {
        let one = Identity::default();
        let other = Identity {
            tenancy: [("org".to_owned(), "x".to_owned())].into(),
            ..Identity::default()
        };
        assert_ne!(stored_key(&one, "k"), stored_key(&other, "k"));
        assert_ne!(stored_key(&one, "k"), stored_key(&one, "l"));
        assert_eq!(stored_key(&one, "k"), stored_key(&one, "k"));
    }

    #[test]
    fn if_match_concerns_changes_only() {
        let headers = HeaderMap::from_iter([(
            axum::http::header::IF_MATCH,
            HeaderValue::from_static("nonsense"),
        )]);
        let read = |method, path| RequestConditions::read(&headers, &method, path);
        assert!(read(Method::POST, "/v1/clusters").is_ok());
        assert!(read(Method::PUT, "/v1/clusters/x/statuses").is_ok());
        assert!(read(Method::PATCH, "/v1/clusters/x").is_err());
        assert!(read(Method::DELETE, "/v1/clusters/x").is_err());
        assert!(read(Method::POST, "/v1/clusters/x/force-delete").is_err());
    }
}
