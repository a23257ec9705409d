//! Checking configurations without running them.
//!
//! What does not load is an error, and so is what loads and can never work. What works, but surely not as
//! it was meant, is a warning. A note says what is allowed and will not always be.

mod cel;
mod linter;
mod manifest;
mod post;
mod role;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use hyperfleet_runtime::error_chain;

use crate::config::{self, AdapterSettings, Config, ConfigError, Inputs};
use crate::yaml::{self, Node, NodeKind, Position};

use linter::Linter;
pub use role::Permissions;

/// Names that the two files of an adapter have in a folder.
const ADAPTER_FILES: [&str; 3] = ["adapter-config.yaml", "adapter.yaml", "config.yaml"];
const TASK_FILES: [&str; 4] = [
    "adapter-task-config.yaml",
    "task-config.yaml",
    "task.yaml",
    "adapter-task.yaml",
];
/// Files in a folder that say what the adapter may do.
const ROLE_FILES: [&str; 3] = ["cluster-role.yaml", "rbac.yaml", "adapter-role.yaml"];

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot work.
    Error,
    /// It works, but hardly as it was meant.
    Warning,
    /// It works.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Something found in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    pub position: Option<Position>,
    /// Where in the configuration, such as `preconditions[0].expression`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.file.display())?;
        if let Some(position) = self.position {
            write!(formatter, "{}:{}:", position.line, position.column)?;
        }
        write!(formatter, " {}: ", self.severity)?;
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        write!(formatter, "{}; {}", self.message, self.hint)
    }
}

/// A finding without its file and position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// How much it matters.
    pub severity: Severity,
    /// Where in the configuration.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

/// What was found in the files of one adapter.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The findings, in the order of the files.
    pub findings: Vec<Finding>,
    /// What the adapter must be allowed to do, when its files load.
    pub permissions: Option<Permissions>,
    /// The adapter's name, when its file loads.
    pub name: Option<String>,
}

impl Report {
    /// Whether nothing was found that is more than a note.
    pub fn is_clean(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity == Severity::Note)
    }
}

