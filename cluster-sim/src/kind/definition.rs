//! Custom resource definitions: reading one into a [`Kind`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Kind, NameRule, Propagation, version_rank};
use crate::object::{name, text};
use crate::status::Cause;

/// Reads `apiextensions.k8s.io/v1` definitions from a YAML text of one or more documents.
pub(crate) fn from_yaml(yaml: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).map_err(|error| error.to_string())?;
    let documents: Vec<Value> = documents.into_iter().filter(|one| !one.is_null()).collect();
    for (index, document) in documents.iter().enumerate() {
        if text(document, "/kind") != "CustomResourceDefinition" {
            return Err(format!(
                "document {index} has the kind {:?}, not CustomResourceDefinition",
                text(document, "/kind")
            ));
        }
        to_kind(document).map_err(|causes| {
            let causes: Vec<String> = causes
                .iter()
                .map(|cause| format!("{}: {}", cause.field, cause.message))
                .collect();
            format!(
                "document {index} ({}): {}",
                name(document),
                causes.join("; ")
            )
        })?;
    }
    Ok(documents)
}

/// The kind that a definition describes, or what is wrong with it.
pub(crate) fn to_kind(definition: &Value) -> Result<Kind, Vec<Cause>> {
    let mut causes = Vec::new();
    let mut required = |pointer: &str| {
        let found = text(definition, pointer);
        if found.is_empty() {
            causes.push(Cause {
                reason: "FieldValueRequired",
                message: "Required value".into(),
                field: pointer.trim_start_matches('/').replace('/', "."),
            });
        }
        found.to_owned()
    };
    let group = required("/spec/group");
    let kind = required("/spec/names/kind");
    let plural = required("/spec/names/plural");
    let scope = required("/spec/scope");
    if causes.is_empty() && name(definition) != format!("{plural}.{group}") {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!(
                "Invalid value: {:?}: must be spec.names.plural+\".\"+spec.group",
                name(definition)
            ),
            field: "metadata.name".into(),
        });
    }
    let (versions, schemas, status) = served_versions(definition);
    if versions.is_empty() {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: "must have at least one served version".into(),
            field: "spec.versions".into(),
        });
    }
    if !causes.is_empty() {
        return Err(causes);
    }
    let singular = text(definition, "/spec/names/singular");
    Ok(Kind {
        singular: if singular.is_empty() {
            kind.to_lowercase()
        } else {
            singular.to_owned()
        },
        group,
        versions,
        kind,
        plural,
        short_names: strings(definition, "/spec/names/shortNames"),
        categories: strings(definition, "/spec/names/categories"),
        namespaced: scope == "Namespaced",
        status,
        generation: true,
        name_rule: NameRule::Subdomain,
        default_propagation: Propagation::Background,
        schemas,
        custom: true,
    })
}

fn served_versions(definition: &Value) -> (Vec<String>, BTreeMap<String, Arc<Value>>, bool) {
    let mut versions = Vec::new();
    let mut schemas = BTreeMap::new();
    let mut status = false;
    let listed = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array);
    for version in listed.into_iter().flatten() {
        let name = text(version, "/name").to_owned();
        if version.get("served").and_then(Value::as_bool) == Some(false) || name.is_empty() {
            continue;
        }
        status |= version.pointer("/subresources/status").is_some();
        if let Some(schema) = version.pointer("/schema/openAPIV3Schema") {
            schemas.insert(name.clone(), Arc::new(schema.clone()));
        }
        versions.push(name);
    }
    versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
    (versions, schemas, status)
}

fn strings(value: &Value, pointer: &str) -> Vec<String> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
