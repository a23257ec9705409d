//! YAML as adapter files need it: read with positions by `hyperfleet_runtime::yaml`, written as Go's
//! yaml.v3 writes it.

mod write;

pub use hyperfleet_runtime::yaml::{
    Entry, NODE_LIMIT, Node, NodeKind, Position, Scalar, YamlError, parse,
};
pub use write::to_string;