/// The folders below `root`, itself included, that hold an adapter: the two files of each.
///
/// # Errors
/// When a folder cannot be read.
pub fn adapters_below(root: &Path) -> std::io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let first = |names: &[&str]| {
            let mut paths = names.iter().map(|name| folder.join(name));
            paths.find(|path| path.is_file())
        };
        if let (Some(adapter), Some(task)) = (first(&ADAPTER_FILES), first(&TASK_FILES)) {
            found.push((adapter, task));
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Checks the two files of an adapter; variables that params require count as set. A role in a file
/// beside them, or in `role`, must allow what the adapter does.
pub fn lint(
    adapter: &Path,
    task: &Path,
    environment: &BTreeMap<String, String>,
    role: Option<&Path>,
) -> Report {
    let mut report = Report::default();
    let inputs = Inputs {
        adapter,
        task,
        environment,
        flags: &[],
    };
    let mut warnings = Vec::new();
    let settings = config::read(adapter)
        .and_then(|text| config::adapter_settings(&text, inputs, &mut warnings));
    let settings = settings
        .map_err(|error| report.refused(&error, adapter))
        .ok();
    report.adapter(settings.as_ref(), &warnings, adapter);
    let text = match config::read(task) {
        Ok(text) => text,
        Err(error) => {
            report.refused(&error, task);
            return report;
        }
    };
    let filled = with_required(&text, environment);
    let inputs = Inputs {
        environment: &filled,
        ..inputs
    };
    match config::task(&text, inputs, &mut Vec::new()) {
        Err(error) => report.refused(&error, task),
        Ok((read, task_tree)) => {
            let Some(adapter) = settings else {
                return report;
            };
            let config = Config {
                adapter,
                task: read,
                environment: std::sync::Arc::default(),
                warnings: Vec::new(),
                task_tree,
            };
            report.task(&config, &text, task);
            report.roles(&config, task, role);
        }
    }
    report
}

/// Looks for what loads and cannot work, or not as it was meant.
pub fn findings(config: &Config) -> Vec<Draft> {
    let mut linter = Linter::new(config);
    linter.task();
    linter.drafts
}

impl Report {
    /// The configuration was refused.
    fn refused(&mut self, error: &ConfigError, file: &Path) {
        let finding = |position, path: &str, message: &str| {
            let (message, hint) = match message.split_once("; ") {
                Some((message, hint)) => (message.to_owned(), hint.to_owned()),
                None => (message.to_owned(), hint_for(message).to_owned()),
            };
            Finding {
                severity: Severity::Error,
                file: file.to_path_buf(),
                position,
                path: path.to_owned(),
                message,
                hint,
            }
        };
        if let ConfigError::Yaml { source, .. } = error {
            let found = finding(Some(source.position), "", &source.message);
            self.findings.push(found);
        } else if error.problems().is_empty() {
            self.findings.push(finding(
                Some(Position { line: 1, column: 1 }),
                "",
                &error_chain(error),
            ));
        }
        for problem in error.problems() {
            // Either may be the more exact one, which is the later one.
            let position = position_in(file, &problem.path).max(problem.position);
            let mut found = finding(position, &problem.path, &problem.message);
            if let Some(better) = unknown_key_hint(&problem.message) {
                found.hint = better;
            }
            self.findings.push(found);
        }
    }

    /// What the adapter's own file leads to.
    fn adapter(&mut self, settings: Option<&AdapterSettings>, warnings: &[String], file: &Path) {
        self.name = settings.map(|settings| settings.name.clone());
        for warning in warnings {
            self.findings.push(Finding {
                severity: Severity::Warning,
                file: file.to_path_buf(),
                position: position_in(file, "adapter.version"),
                path: "adapter.version".to_owned(),
                message: warning.clone(),
                hint: "write a version like 0.2.0, or leave it out".to_owned(),
            });
        }
        if let Some(problem) = settings.and_then(|s| s.maestro.as_ref()?.problem()) {
            self.findings.push(Finding {
                severity: Severity::Error,
                file: file.to_path_buf(),
                position: position_in(file, "clients.maestro"),
                path: "clients.maestro".to_owned(),
                message: problem,
                hint: "describe the Maestro server, or remove clients.maestro".to_owned(),
            });
        }
    }

    fn task(&mut self, config: &Config, text: &str, file: &Path) {
        let document = yaml::parse(text).ok().flatten();
        let mut found: Vec<Finding> = findings(config)
            .into_iter()
            .map(|draft| Finding {
                severity: draft.severity,
                file: file.to_path_buf(),
                position: document.as_ref().map(|node| position_of(node, &draft.path)),
                path: draft.path,
                message: draft.message,
                hint: draft.hint,
            })
            .collect();
        found.sort_by_key(|finding| finding.position);
        self.findings.append(&mut found);
    }

    /// Compares what the adapter does with what a role beside it allows.
    fn roles(&mut self, config: &Config, task: &Path, role: Option<&Path>) {
        let permissions = Permissions::of(config);
        let folder = task.parent().unwrap_or_else(|| Path::new(""));
        let beside = ROLE_FILES.iter().map(|name| folder.join(name));
        let file = role
            .map(Path::to_path_buf)
            .or_else(|| beside.into_iter().find(|path| path.is_file()));
        if let Some(file) = file {
            let missing = std::fs::read_to_string(&file)
                .map_err(|error| error.to_string())
                .and_then(|text| permissions.missing_from(&text));
            let complaints = match missing {
                Ok(missing) => missing
                    .into_iter()
                    .map(|missing| {
                        (
                            format!("the role does not allow {missing}"),
                            "add it to a rule; `hyperfleet adapter lint --print-role` prints a whole role",
                        )
                    })
                    .collect(),
                Err(problem) => vec![(problem, "write the role as YAML")],
            };
            for (message, hint) in complaints {
                self.findings.push(Finding {
                    severity: Severity::Error,
                    position: position_in(&file, "rules"),
                    file: file.clone(),
                    path: "rules".to_owned(),
                    message,
                    hint: hint.to_owned(),
                });
            }
        }
        self.permissions = Some(permissions);
    }
}

/// The environment with a word for each variable that a param reads.
fn with_required(text: &str, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut filled = environment.clone();
    let document = yaml::parse(text).ok().flatten();
    let params = document.as_ref().and_then(|node| node.get("params"));
    if let Some(Node {
        kind: NodeKind::Sequence(params),
        ..
    }) = params
    {
        for param in params {
            let source = param.get("source").map(Node::to_value).unwrap_or_default();
            if let Some(variable) = source
                .as_str()
                .and_then(|source| source.strip_prefix("env."))
            {
                let word = filled.entry(variable.to_owned()).or_default();
                if word.is_empty() {
                    "set".clone_into(word);
                }
            }
        }
    }
    filled
}

fn position_in(file: &Path, path: &str) -> Option<Position> {
    let text = config::read(file).ok()?;
    let document = yaml::parse(&text).ok().flatten()?;
    Some(position_of(&document, path))
}

/// Where the deepest part of `path` that exists was written.
fn position_of(document: &Node, path: &str) -> Position {
    let mut node = document;
    let mut position = node.position;
    let mut rest = path;
    loop {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let next = match &node.kind {
            NodeKind::Sequence(items) => rest
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
                .and_then(|(index, after)| {
                    let item = items.get(index.parse::<usize>().ok()?)?;
                    Some((item, item.position, after))
                }),
            // Keys may have dots, so that the longest that fits is meant.
            NodeKind::Mapping(entries) => entries
                .iter()
                .filter_map(|entry| {
                    let after = rest.strip_prefix(entry.key.as_str())?;
                    let ends = after.is_empty() || after.starts_with(['.', '[']);
                    ends.then_some((&entry.value, entry.position, after))
                })
                .min_by_key(|(_, _, after)| after.len()),
            NodeKind::Scalar(_) => None,
        };
        match next {
            Some((found, place, after)) if !rest.is_empty() => {
                (node, position, rest) = (found, place, after);
            }
            _ => return position,
        }
    }
}

/// The name that was probably meant.
fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let limit = 1 + name.chars().count() / 4;
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| format!("did you mean {candidate}?"))
}

