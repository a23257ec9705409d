//! Who may depend on whom. Dependencies point down the layers; this list is the architecture.

use cargo_metadata::{DependencyKind, Metadata};

use super::finding::Finding;

/// One crate and the crates of this workspace that its code may use.
struct Rule {
    name: &'static str,
    may_use: &'static [&'static str],
    /// Third-party crates that it must not name itself.
    must_not_use: &'static [&'static str],
}

const fn rule(name: &'static str, may_use: &'static [&'static str]) -> Rule {
    Rule {
        name,
        may_use,
        must_not_use: &[],
    }
}

const API_TYPES: &str = "hyperfleet-api-types";
const BROKER: &str = "hyperfleet-broker";
const CLUSTER_SIM: &str = "hyperfleet-cluster-sim";
const DOMAIN: &str = "hyperfleet-domain";
const EVENT_STORE: &str = "hyperfleet-event-store";
const EXPRESSION: &str = "hyperfleet-expression";
const PROJECTIONS: &str = "hyperfleet-projections";
const RUNTIME: &str = "hyperfleet-runtime";
const TEST_SUPPORT: &str = "hyperfleet-test-support";

const EVERYTHING: &[&str] = &[
    "hyperfleet-adapter",
    API_TYPES,
    BROKER,
    CLUSTER_SIM,
    "hyperfleet-command-api",
    DOMAIN,
    EVENT_STORE,
    EXPRESSION,
    "hyperfleet-gcp-tasks",
    PROJECTIONS,
    RUNTIME,
    "hyperfleet-sentinel",
];

const RULES: &[Rule] = &[
    // Layer 0.
    Rule {
        name: DOMAIN,
        may_use: &[EXPRESSION],
        must_not_use: &["tokio", "sqlx", "axum", "kube", "reqwest"],
    },
    Rule {
        name: API_TYPES,
        may_use: &[],
        must_not_use: &["axum", "sqlx"],
    },
    rule(BROKER, &[]),
    Rule {
        name: EXPRESSION,
        may_use: &[],
        must_not_use: &["tokio", "sqlx", "axum", "kube", "reqwest"],
    },
    rule(RUNTIME, &[API_TYPES]),
    rule(CLUSTER_SIM, &[]),
    // Layer 1.
    rule(EVENT_STORE, &[RUNTIME]),
    // Layer 2.
    rule(
        PROJECTIONS,
        &[API_TYPES, BROKER, DOMAIN, EVENT_STORE, RUNTIME],
    ),
    rule(
        "hyperfleet-command-api",
        &[API_TYPES, BROKER, DOMAIN, EVENT_STORE, RUNTIME],
    ),
    rule(
        "hyperfleet-sentinel",
        &[
            API_TYPES,
            BROKER,
            DOMAIN,
            EVENT_STORE,
            EXPRESSION,
            RUNTIME,
            PROJECTIONS,
        ],
    ),
    Rule {
        name: "hyperfleet-adapter",
        may_use: &[API_TYPES, BROKER, DOMAIN, EXPRESSION, RUNTIME],
        must_not_use: &["sqlx"],
    },
    rule("hyperfleet-gcp-tasks", &[RUNTIME]),
    // Layer 3, and what stands beside the layers.
    rule("hyperfleet-cli", EVERYTHING),
    rule(TEST_SUPPORT, EVERYTHING),
    rule("hyperfleet-tests", EVERYTHING),
    rule("xtask", EVERYTHING),
];

/// What every crate's tests may use besides.
const TESTS_MAY_USE: &[&str] = &[TEST_SUPPORT, CLUSTER_SIM];

/// One dependency of a crate.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    to: String,
    only_in_tests: bool,
    in_workspace: bool,
}

/// A crate of the workspace.
#[derive(Clone, Debug)]
pub(super) struct Crate {
    name: String,
    manifest: String,
    edges: Vec<Edge>,
}

