//! Problem documents (RFC 9457) and the table of problem codes.
//!
//! Invariants: code, type, title and status of a problem always belong together, because a problem
//! can only be made from a [`ProblemCode`]; published codes and type suffixes are never reused for
//! another meaning.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What every problem `type` begins with.
pub const TYPE_BASE: &str = "https://api.hyperfleet.io/errors/";

/// One row of the table of problem codes: what is fixed for every problem of that code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemCode {
    /// The stable code, e.g. `HYPERFLEET-VAL-000`.
    pub code: &'static str,
    /// Last segment of the problem `type`.
    pub type_suffix: &'static str,
    /// The fixed title.
    pub title: &'static str,
    /// The HTTP status that goes with the code.
    pub status: u16,
}

/// The table of problem codes of API v1.
pub mod codes {
    use super::ProblemCode;

    const fn row(
        code: &'static str,
        type_suffix: &'static str,
        title: &'static str,
        status: u16,
    ) -> ProblemCode {
        ProblemCode {
            code,
            type_suffix,
            title,
            status,
        }
    }

    /// A value in the request breaks a rule.
    pub const VALIDATION: ProblemCode = row(
        "HYPERFLEET-VAL-000",
        "validation-error",
        "Validation Failed",
        400,
    );
    /// A well-formed request that asks for something that cannot be.
    pub const BAD_REQUEST: ProblemCode =
        row("HYPERFLEET-VAL-005", "bad-request", "Bad Request", 400);
    /// The body cannot be read.
    pub const MALFORMED_REQUEST: ProblemCode = row(
        "HYPERFLEET-VAL-006",
        "malformed-request",
        "Malformed Request",
        400,
    );
    /// The idempotency key was used for another request before.
    pub const IDEMPOTENCY_KEY_REUSE: ProblemCode = row(
        "HYPERFLEET-VAL-008",
        "idempotency-key-reuse",
        "Idempotency Key Reuse",
        422,
    );
    /// No credentials were sent.
    pub const AUTHENTICATION_REQUIRED: ProblemCode = row(
        "HYPERFLEET-AUT-001",
        "authentication-error",
        "Authentication Required",
        401,
    );
    /// The credentials sent are not acceptable.
    pub const INVALID_CREDENTIALS: ProblemCode = row(
        "HYPERFLEET-AUT-002",
        "authentication-error",
        "Invalid Credentials",
        401,
    );
    /// The token has expired.
    pub const INVALID_TOKEN: ProblemCode = row(
        "HYPERFLEET-AUT-003",
        "authentication-error",
        "Invalid Token",
        401,
    );
    /// The caller may not do this.
    pub const PERMISSION_DENIED: ProblemCode = row(
        "HYPERFLEET-AUZ-001",
        "permission-denied",
        "Permission Denied",
        403,
    );
    /// No route has this path.
    pub const ENDPOINT_NOT_FOUND: ProblemCode =
        row("HYPERFLEET-NTF-000", "not-found", "Endpoint Not Found", 404);
    /// No such resource.
    pub const RESOURCE_NOT_FOUND: ProblemCode =
        row("HYPERFLEET-NTF-001", "not-found", "Resource Not Found", 404);
    /// The name is taken.
    pub const RESOURCE_CONFLICT: ProblemCode =
        row("HYPERFLEET-CNF-001", "conflict", "Resource Conflict", 409);
    /// Others kept changing the same resource; the request was not applied.
    pub const VERSION_CONFLICT: ProblemCode =
        row("HYPERFLEET-CNF-002", "conflict", "Version Conflict", 409);
    /// The resource is in a state that does not allow this.
    pub const STATE_CONFLICT: ProblemCode =
        row("HYPERFLEET-CNF-003", "conflict", "State Conflict", 409);
    /// The resource is not at a version that the caller expects.
    pub const PRECONDITION_FAILED: ProblemCode = row(
        "HYPERFLEET-CNF-004",
        "precondition-failed",
        "Precondition Failed",
        412,
    );
    /// A watch cannot go on from where it was.
    pub const WATCH_EXPIRED: ProblemCode =
        row("HYPERFLEET-WCH-001", "watch-expired", "Watch Expired", 410);
    /// The caller sends too much.
    pub const RATE_LIMIT: ProblemCode = row(
        "HYPERFLEET-LMT-001",
        "rate-limit",
        "Rate Limit Exceeded",
        429,
    );
    /// The server failed.
    pub const INTERNAL_ERROR: ProblemCode = row(
        "HYPERFLEET-INT-001",
        "internal-error",
        "Internal Server Error",
        500,
    );
    /// The server, or what it depends on, cannot serve now.
    pub const SERVICE_UNAVAILABLE: ProblemCode = row(
        "HYPERFLEET-SVC-001",
        "service-unavailable",
        "Service Unavailable",
        503,
    );
    /// The server gave up waiting.
    pub const SERVICE_TIMEOUT: ProblemCode = row(
        "HYPERFLEET-SVC-002",
        "service-unavailable",
        "Service Timeout",
        504,
    );

