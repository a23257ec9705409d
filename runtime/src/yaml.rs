//! YAML as configuration files need it: positions, strictness, and the scalar rules of Go's yaml.v3.
//!
//! Invariants:
//! - every node knows the line and column it was written at, so that errors can point there;
//! - a duplicate key is an error, an unknown alias is an error, and aliases cannot blow up the
//!   document beyond [`NODE_LIMIT`] nodes;
//! - untyped scalars resolve as yaml.v3 does (`yes` is a string, `010` is eight, `5.0` is a
//!   float), because operators distinguish integers from floats.
//!
//! serde is not used here: it loses positions, and its YAML readers disagree with yaml.v3 about
//! scalars.

mod parse;
mod scalar;

pub use parse::{NODE_LIMIT, parse};
pub use scalar::resolve_plain;

use serde_json::Value;

/// Where a node was written; both count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Position {
    /// Line, from one.
    pub line: usize,
    /// Column, from one.
    pub column: usize,
}

/// A YAML node with its position.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where the node starts.
    pub position: Position,
    /// What it is.
    pub kind: NodeKind,
}

/// The three shapes of a YAML node.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// A scalar, not yet resolved to a type.
    Scalar(Scalar),
    /// A sequence.
    Sequence(Vec<Node>),
    /// A mapping in written order, merge keys already applied.
    Mapping(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key was written.
    pub position: Position,
    /// The value.
    pub value: Node,
}

/// A scalar as written.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// The text after unescaping.
    pub text: String,
    /// Whether it was written without quotes and without a block indicator.
    pub plain: bool,
    /// An explicit core-schema tag such as `str` or `int`.
    pub tag: Option<String>,
}

/// The document is not acceptable YAML.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("line {}, column {}: {message}", position.line, position.column)]
pub struct YamlError {
    /// Where the problem was met.
    pub position: Position,
    /// What is wrong.
    pub message: String,
}

impl Node {
    /// The node as an untyped value: integers stay integers, floats stay floats, timestamps
    /// become their RFC 3339 text.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Scalar(scalar) => scalar::resolve(scalar),
            NodeKind::Sequence(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            NodeKind::Mapping(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_value()))
                    .collect(),
            ),
        }
    }

    /// Whether the node is an explicit or implicit null.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar(scalar) if scalar::resolve(scalar).is_null())
    }

    /// The value of a mapping's key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            NodeKind::Mapping(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            NodeKind::Scalar(_) | NodeKind::Sequence(_) => None,
        }
    }

    /// What the node is, for messages.
    pub fn shape(&self) -> &'static str {
        match &self.kind {
            NodeKind::Scalar(_) => "scalar",
            NodeKind::Sequence(_) => "sequence",
            NodeKind::Mapping(_) => "mapping",
        }
    }
}