/// The crates of the workspace and what they depend on directly.
pub(super) fn crates_of(metadata: &Metadata) -> Vec<Crate> {
    let packages = metadata.workspace_packages();
    packages
        .iter()
        .map(|package| Crate {
            name: package.name.to_string(),
            manifest: package
                .manifest_path
                .strip_prefix(&metadata.workspace_root)
                .unwrap_or(&package.manifest_path)
                .to_string(),
            edges: package
                .dependencies
                .iter()
                .map(|dependency| Edge {
                    to: dependency.name.clone(),
                    only_in_tests: dependency.kind == DependencyKind::Development,
                    in_workspace: dependency.path.is_some(),
                })
                .collect(),
        })
        .collect()
}

/// Every edge that is not on the list.
pub(super) fn check(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in crates {
        let Some(rule) = RULES.iter().find(|rule| rule.name == one.name) else {
            findings.push(Finding::new(
                &one.manifest,
                1,
                format!("{} has no layer", one.name),
                "give it one in xtask/src/check/layers.rs",
            ));
            continue;
        };
        for edge in &one.edges {
            if let Some(what) = refusal(rule, edge) {
                findings.push(Finding::new(
                    &one.manifest,
                    1,
                    format!("{} {what}", one.name),
                    "move what it needs down a layer, or pass it in as a value",
                ));
            }
        }
    }
    findings
}

fn refusal(rule: &Rule, edge: &Edge) -> Option<String> {
    let to = edge.to.as_str();
    if !edge.in_workspace {
        return (rule.must_not_use.contains(&to) && !edge.only_in_tests)
            .then(|| format!("must not use {to}"));
    }
    if rule.may_use.contains(&to) || (edge.only_in_tests && TESTS_MAY_USE.contains(&to)) {
        return None;
    }
    // The crate that holds the cross-crate suites is a test itself.
    if rule.name == "hyperfleet-tests" && to == TEST_SUPPORT {
        return None;
    }
    if to == TEST_SUPPORT {
        return Some(format!("uses {to} outside its tests"));
    }
    Some(format!("must not depend on {to}"))
}

#[cfg(test)]
mod tests {
    use super::{Crate, Edge, check};

    fn edge(from: &str, to: &str, only_in_tests: bool) -> Vec<String> {
        let one = Crate {
            name: from.to_owned(),
            manifest: "x/Cargo.toml".to_owned(),
            edges: vec![Edge {
                to: to.to_owned(),
                only_in_tests,
                in_workspace: to.starts_with("hyperfleet-"),
            }],
        };
        check(&[one]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependencies_point_down() {
        assert!(edge("hyperfleet-projections", "hyperfleet-event-store", false).is_empty());
        let findings = edge("hyperfleet-event-store", "hyperfleet-projections", false);
        assert!(
            findings[0].contains("must not depend on hyperfleet-projections"),
            "{findings:?}"
        );
    }

    #[test]
    fn crates_of_layer_2_do_not_see_each_other_except_one() {
        assert_eq!(
            edge("hyperfleet-adapter", "hyperfleet-sentinel", false).len(),
            1
        );
        assert_eq!(
            edge("hyperfleet-command-api", "hyperfleet-projections", true).len(),
            1
        );
        assert!(edge("hyperfleet-sentinel", "hyperfleet-projections", false).is_empty());
    }

    #[test]
    fn the_harness_is_for_tests() {
        assert!(edge("hyperfleet-runtime", "hyperfleet-test-support", true).is_empty());
        assert_eq!(
            edge("hyperfleet-runtime", "hyperfleet-test-support", false).len(),
            1
        );
        assert_eq!(
            edge("hyperfleet-cli", "hyperfleet-test-support", false).len(),
            1
        );
    }

    #[test]
    fn the_domain_does_no_io() {
        assert_eq!(edge("hyperfleet-domain", "tokio", false).len(), 1);
        assert!(edge("hyperfleet-domain", "serde", false).is_empty());
        assert_eq!(edge("hyperfleet-api-types", "axum", false).len(), 1);
    }

    #[test]
    fn the_simulated_cluster_knows_nothing_of_hyperfleet() {
        assert_eq!(
            edge("hyperfleet-cluster-sim", "hyperfleet-api-types", false).len(),
            1
        );
    }

    #[test]
    fn a_new_crate_needs_a_layer() {
        assert!(edge("hyperfleet-extra", "serde", false)[0].contains("has no layer"));
    }
}