    /// Every code that this API can answer with.
    pub const ALL: [ProblemCode; 19] = [
        VALIDATION,
        BAD_REQUEST,
        MALFORMED_REQUEST,
        IDEMPOTENCY_KEY_REUSE,
        AUTHENTICATION_REQUIRED,
        INVALID_CREDENTIALS,
        INVALID_TOKEN,
        PERMISSION_DENIED,
        ENDPOINT_NOT_FOUND,
        RESOURCE_NOT_FOUND,
        RESOURCE_CONFLICT,
        VERSION_CONFLICT,
        STATE_CONFLICT,
        PRECONDITION_FAILED,
        WATCH_EXPIRED,
        RATE_LIMIT,
        INTERNAL_ERROR,
        SERVICE_UNAVAILABLE,
        SERVICE_TIMEOUT,
    ];
}

/// Names of the rules that a member can break.
pub mod constraints {
    /// The member must be there.
    pub const REQUIRED: &str = "required";
    /// The value is below the least allowed.
    pub const MIN: &str = "min";
    /// The value is above the greatest allowed.
    pub const MAX: &str = "max";
    /// The value does not match the pattern.
    pub const PATTERN: &str = "pattern";
    /// The value cannot be read as what it should be.
    pub const FORMAT: &str = "format";
}

/// What is wrong with a request, before it is known which request it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{detail} ({code})", code = self.code.code)]
pub struct Fault {
    /// Which row of the table applies.
    pub code: ProblemCode,
    /// The HTTP status; that of the code unless stated otherwise.
    pub status: u16,
    /// What went wrong, for a human.
    pub detail: String,
    /// The members at fault.
    pub errors: Vec<FieldError>,
}

impl Fault {
    /// A fault of `code`, with the status that belongs to it and no field errors.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            status: code.status,
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// The same fault with the members at fault.
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The same fault under another status (422 for a child kind posted without its parent).
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The problem document of this fault in one request.
    pub fn into_problem(
        self,
        instance: impl Into<String>,
        trace_id: impl Into<String>,
        timestamp: DateTime<Utc>,
    ) -> Problem {
        let mut problem = Problem::new(self.code, self.detail, instance, trace_id, timestamp);
        problem.status = self.status;
        problem.errors = self.errors;
        problem
    }
}

/// The body of every error answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// URI that names the kind of problem.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// Short text, fixed per code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for a human.
    pub detail: String,
    /// Path of the request, without its query.
    pub instance: String,
    /// Stable code, `HYPERFLEET-CAT-NNN`.
    pub code: String,
    /// When the problem was answered.
    pub timestamp: DateTime<Utc>,
    /// Id of the request; empty when no route matched.
    pub trace_id: String,
    /// The members at fault, when the problem is about members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of `code`, with the status that belongs to it and no field errors.
    pub fn new(
        code: ProblemCode,
        detail: impl Into<String>,
        instance: impl Into<String>,
        trace_id: impl Into<String>,
        timestamp: DateTime<Utc>,
    ) -> Self {
        Self {
            problem_type: format!("{TYPE_BASE}{}", code.type_suffix),
            title: code.title.to_owned(),
            status: code.status,
            detail: detail.into(),
            instance: instance.into(),
            code: code.code.to_owned(),
            timestamp,
            trace_id: trace_id.into(),
            errors: Vec::new(),
        }
    }
}

/// One member of a request that is at fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// The member, e.g. `size` or `labels[env]`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// The value that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Which rule it breaks: `required`, `min`, `max`, `pattern` or `format`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_has_an_error_status() {
        let mut seen = std::collections::BTreeSet::new();
        for code in codes::ALL {
            assert!(seen.insert(code.code), "{} is listed twice", code.code);
            assert!(
                (400..600).contains(&code.status),
                "{} has status {}",
                code.code,
                code.status
            );
        }
    }

    #[test]
    fn a_problem_without_field_errors_omits_the_member() {
        let problem = Problem::new(
            codes::VALIDATION,
            "name is required",
            "/x",
            "id",
            DateTime::UNIX_EPOCH,
        );
        let wire = serde_json::to_value(&problem).expect("a problem serialises");
        assert_eq!(
            wire,
            serde_json::json!({
                "type": "https://api.hyperfleet.io/errors/validation-error",
                "title": "Validation Failed",
                "status": 400,
                "detail": "name is required",
                "instance": "/x",
                "code": "HYPERFLEET-VAL-000",
                "timestamp": "1970-01-01T00:00:00Z",
                "trace_id": "id",
            })
        );
    }
}
