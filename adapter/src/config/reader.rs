//! Typed access to YAML nodes that collects every violation instead of stopping at the first.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::duration::parse_duration;
use super::{ConfigError, Problem};
use crate::yaml::{Node, NodeKind, Position, Scalar};

/// Collects violations of one file.
pub(super) struct Reader {
    file: PathBuf,
    problems: Vec<Problem>,
}

/// A mapping whose keys were checked.
pub(super) struct Fields<'n> {
    path: String,
    pub(super) position: Position,
    node: Option<&'n Node>,
}

impl<'n> Fields<'n> {
    /// The value of a key; an explicit null counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.node?.get(key).filter(|node| !node.is_null())
    }

    /// The value of a key, null included.
    pub(super) fn get_or_null(&self, key: &str) -> Option<&'n Node> {
        self.node?.get(key)
    }

    /// The path of a key, for messages.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The fields of an absent mapping under `key`.
    pub(super) fn empty(&self, key: &str) -> Self {
        Self {
            path: self.path(key),
            position: self.at(key),
            node: None,
        }
    }

    /// Where a key's value is, else where the mapping is.
    pub(super) fn at(&self, key: &str) -> Position {
        self.get_or_null(key)
            .map_or(self.position, |node| node.position)
    }
}

/// `path.key`, or `key` at the top.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

impl Reader {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_path_buf(),
            problems: Vec::new(),
        }
    }

    /// The value, unless anything was wrong.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => {
                self.problems.sort_by_key(|problem| problem.position);
                Err(ConfigError::Invalid {
                    path: self.file,
                    problems: self.problems,
                })
            }
        }
    }

    /// A reader of a referenced file, whose problems are reported at the reference.
    pub(super) fn referenced<T>(
        &mut self,
        reference: &str,
        path: &str,
        position: Position,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let mut inner = Self::new(Path::new(reference));
        let value = read(&mut inner);
        for problem in inner.problems {
            let place = problem.position.unwrap_or_default();
            self.problem(
                if problem.path.is_empty() {
                    path.to_owned()
                } else {
                    problem.path
                },
                position,
                format!(
                    "{} (in {reference}, line {}, column {})",
                    problem.message, place.line, place.column
                ),
            );
        }
        value
    }

    pub(super) fn problem(
        &mut self,
        path: impl Into<String>,
        position: Position,
        message: impl Into<String>,
    ) {
        self.problems.push(Problem {
            path: path.into(),
            message: message.into(),
            position: Some(position),
        });
    }

    /// A mapping with only known keys; null is an empty mapping.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        path: &str,
        known: &[&str],
    ) -> Option<Fields<'n>> {
        let fields = self.open(node, path)?;
        if let NodeKind::Mapping(entries) = &node.kind {
            for entry in entries {
                if !known.contains(&entry.key.as_str()) {
                    let known = known.join(", ");
                    self.problem(
                        join(path, &entry.key),
                        entry.position,
                        format!("field {} not found; known fields are {known}", entry.key),
                    );
                }
            }
        }
        Some(fields)
    }

    /// A mapping whose unknown keys are ignored.
    pub(super) fn open<'n>(&mut self, node: &'n Node, path: &str) -> Option<Fields<'n>> {
        let fields = |inner| Fields {
            path: path.to_owned(),
            position: node.position,
            node: inner,
        };
        match &node.kind {
            NodeKind::Mapping(_) => Some(fields(Some(node))),
            NodeKind::Scalar(_) if node.is_null() => Some(fields(None)),
            NodeKind::Scalar(_) | NodeKind::Sequence(_) => {
                self.problem(
                    path,
                    node.position,
                    format!("expected a mapping, found a {}", node.shape()),
                );
                None
            }
        }
    }

    /// The items of a sequence; null is an empty one.
    pub(super) fn items<'n>(&mut self, node: &'n Node, path: &str) -> &'n [Node] {
        match &node.kind {
            NodeKind::Sequence(items) => items,
            NodeKind::Scalar(_) if node.is_null() => &[],
            NodeKind::Scalar(_) | NodeKind::Mapping(_) => {
                self.problem(
                    path,
                    node.position,
                    format!("expected a list, found a {}", node.shape()),
                );
                &[]
            }
        }
    }

    /// The items under a key, each with its path.
    pub(super) fn list<'n>(&mut self, fields: &Fields<'n>, key: &str) -> Vec<(&'n Node, String)> {
        let Some(node) = fields.get(key) else {
            return Vec::new();
        };
        let path = fields.path(key);
        self.items(node, &path)
            .iter()
            .enumerate()
            .map(|(index, item)| (item, format!("{path}[{index}]")))
            .collect()
    }

    fn scalar<'n>(&mut self, node: &'n Node, path: &str, wanted: &str) -> Option<&'n Scalar> {
        if let NodeKind::Scalar(scalar) = &node.kind {
            return Some(scalar);
        }
        self.problem(
            path,
            node.position,
            format!("expected {wanted}, found a {}", node.shape()),
        );
        None
    }

    /// Text; a scalar of any type is accepted as its text.
    pub(super) fn text(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let node = fields.get(key)?;
        self.scalar(node, &fields.path(key), "a string")
            .map(|scalar| scalar.text.clone())
    }

    /// Text that must be there and not be empty.
    pub(super) fn required_text(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        if fields.get(key).is_none() {
            self.problem(
                fields.path(key),
                fields.position,
                format!("{} is required", fields.path(key)),
            );
            return None;
        }
        let text = self.text(fields, key)?;
        if text.is_empty() {
            self.problem(
                fields.path(key),
                fields.at(key),
                format!("{} is required", fields.path(key)),
            );
            return None;
        }
        Some(text)
    }

    /// A boolean, YAML 1.1 spellings and quoted ones included.
    pub(super) fn flag(&mut self, fields: &Fields<'_>, key: &str) -> Option<bool> {
        let node = fields.get(key)?;
        let path = fields.path(key);
        let scalar = self.scalar(node, &path, "a boolean")?;
        match scalar.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Some(true),
            "false" | "no" | "off" | "n" => Some(false),
            _ => {
                let message = format!("{:?} is not a boolean; write true or false", scalar.text);
                self.problem(path, node.position, message);
                None
            }
        }
    }

    /// A number of the given kind.
    pub(super) fn number<T: std::str::FromStr>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        kind: &str,
    ) -> Option<T> {
        let node = fields.get(key)?;
        let path = fields.path(key);
        let scalar = self.scalar(node, &path, kind)?;
        let parsed = scalar.text.parse().ok();
        if parsed.is_none() {
            let message = format!("{:?} is not {kind}", scalar.text);
            self.problem(path, node.position, message);
        }
        parsed
    }

    /// A duration with a unit.
    pub(super) fn duration(&mut self, fields: &Fields<'_>, key: &str) -> Option<Duration> {
        let node = fields.get(key)?;
        let path = fields.path(key);
        let scalar = self.scalar(node, &path, "a duration")?;
        match parse_duration(&scalar.text) {
            Ok(duration) => Some(duration),
            Err(message) => {
                self.problem(path, node.position, message);
                None
            }
        }
    }
}
