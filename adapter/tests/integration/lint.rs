//! Planted mistakes: each must be found, at its line, with a hint; and the sound files have none.

mod mistakes;

use std::collections::BTreeMap;
use std::fs;

use hyperfleet_adapter::lint::{Report, Severity, lint};

const ADAPTER: &str = r"adapter:
  name: widget
  version: 0.2.0
log: {level: info, format: json}
clients:
  hyperfleet_api:
    base_url: http://api:8000
    timeout: 10s
  broker: {subscription_id: widget, topic: clusters}
";

const TASK: &str = r#"params:
- {name: clusterId, source: event.id, type: string, required: true}
- name: cluster
  source:
    api_call: {method: GET, url: "/clusters/{{ .clusterId }}", timeout: 5s}
- {name: generation, source: cluster.generation, type: int}
- {name: region, source: env.REGION, required: true}
- name: deleting
  source: {expression: has(cluster.deleted_time)}
preconditions:
- name: ready
  conditions:
  - {field: cluster.phase, operator: in, values: [Ready, Updating]}
  - {field: generation, operator: greaterThan, value: 0}
- name: settled
  expression: 'stableFor(cluster.status.conditions, "Reconciled", 300)'
resources:
- name: space
  manifest:
    apiVersion: v1
    kind: Namespace
    metadata:
      name: "demo-{{ .clusterId | lower }}"
      labels: {of: "{{ .clusterId }}"}
      annotations: {hyperfleet.io/generation: "{{ .generation }}"}
  discovery: {by_selectors: {label_selector: {of: "{{ .clusterId }}"}}}
- name: map
  manifest: |
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: "map-{{ .clusterId }}"
      namespace: "demo-{{ .clusterId }}"
      annotations:
        hyperfleet.io/generation: "{{ .generation }}"
    data:
      {{- range $key, $value := .cluster.spec }}
      {{ $key }}: {{ $value.text }}
      {{- end }}
  discovery:
    namespace: "demo-{{ .clusterId }}"
    by_name: "map-{{ .clusterId }}"
  lifecycle:
    create: {when: {expression: "!deleting"}}
    delete:
      when: {expression: "deleting && !resources.?space.hasValue()"}
post:
  payloads:
  - name: status
    build:
      adapter: "{{ .adapter.name }}"
      observed_generation: {expression: generation}
      conditions:
      - {type: Applied, status: {expression: 'resources.?map.hasValue() ? "True" : "False"'}}
      - {type: Available, status: "True"}
      - {type: Health, status: "True", message: {expression: adapter.errorMessage}}
      - {type: Finalized, status: "False"}
  post_actions:
  - name: report
    api_call:
      method: PUT
      url: "/clusters/{{ .clusterId }}/statuses"
      body: "{{ .status }}"
"#;

fn lint_texts(adapter: &str, task: &str, role: Option<&str>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["adapter-config.yaml", "adapter-task-config.yaml"].map(|n| folder.path().join(n));
    fs::write(&paths[0], adapter).unwrap();
    fs::write(&paths[1], task).unwrap();
    if let Some(role) = role {
        fs::write(folder.path().join("cluster-role.yaml"), role).unwrap();
    }
    lint(&paths[0], &paths[1], &BTreeMap::new(), None)
}

#[test]
fn sound_files_have_no_findings() {
    let report = lint_texts(ADAPTER, TASK, None);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    let role = report.permissions.unwrap().to_cluster_role("widget");
    let kinds = ["configmaps", "namespaces"].map(|kind| role.contains(&format!("- {kind}\n")));
    assert_eq!(kinds, [true; 2], "{role}");
    let report = lint_texts(ADAPTER, TASK, Some(&role));
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

/// What is written instead of what, the text whose line the finding names, and a part of its message.
pub struct Mistake(&'static str, &'static str, &'static str, &'static str);

/// Checks that a mistake is found where it is, with a hint. Gives what went wrong instead.
fn check(files: (&str, &str), mistake: &Mistake) -> Result<(), String> {
    let Mistake(from, to, marker, expected) = mistake;
    let (adapter, task) = files;
    let planted = |text: &str| text.replacen(from, to, 1);
    if !adapter.contains(from) && !task.contains(from) {
        return Err(format!("nothing to replace: {from}"));
    }
    let in_adapter = adapter.contains(from);
    let (adapter, task) = if in_adapter {
        (planted(adapter), task.to_owned())
    } else {
        (adapter.to_owned(), planted(task))
    };
    let text = if in_adapter { &adapter } else { &task };
    let line = text.lines().position(|line| line.contains(marker));
    let line = line.ok_or(format!("no line has {marker}"))? + 1;
    let report = lint_texts(&adapter, &task, None);
    let found = report.findings.iter().find(|finding| {
        finding.message.contains(expected)
            && finding
                .position
                .is_some_and(|position| position.line == line)
            && finding.severity < Severity::Note
            && !finding.hint.is_empty()
            && finding.file.ends_with(if in_adapter {
                "adapter-config.yaml"
            } else {
                "adapter-task-config.yaml"
            })
    });
    match found {
        Some(_) => Ok(()),
        None => Err(format!(
            "{to}: no {expected:?} in line {line}: {:#?}",
            report.findings
        )),
    }
}

#[track_caller]
fn all_found(mistakes: &[Mistake]) {
    let wrong: Vec<String> = mistakes
        .iter()
        .filter_map(|mistake| check((ADAPTER, TASK), mistake).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        mistakes.len(),
        wrong.join("\n")
    );
}

#[test]
fn mistakes_of_form_are_found() {
    all_found(mistakes::FORM);
}

#[test]
fn mistakes_of_meaning_are_found() {
    all_found(mistakes::MEANING);
}

#[test]
fn mistakes_in_reports_are_found() {
    all_found(mistakes::REPORTS);
}

#[test]
fn mandatory_conditions_are_missed() {
    let report = lint_texts(ADAPTER, &TASK.replace("type: Health", "type: Wealth"), None);
    let found: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("the API refuses a report without the condition Health"),
        "{found:?}"
    );
}

#[test]
fn a_role_that_lacks_something_is_found() {
    let role = "kind: ClusterRole\nrules:\n- {apiGroups: [''], resources: [namespaces], verbs: ['*']}\n- {apiGroups: [''], resources: [configmaps], verbs: [get, list, watch]}\n";
    let report = lint_texts(ADAPTER, TASK, Some(role));
    let found = &report.findings[0];
    assert!(found.file.ends_with("cluster-role.yaml"));
    assert_eq!(found.position.unwrap().line, 2);
    assert_eq!(
        found.message,
        "the role does not allow core/configmaps: create, patch, delete"
    );
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn the_order_of_deletions_is_looked_at() {
    let waiting = "- name: first\n  manifest: {apiVersion: v1, kind: Namespace, metadata: {name: x, annotations: {hyperfleet.io/generation: '1'}}}\n  discovery: {by_name: x}\n  lifecycle: {delete: {when: {expression: '!resources.?map.hasValue()'}}}\n";
    let task = TASK.replace("resources:\n", &format!("resources:\n{waiting}"));
    let report = lint_texts(ADAPTER, &task, None);
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert!(
        report.findings[0]
            .message
            .contains("waits for \"map\", which is deleted further down")
    );
}
