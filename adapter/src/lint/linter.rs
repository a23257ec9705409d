//! Walks a task in the order of an execution, and knows at every place what exists by then.

use std::collections::BTreeSet;

use super::cel::{self, Names};
use super::{Draft, Severity, did_you_mean};
use crate::config::{
    ApiCall, CaptureSource, Condition, Config, DiscoverBy, Discovery, LogAction, Operator, Param,
    Precondition, Resource, Source, parse_duration,
};
use crate::expression::Expression;
use crate::jsonpath::JsonPath;
use crate::template::Template;

/// Members of an event's data.
const EVENT: [&str; 5] = ["id", "kind", "href", "generation", "owner_references"];
/// What is there before any param.
pub(super) const ROOTS: [&str; 4] = ["adapter", "config", "env", "event"];
const TYPES: [&str; 6] = ["string", "int", "int64", "float", "float64", "bool"];
const LEVELS: [&str; 6] = ["", "debug", "info", "warn", "warning", "error"];

/// Collects what is wrong.
pub(super) struct Linter<'c> {
    pub(super) config: &'c Config,
    pub(super) drafts: Vec<Draft>,
    /// What expressions see.
    pub(super) names: Names,
    /// What templates see besides [`ROOTS`].
    pub(super) roots: BTreeSet<String>,
}

impl<'c> Linter<'c> {
    pub(super) fn new(config: &'c Config) -> Self {
        Self {
            config,
            drafts: Vec::new(),
            names: Names::default(),
            roots: BTreeSet::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.drafts.push(Draft {
            severity,
            path: path.into(),
            message: message.into(),
            hint: hint.into(),
        });
    }

    pub(super) fn error(
        &mut self,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Severity::Error, path, message, hint);
    }

