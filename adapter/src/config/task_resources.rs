//! The `resources` of a task: manifests, discovery, lifecycle.

use serde_json::Value;

use super::reader::{Fields, Reader};
use super::references::References;
use super::task_parts::{identifier, template, template_at, when};
use super::types::{
    DeleteRule, DiscoverBy, Discovery, Lifecycle, Manifest, NestedDiscovery, PropagationPolicy,
    Resource,
};
use crate::expression::Expression;
use crate::template::Template;
use crate::yaml::{self, Node, NodeKind};

const RESOURCE_KEYS: [&str; 7] = [
    "name",
    "transport",
    "manifest",
    "discovery",
    "nested_discoveries",
    "lifecycle",
    "recreate_on_change",
];

pub(super) fn resource(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    files: &References,
) -> Option<Resource> {
    let fields = reader.fields(node, path, &RESOURCE_KEYS)?;
    let name = identifier(reader, &fields);
    let target_cluster = transport(reader, &fields);
    let manifest = manifest(reader, &fields, files);
    let discovery = required_discovery(reader, &fields);
    let mut nested = Vec::new();
    for (node, path) in reader.list(&fields, "nested_discoveries") {
        nested.extend(nested_discovery(reader, node, &path));
    }
    let lifecycle = lifecycle(reader, &fields);
    let recreate_on_change = reader
        .flag(&fields, "recreate_on_change")
        .unwrap_or_default();
    Some(Resource {
        name: name?,
        target_cluster,
        manifest: manifest?,
        discovery: discovery?,
        nested,
        lifecycle: lifecycle?,
        recreate_on_change,
    })
}

/// Where the object goes: the template of a Maestro consumer, or `None` for Kubernetes.
fn transport(reader: &mut Reader, resource: &Fields<'_>) -> Option<Template> {
    let node = resource.get("transport")?;
    let path = resource.path("transport");
    let fields = reader.fields(node, &path, &["client", "maestro"])?;
    let client = reader.required_text(&fields, "client")?;
    match client.as_str() {
        "kubernetes" => None,
        "maestro" => {
            let Some(node) = fields.get("maestro") else {
                reader.problem(
                    fields.path("maestro"),
                    fields.position,
                    "maestro.target_cluster is required for client \"maestro\"",
                );
                return None;
            };
            let path = fields.path("maestro");
            let maestro = reader.fields(node, &path, &["target_cluster"])?;
            let text = reader.required_text(&maestro, "target_cluster")?;
            let path = maestro.path("target_cluster");
            template(reader, &text, &path, maestro.at("target_cluster"))
        }
        other => {
            let problem = format!("invalid transport client {other:?}; use kubernetes or maestro");
            reader.problem(fields.path("client"), fields.at("client"), problem);
            None
        }
    }
}

fn nested_discovery(reader: &mut Reader, node: &Node, path: &str) -> Option<NestedDiscovery> {
    let fields = reader.fields(node, path, &["name", "discovery"])?;
    let name = identifier(reader, &fields);
    let discovery = required_discovery(reader, &fields);
    Some(NestedDiscovery {
        name: name?,
        discovery: discovery?,
    })
}

fn required_discovery(reader: &mut Reader, fields: &Fields<'_>) -> Option<Discovery> {
    let path = fields.path("discovery");
    let Some(node) = fields.get("discovery") else {
        reader.problem(path, fields.position, "discovery is required");
        return None;
    };
    discovery(reader, node, &path)
}

fn manifest(reader: &mut Reader, resource: &Fields<'_>, files: &References) -> Option<Manifest> {
    let path = resource.path("manifest");
    let at = resource.at("manifest");
    let Some(node) = resource.get("manifest") else {
        reader.problem(path, at, "manifest is required");
        return None;
    };
    match &node.kind {
        NodeKind::Scalar(scalar) => text_manifest(reader, &scalar.text, &path, node),
        NodeKind::Mapping(entries) if entries.len() == 1 && entries[0].key == "ref" => {
            let reference = match entries[0].value.to_value() {
                Value::String(text) if !text.is_empty() => text,
                _ => {
                    reader.problem(path + ".ref", at, "ref is required");
                    return None;
                }
            };
            match files.read(&reference) {
                Ok(text) => text_manifest(reader, &text, &path, node),
                Err(problem) => {
                    reader.problem(path + ".ref", entries[0].value.position, problem);
                    None
                }
            }
        }
        NodeKind::Mapping(entries) if !entries.is_empty() => {
            let value = node.to_value();
            let text_of = |key: &str| {
                value
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let text = yaml::to_string(&value);
            Some(Manifest {
                template: template(reader, &text, &path, node.position)?,
                api_version: text_of("apiVersion"),
                kind: text_of("kind"),
            })
        }
        NodeKind::Mapping(_) | NodeKind::Sequence(_) => {
            reader.problem(
                path,
                at,
                "manifest must be a mapping, a text or {ref: file}",
            );
            None
        }
    }
}

fn text_manifest(reader: &mut Reader, text: &str, path: &str, node: &Node) -> Option<Manifest> {
    let first = |prefix: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(prefix))
            .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
            .unwrap_or_default()
    };
    Some(Manifest {
        template: template(reader, text, path, node.position)?,
        api_version: first("apiVersion:"),
        kind: first("kind:"),
    })
}

