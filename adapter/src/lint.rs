//! Checking a configuration without running it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::{Build, CaptureSource, Config, ConfigError, Source, Task, load};
use crate::expression::Expression;
use crate::jsonpath::JsonPath;

/// What is suspicious in a configuration that loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where, such as `preconditions[0].expression`.
    pub path: String,
    /// What.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            write!(formatter, "{}", self.message)
        } else {
            write!(formatter, "{}: {}", self.path, self.message)
        }
    }
}

/// Loads both files and looks for what loads but cannot work.
///
/// # Errors
/// When the configuration does not load.
pub fn lint(
    adapter_config: &Path,
    task_config: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<Finding>, ConfigError> {
    load(adapter_config, task_config, environment).map(|config| findings(&config))
}

/// Looks for what loads but cannot work: malformed paths, and names that nothing defines.
pub fn findings(config: &Config) -> Vec<Finding> {
    let mut linter = Linter {
        findings: config
            .warnings
            .iter()
            .map(|warning| Finding {
                path: String::new(),
                message: warning.clone(),
            })
            .collect(),
        known: known_names(&config.task),
    };
    linter.task(&config.task);
    linter.findings
}

/// Every name that an expression can meet, plus the type names and macro variables of CEL itself
/// that the parser reports as variables.
fn known_names(task: &Task) -> BTreeSet<String> {
    let built_in = [
        "adapter",
        "resources",
        "event",
        "env",
        "config",
        "lists",
        "strings",
        "optional",
        "int",
        "uint",
        "double",
        "bool",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
    ];
    let mut names: BTreeSet<String> = built_in.iter().map(|&name| name.to_owned()).collect();
    names.extend(task.params.iter().map(|param| param.name.clone()));
    for precondition in &task.preconditions {
        names.insert(precondition.name.clone());
        names.extend(
            precondition
                .captures
                .iter()
                .map(|capture| capture.name.clone()),
        );
    }
    names.extend(
        task.post
            .payloads
            .iter()
            .map(|payload| payload.name.clone()),
    );
    names
}

struct Linter {
    findings: Vec<Finding>,
    known: BTreeSet<String>,
}

impl Linter {
    fn add(&mut self, path: &str, message: String) {
        self.findings.push(Finding {
            path: path.to_owned(),
            message,
        });
    }

    fn path(&mut self, json_path: &JsonPath, path: &str) {
        if let Some(error) = json_path.error() {
            self.add(path, format!("{error}; it fails whenever it is used"));
        }
    }

    fn expression(&mut self, expression: &Expression, path: &str) {
        let loop_variables = loop_variables(expression.source());
        for name in expression.variables() {
            let internal = name.starts_with(['@', '#']);
            if !internal && !self.known.contains(&name) && !loop_variables.contains(&name) {
                self.add(path, format!("variable {name:?} is defined nowhere"));
            }
        }
    }

    fn task(&mut self, task: &Task) {
        for (index, param) in task.params.iter().enumerate() {
            if let Source::Expression(expression) = &param.source {
                self.expression(expression, &format!("params[{index}].source.expression"));
            }
        }
        for (index, precondition) in task.preconditions.iter().enumerate() {
            let path = format!("preconditions[{index}]");
            if let Some(expression) = &precondition.expression {
                self.expression(expression, &format!("{path}.expression"));
            }
            for (index, condition) in precondition.conditions.iter().enumerate() {
                self.path(
                    &condition.field,
                    &format!("{path}.conditions[{index}].field"),
                );
            }
            for (index, capture) in precondition.captures.iter().enumerate() {
                if let CaptureSource::Field(field) = &capture.source {
                    self.path(field, &format!("{path}.capture[{index}].field"));
                }
            }
        }
        for (index, resource) in task.resources.iter().enumerate() {
            let path = format!("resources[{index}].lifecycle");
            if let Some(when) = &resource.lifecycle.create_when {
                self.expression(when, &format!("{path}.create.when.expression"));
            }
            if let Some(delete) = &resource.lifecycle.delete {
                self.expression(&delete.when, &format!("{path}.delete.when.expression"));
            }
        }
        for (index, payload) in task.post.payloads.iter().enumerate() {
            let path = format!("post.payloads[{index}]");
            if let Some(when) = &payload.when {
                self.expression(when, &format!("{path}.when.expression"));
            }
            self.build(&payload.build, &format!("{path}.build"));
        }
        for (index, action) in task.post.actions.iter().enumerate() {
            if let Some(when) = &action.when {
                self.expression(when, &format!("post.post_actions[{index}].when.expression"));
            }
        }
    }

    fn build(&mut self, build: &Build, path: &str) {
        match build {
            Build::Field { path: field, .. } => self.path(field, &format!("{path}.field")),
            Build::Expression { expression, .. } => {
                self.expression(expression, &format!("{path}.expression"));
            }
            Build::Object(entries) => {
                for (key, value) in entries {
                    self.build(value, &format!("{path}.{}", key.source()));
                }
            }
            Build::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.build(item, &format!("{path}[{index}]"));
                }
            }
            Build::Contradiction(problem) => self.add(path, problem.clone()),
            Build::Text(_) | Build::Literal(_) => {}
        }
    }
}

/// Names bound by macros: the first argument of `exists(c, …)`, `optMap(v, …)` and the like.
fn loop_variables(source: &str) -> BTreeSet<String> {
    const MACROS: [&str; 8] = [
        "all(",
        "exists(",
        "exists_one(",
        "map(",
        "filter(",
        "sortBy(",
        "optMap(",
        "optFlatMap(",
    ];
    let mut names = BTreeSet::new();
    for name in MACROS {
        for (index, _) in source.match_indices(name) {
            let rest = &source[index + name.len()..];
            if let Some((variable, _)) = rest.split_once(',') {
                names.insert(variable.trim().to_owned());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn lint_task(task: &str) -> Vec<String> {
        let config = load_text(
            ("adapter: {name: a}", Path::new("a.yaml")),
            (task, Path::new("t.yaml")),
            &BTreeMap::new(),
        )
        .unwrap();
        findings(&config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_cannot_work_is_found() {
        let found = lint_task(
            "params: [{name: a, source: {expression: 'typo.b + [1].map(x, x)[0]'}}]\n\
             preconditions: [{name: p, conditions: [{field: '$.x', operator: exists}]}]\n\
             post: {payloads: [{name: q, build: {k: {expression: 'a.filter(c, c.t == nope).size()'}}}]}\n",
        );
        assert_eq!(found.len(), 3, "{found:#?}");
        assert_eq!(
            found[0],
            "params[0].source.expression: variable \"typo\" is defined nowhere"
        );
        assert!(found[1].starts_with("preconditions[0].conditions[0].field: JSONPath \"$.x\""));
        assert_eq!(
            found[2],
            "post.payloads[0].build.k.expression: variable \"nope\" is defined nowhere"
        );
    }

    #[test]
    fn sound_configurations_have_no_findings() {
        let found = lint_task(
            "params: [{name: a, source: event.id}, {name: b, source: {expression: 'optional.of(a).orValue(string(int(\"1\")))'}}]\n",
        );
        assert!(found.is_empty(), "{found:#?}");
    }
}