    pub(super) fn warn(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Warning, path, message, hint);
    }

    /// A name exists from here on.
    pub(super) fn declare(&mut self, name: &str) {
        self.names.variables.insert(name.to_owned());
        self.roots.insert(name.to_owned());
    }

    pub(super) fn task(&mut self) {
        let task = &self.config.task;
        for (index, param) in task.params.iter().enumerate() {
            self.param(param, &format!("params[{index}]"), index);
        }
        for (index, precondition) in task.preconditions.iter().enumerate() {
            self.precondition(precondition, &format!("preconditions[{index}]"));
        }
        for resource in &task.resources {
            self.names.resources.insert(resource.name.clone());
            let nested = resource.nested.iter().map(|nested| nested.name.clone());
            self.names.resources.extend(nested);
        }
        for (index, resource) in task.resources.iter().enumerate() {
            self.resource(resource, &format!("resources[{index}]"), index);
        }
        self.post();
    }

    pub(super) fn expression(&mut self, expression: &Expression, path: &str) {
        let Some(tree) = expression.tree() else {
            return;
        };
        for (message, hint) in cel::complaints(tree, &self.names) {
            self.error(path, message, hint);
        }
    }

    /// An expression that decides; one that always decides the same leaves something unreachable.
    pub(super) fn decision(
        &mut self,
        expression: &Expression,
        path: &str,
        pointless: bool,
        consequence: &str,
    ) {
        self.expression(expression, path);
        if expression.tree().and_then(cel::constant) == Some(pointless) {
            self.warn(
                path,
                format!("always {pointless}: {consequence}"),
                "remove it, or write the condition that was meant",
            );
        }
    }

    pub(super) fn template(&mut self, template: &Template, path: &str) {
        for chain in template.paths() {
            let Some(root) = chain.first() else { continue };
            if root == "adapter" && !self.roots.contains(root) {
                let key = chain.get(1).map(String::as_str).unwrap_or_default();
                if !["", "name", "version"].contains(&key) {
                    self.error(
                        path,
                        format!("templates have no .adapter.{key}"),
                        "only name and version; use an expression for what the execution did",
                    );
                }
            } else if !ROOTS.contains(&root.as_str()) && !self.roots.contains(root) {
                let hint = match root.as_str() {
                    "now" => "now is a function: {{ now | date \"2006-01-02T15:04:05Z07:00\" }}"
                        .to_owned(),
                    "resources" => "templates do not see resources; use an expression".to_owned(),
                    _ => did_you_mean(root, self.roots.iter().map(String::as_str).chain(ROOTS))
                        .unwrap_or_else(|| "define it as a param above".to_owned()),
                };
                self.error(path, format!("undefined template variable {root:?}"), hint);
            }
        }
        for function in template.unknown_functions() {
            self.error(
                path,
                format!("template function {function:?} does not exist"),
                "there is no sprig; see the table of functions in docs/adapters.md",
            );
        }
    }

    pub(super) fn call(&mut self, call: &ApiCall, path: &str) {
        self.template(&call.url, &format!("{path}.url"));
        let url = call.url.source();
        if !url.starts_with("http") && !url.starts_with("{{") && url.contains('?') {
            self.error(
                &format!("{path}.url"),
                "the query of a relative URL is dropped",
                "ask for what the path alone gives, or write an absolute URL of another host",
            );
        }
        if let Some(body) = &call.body {
            self.template(body, &format!("{path}.body"));
            if !call.method.has_body() {
                let message = format!("the body of a {} is not sent", call.method.as_str());
                self.warn(
                    &format!("{path}.body"),
                    message,
                    "use PUT, POST or PATCH, or remove it",
                );
            }
        }
        for (index, (_, value)) in call.headers.iter().enumerate() {
            self.template(value, &format!("{path}.headers[{index}].value"));
        }
        if let Some(name) = &call.retry_backoff
            && crate::config::Backoff::from_name(name).is_none()
        {
            self.warn(
                &format!("{path}.retry_backoff"),
                format!("{name:?} is no back-off and means constant"),
                "use exponential, linear or constant",
            );
        }
        if let Some(text) = &call.timeout
            && let Err(problem) = parse_duration(text)
        {
            self.warn(
                &format!("{path}.timeout"),
                problem,
                "the client's timeout is used instead",
            );
        }
    }

    pub(super) fn log(&mut self, log: Option<&LogAction>, path: &str) {
        let Some(log) = log else { return };
        self.template(&log.message, &format!("{path}.log.message"));
        if !LEVELS.contains(&log.level.as_str()) {
            self.warn(
                &format!("{path}.log.level"),
                format!("{:?} is no level and means info", log.level),
                "use debug, info, warning or error",
            );
        }
    }

    fn param(&mut self, param: &Param, path: &str, index: usize) {
        let source = format!("{path}.source");
        match &param.source {
            Source::Path(text) => self.source_path(text, &source, index),
            Source::ApiCall(call) => self.call(call, &format!("{source}.api_call")),
            Source::Expression(expression) => {
                self.expression(expression, &format!("{source}.expression"));
            }
            Source::File { path: file, .. } => {
                if !file.starts_with('/') {
                    self.warn(
                        &format!("{source}.file.path"),
                        format!("{file:?} is relative to the folder of the process"),
                        "write an absolute path",
                    );
                }
            }
        }
        if let Some(kind) = &param.kind {
            self.kind(param, kind, path);
        }
        self.declare(&param.name);
    }

    fn kind(&mut self, param: &Param, kind: &str, path: &str) {
        let at = format!("{path}.type");
        if !TYPES.contains(&kind) {
            let hint = format!("use one of {}", TYPES.join(", "));
            self.error(&at, format!("there is no type {kind:?}"), hint);
        } else if matches!(param.source, Source::ApiCall(_) | Source::Expression(_)) {
            self.warn(
                &at,
                "the type of a call or an expression is ignored",
                "convert in the expression: int(…), string(…); or add a param with this one as source",
            );
        } else if let Some(default) = &param.default {
            let fits = match kind {
                "string" => default.is_string(),
                "int" | "int64" => default.is_i64(),
                "bool" => default.is_boolean(),
                _ => default.is_number(),
            };
            if !fits && !default.is_null() {
                self.warn(
                    &format!("{path}.default"),
                    format!("the default is not of type {kind}, and it is not converted"),
                    format!("write a default of type {kind}"),
                );
            }
        }
    }

    fn source_path(&mut self, text: &str, path: &str, index: usize) {
        let (first, rest) = text.split_once('.').unwrap_or((text, ""));
        if ["env", "event", "config", "adapter"].contains(&first) {
            return;
        }
        if self.names.variables.contains(first) {
            if rest
                .split('.')
                .any(|segment| segment.parse::<usize>().is_ok())
            {
                self.error(
                    path,
                    "a source has no list indexes",
                    format!("use an expression: {first}.items[0]"),
                );
            }
            return;
        }
        let later = &self.config.task.params[index + 1..];
        if later.iter().any(|param| param.name == first) {
            let message = format!("{first:?} is a param that comes later");
            self.error(path, message, "move it up: params are extracted in order");
        } else if !EVENT.contains(&first) {
            let message = format!("{first:?} is no param above, and events have no such member");
            let known = self.names.variables.iter().map(String::as_str).chain(EVENT);
            let hint = did_you_mean(first, known).unwrap_or_else(|| {
                "begin with env., event., config. or the name of a param".to_owned()
            });
            self.warn(path, message, hint);
        }
    }

    fn precondition(&mut self, precondition: &Precondition, path: &str) {
        self.log(precondition.log.as_ref(), path);
        if let Some(call) = &precondition.api_call {
            self.call(call, &format!("{path}.api_call"));
            self.add(
                Severity::Note,
                format!("{path}.api_call"),
                "calls of preconditions are deprecated",
                "make the call in a param",
            );
            self.declare(&precondition.name);
        } else if !precondition.captures.is_empty() {
            self.warn(
                &format!("{path}.capture"),
                "without an api_call nothing is captured",
                "add the call, or use params with expressions",
            );
        }
        for (index, capture) in precondition.captures.iter().enumerate() {
            let at = format!("{path}.capture[{index}]");
            match &capture.source {
                CaptureSource::Field(field) => self.json_path(field, &format!("{at}.field")),
                CaptureSource::Expression(_) if capture.default.is_some() => self.warn(
                    &format!("{at}.default"),
                    "the default of a captured expression is ignored",
                    "use orValue(…) in the expression, or a field",
                ),
                CaptureSource::Expression(_) => {}
            }
            self.declare(&capture.name);
        }
        for (index, condition) in precondition.conditions.iter().enumerate() {
            self.condition(condition, &format!("{path}.conditions[{index}]"));
        }
        if let Some(expression) = &precondition.expression {
            let at = format!("{path}.expression");
            if precondition.conditions.is_empty() {
                self.decision(expression, &at, false, "nothing below is ever reached");
            } else {
                self.warn(
                    &at,
                    "the expression is never looked at, because there are conditions",
                    "write all of it as conditions, or all of it as an expression",
                );
            }
        }
    }

    pub(super) fn json_path(&mut self, field: &JsonPath, path: &str) {
        if let Some(error) = field.error() {
            let hint = "write a.b, or {.items[?(@.type==\"Ready\")].status}";
            self.error(path, format!("{error}; it fails whenever it is used"), hint);
        }
    }

    fn condition(&mut self, condition: &Condition, path: &str) {
        let field = format!("{path}.field");
        self.json_path(&condition.field, &field);
        if let Some(root) = condition.field.root()
            && !self.names.variables.contains(root)
            && !ROOTS.contains(&root)
            && root != "resources"
        {
            let known = self.names.variables.iter().map(String::as_str);
            let hint = did_you_mean(root, known)
                .unwrap_or_else(|| "define it as a param above".to_owned());
            self.error(
                &field,
                format!("variable {root:?} is defined nowhere before this"),
                hint,
            );
        }
        let value = format!("{path}.value");
        let value = if condition.value.is_array() {
            format!("{path}.values")
        } else {
            value
        };
        let is_integer = |value: &serde_json::Value| value.is_i64() || value.is_u64();
        let listed = condition.value.as_array();
        match condition.operator {
            Operator::Equals | Operator::NotEquals if is_integer(&condition.value) => self.error(
                &value,
                format!(
                    "{} never equals anything: numbers compare by type too",
                    condition.value
                ),
                "use an expression: generation == 5",
            ),
            Operator::In | Operator::NotIn if listed.is_some_and(|l| l.iter().any(is_integer)) => {
                self.error(
                    &value,
                    "whole numbers in a list never equal anything: numbers compare by type too",
                    "use an expression: generation in [5, 6]",
                );
            }
            Operator::GreaterThan | Operator::LessThan if !condition.value.is_number() => self
                .error(
                    &value,
                    format!(
                        "{} compares numbers only, and fails on {}",
                        condition.operator.as_str(),
                        condition.value
                    ),
                    "write a number, or use an expression",
                ),
            _ => {}
        }
    }

    fn resource(&mut self, resource: &Resource, path: &str, index: usize) {
        for (place, (message, hint)) in super::manifest::complaints(resource) {
            self.error(&format!("{path}.{place}"), message, hint);
        }
        let manifest = format!("{path}.manifest");
        if super::manifest::has_no_generation(&resource.manifest) {
            self.warn(
                &manifest,
                "without a generation annotation the object is created once and never updated",
                "add metadata.annotations hyperfleet.io/generation: \"{{ .generation }}\"",
            );
        }
        self.template(&resource.manifest.template, &manifest);
        if let Some(consumer) = &resource.target_cluster {
            self.template(
                consumer,
                &format!("{path}.transport.maestro.target_cluster"),
            );
        }
        self.discovery(&resource.discovery, &format!("{path}.discovery"));
        for (number, nested) in resource.nested.iter().enumerate() {
            let at = format!("{path}.nested_discoveries[{number}]");
            self.discovery(&nested.discovery, &format!("{at}.discovery"));
            let others = &self.config.task.resources;
            let same = |other: &Resource| {
                let of_nested = other
                    .nested
                    .iter()
                    .filter(|other| other.name == nested.name)
                    .count();
                usize::from(other.name == nested.name) + of_nested
            };
            if others.iter().map(same).sum::<usize>() > 1 {
                self.error(
                    &format!("{at}.name"),
                    format!("{:?} is the name of another resource", nested.name),
                    "give it a name of its own",
                );
            }
        }
        self.transport(resource, path);
        self.lifecycle(resource, path, index);
    }

    fn discovery(&mut self, discovery: &Discovery, path: &str) {
        if let Some(namespace) = &discovery.namespace {
            self.template(namespace, &format!("{path}.namespace"));
        }
        match &discovery.by {
            DiscoverBy::Name(name) => self.template(name, &format!("{path}.by_name")),
            DiscoverBy::Selectors(selectors) => {
                let path = format!("{path}.by_selectors.label_selector");
                for (key, value) in selectors {
                    self.template(key, &path);
                    self.template(value, &format!("{path}.{}", key.source()));
                }
            }
        }
    }

    fn transport(&mut self, resource: &Resource, path: &str) {
        match (&self.config.adapter.maestro, &resource.target_cluster) {
            (Some(_), None) => self.error(
                &format!("{path}.transport"),
                "clients.maestro sends every resource to Maestro, and this one names no consumer",
                "set transport.client maestro with maestro.target_cluster",
            ),
            (None, Some(_)) => self.add(
                Severity::Note,
                format!("{path}.transport"),
                "without clients.maestro the ManifestWork is applied to the management cluster",
                "set clients.maestro, unless that is meant",
            ),
            (Some(_), Some(_)) if resource.recreate_on_change => self.warn(
                &format!("{path}.recreate_on_change"),
                "Maestro does not recreate objects",
                "remove it; the ManifestWork is updated",
            ),
            _ => {}
        }
    }

    fn lifecycle(&mut self, resource: &Resource, path: &str, index: usize) {
        if let Some(when) = &resource.lifecycle.create_when {
            let at = format!("{path}.lifecycle.create.when.expression");
            self.decision(when, &at, false, "the object is never created");
        }
        let Some(delete) = &resource.lifecycle.delete else {
            return;
        };
        let at = format!("{path}.lifecycle.delete.when.expression");
        self.decision(&delete.when, &at, true, "the object is never applied");
        self.decision_is_reachable(&delete.when, &at);
        let Some(tree) = delete.when.tree() else {
            return;
        };
        let later: Vec<&str> = self.config.task.resources[index + 1..]
            .iter()
            .filter(|later| later.lifecycle.delete.is_some())
            .map(|later| later.name.as_str())
            .collect();
        for name in cel::resources_asked_for(tree) {
            if later.contains(&name.as_str()) {
                // Sometimes it must be so: a namespace is created first and goes last.
                self.add(
                    Severity::Note,
                    at.clone(),
                    format!("it waits for {name:?}, which is deleted further down: that takes another event"),
                    format!("list {name:?} before it"),
                );
            }
        }
    }

    fn decision_is_reachable(&mut self, when: &Expression, path: &str) {
        if when.tree().and_then(cel::constant) == Some(false) {
            self.warn(
                path,
                "always false: the object is never deleted",
                "write the condition that was meant",
            );
        }
    }
}
