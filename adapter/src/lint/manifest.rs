//! What can be told of a manifest before it is rendered.

use serde_json::Value;

use crate::config::{DiscoverBy, Discovery, Manifest, Resource};
use crate::resources::{GENERATION_ANNOTATION, MANIFEST_WORK};
use crate::template::Template;
use crate::yaml;

use super::cel::Complaint;

/// Stands where a template's action was.
const HOLE: char = '\u{e000}';

/// Kinds that live in a namespace, as every cluster has them.
const NAMESPACED: [&str; 16] = [
    "ConfigMap",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "Ingress",
    "Job",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Pod",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
    "StatefulSet",
    "ResourceQuota",
];

/// Everything wrong with a resource's manifest and discovery, each with where: below the resource.
pub(super) fn complaints(resource: &Resource) -> Vec<(&'static str, Complaint)> {
    let mut found = Vec::new();
    let manifest = &resource.manifest;
    literal_kind(manifest, &mut found);
    let Some(skeleton) = skeleton(&manifest.template) else {
        return found;
    };
    let to_maestro = resource.target_cluster.is_some();
    if text(&skeleton, "/metadata/name").is_empty() {
        let complaint = complaint(
            "the manifest has no metadata.name",
            "objects are found by their name; give it one",
        );
        found.push(("manifest", complaint));
    }
    let annotation = skeleton
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(GENERATION_ANNOTATION));
    if annotation.is_some_and(|annotation| !annotation.is_string()) {
        found.push((
            "manifest",
            complaint(
                "the generation annotation is no text, which the API server refuses",
                "put it in quotes",
            ),
        ));
    }
    let namespaced = NAMESPACED.contains(&manifest.kind.as_str()) && !to_maestro;
    names(manifest, &skeleton, namespaced, &mut found);
    discovery(
        &resource.discovery,
        &skeleton,
        namespaced,
        to_maestro,
        &mut found,
    );
    if !resource.nested.is_empty() && manifest.kind != MANIFEST_WORK {
        found.push((
            "nested_discoveries",
            complaint(
                &format!(
                    "nested discoveries look inside a {MANIFEST_WORK}, not a {}",
                    manifest.kind
                ),
                "remove them, or discover the object by a resource of its own",
            ),
        ));
    }
    found
}

/// Whether the object is written once and never again.
pub(super) fn has_no_generation(manifest: &Manifest) -> bool {
    let Some(skeleton) = skeleton(&manifest.template) else {
        return false;
    };
    let annotations = skeleton.pointer("/metadata/annotations");
    annotations.is_none_or(|annotations| annotations.get(GENERATION_ANNOTATION).is_none())
}

fn complaint(message: &str, hint: &str) -> Complaint {
    (message.to_owned(), hint.to_owned())
}

