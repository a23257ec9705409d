//! The kinds that exist without any definition.

use std::collections::BTreeMap;

use super::{Kind, NameRule, Propagation};

/// Group, version, kind, plural, short name, traits.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// Traits: `c` cluster-scoped, `s` status subresource, `g` generation, `l` label name, `d` service name, `p` path-segment
/// name, `o` deletion orphans dependents unless told otherwise.
const ROWS: &[Row] = &[
    ("", "v1", "ConfigMap", "configmaps", "cm", ""),
    ("", "v1", "Event", "events", "ev", ""),
    ("", "v1", "Namespace", "namespaces", "ns", "csl"),
    (
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "pvc",
        "s",
    ),
    ("", "v1", "Pod", "pods", "po", "sg"),
    ("", "v1", "Secret", "secrets", "", ""),
    ("", "v1", "Service", "services", "svc", "sd"),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", ""),
    (
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd",
        "csg",
    ),
    ("apps", "v1", "Deployment", "deployments", "deploy", "sg"),
    // `batch/v1` keeps an old promise: deleting a Job orphans its Pods unless the request says otherwise.
    ("batch", "v1", "CronJob", "cronjobs", "cj", "sg"),
    ("batch", "v1", "Job", "jobs", "", "sgo"),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", ""),
    ("events.k8s.io", "v1", "Event", "events", "ev", ""),
    (
        "networking.k8s.io",
        "v1",
        "Ingress",
        "ingresses",
        "ing",
        "sg",
    ),
    (
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
        "netpol",
        "g",
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRole",
        "clusterroles",
        "",
        "cp",
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        "",
        "cp",
    ),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "", "p"),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "RoleBinding",
        "rolebindings",
        "",
        "p",
    ),
];

pub(super) fn kinds() -> Vec<Kind> {
    ROWS.iter().map(build).collect()
}

fn build(&(group, version, kind, plural, short, traits): &Row) -> Kind {
    let has = |letter: char| traits.contains(letter);
    let name_rule = if has('l') {
        NameRule::Label
    } else if has('d') {
        NameRule::Service
    } else if has('p') {
        NameRule::PathSegment
    } else {
        NameRule::Subdomain
    };
    Kind {
        group: group.into(),
        versions: vec![version.into()],
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        short_names: if short.is_empty() {
            Vec::new()
        } else {
            vec![short.into()]
        },
        categories: Vec::new(),
        namespaced: !has('c'),
        status: has('s'),
        generation: has('g'),
        name_rule,
        default_propagation: if has('o') {
            Propagation::Orphan
        } else {
            Propagation::Background
        },
        schemas: BTreeMap::new(),
        custom: false,
    }
}
