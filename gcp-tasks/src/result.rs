//! The result file between a worker container and the status reporter.
//!
//! Invariants: a `TaskResult` always satisfies the reporter's limits, however it was made; a file at the result path is always
//! complete, because it gets there by a rename.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

/// Longest reason, in bytes.
pub const REASON_BYTES: usize = 128;
/// Longest message, in bytes.
pub const MESSAGE_BYTES: usize = 1024;
/// Largest result file, in bytes.
pub const FILE_BYTES: usize = 1024 * 1024;
/// Reason of a result that gives none.
pub const NO_REASON: &str = "NoReasonProvided";
/// Message of a result that gives none.
pub const NO_MESSAGE: &str = "No message provided";

/// How the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The condition becomes True.
    Success,
    /// The condition becomes False.
    Failure,
}

/// What a worker has to say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskResult {
    status: Status,
    reason: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

impl TaskResult {
    /// A result; reason and message are trimmed, filled in when empty and cut at a character boundary.
    pub fn new(status: Status, reason: &str, message: &str) -> Self {
        Self {
            status,
            reason: bounded(reason, REASON_BYTES, NO_REASON),
            message: bounded(message, MESSAGE_BYTES, NO_MESSAGE),
            details: None,
        }
    }

    /// Adds details for whoever reads the file itself; the reporter does not copy them to the Job.
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// How the work ended.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why, as a constant in `CamelCase` by convention.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Why, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Further facts.
    pub fn details(&self) -> Option<&Value> {
        self.details.as_ref()
    }
}

fn bounded(text: &str, limit: usize, default: &str) -> String {
    let text = text.trim();
    let text = if text.is_empty() { default } else { text };
    // Trimmed again: the cut may fall behind a space, and reading must not change what was written.
    text[..text.floor_char_boundary(limit)]
        .trim_end()
        .to_owned()
}

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The details make the file larger than the reporter reads.
    #[error(
        "the result has {bytes} bytes, more than the {FILE_BYTES} that a status reporter reads; shorten its details"
    )]
    TooLarge {
        /// Size of the whole file.
        bytes: usize,
    },
    /// The result cannot be expressed as JSON.
    #[error("the result cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// The folder is missing, read-only or full.
    #[error("cannot write the result file {}; is its folder mounted and writable?", path.display())]
    File {
        /// The result path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Writes a result so that a reader finds either nothing or all of it. An older result is replaced.
///
/// # Errors
/// [`WriteError`]; no file, or the older one, is then at `path`.
pub fn write(path: &Path, result: &TaskResult) -> Result<(), WriteError> {
    let content = serde_json::to_vec(result).map_err(WriteError::Encode)?;
    if content.len() > FILE_BYTES {
        return Err(WriteError::TooLarge {
            bytes: content.len(),
        });
    }
    let temporary = temporary_beside(path);
    let written = write_and_rename(&temporary, path, &content);
    written.map_err(|source| {
        // Best effort: the write error is the news, a left-over file is not.
        drop(std::fs::remove_file(&temporary));
        WriteError::File {
            path: path.to_owned(),
            source,
        }
    })
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".writing");
    path.with_file_name(name)
}

fn write_and_rename(temporary: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(temporary, path)
}

/// Why a file is not a result.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no file (yet).
    #[error("there is no result file {}", path.display())]
    Absent {
        /// The result path.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read the result file {}", path.display())]
    File {
        /// The result path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file has no content.
    #[error("the result file {} is empty", path.display())]
    Empty {
        /// The result path.
        path: PathBuf,
    },
    /// The file is larger than the contract allows.
    #[error("the result file {} has more than {FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The result path.
        path: PathBuf,
    },
    /// The content is not JSON.
    #[error("the result file {} is not JSON", path.display())]
    Json {
        /// The result path.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The content is JSON, but not a result.
    #[error("the result file {}: {problem}", path.display())]
    Invalid {
        /// The result path.
        path: PathBuf,
        /// Which field, what it holds, what it must hold.
        problem: String,
    },
}

/// Reads a result as the status reporter does: unknown fields are ignored, texts are trimmed, filled in and cut.
///
/// # Errors
/// [`ReadError`] tells an absent file from an unusable one.
pub fn read(path: &Path) -> Result<TaskResult, ReadError> {
    let at = || path.to_owned();
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ReadError::Absent { path: at() },
        _ => ReadError::File { path: at(), source },
    })?;
    let mut content = Vec::new();
    let limit = u64::try_from(FILE_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(limit)
        .read_to_end(&mut content)
        .map_err(|source| ReadError::File { path: at(), source })?;
    if content.is_empty() {
        return Err(ReadError::Empty { path: at() });
    }
    if content.len() > FILE_BYTES {
        return Err(ReadError::TooLarge { path: at() });
    }
    let value: Value = serde_json::from_slice(&content)
        .map_err(|source| ReadError::Json { path: at(), source })?;
    interpret(value).map_err(|problem| ReadError::Invalid {
        path: at(),
        problem,
    })
}

