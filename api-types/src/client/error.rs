//! What can go wrong with a request, refusal and failure apart.

use reqwest::{Method, StatusCode};

use crate::Problem;

/// Why a request did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the server cannot be used.
    #[error(
        "`{server}` is not the address of a server: {reason}; write it like http://localhost:8000"
    )]
    InvalidServer {
        /// The address as given.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The credentials cannot be sent.
    #[error("{what} cannot be sent: {reason}")]
    InvalidCredentials {
        /// Which part of them; never its value.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No HTTP client can be made on this machine.
    #[error("the HTTP client cannot be set up")]
    Setup {
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The server did not answer.
    #[error("{method} {url} could not be reached; is the server running?")]
    Unreachable {
        /// Method of the request.
        method: Method,
        /// Where it went.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered with a problem document.
    #[error("{}", problem_text(problem))]
    Refused {
        /// Method of the request.
        method: Method,
        /// Where it went.
        url: String,
        /// What the server answered.
        problem: Box<Problem>,
    },
    /// The server answered with an error that is no problem document.
    #[error("{method} {url} was answered with {status} and no explanation: {body}")]
    UnexpectedStatus {
        /// Method of the request.
        method: Method,
        /// Where it went.
        url: String,
        /// The status.
        status: StatusCode,
        /// Beginning of the body.
        body: String,
    },
    /// The answer is not what this client understands.
    #[error("the answer of {method} {url} cannot be read")]
    UnreadableAnswer {
        /// Method of the request.
        method: Method,
        /// Where it went.
        url: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// The problem document of the server, when it sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// The HTTP status of the answer, when there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { problem, .. } => Some(problem.status),
            Self::UnexpectedStatus { status, .. } => Some(status.as_u16()),
            _ => None,
        }
    }

    /// Whether the resource that was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the resource is not at a version that the request expected.
    pub fn is_outdated(&self) -> bool {
        self.status() == Some(412)
    }

    /// Whether the same request may succeed later: no answer, a server error, or 408 or 429.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            _ => self
                .status()
                .is_some_and(|status| status >= 500 || matches!(status, 408 | 429)),
        }
    }
}

fn problem_text(problem: &Problem) -> String {
    let mut text = format!("{} ({})", problem.detail, problem.code);
    for error in &problem.errors {
        text.push_str("\n  ");
        text.push_str(&error.field);
        text.push_str(": ");
        text.push_str(&error.message);
    }
    text
}
