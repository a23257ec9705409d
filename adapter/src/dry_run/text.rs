//! The trace for people.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value;

use super::{Trace, identity};
use crate::api::RecordedRequest;
use crate::outcome::{GateResult, Operation, Phase, ResourceResult};
use crate::value::print;

/// How wide a phase's title is with its dots.
const TITLE_WIDTH: usize = 44;

/// A text that lines are added to.
struct Lines<'t> {
    trace: &'t Trace,
    verbose: bool,
    out: String,
}

pub(super) fn write(trace: &Trace, verbose: bool) -> String {
    let mut lines = Lines {
        trace,
        verbose,
        out: String::new(),
    };
    let title = "Dry-Run Execution Trace";
    lines.add(0, title);
    lines.add(0, &"=".repeat(title.len()));
    let (id, kind) = &trace.event;
    lines.add(0, &format!("Event: id={id} type={kind}"));
    lines.params();
    lines.preconditions();
    lines.resources();
    lines.discovered();
    lines.actions();
    let result = if trace.is_success() {
        "SUCCESS"
    } else {
        "FAILED"
    };
    lines.add(0, &format!("\nResult: {result}"));
    lines.out
}

impl Lines<'_> {
    fn add(&mut self, indent: usize, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{:indent$}{line}", "");
    }

    /// A text of several lines, each indented.
    fn block(&mut self, indent: usize, text: &str) {
        for line in text.lines() {
            self.add(indent, line);
        }
    }

    fn phase(&mut self, title: &str, result: &str) {
        let dots = ".".repeat(TITLE_WIDTH.saturating_sub(title.len()).max(3));
        self.add(0, &format!("\n{title} {dots} {result}"));
    }

    fn result(&self, phase: Phase) -> &'static str {
        if self.trace.outcome.errors.contains_key(&phase) {
            "FAILED"
        } else {
            "SUCCESS"
        }
    }

    fn error(&mut self, indent: usize, error: Option<&String>) {
        if let Some(error) = error {
            self.add(indent, &format!("Error: {error}"));
        }
    }

    /// The requests of one step.
    fn calls(&mut self, indent: usize, range: Range<usize>) {
        let requests: Vec<RecordedRequest> =
            self.trace.requests.get(range).unwrap_or_default().to_vec();
        for request in requests {
            let RecordedRequest {
                method,
                url,
                status,
                ..
            } = &request;
            self.add(indent, &format!("API Call: {method} {url} -> {status}"));
            if !self.verbose {
                continue;
            }
            if let Some(body) = &request.body {
                self.add(indent, "[verbose] Request body");
                let body =
                    serde_json::from_str(body).map_or_else(|_| body.clone(), |json| pretty(&json));
                self.block(indent + 2, &body);
            }
            self.add(indent, "[verbose] Response body");
            self.block(indent + 2, &pretty(&request.answer));
        }
    }

    fn params(&mut self) {
        let phase = Phase::ParamExtraction;
        self.phase("Phase 1: Parameter Extraction", self.result(phase));
        let outcome = &self.trace.outcome;
        let mut shown = Vec::new();
        for name in &self.trace.param_names {
            if let Some(value) = outcome.params.get(name)
                && !shown.contains(&name)
            {
                shown.push(name);
                self.add(2, &format!("{name} = {}", print(value)));
            }
        }
        self.calls(2, 0..outcome.param_requests);
        self.error(2, outcome.errors.get(&phase));
    }

    fn preconditions(&mut self) {
        let outcome = &self.trace.outcome;
        if outcome.errors.contains_key(&Phase::ParamExtraction) {
            return;
        }
        let last = outcome.preconditions.last().map(|last| last.result);
        let met = match last {
            _ if outcome.errors.contains_key(&Phase::Preconditions) => "",
            None | Some(GateResult::Met) => " (MET)",
            Some(GateResult::NotFound) => " (RESOURCE NOT FOUND)",
            Some(GateResult::NotMet | GateResult::Failed) => " (NOT MET)",
        };
        let result = self.result(Phase::Preconditions);
        self.phase("Phase 2: Preconditions", &format!("{result}{met}"));
        let total = outcome.preconditions.len();
        let mut begin = outcome.param_requests;
        for (index, precondition) in outcome.preconditions.iter().enumerate() {
            let result = match precondition.result {
                GateResult::Met => "PASS",
                GateResult::NotMet | GateResult::NotFound => "NOT MET",
                GateResult::Failed => "FAIL",
            };
            let name = &precondition.name;
            self.add(2, &format!("[{}/{total}] {name} {result}", index + 1));
            self.calls(6, begin..precondition.requests);
            begin = precondition.requests;
            for (name, value) in &precondition.captured {
                self.add(6, &format!("Captured: {name} = {}", print(value)));
            }
            match precondition.result {
                GateResult::Failed => self.error(6, precondition.details.as_ref()),
                GateResult::NotMet => {
                    let details = precondition.details.clone().unwrap_or_default();
                    self.add(6, &format!("Reason: {details}"));
                }
                GateResult::Met | GateResult::NotFound => {}
            }
        }
    }

    fn resources(&mut self) {
        let outcome = &self.trace.outcome;
        if outcome.errors.contains_key(&Phase::ParamExtraction) {
            return;
        }
        let all_met = outcome
            .preconditions
            .iter()
            .all(|precondition| precondition.result == GateResult::Met);
        if !all_met {
            self.phase("Phase 3: Resources", "SKIPPED");
            self.add(2, &format!("Reason: {}", outcome.metadata.skip_reason));
            return;
        }
        self.phase("Phase 3: Resources", self.result(Phase::Resources));
        let total = outcome.resources.len();
        for (index, resource) in outcome.resources.iter().enumerate() {
            self.resource(resource, index + 1, total);
        }
        if total == 0 {
            self.error(2, outcome.errors.get(&Phase::Resources));
        }
    }

    fn resource(&mut self, resource: &ResourceResult, number: usize, total: usize) {
        let operation = match (&resource.error, resource.operation) {
            (Some(_), _) => "FAILED",
            (None, Operation::Create) => "CREATE",
            (None, Operation::Update) => "UPDATE",
            (None, Operation::Recreate) => "RECREATE",
            (None, Operation::Skip) => "SKIP",
            (None, Operation::Delete) => "DELETE",
        };
        let name = &resource.name;
        self.add(2, &format!("[{number}/{total}] {name} {operation}"));
        let (_, namespace, name) = resource.object.as_ref().map_or(("", "", ""), identity);
        let kind = &resource.kind;
        self.add(
            6,
            &format!("Kind: {kind}   Namespace: {namespace}   Name: {name}"),
        );
        if !resource.reason.is_empty() {
            self.add(6, &format!("Reason: {}", resource.reason));
        }
        let value = |operation: &str| {
            let operations = self.trace.operations.iter().rev();
            operations
                .filter(|noted| noted.operation == operation)
                .find(|noted| Some(&noted.object) == resource.object.as_ref())
                .and_then(|noted| noted.value.clone())
        };
        let (before, manifest) = (value("delete"), value("apply"));
        if let Some(before) = before {
            self.add(6, "Pre-delete state:");
            self.block(8, &pretty(&before));
        }
        if let (true, Some(manifest)) = (self.verbose, manifest) {
            self.add(6, "[verbose] Rendered manifest");
            self.block(8, &pretty(&manifest));
        }
        self.error(6, resource.error.as_ref());
    }

    fn discovered(&mut self) {
        let discovered = &self.trace.outcome.discovered;
        if discovered.is_empty() {
            return;
        }
        self.phase("Phase 3.5: Discovery Results", "(available as resources.*)");
        for (name, object) in discovered {
            self.add(2, &format!("{name}:"));
            self.block(4, &pretty(object));
        }
    }

    fn actions(&mut self) {
        let outcome = &self.trace.outcome;
        let gate = outcome.preconditions.last().map(|last| last.result);
        if outcome.errors.contains_key(&Phase::ParamExtraction)
            || gate == Some(GateResult::NotFound)
        {
            return;
        }
        let not_found = outcome
            .actions
            .last()
            .and_then(|action| action.skipped.as_deref())
            == Some("ResourceNotFound");
        let suffix = if not_found {
            " (RESOURCE NOT FOUND)"
        } else {
            ""
        };
        let result = self.result(Phase::PostActions);
        self.phase("Phase 4: Post Actions", &format!("{result}{suffix}"));
        let total = outcome.actions.len();
        let mut begin = outcome
            .preconditions
            .last()
            .map_or(outcome.param_requests, |last| last.requests);
        for (index, action) in outcome.actions.iter().enumerate() {
            let result = match (&action.error, &action.skipped) {
                (Some(_), _) => "FAILED",
                (None, Some(_)) => "SKIPPED",
                (None, None) => "EXECUTED",
            };
            self.add(
                2,
                &format!("[{}/{total}] {} {result}", index + 1, action.name),
            );
            if let Some(reason) = &action.skipped {
                self.add(6, &format!("Reason: {reason}"));
            }
            self.calls(6, begin..action.requests);
            begin = action.requests;
            self.error(6, action.error.as_ref());
        }
        if total == 0 {
            self.error(2, outcome.errors.get(&Phase::PostActions));
        }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
