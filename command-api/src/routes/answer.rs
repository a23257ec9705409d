//! Answers of the write routes, and which refusal or failure becomes which problem.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderName, VARY};
use axum::response::{IntoResponse, Response};
use hyperfleet_api_types::FieldError;
use hyperfleet_api_types::problem::{Fault, ProblemCode, codes};
use hyperfleet_domain::resource::{Refusal, RefusalClass};
use hyperfleet_runtime::http::FaultResponse;
use serde::Serialize;

use crate::handler::CommandError;

/// What a write route answers.
pub(crate) type Answer = Result<Response, Failure>;

/// A request that was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is refused, or failed.
    Fault(Fault),
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
        let cause = hyperfleet_runtime::error_chain(&error);
        match error {
            CommandError::Refused(refusal) => refusal.into(),
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
            Self::Discarded => no_content(),
        }
    }
}

/// Answers about resources depend on who asks, so shared caches must keep them apart.
const VARY_BY_CALLER: [(HeaderName, &str); 1] = [(VARY, "Authorization")];

/// A JSON document with a status.
pub(crate) fn document<T: Serialize>(status: StatusCode, document: &T) -> Response {
    (status, VARY_BY_CALLER, Json(document)).into_response()
}

/// 204 without a body.
pub(crate) fn no_content() -> Response {
    (StatusCode::NO_CONTENT, VARY_BY_CALLER).into_response()
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
