use std::collections::BTreeMap;
use std::path::Path;

use super::*;

const ADAPTER: &str = "adapter: {name: widget, version: 0.2.0}\nclients:\n  hyperfleet_api: {base_url: 'http://api:8000', timeout: 5s, retry_attempts: 2}\n  broker: {subscription_id: widget-clusters, topic: clusters}\n  kubernetes: {}\n";

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load_with(adapter: &str, task: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_text(
        (adapter, Path::new("/nowhere/adapter.yaml")),
        (task, Path::new("/nowhere/task.yaml")),
        &environment(pairs),
    )
}

fn load_task(task: &str) -> Result<Config, ConfigError> {
    load_with(ADAPTER, task, &[])
}

/// The problems as `path: message`, or the error's chain.
fn problems(result: Result<Config, ConfigError>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(error) if error.problems().is_empty() => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            vec![format!("{error}: {}", source.unwrap_or_default())]
        }
        Err(error) => error.problems().iter().map(ToString::to_string).collect(),
    }
}

const RESOURCE: &str =
    "manifest: {apiVersion: v1, kind: Namespace, metadata: {name: x}}, discovery: {by_name: x}";

#[test]
fn every_task_rule_names_its_path() {
    let resource = |rest: &str| format!("resources: [{{name: r, {rest}}}]");
    let cases: Vec<(String, &str)> = vec![
        ("spec: {}".into(), "spec: field spec not found"),
        ("apiVersion: x\nkind: y".into(), "apiVersion: field apiVersion not found"),
        ("post: {post_actions: [{name: a, apiCall: {}}]}".into(), "post.post_actions[0].apiCall: field apiCall not found"),
        ("preconditions: [{name: p, conditions: [{field: a, operator: exists, foo: 1}]}]".into(), "preconditions[0].conditions[0].foo: field foo not found"),
        ("params: []\nparams: []".into(), "mapping key \"params\" already defined"),
        ("params: [{source: a}]".into(), "params[0].name: params[0].name is required"),
        ("params: [{name: a, source: null}]".into(), "params[0].source: source is required"),
        ("params: [{name: a}]".into(), "params[0].source: source is required"),
        ("params: [{name: a, source: [b]}]".into(), "params[0].source: source: expected string or mapping"),
        ("params: [{name: a, source: {foo: 1}}]".into(), "params[0].source: mapping must contain one of"),
        ("params: [{name: a, source: {expression: 'a', file: {path: /x}}}]".into(), "params[0].source: only one of 'api_call', 'expression', or 'file' may be set"),
        ("params: [{name: a, source: {file: {path: ''}}}]".into(), "params[0].source.file.path: path is required for file source"),
        ("params: [{name: a, source: {expression: 'a =='}}]".into(), "params[0].source.expression: CEL parse error: "),
        ("params: [{name: a, source: env.NOPE, required: true}]".into(), "params[0]: required environment variable NOPE is not set"),
        ("params: [{name: a, source: b, required: maybe}]".into(), "params[0].required: \"maybe\" is not a boolean"),
        ("params: [{name: a, source: {api_call: {url: /x}}}]".into(), "params[0].source.api_call.method: params[0].source.api_call.method is required"),
        ("params: [{name: a, source: {api_call: {method: get, url: /x}}}]".into(), "params[0].source.api_call.method: \"get\" is not a method"),
        ("params: [{name: a, source: {api_call: {method: HEAD, url: /x}}}]".into(), "params[0].source.api_call.method: \"HEAD\" is not a method"),
        ("params: [{name: a, source: {api_call: {method: GET}}}]".into(), "params[0].source.api_call.url: params[0].source.api_call.url is required"),
        ("params: [{name: a, source: {api_call: {method: GET, url: '/x/{{ .b }}'}}}, {name: b, source: event.b}]".into(), "params[0].source.api_call.url: undefined template variable \"b\""),
        ("preconditions: [{name: p, log: {message: x}}]".into(), "preconditions[0]: must specify at least one of"),
        ("preconditions: [{name: p, capture: [{name: a, field: b}]}]".into(), "preconditions[0]: must specify at least one of"),
        ("preconditions: [{name: My-P, expression: 'true'}]".into(), "preconditions[0].name: name \"My-P\" must match the pattern"),
        ("preconditions: [{name: p, conditions: [{field: a, operator: notExists}]}]".into(), "preconditions[0].conditions[0].operator: invalid operator \"notExists\""),
        ("preconditions: [{name: p, conditions: [{field: a, operator: greaterThanOrEqual, value: 1}]}]".into(), "preconditions[0].conditions[0].operator: invalid operator"),
        ("preconditions: [{name: p, conditions: [{field: a, operator: exists, value: true}]}]".into(), "preconditions[0].conditions[0].value: value/values should not be set for operator \"exists\""),
        ("preconditions: [{name: p, conditions: [{field: a, operator: in, value: a}]}]".into(), "preconditions[0].conditions[0].value: value must be a list for operator \"in\""),
        ("preconditions: [{name: p, conditions: [{field: a, operator: in, value: [a], values: [b]}]}]".into(), "preconditions[0].conditions[0]: condition has both 'value' and 'values' keys; use only one"),
        ("preconditions: [{name: p, conditions: [{field: a, operator: equals}]}]".into(), "preconditions[0].conditions[0].value: value is required for operator \"equals\""),
        ("preconditions: [{name: p, conditions: [{operator: exists}]}]".into(), "preconditions[0].conditions[0].field: preconditions[0].conditions[0].field is required"),
        ("preconditions: [{name: p, api_call: {method: GET, url: /x}, capture: [{name: a, field: b, expression: c}]}]".into(), "preconditions[0].capture[0]: field and expression are both set"),
        ("preconditions: [{name: p, expression: 'namespace == 1'}]".into(), "preconditions[0].expression: CEL parse error"),
        (format!("resources: [{{name: ns, {RESOURCE}}}, {{name: ns, {RESOURCE}}}]"), "resources: contains duplicate name values"),
        ("resources: [{name: My-Res, manifest: {a: b}, discovery: {by_name: x}}]".into(), "resources[0].name: name \"My-Res\" must match"),
        (resource("discovery: {by_name: x}"), "resources[0].manifest: manifest is required"),
        (resource("manifest: {ref: ''}, discovery: {by_name: x}"), "resources[0].manifest.ref: ref is required"),
        (resource("manifest: {ref: missing.yaml}, discovery: {by_name: x}"), "resources[0].manifest.ref: referenced file \"missing.yaml\" does not exist (resolved to /nowhere/missing.yaml)"),
        (resource("manifest: {ref: ../x.yaml}, discovery: {by_name: x}"), "resources[0].manifest.ref: path \"../x.yaml\" escapes base directory"),
        (resource("manifest: {ref: /etc/passwd}, discovery: {by_name: x}"), "resources[0].manifest.ref: path \"/etc/passwd\" escapes base directory"),
        (resource("manifest: {a: b}"), "resources[0].discovery: discovery is required"),
        (resource("manifest: {a: b}, discovery: {by_name: x, by_selectors: {label_selector: {a: b}}}"), "resources[0].discovery: by_name and by_selectors are both set"),
        (resource("manifest: {a: b}, discovery: {namespace: x}"), "resources[0].discovery: one of by_name or by_selectors is required"),
        (resource("manifest: {a: b}, discovery: {by_selectors: {label_selector: {}}}"), "resources[0].discovery.by_selectors.label_selector: label_selector needs at least one label"),
        (resource("transport: {client: desire}, manifest: {a: b}, discovery: {by_name: x}"), "resources[0].transport.client: invalid transport client \"desire\""),
        (resource("transport: {client: maestro}, manifest: {a: b}, discovery: {by_name: x}"), "resources[0].transport.maestro: maestro.target_cluster is required"),
        (resource("manifest: {a: '{{ .nope }}'}, discovery: {by_name: x}"), "resources[0].manifest: undefined template variable \"nope\""),
        (resource("manifest: {a: '{{ if }}'}, discovery: {by_name: x}"), "resources[0].manifest: template parse error"),
        (format!("resources: [{{name: r, {RESOURCE}, lifecycle: {{delete: {{propagation_policy: Foreground, when: {{expression: a}}}}}}}}]"), "resources[0].lifecycle.delete.propagation_policy: field propagation_policy not found"),
        (format!("resources: [{{name: r, {RESOURCE}, lifecycle: {{delete: {{}}}}}}]"), "resources[0].lifecycle.delete.when.expression: when.expression is required"),
        (format!("resources: [{{name: r, {RESOURCE}, lifecycle: {{recreate: {{}}}}}}]"), "resources[0].lifecycle.recreate: field recreate not found"),
        (format!("resources: [{{name: r, {RESOURCE}, lifecycle: {{delete: {{propagationPolicy: Cascade, when: {{expression: a}}}}}}}}]"), "resources[0].lifecycle.delete.propagationPolicy: \"Cascade\" is not one of"),
        ("post: {payloads: [{name: p}]}".into(), "post.payloads[0]: one of build or build_ref is required"),
        ("post: {payloads: [{name: p, build: {}, build_ref: x}]}".into(), "post.payloads[0]: build and build_ref are both set"),
        ("post: {payloads: [{name: p, build: {x: {expression: '('}}}]}".into(), "post.payloads[0].build.x.expression: CEL parse error"),
        ("post: {payloads: [{name: p, build: {a: [{x: '{{ .nope }}'}]}}]}".into(), "post.payloads[0].build.a[0].x: undefined template variable \"nope\""),
        ("post: {post_actions: [{name: a, when: {}}]}".into(), "post.post_actions[0].when.expression: post.post_actions[0].when.expression is required"),
        ("post: {post_actions: [{name: a, api_call: {method: PUT, url: '/x/{{ .undefinedThing }}'}}]}".into(), "post.post_actions[0].api_call.url: undefined template variable \"undefinedThing\""),
    ];
    let mut wrong = Vec::new();
    for (task, expected) in cases {
        let found = problems(load_task(&task));
        if !found.iter().any(|problem| problem.contains(expected)) {
            wrong.push(format!("{task}\n  expected {expected}\n  found {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_contract_accepts_loads() {
    let cases = [
        "params: []".to_owned(),
        "params: [{name: my-param, source: 5}]".to_owned(),
        "params: [{name: a, source: b, required: 'yes'}]".to_owned(),
        "params: [{name: g, source: event.g}, {name: g, source: event.h}]".to_owned(),
        "params: [{name: a, source: {api_call: {method: GET, url: /x, foo: 1}}}]".to_owned(),
        "params: [{name: a, source: env.NOPE, required: true, default: d}]".to_owned(),
        "params: [{name: a, source: b}]\n---\nspec: {}".to_owned(),
        "params: [{name: a, source: {expression: 'undefinedThing'}}]".to_owned(),
        "preconditions: [{name: p, conditions: [{field: a, operator: in, values: [a]}]}]".to_owned(),
        "preconditions: [{name: p, conditions: [{field: a, operator: equals, value: ''}]}]".to_owned(),
        "preconditions: [{name: p, api_call: {method: PATCH, url: '/x/{{ if .undefinedThing }}y{{ end }}'}}]".to_owned(),
        "preconditions: [{name: p, api_call: {method: GET, url: /x, retry_backoff: fibonacci}}]".to_owned(),
        "preconditions: [{name: p, expression: 'resources.namespace.status.phase == \"x\"'}]".to_owned(),
        format!("resources: [{{name: ns, {RESOURCE}}}]"),
        "resources: [{name: r, transport: {client: kubernetes}, manifest: \"kind: X\\napiVersion: v1\\n{{ if .on }}a: {{ .b }}{{ end }}\", discovery: {by_name: x}}]\nparams: [{name: on, source: event.on}]".to_owned(),
        "resources: [{name: r, manifest: {a: '{{ .now }}'}, discovery: {by_selectors: {label_selector: {'{{ .event.id }}': x}}}}]".to_owned(),
        "post: {payloads: [{name: p, build: {a: {field: x, expression: y}}}]}".to_owned(),
        "post: {payloads: [{name: p, build: text}], post_actions: [{name: a}]}".to_owned(),
        "post: {post_actions: [{name: a, api_call: {method: PUT, url: '/x', body: '{{ toJson .event }}'}}]}".to_owned(),
    ];
    for task in cases {
        let found = problems(load_task(&task));
        assert!(found.is_empty(), "{task}: {found:#?}");
    }
}

#[test]
fn problems_carry_their_place_and_count() {
    let error = load_task("params:\n  - name: a\n    source: [b]\n  - name: c\n    source: null\n")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "validation failed with 2 error(s):\n  \
         - params[0].source: source: expected string or mapping (/nowhere/task.yaml:3:13)\n  \
         - params[1].source: source is required (/nowhere/task.yaml:5:13)"
    );
}

#[test]
fn adapter_file_rules_hold() {
    let cases = [
        (
            "adapter: {version: 0.2.0}",
            "adapter.name: adapter.name is required",
        ),
        ("clients: {}", "adapter.name: adapter.name is required"),
        (
            "adapter: {name: a, version: 7.2.0}",
            "adapter.version: adapter version mismatch: config 7.2.0 != adapter ",
        ),
        (
            "adapter: {name: a}\nlog: {format: xml}",
            "log.format: \"xml\" is not one of json, text",
        ),
        (
            "adapter: {name: a}\nclients: {hyperfleet_api: {timeout: 10}}",
            "clients.hyperfleet_api.timeout: \"10\" is not a duration",
        ),
        (
            "adapter: {name: a}\nclients: {hyperfleet_api: {retry_backoff: fibonacci}}",
            "clients.hyperfleet_api.retry_backoff: invalid retry backoff strategy",
        ),
        (
            "adapter: {name: a}\nclients: {hyperfleet_api: {auth: {token_path: rel/tok}}}",
            "clients.hyperfleet_api.auth.token_path: the token path must be absolute",
        ),
        (
            "adapter: {name: a}\nclients: {hyperfleet_api: {auth: {token_path: /t, token_cache_ttl: -1s}}}",
            "clients.hyperfleet_api.auth.token_cache_ttl: \"-1s\" is negative",
        ),
        (
            "adapter: {name: a}\nclients: {maestro: {timeout: 5}}",
            "clients.maestro.timeout: \"5\" is not a duration",
        ),
        (
            "adapter: {name: a}\nclients: {hyperfleet_api: {retryAttempts: 1}}",
            "clients.hyperfleet_api.retryAttempts: field retryAttempts not found",
        ),
        ("", "is empty (EOF)"),
        ("adapter: [", "is not valid YAML: line 1"),
    ];
    for (adapter, expected) in cases {
        let found = problems(load_with(adapter, "params: []", &[]));
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{adapter}: {found:?}"
        );
    }
    assert!(
        problems(load_task(""))
            .iter()
            .any(|p| p.contains("is empty (EOF)"))
    );
}

#[test]
fn defaults_and_overrides_have_the_right_precedence() {
    let config = load_task("params: []").unwrap();
    let api = &config.adapter.api;
    assert_eq!((api.timeout.as_secs(), api.retry_attempts), (5, 2));
    assert_eq!(api.version, "v1");
    assert_eq!(config.adapter.broker.topic.as_deref(), Some("clusters"));

    let config = load_with(
        ADAPTER,
        "params: []",
        &[
            ("HYPERFLEET_API_TIMEOUT", "3s"),
            ("HYPERFLEET_API_BASE_URL", ""),
            ("BROKER_TOPIC", "a"),
            ("HYPERFLEET_BROKER_TOPIC", "b"),
            ("BROKER_SUBSCRIPTION_ID", "legacy"),
            ("HYPERFLEET_ADAPTER_NAME", "other"),
            ("LOG_LEVEL", "DEBUG"),
        ],
    )
    .unwrap();
    assert_eq!(config.adapter.api.timeout.as_secs(), 3);
    assert_eq!(config.adapter.api.base_url, "http://api:8000");
    assert_eq!(config.adapter.broker.topic.as_deref(), Some("b"));
    assert_eq!(
        config.adapter.broker.subscription_id.as_deref(),
        Some("legacy")
    );
    assert_eq!(config.adapter.name, "other");
    assert_eq!(config.adapter.log.level, "debug");
}

#[test]
fn an_invalid_override_is_reported_at_its_key() {
    let found = problems(load_with(
        ADAPTER,
        "params: []",
        &[("HYPERFLEET_API_TIMEOUT", "3")],
    ));
    assert!(
        found[0].starts_with("clients.hyperfleet_api.timeout: \"3\" is not a duration"),
        "{found:?}"
    );
}

#[test]
fn files_are_read_from_the_folder_of_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("adapter.yaml", ADAPTER);
    write(
        "job.yaml",
        "# comment\napiVersion: batch/v1 \nkind: \"Job\"\nmetadata: {name: '{{ .event.id }}'}\n",
    );
    write("payload.yaml", "a: {expression: '1'}\n");
    write("list.yaml", "- a\n");
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    write(
        "task.yaml",
        "resources: [{name: r, manifest: {ref: ./job.yaml}, discovery: {by_name: x}}]\npost: {payloads: [{name: p, build_ref: payload.yaml}]}\n",
    );
    let load_here = || {
        load(
            &folder.path().join("adapter.yaml"),
            &folder.path().join("task.yaml"),
            &BTreeMap::new(),
        )
    };
    let config = load_here().unwrap();
    let manifest = &config.task.resources[0].manifest;
    assert_eq!(
        (manifest.api_version.as_str(), manifest.kind.as_str()),
        ("batch/v1", "Job")
    );
    assert!(matches!(
        config.task.post.payloads[0].build,
        Build::Object(_)
    ));

    for (task, expected) in [
        (
            "resources: [{name: r, manifest: {ref: folder}, discovery: {by_name: x}}]",
            "is a directory, not a file",
        ),
        (
            "post: {payloads: [{name: p, build_ref: list.yaml}]}",
            "must be a YAML mapping",
        ),
        (
            "post: {payloads: [{name: p, build_ref: nope.yaml}]}",
            "does not exist",
        ),
    ] {
        write("task.yaml", task);
        let found = problems(load_here());
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn the_config_tree_leaves_out_empty_options() {
    let tree = load_task("params: [{name: a, source: event.id}]")
        .unwrap()
        .tree(false);
    assert_eq!(tree["clients"]["broker"]["topic"], "clusters");
    assert_eq!(tree["clients"]["hyperfleet_api"]["timeout"], "5s");
    assert_eq!(tree["params"][0]["name"], "a");
    assert!(tree.get("debug_config").is_none());
}

#[test]
fn deprecations_are_warnings() {
    let config = load_task("preconditions: [{name: p, api_call: {method: GET, url: /x}}]").unwrap();
    assert!(
        config.warnings[0].contains("deprecated"),
        "{:?}",
        config.warnings
    );
}
