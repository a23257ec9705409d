//! Problem documents: what is written is read as the same, and stays the same when written again.

use chrono::{DateTime, Utc};
use hyperfleet_api_types::problem::{FieldError, Problem, TYPE_BASE, codes};

/// The input is read as a problem document, and as a text to make one of.
pub fn check(input: &[u8]) {
    if let Ok(problem) = serde_json::from_slice::<Problem>(input) {
        reads_back(&problem);
    }
    if let Ok(text) = str::from_utf8(input) {
        made_of(text);
    }
}

/// Every problem that this API can answer with, with that text wherever a text can be.
fn made_of(text: &str) {
    let code = codes::ALL[text.len() % codes::ALL.len()];
    let time = DateTime::<Utc>::UNIX_EPOCH;
    let mut problem = Problem::new(code, text, text, text, time);
    problem.errors = vec![FieldError {
        field: text.to_owned(),
        message: text.to_owned(),
        value: serde_json::from_str(text).ok(),
        constraint: Some(text.to_owned()),
    }];
    // Null is the same as no value.
    if let Some(error) = problem.errors.first_mut() {
        error.value = error.value.take().filter(|value| !value.is_null());
    }
    assert_eq!(problem.status, code.status);
    assert_eq!(
        problem.problem_type,
        format!("{TYPE_BASE}{}", code.type_suffix)
    );
    reads_back(&problem);
}

fn reads_back(problem: &Problem) {
    let written = serde_json::to_string(problem).expect("a problem can be written");
    let read: Problem = serde_json::from_str(&written)
        .unwrap_or_else(|error| panic!("{written} cannot be read: {error}"));
    assert_eq!(&read, problem, "{written}");
}
