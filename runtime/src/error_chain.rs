//! An error with all its causes on one line.

use std::error::Error;
use std::fmt::Write as _;

/// `error` and its causes, outermost first, joined by `: `. For logs, once, at a boundary.
pub fn error_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a String cannot fail.
        let _ = write!(line, ": {inner}");
        cause = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the door")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn every_cause_is_named_once() {
        let error = Outer(std::io::Error::other("no key"));
        assert_eq!(error_chain(&error), "cannot open the door: no key");
    }
}
