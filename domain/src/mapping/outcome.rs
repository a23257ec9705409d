//! What the results of a rule's expressions mean.

use hyperfleet_expression::{Absent, to_json, type_name};
use serde_json::Value;

use super::{FAILED, Part, Statement};
use crate::condition::ConditionStatus;

/// Longest reason, in bytes; a condition with a longer one is left out.
const REASON_MAX: usize = 256;
/// Longest message, in bytes; a longer one is cut.
const MESSAGE_MAX: usize = 2048;

/// What a rule says about a resource.
pub(super) enum Outcome {
    /// There is no such condition.
    Absent,
    /// There is no such condition, because its reason is too long.
    Skipped {
        /// How long.
        error: String,
    },
    /// There is one.
    Present(Statement),
    /// The rule has no answer.
    Failed {
        /// Which expression has none.
        part: Part,
        /// Why; no longer than a message.
        error: String,
    },
}

/// The statement of a rule that failed: it is not known to hold, and the message says why.
pub(super) fn failed(part: Part, error: &str) -> Statement {
    Statement {
        status: ConditionStatus::False,
        reason: Some(FAILED.to_owned()),
        message: Some(cut(format!("{part}: {error}"))),
    }
}

/// Whether the rule applies: a bool and nothing else.
pub(super) fn truth(value: &cel::Value) -> Result<bool, String> {
    match value {
        cel::Value::Bool(flag) => Ok(*flag),
        other => Err(format!("gave {}, not a bool", type_of(other))),
    }
}

/// The status: a bool, or `True` or `False` in any case.
pub(super) fn status(value: &cel::Value) -> Result<ConditionStatus, String> {
    match json(value)? {
        Value::Bool(flag) => Ok(flag.into()),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(ConditionStatus::True),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(ConditionStatus::False),
        Value::String(text) => Err(format!("gave '{text}', not 'True' or 'False'")),
        _ => Err(format!("gave {}, not a bool or string", type_of(value))),
    }
}

/// A reason or message: a string, or nothing.
pub(super) fn text(value: &cel::Value) -> Result<Option<String>, String> {
    match json(value)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        _ => Err(format!("gave {}, not a string", type_of(value))),
    }
}

fn json(value: &cel::Value) -> Result<Value, String> {
    let json = to_json(value, Absent::Null).map_err(|error| error.to_string())?;
    Ok(json.unwrap_or_default())
}

fn type_of(value: &cel::Value) -> String {
    format!("a value of type {}", type_name(value))
}

/// What is wrong with a reason that is too long.
pub(super) fn too_long(reason: Option<&str>) -> Option<String> {
    let length = reason.map_or(0, str::len);
    (length > REASON_MAX)
        .then(|| format!("gave {length} bytes, more than {REASON_MAX}: the condition is left out"))
}

/// A message of bounded length, whole characters only.
pub(super) fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE_MAX));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_in_any_case() {
        let read = |value: cel::Value| status(&value);
        assert_eq!(read("tRUE".into()), Ok(ConditionStatus::True));
        assert_eq!(read("FALSE".into()), Ok(ConditionStatus::False));
        assert_eq!(read(true.into()), Ok(ConditionStatus::True));
        assert_eq!(
            read("Unknown".into()),
            Err("gave 'Unknown', not 'True' or 'False'".to_owned())
        );
        assert_eq!(
            read(1.into()),
            Err("gave a value of type int, not a bool or string".to_owned())
        );
    }

    #[test]
    fn texts_are_strings_or_nothing() {
        assert_eq!(text(&"x".into()), Ok(Some("x".to_owned())));
        assert_eq!(text(&"".into()), Ok(None));
        assert_eq!(text(&cel::Value::Null), Ok(None));
        assert!(text(&true.into()).unwrap_err().contains("not a string"));
        assert!(truth(&"true".into()).is_err());
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let message = cut("é".repeat(1500));
        assert_eq!(message.len(), 2048);
        let message = cut(format!("a{}", "é".repeat(1500)));
        assert_eq!(message.len(), 2047);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
