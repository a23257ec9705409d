//! What an adapter must be allowed to do in the management cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::config::Config;
use crate::yaml;

/// What the adapter does with every kind that it applies.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

/// The permissions that a task needs: resources by API group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl Permissions {
    /// The permissions for the kinds that a configuration applies; none with Maestro.
    pub fn of(config: &Config) -> Self {
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        if config.adapter.maestro.is_none() {
            for resource in &config.task.resources {
                let manifest = &resource.manifest;
                let group = manifest
                    .api_version
                    .split_once('/')
                    .map_or("", |(group, _)| group);
                if !manifest.kind.is_empty() && !manifest.kind.contains("{{") {
                    let resources = groups.entry(group.to_owned()).or_default();
                    resources.insert(plural(&manifest.kind));
                }
            }
        }
        Self { groups }
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// A `ClusterRole` that grants them and nothing else, as YAML.
    pub fn to_cluster_role(&self, name: &str) -> String {
        let rules = self.groups.iter().map(|(group, resources)| {
            json!({"apiGroups": [group], "resources": resources, "verbs": VERBS})
        });
        yaml::to_string(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": rules.collect::<Vec<_>>(),
        }))
    }

    /// What the roles in a text do not grant, as `group/resources: verbs`.
    ///
    /// # Errors
    /// When the text is not YAML.
    pub fn missing_from(&self, roles: &str) -> Result<Vec<String>, String> {
        let mut rules = Vec::new();
        for document in documents(roles) {
            let node = yaml::parse(&document).map_err(|error| error.to_string())?;
            let value = node.map(|node| node.to_value()).unwrap_or_default();
            let kind = value.get("kind").and_then(Value::as_str);
            if matches!(kind, Some("ClusterRole" | "Role")) {
                let listed = value.get("rules").and_then(Value::as_array);
                rules.extend(listed.cloned().unwrap_or_default());
            }
        }
        let mut missing = Vec::new();
        for (group, resources) in &self.groups {
            for resource in resources {
                let granted =
                    |verb: &&&str| !rules.iter().any(|rule| grants(rule, group, resource, verb));
                let verbs: Vec<&str> = VERBS.iter().filter(granted).copied().collect();
                if !verbs.is_empty() {
                    let group = if group.is_empty() { "core" } else { group };
                    missing.push(format!("{group}/{resource}: {}", verbs.join(", ")));
                }
            }
        }
        Ok(missing)
    }
}

/// The documents of a YAML text.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    documents
}

fn grants(rule: &Value, group: &str, resource: &str, verb: &str) -> bool {
    let has = |key: &str, wanted: &str| {
        let listed = rule.get(key).and_then(Value::as_array);
        listed.is_some_and(|items| {
            items
                .iter()
                .any(|item| item == "*" || item.as_str() == Some(wanted))
        })
    };
    has("apiGroups", group)
        && has("resources", resource)
        && has("verbs", verb)
        && rule.get("resourceNames").is_none()
}

/// The name of a kind in URLs and roles. The API server knows it; without one, English does.
fn plural(kind: &str) -> String {
    let name = kind.to_lowercase();
    let vowel_before_y = name.len() > 1 && "aeiou".contains(&name[name.len() - 2..name.len() - 1]);
    if name == "endpoints" {
        name
    } else if name.ends_with('s') || name.ends_with('x') || name.ends_with("ch") {
        name + "es"
    } else if name.ends_with('y') && !vowel_before_y {
        format!("{}ies", &name[..name.len() - 1])
    } else {
        name + "s"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_plurals() {
        for (kind, expected) in [
            ("Job", "jobs"),
            ("NetworkPolicy", "networkpolicies"),
            ("Ingress", "ingresses"),
            ("Gateway", "gateways"),
            ("HostedCluster", "hostedclusters"),
            ("ConfigMap", "configmaps"),
            ("DNSManagedZone", "dnsmanagedzones"),
        ] {
            assert_eq!(plural(kind), expected);
        }
    }

    #[test]
    fn what_a_role_lacks_is_listed() {
        let permissions = Permissions {
            groups: BTreeMap::from([
                (String::new(), BTreeSet::from(["secrets".to_owned()])),
                ("batch".to_owned(), BTreeSet::from(["jobs".to_owned()])),
            ]),
        };
        let own = permissions.to_cluster_role("adapter");
        assert_eq!(permissions.missing_from(&own), Ok(Vec::new()));
        let partial = "kind: Other\n---\nkind: Role\nrules:\n- {apiGroups: [batch], resources: ['*'], verbs: [get, list, watch, create, delete]}\n";
        assert_eq!(
            permissions.missing_from(partial),
            Ok(vec![
                "core/secrets: get, list, watch, create, patch, delete".to_owned(),
                "batch/jobs: patch".to_owned()
            ])
        );
    }
}
