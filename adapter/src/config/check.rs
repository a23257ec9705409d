//! Rules that span entries: names, template variables, required environment.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::Reader;
use super::types::{ApiCall, Build, DiscoverBy, Discovery, LogAction, Source, Task};
use crate::template::Template;
use crate::yaml::{Node, NodeKind, Position};

/// Roots that templates may always name.
const BUILT_IN: [&str; 6] = ["adapter", "config", "env", "event", "now", "date"];

pub(super) fn check(
    reader: &mut Reader,
    task: &Task,
    document: &Node,
    environment: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) {
    unique_resources(reader, task, document);
    required_environment(reader, task, document, environment);
    for (index, param) in task.params.iter().enumerate() {
        if let Source::File { path, .. } = &param.source
            && !path.starts_with('/')
        {
            warnings.push(format!(
                "params[{index}].source.file.path: {path:?} is relative to the process' folder"
            ));
        }
    }
    for (index, precondition) in task.preconditions.iter().enumerate() {
        if precondition.api_call.is_some() {
            warnings.push(format!(
                "preconditions[{index}].api_call is deprecated; make the call in a param"
            ));
        }
    }
    template_variables(reader, task, document, warnings);
}

/// The position of `section[index]` in the document.
fn place(document: &Node, section: &[&str], index: usize) -> Position {
    let mut node = document;
    for key in section {
        match node.get(key) {
            Some(child) => node = child,
            None => return node.position,
        }
    }
    match &node.kind {
        NodeKind::Sequence(items) => items.get(index).map_or(node.position, |item| item.position),
        NodeKind::Scalar(_) | NodeKind::Mapping(_) => node.position,
    }
}

fn unique_resources(reader: &mut Reader, task: &Task, document: &Node) {
    let mut seen = BTreeSet::new();
    for (index, resource) in task.resources.iter().enumerate() {
        if !seen.insert(&resource.name) {
            reader.problem(
                "resources",
                place(document, &["resources"], index),
                format!("contains duplicate name values ({:?})", resource.name),
            );
        }
    }
}

fn required_environment(
    reader: &mut Reader,
    task: &Task,
    document: &Node,
    environment: &BTreeMap<String, String>,
) {
    for (index, param) in task.params.iter().enumerate() {
        let Source::Path(path) = &param.source else {
            continue;
        };
        let Some(variable) = path.strip_prefix("env.") else {
            continue;
        };
        let set = environment
            .get(variable)
            .is_some_and(|value| !value.is_empty());
        if param.required && param.default.is_none() && !set {
            reader.problem(
                format!("params[{index}]"),
                place(document, &["params"], index),
                format!("required environment variable {variable} is not set"),
            );
        }
    }
}

/// Checks the templates in simple shapes against the names that can exist.
struct Variables<'c> {
    reader: &'c mut Reader,
    warnings: &'c mut Vec<String>,
    known: BTreeSet<String>,
}

fn template_variables(
    reader: &mut Reader,
    task: &Task,
    document: &Node,
    warnings: &mut Vec<String>,
) {
    let mut variables = Variables {
        reader,
        warnings,
        known: BUILT_IN.iter().map(|&name| name.to_owned()).collect(),
    };
    for (index, param) in task.params.iter().enumerate() {
        if let Source::ApiCall(call) = &param.source {
            let at = place(document, &["params"], index);
            variables.call(call, &format!("params[{index}].source.api_call"), at);
        }
        variables.known.insert(param.name.clone());
    }
    let names = task
        .preconditions
        .iter()
        .flat_map(|precondition| {
            precondition
                .captures
                .iter()
                .map(|capture| &capture.name)
                .chain([&precondition.name])
        })
        .chain(task.post.payloads.iter().map(|payload| &payload.name))
        .chain(task.resources.iter().flat_map(|resource| {
            let nested = resource.nested.iter().map(|nested| &nested.name);
            [&resource.name].into_iter().chain(nested)
        }));
    variables.known.extend(names.cloned());
    variables.known.insert("resources".to_owned());
    variables.preconditions(task, document);
    variables.resources(task, document);
    variables.post(task, document);
}

