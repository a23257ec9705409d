//! Payloads and actions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Severity;
use super::linter::Linter;
use crate::config::{Action, Build, Payload};

/// Conditions that every status report must have.
const MANDATORY: [&str; 3] = ["Applied", "Available", "Health"];

impl Linter<'_> {
    pub(super) fn post(&mut self) {
        let post = &self.config.task.post;
        for (index, payload) in post.payloads.iter().enumerate() {
            self.payload(payload, &format!("post.payloads[{index}]"));
            // Templates of later payloads see this one, expressions do not.
            self.roots.insert(payload.name.clone());
        }
        for payload in &post.payloads {
            self.names.variables.insert(payload.name.clone());
        }
        for (index, action) in post.actions.iter().enumerate() {
            self.action(action, &format!("post.post_actions[{index}]"));
        }
        for (index, payload) in post.payloads.iter().enumerate() {
            if !self.is_used(&payload.name) {
                let message = format!("nothing uses the payload {:?}", payload.name);
                let hint = format!("send it: body: \"{{{{ .{} }}}}\"", payload.name);
                self.warn(&format!("post.payloads[{index}].name"), message, hint);
            }
        }
    }

    fn is_used(&self, name: &str) -> bool {
        let post = &self.config.task.post;
        let by_call = post.actions.iter().any(|action| {
            let call = action.api_call.as_ref();
            let templates = call.into_iter().flat_map(|call| {
                let headers = call.headers.iter().map(|(_, value)| value);
                call.body.iter().chain([&call.url]).chain(headers)
            });
            let log = action.log.iter().map(|log| &log.message);
            templates
                .chain(log)
                .any(|template| template.roots().contains(name))
                || action
                    .when
                    .as_ref()
                    .is_some_and(|when| when.source().contains(name))
        });
        by_call
            || post
                .payloads
                .iter()
                .any(|payload| mentions(&payload.build, name))
    }

    fn payload(&mut self, payload: &Payload, path: &str) {
        if let Some(when) = &payload.when {
            let at = format!("{path}.when.expression");
            self.decision(when, &at, false, "the payload is never built");
        }
        let at = format!("{path}.build");
        self.build(&payload.build, &at);
        self.report(&payload.build, &at);
    }

    fn build(&mut self, build: &Build, path: &str) {
        match build {
            Build::Field { path: field, .. } => {
                let at = format!("{path}.field");
                self.json_path(field, &at);
                if let Some(root) = field.root()
                    && !self.names.variables.contains(root)
                    && !super::linter::ROOTS.contains(&root)
                    && root != "resources"
                {
                    let message = format!("variable {root:?} is defined nowhere before this");
                    self.error(&at, message, "define it as a param above");
                }
            }
            Build::Expression { expression, .. } => {
                self.expression(expression, &format!("{path}.expression"));
            }
            Build::Object(entries) => {
                for (key, value) in entries {
                    let path = format!("{path}.{}", key.source());
                    self.template(key, &path);
                    self.build(value, &path);
                }
            }
            Build::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.build(item, &format!("{path}[{index}]"));
                }
            }
            Build::Text(template) => self.template(template, path),
            Build::Contradiction(_) => self.error(
                path,
                "field and expression are both set",
                "keep one of them; a data key of that name cannot be built",
            ),
            Build::Literal(_) => {}
        }
    }

    /// What the API asks of a status report, which is what a payload with these two keys is.
    fn report(&mut self, build: &Build, path: &str) {
        let (Some(generation), Some(conditions)) = (
            member(build, "observed_generation"),
            member(build, "conditions"),
        ) else {
            return;
        };
        if matches!(
            generation,
            Build::Text(_) | Build::Literal(Value::String(_))
        ) {
            self.error(
                &format!("{path}.observed_generation"),
                "the API takes a number, and a template makes a text",
                "observed_generation: {expression: generation}, of a param with type: int",
            );
        }
        let Build::List(conditions) = conditions else {
            return;
        };
        let at = format!("{path}.conditions");
        let mut types = Vec::new();
        for condition in conditions {
            match member(condition, "type") {
                Some(Build::Literal(Value::String(kind))) => types.push(kind.as_str()),
                // What is computed cannot be told.
                _ => return,
            }
        }
        for kind in MANDATORY {
            if !types.contains(&kind) {
                let message = format!("the API refuses a report without the condition {kind}");
                self.error(
                    &at,
                    message,
                    format!("add {{type: {kind}, status: …, reason: …, message: …}}"),
                );
            }
        }
        if !types.contains(&"Finalized") {
            self.add(
                Severity::Note,
                at.clone(),
                "without the condition Finalized a deletion never ends",
                "report Finalized True when nothing of the resource is left",
            );
        }
        let unique: BTreeSet<&str> = types.iter().copied().collect();
        if unique.len() < types.len() {
            self.error(
                &at,
                "two conditions have the same type",
                "report each type once",
            );
        }
        for (index, condition) in conditions.iter().enumerate() {
            if let Some(Build::Literal(Value::String(status))) = member(condition, "status")
                && !["True", "False", "Unknown"].contains(&status.as_str())
            {
                self.error(
                    &format!("{at}[{index}].status"),
                    format!("{status:?} is no status"),
                    "use True, False or Unknown",
                );
            }
        }
    }

    fn action(&mut self, action: &Action, path: &str) {
        if let Some(when) = &action.when {
            let at = format!("{path}.when.expression");
            self.decision(when, &at, false, "the action is never done");
        }
        self.log(action.log.as_ref(), path);
        match &action.api_call {
            Some(call) => self.call(call, &format!("{path}.api_call")),
            None if action.log.is_none() => {
                self.warn(
                    path,
                    "the action does nothing",
                    "give it an api_call or a log",
                );
            }
            None => {}
        }
    }
}

/// The value of a literal key.
fn member<'b>(build: &'b Build, name: &str) -> Option<&'b Build> {
    let Build::Object(entries) = build else {
        return None;
    };
    let found = entries.iter().find(|(key, _)| key.source() == name);
    found.map(|(_, value)| value)
}

fn mentions(build: &Build, name: &str) -> bool {
    match build {
        Build::Text(template) => template.roots().contains(name),
        Build::Object(entries) => entries.iter().any(|(_, value)| mentions(value, name)),
        Build::List(items) => items.iter().any(|item| mentions(item, name)),
        Build::Field { .. }
        | Build::Expression { .. }
        | Build::Literal(_)
        | Build::Contradiction(_) => false,
    }
}
