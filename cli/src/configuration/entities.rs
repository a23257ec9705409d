//! The kinds of resources from the file's `entities`.
//!
//! Every fault is answered with file, line, which entry, and how to mend it.

use std::path::Path;

use anyhow::{anyhow, bail};
use hyperfleet_domain::Registry;
use hyperfleet_domain::registry::{EntityDescriptor, ParentDeletePolicy};
use hyperfleet_runtime::config::{Settings, nearest};
use hyperfleet_runtime::yaml::{Node, NodeKind, Position};

const ENTRY: &[&str] = &[
    "kind",
    "plural",
    "parent_kind",
    "on_parent_delete",
    "spec_schema_name",
    "require_spec_schema",
    "required_adapters",
    "references",
    "name_min_len",
    "name_max_len",
    "conditions",
];
const REFERENCE: &[&str] = &["ref_type", "target_kind", "min", "max"];
const CONDITION: &[&str] = &["type", "when", "output"];
const OUTPUT: &[&str] = &["status", "reason", "message"];
const EXPRESSION: &[&str] = &["expression"];

/// The registry that the settings describe, or the default one; and what the operator should know.
pub(super) fn registry(settings: &Settings) -> anyhow::Result<(Registry, Vec<String>)> {
    let (Some(node), Some(file)) = (settings.structured("entities"), settings.file()) else {
        return Ok((Registry::builtin(), Vec::new()));
    };
    let reader = Reader { file };
    let NodeKind::Sequence(items) = &node.kind else {
        bail!(
            "{}: `entities` must be a list of kinds",
            reader.at(node.position)
        );
    };
    let mut warnings = Vec::new();
    let mut descriptors = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        descriptors.push(reader.entry(index, item, &mut warnings)?);
    }
    let registry = Registry::new(descriptors).map_err(|error| {
        let at = items
            .iter()
            .rev()
            .find(|item| kind_of(item) == Some(error.kind()));
        anyhow!(
            "{}: entities: {error}",
            reader.at(at.map_or(node.position, |item| item.position))
        )
    })?;
    Ok((registry, warnings))
}

struct Reader<'a> {
    file: &'a Path,
}

impl Reader<'_> {
    fn at(&self, position: Position) -> String {
        format!(
            "{}:{}:{}",
            self.file.display(),
            position.line,
            position.column
        )
    }

    fn entry(
        &self,
        index: usize,
        item: &Node,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<EntityDescriptor> {
        let name = match kind_of(item) {
            Some(kind) => format!("entities[{index}] (kind {kind})"),
            None => format!("entities[{index}]"),
        };
        self.check_keys(&name, item, ENTRY)?;
        for (list, keys) in [("references", REFERENCE), ("conditions", CONDITION)] {
            for (at, inner) in sequence(item.get(list)).iter().enumerate() {
                self.check_keys(&format!("{name}: {list}[{at}]"), inner, keys)?;
                self.check_rule(&format!("{name}: {list}[{at}]"), inner)?;
            }
        }
        let policy = item.get("on_parent_delete");
        if let Some(text) = policy.and_then(text_of)
            && !text.is_empty()
            && ParentDeletePolicy::named(text).is_none()
        {
            let at = policy.map_or(item.position, |node| node.position);
            warnings.push(format!(
                "{}: {name}: on_parent_delete {text:?} is neither cascade nor restrict: nothing is enforced, \
                 and children stay when their parent goes",
                self.at(at)
            ));
        }
        serde_json::from_value(item.to_value())
            .map_err(|error| anyhow!("{}: {name}: {error}", self.at(item.position)))
    }

    /// The expressions of a condition rule.
    fn check_rule(&self, name: &str, rule: &Node) -> anyhow::Result<()> {
        if let Some(when) = rule.get("when") {
            self.check_keys(&format!("{name}.when"), when, EXPRESSION)?;
        }
        let Some(output) = rule.get("output") else {
            return Ok(());
        };
        self.check_keys(&format!("{name}.output"), output, OUTPUT)?;
        for member in OUTPUT {
            if let Some(expression) = output.get(member) {
                self.check_keys(&format!("{name}.output.{member}"), expression, EXPRESSION)?;
            }
        }
        Ok(())
    }

    fn check_keys(&self, name: &str, node: &Node, known: &[&str]) -> anyhow::Result<()> {
        let NodeKind::Mapping(entries) = &node.kind else {
            bail!(
                "{}: {name} must have the keys {}",
                self.at(node.position),
                known.join(", ")
            );
        };
        for entry in entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let hint = match nearest(&entry.key, known.iter().copied()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("the keys are {}", known.join(", ")),
            };
            bail!(
                "{}: {name}: unknown key `{}`; {hint}",
                self.at(entry.position),
                entry.key
            );
        }
        Ok(())
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.kind {
        NodeKind::Scalar(scalar) if !node.is_null() => Some(&scalar.text),
        _ => None,
    }
}

fn kind_of(item: &Node) -> Option<&str> {
    item.get("kind")
        .and_then(text_of)
        .filter(|kind| !kind.is_empty())
}

fn sequence(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.kind) {
        Some(NodeKind::Sequence(items)) => items,
        _ => &[],
    }
}
