//! Answers from a file instead of an API, for runs that must not reach anything.

use std::sync::{Arc, Mutex, PoisonError};

use regex::Regex;
use serde_json::{Value, json};

/// Recorded answers, and the requests that were made of them.
#[derive(Debug, Clone, Default)]
pub struct RecordedAnswers {
    entries: Arc<[Entry]>,
    journal: Arc<Mutex<Journal>>,
}

/// A request that was answered from the record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// The URL: of a relative one its path, of any other all of it.
    pub url: String,
    /// The body that was sent.
    pub body: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer.
    pub answer: Value,
}

/// The recorded answers cannot be used.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{path}: {message}")]
pub struct RecordedError {
    /// Where in the file, such as `responses[0].match.urlPattern`.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

#[derive(Debug)]
struct Entry {
    method: String,
    pattern: Regex,
    answers: Vec<(u16, Value)>,
}

#[derive(Debug, Default)]
struct Journal {
    requests: Vec<RecordedRequest>,
    /// How many answers each entry has given.
    given: Vec<usize>,
}

fn wrong<T>(path: impl Into<String>, message: impl Into<String>) -> Result<T, RecordedError> {
    Err(RecordedError {
        path: path.into(),
        message: message.into(),
    })
}

impl RecordedAnswers {
    /// Reads `{"responses": [{"match": {"method", "urlPattern"}, "responses": [{"statusCode", "body"}]}]}`.
    ///
    /// # Errors
    /// When the text is not that, a pattern is no regular expression, or an entry has no answers.
    pub fn parse(text: &str) -> Result<Self, RecordedError> {
        let document: Value = match serde_json::from_str(text) {
            Ok(document) => document,
            Err(error) => return wrong("the file", format!("is not JSON: {error}")),
        };
        let Some(entries) = document.get("responses").and_then(Value::as_array) else {
            return wrong("responses", "must be a list");
        };
        let entries: Vec<Entry> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| Entry::parse(entry, &format!("responses[{index}]")))
            .collect::<Result<_, _>>()?;
        let given = vec![0; entries.len()];
        Ok(Self {
            entries: entries.into(),
            journal: Arc::new(Mutex::new(Journal {
                requests: Vec::new(),
                given,
            })),
        })
    }

    /// The requests made until now, in order.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.requests.clone()
    }

    /// How many requests were made until now.
    pub fn count(&self) -> usize {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.requests.len()
    }

    /// Answers by the first entry that matches; its last answer repeats. What nothing matches is
    /// answered 200 with an empty object.
    pub(super) fn answer(&self, method: &str, url: &str, body: Option<&str>) -> (u16, Value) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.entries.iter().position(|entry| {
            (entry.method == "*" || entry.method == method) && entry.pattern.is_match(url)
        });
        let (status, answer) = match found {
            Some(index) => {
                let answers = &self.entries[index].answers;
                let turn = journal.given[index].min(answers.len() - 1);
                journal.given[index] += 1;
                answers[turn].clone()
            }
            None => (200, json!({})),
        };
        journal.requests.push(RecordedRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            body: body.map(ToOwned::to_owned),
            status,
            answer: answer.clone(),
        });
        (status, answer)
    }
}

impl Entry {
    fn parse(entry: &Value, path: &str) -> Result<Self, RecordedError> {
        let text = |pointer| entry.pointer(pointer).and_then(Value::as_str);
        let pattern = text("/match/urlPattern").unwrap_or_default();
        let pattern_path = format!("{path}.match.urlPattern");
        if pattern.is_empty() {
            return wrong(pattern_path, "is required: a regular expression");
        }
        let pattern = match Regex::new(pattern) {
            Ok(pattern) => pattern,
            Err(error) => {
                return wrong(
                    pattern_path,
                    format!("is not a regular expression: {error}"),
                );
            }
        };
        let answers = entry.get("responses").and_then(Value::as_array);
        let Some(answers) = answers.filter(|answers| !answers.is_empty()) else {
            return wrong(format!("{path}.responses"), "needs at least one answer");
        };
        let answers = answers
            .iter()
            .map(|answer| {
                let status = answer.get("statusCode").and_then(Value::as_u64);
                let status = status
                    .and_then(|status| u16::try_from(status).ok())
                    .filter(|status| *status > 0)
                    .unwrap_or(200);
                (status, answer.get("body").cloned().unwrap_or_default())
            })
            .collect();
        Ok(Self {
            method: text("/match/method").unwrap_or("*").to_owned(),
            pattern,
            answers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_given_in_order_and_the_last_repeats() {
        let answers = RecordedAnswers::parse(
            r#"{"responses": [
                {"match": {"method": "GET", "urlPattern": "/clusters/.*"}, "responses": [{"body": {"n": 1}}, {"statusCode": 503}]},
                {"match": {"method": "*", "urlPattern": "^/x$"}, "responses": [{"statusCode": 0, "body": []}]}]}"#,
        )
        .unwrap();
        let get = |url| answers.answer("GET", url, None);
        assert_eq!(get("/api/clusters/1"), (200, json!({"n": 1})));
        assert_eq!(get("/clusters/2"), (503, Value::Null));
        assert_eq!(get("/clusters/2"), (503, Value::Null));
        assert_eq!(answers.answer("PUT", "/x", Some("b")), (200, json!([])));
        assert_eq!(answers.answer("PUT", "/clusters/2", None), (200, json!({})));
        assert_eq!(answers.count(), 5);
        assert_eq!(answers.requests()[3].body.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, path) in [
            ("[", "the file"),
            ("{}", "responses"),
            (
                r#"{"responses": [{"match": {}, "responses": [{}]}]}"#,
                "responses[0].match.urlPattern",
            ),
            (
                r#"{"responses": [{"match": {"urlPattern": "("}, "responses": [{}]}]}"#,
                "responses[0].match.urlPattern",
            ),
            (
                r#"{"responses": [{"match": {"urlPattern": "x"}, "responses": []}]}"#,
                "responses[0].responses",
            ),
        ] {
            assert_eq!(
                RecordedAnswers::parse(text).unwrap_err().path,
                path,
                "{text}"
            );
        }
    }
}