fn interpret(value: Value) -> Result<TaskResult, String> {
    let Value::Object(mut fields) = value else {
        return Err("must be a JSON object".to_owned());
    };
    let status = match fields.get("status") {
        Some(Value::String(text)) if text == "success" => Status::Success,
        Some(Value::String(text)) if text == "failure" => Status::Failure,
        Some(other) => return Err(format!("status is {other}, not \"success\" or \"failure\"")),
        None => return Err("status is missing; it must be \"success\" or \"failure\"".to_owned()),
    };
    let result = TaskResult::new(status, text(&fields, "reason")?, text(&fields, "message")?);
    Ok(match fields.remove("details") {
        None | Some(Value::Null) => result,
        Some(details) => result.with_details(details),
    })
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{name} is {other}, not a text")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_text(content: &str) -> Result<TaskResult, ReadError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter-result.json");
        std::fs::write(&path, content).unwrap();
        read(&path)
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter-result.json");
        assert!(matches!(read(&path), Err(ReadError::Absent { .. })));
        let first = TaskResult::new(
            Status::Failure,
            "MissingPermissions",
            "no access to project x",
        );
        write(&path, &first).unwrap();
        assert_eq!(read(&path).unwrap(), first);
        let second = TaskResult::new(Status::Success, "ValidationPassed", "all checks passed")
            .with_details(json!({"checks_run": 2}));
        write(&path, &second).unwrap();
        assert_eq!(read(&path).unwrap(), second);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn the_wire_form_is_the_reporters() {
        let result = TaskResult::new(Status::Success, "Fine", "well");
        assert_eq!(
            serde_json::to_value(result).unwrap(),
            json!({"status": "success", "reason": "Fine", "message": "well"})
        );
    }

    #[test]
    fn texts_are_trimmed_and_filled_in() {
        let result = read_text(r#"{"status":"success","reason":"  ","unknown":1}"#).unwrap();
        assert_eq!((result.reason(), result.message()), (NO_REASON, NO_MESSAGE));
        let result = read_text(r#"{"status":"failure","reason":" A ","message":"\n b "}"#).unwrap();
        assert_eq!((result.reason(), result.message()), ("A", "b"));
    }

    #[test]
    fn unusable_files_say_what_is_wrong() {
        for (content, expected) in [
            ("", "is empty"),
            ("{\"status\":", "is not JSON"),
            ("[]", "must be a JSON object"),
            ("{}", "status is missing"),
            (r#"{"status":"Success"}"#, "status is \"Success\""),
            (
                r#"{"status":"success","reason":5}"#,
                "reason is 5, not a text",
            ),
        ] {
            let error = read_text(content).unwrap_err().to_string();
            assert!(error.contains(expected), "{content}: {error}");
        }
        let large = format!(
            r#"{{"status":"success","message":"{}"}}"#,
            "x".repeat(FILE_BYTES)
        );
        assert!(matches!(read_text(&large), Err(ReadError::TooLarge { .. })));
    }

    #[test]
    fn a_result_that_no_reporter_reads_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter-result.json");
        let large = TaskResult::new(Status::Success, "Fine", "well")
            .with_details(json!("x".repeat(FILE_BYTES)));
        assert!(matches!(
            write(&path, &large),
            Err(WriteError::TooLarge { .. })
        ));
        let nowhere = folder.path().join("missing/adapter-result.json");
        let small = TaskResult::new(Status::Success, "Fine", "well");
        assert!(matches!(
            write(&nowhere, &small),
            Err(WriteError::File { .. })
        ));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn limits_hold_for_any_text(reason in ".{0,200}", message in "\\PC{0,1500}") {
            let result = TaskResult::new(Status::Success, &reason, &message);
            prop_assert!((1..=REASON_BYTES).contains(&result.reason().len()));
            prop_assert!((1..=MESSAGE_BYTES).contains(&result.message().len()));
            let text = serde_json::to_string(&result).unwrap();
            prop_assert_eq!(read_text(&text).unwrap(), result);
        }
    }
}