/// How many letters have to be changed, added or removed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in right.iter().enumerate() {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(b));
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

/// For an unknown key, the known one that is like it.
fn unknown_key_hint(message: &str) -> Option<String> {
    let (key, known) = message
        .strip_prefix("field ")?
        .split_once(" not found; known fields are ")?;
    let snake: String = key
        .chars()
        .flat_map(|c| {
            let parts = c.is_uppercase().then_some('_').into_iter();
            parts.chain(c.to_lowercase())
        })
        .collect();
    let known: Vec<&str> = known.split(", ").collect();
    did_you_mean(&snake, known.iter().copied())
        .or_else(|| did_you_mean(key, known.iter().copied()))
        .or_else(|| Some(format!("known fields are {}", known.join(", "))))
}

/// What to do about a message that does not say it itself.
fn hint_for(message: &str) -> &'static str {
    const HINTS: [(&str, &str); 17] = [
        (
            "CEL parse error",
            "correct the syntax at the line and column inside the expression",
        ),
        (
            "template parse error",
            "close every {{ with }}, and every if, range and with with end",
        ),
        (
            "undefined template variable",
            "define it as a param above, or correct the name",
        ),
        ("is required", "add it"),
        ("expected a", "look at the indentation and the brackets"),
        (
            "must match the pattern",
            "begin with a lower case letter, then letters, digits and _",
        ),
        ("duplicate name", "give each resource a name of its own"),
        (
            "does not exist",
            "correct the path; it starts at the folder of the task file",
        ),
        (
            "escapes base directory",
            "put the file below the folder of the task file",
        ),
        ("is a directory", "name a file inside it"),
        ("must be a YAML mapping", "begin the file with a key"),
        (
            "must specify at least one of",
            "add conditions or an expression",
        ),
        ("value/values should not be set", "remove the value"),
        ("must be a list", "write values: [a, b]"),
        (
            "version mismatch",
            "write the version this program has, or leave it out",
        ),
        ("duplicate", "remove one of the two"),
        ("EOF", "write at least one key"),
    ];
    HINTS
        .iter()
        .find(|(part, _)| message.contains(part))
        .map_or("see docs/adapters.md", |(_, hint)| hint)
}

#[cfg(test)]
mod tests;
