//! Answers of the write routes, and which refusal or failure becomes which problem.

use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyperfleet_api_types::FieldError;
use hyperfleet_api_types::problem::{Fault, ProblemCode, codes};
use hyperfleet_domain::resource::{Refusal, RefusalClass};
use hyperfleet_runtime::http::{Effect, EntityTag, FaultResponse};
use serde::{Deserialize, Serialize};

use crate::handler::CommandError;
use crate::handler::conditions::Outcome;

/// What a write route answers.
pub(crate) type Answer = Result<Response, Failure>;

/// A request that was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is refused, or failed.
    Fault(Fault),
    /// The resource is at another version than the caller expects; it is told which.
    Outdated(EntityTag),
    /// A report that is outdated: dropped without an error, so that its sender does not try again.
    Discarded,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let available = !error.is_unavailable();
        error.count();
        let cause = hyperfleet_runtime::error_chain(&error);
        match error {
            CommandError::Refused(refusal) => refusal.into(),
            CommandError::Outdated { current, .. } => Self::Outdated(current.tag()),
            CommandError::KeyReused => Self::Fault(Fault::new(
                codes::IDEMPOTENCY_KEY_REUSE,
                "the Idempotency-Key was used for another request; \
                 a new request needs a new key",
            )),
            CommandError::OnlyReports => {
                Self::Fault(Fault::new(codes::PERMISSION_DENIED, error.to_string()))
            }
            CommandError::TooManyConflicts { .. } => {
                tracing::warn!(error = cause, "a command was given up");
                Self::Fault(Fault::new(
                    codes::SERVICE_UNAVAILABLE,
                    "too many concurrent changes of this resource; try again",
                ))
            }
            _ if available => {
                tracing::error!(error = cause, "a command failed");
                Self::Fault(Fault::new(codes::INTERNAL_ERROR, "Unspecified error"))
            }
            _ => {
                tracing::warn!(error = cause, "the database cannot take a command");
                Self::Fault(Fault::new(
                    codes::SERVICE_UNAVAILABLE,
                    "Database connection unavailable",
                ))
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (code, status) = match refusal.class() {
            RefusalClass::Discarded => {
                tracing::debug!(reason = %refusal, "a report was discarded");
                return Self::Discarded;
            }
            RefusalClass::Validation {
                code,
                unprocessable,
            } => {
                let code = problem_code(code);
                (code, if unprocessable { 422 } else { code.status })
            }
            RefusalClass::NotFound => (codes::RESOURCE_NOT_FOUND, codes::RESOURCE_NOT_FOUND.status),
            RefusalClass::Conflict { code } => {
                let code = problem_code(code);
                (code, code.status)
            }
        };
        let errors = refusal.field_errors().iter().map(|error| FieldError {
            field: error.field.clone(),
            message: error.message.clone(),
            value: error.value.clone(),
            constraint: error.constraint.map(str::to_owned),
        });
        let fault = Fault::new(code, refusal.to_string()).with_status(status);
        Self::Fault(fault.with_errors(errors.collect()))
    }
}

/// The row of the table for a code of the domain, which leaves the product prefix out.
fn problem_code(code: &str) -> ProblemCode {
    let is_row = |row: &ProblemCode| row.code.strip_prefix("HYPERFLEET-") == Some(code);
    codes::ALL
        .into_iter()
        .find(is_row)
        .unwrap_or(codes::INTERNAL_ERROR)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Fault(fault) => FaultResponse(fault).into_response(),
            Self::Outdated(current) => outdated(&current),
            Self::Discarded => {
                let mut response = Answered::no_content().into_response();
                response.extensions_mut().insert(Effect::Dropped);
                response
            }
        }
    }
}

/// Answers about resources depend on who asks, so shared caches must keep them apart.
const VARY_BY_CALLER: [(HeaderName, &str); 1] = [(VARY, "Authorization")];

/// An answer as it is given, and kept for a caller that asks again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// The JSON document, to the byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

impl Answered {
    /// A JSON document with a status.
    pub(crate) fn document<T: Serialize>(status: StatusCode, document: &T) -> Self {
        Self {
            status: status.as_u16(),
            etag: None,
            // Documents are plain data; writing them cannot fail.
            body: Some(serde_json::to_string(document).unwrap_or_default()),
        }
    }

    /// The resource as it is after a command, with its entity tag.
    pub(crate) fn resource(status: StatusCode, outcome: &Outcome) -> Self {
        Self {
            etag: Some(outcome.tag().to_string()),
            ..Self::document(status, &outcome.resource.document())
        }
    }

    /// 204 without a body.
    pub(crate) fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT.as_u16(),
            etag: None,
            body: None,
        }
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = match self.body {
            Some(body) => {
                const JSON: HeaderValue = HeaderValue::from_static("application/json");
                (status, VARY_BY_CALLER, [(CONTENT_TYPE, JSON)], body).into_response()
            }
            None => (status, VARY_BY_CALLER).into_response(),
        };
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            response.headers_mut().insert(ETAG, etag);
        }
        response
    }
}

/// 412 with the tag of the resource as it is.
fn outdated(current: &EntityTag) -> Response {
    let detail = format!(
        "the resource was changed meanwhile: its entity tag is {current}; \
         read it again and decide again"
    );
    let mut response =
        FaultResponse(Fault::new(codes::PRECONDITION_FAILED, detail)).into_response();
    response.headers_mut().insert(ETAG, current.header_value());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_refusal_has_its_row() {
        for (refusal, code, status) in [
            (Refusal::NameRequired, codes::VALIDATION, 400),
            (Refusal::NothingToPatch, codes::BAD_REQUEST, 400),
            (Refusal::TargetNotFound, codes::RESOURCE_NOT_FOUND, 404),
            (
                Refusal::AlreadyExists {
                    kind: "X".to_owned(),
                },
                codes::RESOURCE_CONFLICT,
                409,
            ),
            (
                Refusal::NotFinalizing {
                    kind: "X".to_owned(),
                    id: "x".to_owned(),
                },
                codes::STATE_CONFLICT,
                409,
            ),
            (
                Refusal::ChildKindWithoutParent {
                    kind: "X".to_owned(),
                    parent_plural: "ys".to_owned(),
                    plural: "xs".to_owned(),
                },
                codes::VALIDATION,
                422,
            ),
        ] {
            let text = refusal.to_string();
            let Failure::Fault(fault) = refusal.into() else {
                panic!("{text} was discarded")
            };
            assert_eq!(
                (fault.code, fault.status, fault.detail),
                (code, status, text)
            );
        }
    }
}