fn names(
    manifest: &Manifest,
    skeleton: &Value,
    namespaced: bool,
    found: &mut Vec<(&'static str, Complaint)>,
) {
    if namespaced && text(skeleton, "/metadata/namespace").is_empty() {
        found.push((
            "manifest",
            complaint(
                &format!(
                    "a {} needs metadata.namespace; none is assumed",
                    manifest.kind
                ),
                "set metadata.namespace in the manifest",
            ),
        ));
    }
    let name = text(skeleton, "/metadata/name");
    let core = !manifest.api_version.starts_with("rbac.");
    if core
        && name
            .chars()
            .any(|c| c.is_uppercase() || c == '_' || c == ' ')
    {
        found.push((
            "manifest",
            complaint(
                &format!("the API server refuses the name {:?}", shown(name)),
                "names are lower case letters, digits, - and .; use | lower in templates",
            ),
        ));
    }
}

fn literal_kind(manifest: &Manifest, found: &mut Vec<(&'static str, Complaint)>) {
    for (what, value) in [
        ("apiVersion", &manifest.api_version),
        ("kind", &manifest.kind),
    ] {
        if value.is_empty() {
            let message = format!("the manifest has no {what}");
            found.push((
                "manifest",
                complaint(&message, "write it in the first lines of the manifest"),
            ));
        } else if value.contains("{{") {
            let message = format!("{what} is templated, so that the object cannot be discovered");
            found.push(("manifest", complaint(&message, "write it literally")));
        }
    }
}

fn discovery(
    discovery: &Discovery,
    skeleton: &Value,
    namespaced: bool,
    to_maestro: bool,
    found: &mut Vec<(&'static str, Complaint)>,
) {
    let namespace = discovery.namespace.as_ref().map(holes).unwrap_or_default();
    match &discovery.by {
        DiscoverBy::Name(name) => {
            if contradicts(&holes(name), text(skeleton, "/metadata/name")) {
                found.push((
                    "discovery.by_name",
                    complaint(
                        "the discovery looks for another name than the manifest has",
                        "use the same template as metadata.name",
                    ),
                ));
            }
            if namespaced && (namespace.is_empty() || namespace == "*") {
                found.push((
                    "discovery",
                    complaint(
                        "an object in a namespace cannot be found by name without it",
                        "set discovery.namespace to the manifest's namespace",
                    ),
                ));
            }
        }
        DiscoverBy::Selectors(selectors) => {
            labels(selectors, skeleton, found);
        }
    }
    let own = text(skeleton, "/metadata/namespace");
    if namespaced
        && !to_maestro
        && !namespace.is_empty()
        && namespace != "*"
        && contradicts(&namespace, own)
    {
        found.push((
            "discovery.namespace",
            complaint(
                "the discovery looks in another namespace than the manifest's",
                "use the same template as metadata.namespace",
            ),
        ));
    }
}

/// Labels that are looked for and that the manifest does not have.
fn labels(
    selectors: &[(Template, Template)],
    skeleton: &Value,
    found: &mut Vec<(&'static str, Complaint)>,
) {
    let labels = skeleton.pointer("/metadata/labels");
    for (key, value) in selectors {
        if key.is_dynamic() {
            continue;
        }
        let own = labels.and_then(|labels| labels.get(key.source()));
        let differs = match own.and_then(Value::as_str) {
            None => true,
            Some(own) => contradicts(&holes(value), own),
        };
        let labels_are_templated = labels.is_some_and(|labels| {
            let keys = labels.as_object().into_iter().flat_map(|map| map.keys());
            keys.into_iter().any(|key| key.contains(HOLE))
        });
        if differs && !labels_are_templated {
            found.push((
                "discovery.by_selectors.label_selector",
                complaint(
                    &format!(
                        "the manifest does not have the label {:?} that is looked for",
                        key.source()
                    ),
                    "give the manifest the label with the same value",
                ),
            ));
        }
    }
}

/// The manifest with holes where templates are, when that is still YAML.
pub(super) fn skeleton(template: &Template) -> Option<Value> {
    let lines: Vec<String> = template
        .source()
        .lines()
        .filter(|line| {
            let line = line.trim();
            !(line.starts_with("{{") && line.ends_with("}}"))
        })
        .map(fill)
        .collect();
    yaml::parse(&lines.join("\n")).ok()??.to_value().into()
}

/// A text with each action replaced.
fn fill(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        out.push(HOLE);
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    out + rest
}

fn holes(template: &Template) -> String {
    fill(template.source())
}

fn shown(text: &str) -> String {
    text.replace(HOLE, "…")
}

/// Whether two texts with holes cannot become the same: their beginnings or their ends differ.
fn contradicts(left: &str, right: &str) -> bool {
    let begins = |text: &str| text.split(HOLE).next().unwrap_or_default().to_owned();
    let ends = |text: &str| text.rsplit(HOLE).next().unwrap_or_default().to_owned();
    if !left.contains(HOLE) && !right.contains(HOLE) {
        return left != right;
    }
    let (a, b) = (begins(left), begins(right));
    let (c, d) = (ends(left), ends(right));
    !(a.starts_with(&b) || b.starts_with(&a)) || !(c.ends_with(&d) || d.ends_with(&c))
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_never_be_equal_contradicts() {
        let contradict = |left: &str, right: &str| contradicts(&fill(left), &fill(right));
        for (left, right) in [
            ("a", "a"),
            ("{{ .a }}", "{{ .b }}"),
            ("x-{{ .a }}", "x-{{.a}}"),
            ("{{ .a }}", "x-{{ .b }}"),
            ("x-{{ .a }}-z", "{{ .b }}-z"),
            ("x-1", "x-{{ .a }}"),
        ] {
            assert!(!contradict(left, right), "{left} {right}");
        }
        for (left, right) in [
            ("a", "b"),
            ("x-{{ .a }}", "y-{{ .a }}"),
            ("{{ .a }}-x", "{{ .a }}-y"),
        ] {
            assert!(contradict(left, right), "{left} {right}");
        }
    }

    #[test]
    fn a_skeleton_survives_control_flow() {
        let text = "{{ if .x }}\na: 1{{ .b }}\n{{- end }}\nc: \"{{ .d }}-e\"\n";
        let skeleton = skeleton(&Template::parse(text).unwrap()).unwrap();
        assert_eq!(skeleton["c"], format!("{HOLE}-e"));
    }
}