impl Variables<'_> {
    fn template(&mut self, template: &Template, path: &str, at: Position) {
        for root in template.simple_roots() {
            if !self.known.contains(&root) {
                self.reader
                    .problem(path, at, format!("undefined template variable {root:?}"));
            }
        }
        for function in template.unknown_functions() {
            self.warnings.push(format!(
                "{path}: template function {function:?} does not exist; rendering will fail"
            ));
        }
    }

    fn call(&mut self, call: &ApiCall, path: &str, at: Position) {
        self.template(&call.url, &format!("{path}.url"), at);
        if let Some(body) = &call.body {
            self.template(body, &format!("{path}.body"), at);
        }
        for (index, (_, value)) in call.headers.iter().enumerate() {
            self.template(value, &format!("{path}.headers[{index}].value"), at);
        }
    }

    fn log(&mut self, log: Option<&LogAction>, path: &str, at: Position) {
        if let Some(log) = log {
            self.template(&log.message, &format!("{path}.log.message"), at);
        }
    }

    fn preconditions(&mut self, task: &Task, document: &Node) {
        for (index, precondition) in task.preconditions.iter().enumerate() {
            let at = place(document, &["preconditions"], index);
            let path = format!("preconditions[{index}]");
            if let Some(call) = &precondition.api_call {
                self.call(call, &format!("{path}.api_call"), at);
            }
            self.log(precondition.log.as_ref(), &path, at);
        }
    }

    fn resources(&mut self, task: &Task, document: &Node) {
        for (index, resource) in task.resources.iter().enumerate() {
            let at = place(document, &["resources"], index);
            let path = format!("resources[{index}]");
            let inline = document
                .get("resources")
                .and_then(|node| match &node.kind {
                    NodeKind::Sequence(items) => items.get(index),
                    NodeKind::Scalar(_) | NodeKind::Mapping(_) => None,
                })
                .and_then(|node| node.get("manifest"))
                .is_some_and(|manifest| manifest.get("ref").is_none());
            if inline {
                self.template(&resource.manifest.template, &format!("{path}.manifest"), at);
            }
            if let Some(consumer) = &resource.target_cluster {
                let path = format!("{path}.transport.maestro.target_cluster");
                self.template(consumer, &path, at);
            }
            self.discovery(&resource.discovery, &format!("{path}.discovery"), at);
            for (index, nested) in resource.nested.iter().enumerate() {
                let path = format!("{path}.nested_discoveries[{index}].discovery");
                self.discovery(&nested.discovery, &path, at);
            }
        }
    }

    fn discovery(&mut self, discovery: &Discovery, path: &str, at: Position) {
        if let Some(namespace) = &discovery.namespace {
            self.template(namespace, &format!("{path}.namespace"), at);
        }
        match &discovery.by {
            DiscoverBy::Name(name) => self.template(name, &format!("{path}.by_name"), at),
            DiscoverBy::Selectors(labels) => {
                let path = format!("{path}.by_selectors.label_selector");
                for (key, value) in labels {
                    self.template(key, &path, at);
                    self.template(value, &format!("{path}.{}", key.source()), at);
                }
            }
        }
    }

    fn post(&mut self, task: &Task, document: &Node) {
        for (index, payload) in task.post.payloads.iter().enumerate() {
            let at = place(document, &["post", "payloads"], index);
            let referenced = document
                .get("post")
                .and_then(|post| post.get("payloads"))
                .is_some_and(|node| match &node.kind {
                    NodeKind::Sequence(items) => items
                        .get(index)
                        .is_some_and(|item| item.get("build_ref").is_some()),
                    NodeKind::Scalar(_) | NodeKind::Mapping(_) => false,
                });
            if !referenced {
                self.build(&payload.build, &format!("post.payloads[{index}].build"), at);
            }
        }
        for (index, action) in task.post.actions.iter().enumerate() {
            let at = place(document, &["post", "post_actions"], index);
            let path = format!("post.post_actions[{index}]");
            if let Some(call) = &action.api_call {
                self.call(call, &format!("{path}.api_call"), at);
            }
            self.log(action.log.as_ref(), &path, at);
        }
    }

    fn build(&mut self, build: &Build, path: &str, at: Position) {
        match build {
            Build::Object(entries) => {
                for (key, value) in entries {
                    let path = format!("{path}.{}", key.source());
                    self.template(key, &path, at);
                    self.build(value, &path, at);
                }
            }
            Build::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.build(item, &format!("{path}[{index}]"), at);
                }
            }
            Build::Text(template) => self.template(template, path, at),
            Build::Field { .. }
            | Build::Expression { .. }
            | Build::Literal(_)
            | Build::Contradiction(_) => {}
        }
    }
}
