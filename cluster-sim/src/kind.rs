//! Which kinds the cluster serves: the built-in ones and those that custom resource definitions add.

pub(crate) mod builtin;
pub(crate) mod definition;
pub(crate) mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

/// What happens to dependents when a deletion does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// One served kind.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent traits of a kind, as discovery lists them"
)]
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) group: String,
    /// Served versions, the preferred one first.
    pub(crate) versions: Vec<String>,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// True when `…/status` is served and the main resource leaves `status` alone.
    pub(crate) status: bool,
    /// True when the API server counts spec changes in `metadata.generation`.
    pub(crate) generation: bool,
    pub(crate) name_rule: NameRule,
    pub(crate) default_propagation: Propagation,
    /// `openAPIV3Schema` per version of a custom kind.
    pub(crate) schemas: BTreeMap<String, Arc<Value>>,
    pub(crate) custom: bool,
}

/// Which names a kind accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// RFC 1123 subdomain.
    Subdomain,
    /// RFC 1123 label.
    Label,
    /// RFC 1035 label.
    Service,
    /// Anything that can stand in a path.
    PathSegment,
}

impl Kind {
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    pub(crate) fn schema(&self, version: &str) -> Option<&Arc<Value>> {
        self.schemas.get(version)
    }

    fn resource_entries(&self) -> Vec<Value> {
        let mut main = json!({
            "name": self.plural, "singularName": self.singular, "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        });
        if !self.short_names.is_empty() {
            main["shortNames"] = json!(self.short_names);
        }
        if !self.categories.is_empty() {
            main["categories"] = json!(self.categories);
        }
        let mut entries = vec![main];
        if self.status {
            entries.push(json!({
                "name": format!("{}/status", self.plural), "singularName": "",
                "namespaced": self.namespaced, "kind": self.kind,
                "verbs": ["get", "patch", "update"],
            }));
        }
        entries
    }
}

/// All served kinds by group and plural.
#[derive(Clone, Debug)]
pub(crate) struct Kinds(BTreeMap<(String, String), Arc<Kind>>);

impl Kinds {
    pub(crate) fn builtin() -> Self {
        let kinds = builtin::kinds()
            .into_iter()
            .map(|kind| ((kind.group.clone(), kind.plural.clone()), Arc::new(kind)));
        Self(kinds.collect())
    }

    pub(crate) fn insert(&mut self, kind: Kind) {
        self.0
            .insert((kind.group.clone(), kind.plural.clone()), Arc::new(kind));
    }

    pub(crate) fn remove(&mut self, group: &str, plural: &str) {
        self.0.remove(&(group.to_owned(), plural.to_owned()));
    }

    pub(crate) fn get(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.0.get(&(group.to_owned(), plural.to_owned()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.values()
    }

    /// The answer to `GET /apis`.
    pub(crate) fn group_list(&self) -> Value {
        let mut names: Vec<&str> = self.iter().map(|kind| kind.group.as_str()).collect();
        names.dedup();
        let groups: Vec<Value> = names
            .into_iter()
            .filter(|name| !name.is_empty())
            .filter_map(|name| self.group(name))
            .collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    }

    /// The answer to `GET /apis/{group}`.
    pub(crate) fn group(&self, group: &str) -> Option<Value> {
        let mut versions: Vec<&str> = Vec::new();
        for kind in self.iter().filter(|kind| kind.group == group) {
            for version in &kind.versions {
                if !versions.contains(&version.as_str()) {
                    versions.push(version);
                }
            }
        }
        versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
        let versions: Vec<Value> = versions
            .into_iter()
            .map(
                |version| json!({"groupVersion": format!("{group}/{version}"), "version": version}),
            )
            .collect();
        let preferred = versions.first()?.clone();
        Some(json!({
            "kind": "APIGroup", "apiVersion": "v1", "name": group,
            "versions": versions, "preferredVersion": preferred,
        }))
    }

    /// The answer to `GET /api/v1` and `GET /apis/{group}/{version}`.
    pub(crate) fn resource_list(&self, group: &str, version: &str) -> Option<Value> {
        let resources: Vec<Value> = self
            .iter()
            .filter(|kind| kind.group == group && kind.versions.iter().any(|one| one == version))
            .flat_map(|kind| kind.resource_entries())
            .collect();
        if resources.is_empty() {
            return None;
        }
        let group_version = if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        };
        Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": group_version, "resources": resources,
        }))
    }
}

/// Kubernetes' version priority: stable before beta before alpha, higher numbers first.
pub(crate) fn version_rank(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let Ok(major) = digits.parse() else {
        return (0, 0, 0);
    };
    let tail = &rest[digits.len()..];
    if tail.is_empty() {
        (3, major, 0)
    } else if let Some(minor) = tail.strip_prefix("beta") {
        (2, major, minor.parse().unwrap_or_default())
    } else if let Some(minor) = tail.strip_prefix("alpha") {
        (1, major, minor.parse().unwrap_or_default())
    } else {
        (0, 0, 0)
    }
}
