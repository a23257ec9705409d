//! What an execution did: for acknowledgement, metrics, logs and traces.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::cluster::ObjectId;

/// The phases, in order; their names are metric labels and `executionError.phase` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Obtaining parameters.
    ParamExtraction,
    /// Gates.
    Preconditions,
    /// Objects.
    Resources,
    /// Payloads and actions.
    PostActions,
}

impl Phase {
    /// The literal in logs, metrics and metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ParamExtraction => "param_extraction",
            Self::Preconditions => "preconditions",
            Self::Resources => "resources",
            Self::PostActions => "post_actions",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// The step's name, when the metadata is to name it.
    pub step: Option<String>,
    /// The whole chain of reasons.
    pub message: String,
    /// Whether the event should be delivered again.
    pub transient: bool,
}

impl StepError {
    /// A failure that repeating does not mend.
    pub fn terminal(message: impl Into<String>) -> Self {
        Self {
            step: None,
            message: message.into(),
            transient: false,
        }
    }

    /// Names the step.
    pub fn at(mut self, step: &str) -> Self {
        self.step = Some(step.to_owned());
        self
    }

    /// Puts context before the message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

/// A failure as configurations see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorInfo {
    /// A phase, or a reason when no step is known.
    pub phase: String,
    /// The step, possibly empty.
    pub step: String,
    /// What happened.
    pub message: String,
}

impl ErrorInfo {
    fn to_value(&self) -> Value {
        json!({"phase": self.phase, "step": self.step, "message": self.message})
    }
}

/// The `adapter` variable of expressions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Whether any phase failed.
    pub failed: bool,
    /// Whether resources were left out.
    pub resources_skipped: bool,
    /// Why.
    pub skip_reason: String,
    /// `PreconditionFailed`, `ResourceFailed` …
    pub error_reason: String,
    /// The whole chain of reasons.
    pub error_message: String,
    /// The failed step.
    pub execution_error: Option<ErrorInfo>,
    /// Failed deletions and lifecycle evaluations, by resource name.
    pub resource_errors: BTreeMap<String, ErrorInfo>,
}

impl Metadata {
    /// The map that expressions see; `executionError` is always a key.
    pub fn to_value(&self) -> Value {
        let errors: Map<String, Value> = self
            .resource_errors
            .iter()
            .map(|(name, error)| (name.clone(), error.to_value()))
            .collect();
        json!({
            "executionStatus": if self.failed { "failed" } else { "success" },
            "resourcesSkipped": self.resources_skipped,
            "skipReason": self.skip_reason,
            "errorReason": self.error_reason,
            "errorMessage": self.error_message,
            "executionError": self.execution_error.as_ref().map(ErrorInfo::to_value),
            "resourceErrors": errors,
        })
    }

    /// Notes that resources were skipped; the first reason stays.
    pub fn skip(&mut self, reason: impl Into<String>) {
        self.resources_skipped = true;
        if self.skip_reason.is_empty() {
            self.skip_reason = reason.into();
        }
    }

    /// Notes a phase's failure; without a step the reason stands in for the phase.
    pub fn fail(&mut self, phase: Phase, reason: &str, message: String, step: Option<&str>) {
        self.failed = true;
        reason.clone_into(&mut self.error_reason);
        self.error_message.clone_from(&message);
        if self.execution_error.is_none() {
            self.execution_error = Some(ErrorInfo {
                phase: match step {
                    Some(_) => phase.as_str().to_owned(),
                    None => reason.to_owned(),
                },
                step: step.unwrap_or_default().to_owned(),
                message,
            });
        }
    }
}

/// What was done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It was absent and was created.
    Create,
    /// It was changed.
    Update,
    /// It was deleted and created.
    Recreate,
    /// Nothing was written.
    Skip,
    /// It was deleted.
    Delete,
}

impl Operation {
    /// The operation's name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Recreate => "recreate",
            Self::Skip => "skip",
            Self::Delete => "delete",
        }
    }
}

/// What happened to one configured resource.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceResult {
    /// The resource's name.
    pub name: String,
    /// The kind written in its manifest.
    pub kind: String,
    /// The object, once known.
    pub object: Option<ObjectId>,
    /// What was done.
    pub operation: Operation,
    /// Why.
    pub reason: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// How a precondition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateResult {
    /// It is met.
    Met,
    /// It is not.
    NotMet,
    /// It could not be decided.
    Failed,
    /// What it asked the API for does not exist.
    NotFound,
}

/// What happened to one precondition.
#[derive(Debug, Clone, PartialEq)]
pub struct PreconditionResult {
    /// The precondition's name.
    pub name: String,
    /// How it ended.
    pub result: GateResult,
    /// Values taken from the response, in order.
    pub captured: Vec<(String, Value)>,
    /// Why it is not met, or what went wrong.
    pub details: Option<String>,
    /// How many requests were recorded until its end, in a dry run.
    pub requests: usize,
}

/// What happened to one post action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionResult {
    /// The action's name.
    pub name: String,
    /// Why it was left out, if it was.
    pub skipped: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// How many requests were recorded until its end, in a dry run.
    pub requests: usize,
}

/// An object that the execution looked at, in the version it saw; empty when it was absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Which object.
    pub object: ObjectId,
    /// The version seen.
    pub resource_version: String,
}

/// The result of one execution.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What expressions saw at the end.
    pub metadata: Metadata,
    /// Whether the event counts as skipped: a precondition was not met, or a resource of the API
    /// does not exist.
    pub skipped: bool,
    /// Failures by phase.
    pub errors: BTreeMap<Phase, String>,
    /// Whether any failure may pass by itself.
    pub transient: bool,
    /// Parameters, captures, responses and payloads at the end.
    pub params: BTreeMap<String, Value>,
    /// How many requests parameters made, in a dry run.
    pub param_requests: usize,
    /// Preconditions that were looked at, in order.
    pub preconditions: Vec<PreconditionResult>,
    /// The objects that expressions saw at the end, by resource name.
    pub discovered: Map<String, Value>,
    /// How long each phase took that ran.
    pub durations: BTreeMap<Phase, Duration>,
    /// Objects, in order.
    pub resources: Vec<ResourceResult>,
    /// Actions, in order.
    pub actions: Vec<ActionResult>,
    /// Objects to follow.
    pub observed: Vec<Observed>,
}

impl Outcome {
    /// Whether any phase failed.
    pub fn is_failed(&self) -> bool {
        !self.errors.is_empty()
    }

    /// `failed`, `skipped` or `success`: the metric label.
    pub fn status(&self) -> &'static str {
        if self.is_failed() {
            "failed"
        } else if self.skipped {
            "skipped"
        } else {
            "success"
        }
    }

    /// Every failure in one line.
    pub fn error_summary(&self) -> String {
        let parts: Vec<String> = self
            .errors
            .iter()
            .map(|(phase, message)| format!("{phase}: {message}"))
            .collect();
        parts.join("; ")
    }
}