fn discovery(reader: &mut Reader, node: &Node, path: &str) -> Option<Discovery> {
    let fields = reader.fields(node, path, &["namespace", "by_name", "by_selectors"])?;
    let namespace = template_at(reader, &fields, "namespace");
    let by = match (fields.get("by_name"), fields.get("by_selectors")) {
        (Some(_), None) => {
            let text = reader.required_text(&fields, "by_name")?;
            let at = fields.at("by_name");
            DiscoverBy::Name(template(reader, &text, &fields.path("by_name"), at)?)
        }
        (None, Some(node)) => selectors(reader, node, &fields.path("by_selectors"))?,
        (Some(_), Some(_)) => {
            let problem = "by_name and by_selectors are both set; use only one";
            reader.problem(path, node.position, problem);
            return None;
        }
        (None, None) => {
            let problem = "one of by_name or by_selectors is required";
            reader.problem(path, node.position, problem);
            return None;
        }
    };
    Some(Discovery { namespace, by })
}

fn selectors(reader: &mut Reader, node: &Node, path: &str) -> Option<DiscoverBy> {
    let fields = reader.fields(node, path, &["label_selector"])?;
    let selector_path = fields.path("label_selector");
    let mut labels = Vec::new();
    if let Some(node) = fields.get("label_selector") {
        let selector = reader.open(node, &selector_path)?;
        if let NodeKind::Mapping(entries) = &node.kind {
            for entry in entries {
                let path = selector.path(&entry.key);
                let value = reader.text(&selector, &entry.key).unwrap_or_default();
                let key = template(reader, &entry.key, &path, entry.position);
                let value = template(reader, &value, &path, entry.value.position);
                labels.extend(key.zip(value));
            }
        }
    }
    if labels.is_empty() {
        let at = fields.at("label_selector");
        reader.problem(selector_path, at, "label_selector needs at least one label");
        return None;
    }
    Some(DiscoverBy::Selectors(labels))
}

fn lifecycle(reader: &mut Reader, resource: &Fields<'_>) -> Option<Lifecycle> {
    let Some(node) = resource.get("lifecycle") else {
        return Some(Lifecycle::default());
    };
    let fields = reader.fields(node, &resource.path("lifecycle"), &["create", "delete"])?;
    let mut lifecycle = Lifecycle::default();
    if let Some(node) = fields.get("create") {
        let create = reader.fields(node, &fields.path("create"), &["when"])?;
        lifecycle.create_when = required_when(reader, &create);
    }
    if let Some(node) = fields.get("delete") {
        let known = ["propagationPolicy", "when"];
        let delete = reader.fields(node, &fields.path("delete"), &known)?;
        let policy = propagation_policy(reader, &delete);
        lifecycle.delete =
            required_when(reader, &delete)
                .zip(policy)
                .map(|(when, propagation_policy)| DeleteRule {
                    when,
                    propagation_policy,
                });
    }
    Some(lifecycle)
}

fn required_when(reader: &mut Reader, fields: &Fields<'_>) -> Option<Expression> {
    if fields.get("when").is_none() {
        reader.problem(
            fields.path("when.expression"),
            fields.position,
            "when.expression is required",
        );
    }
    when(reader, fields)
}

fn propagation_policy(reader: &mut Reader, delete: &Fields<'_>) -> Option<PropagationPolicy> {
    match reader.text(delete, "propagationPolicy").as_deref() {
        None | Some("" | "Background") => Some(PropagationPolicy::Background),
        Some("Foreground") => Some(PropagationPolicy::Foreground),
        Some("Orphan") => Some(PropagationPolicy::Orphan),
        Some(other) => {
            reader.problem(
                delete.path("propagationPolicy"),
                delete.at("propagationPolicy"),
                format!("{other:?} is not one of Background, Foreground, Orphan"),
            );
            None
        }
    }
}
