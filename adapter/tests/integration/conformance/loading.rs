//! Cases 1 to 40: what loads and what does not.

use std::collections::BTreeMap;
use std::path::Path;

use hyperfleet_adapter::config::{
    Backoff, Config, ConfigError, Method, adapter_config_path, load_text,
};
use hyperfleet_adapter::outcome::Phase;
use hyperfleet_runtime::error_chain;

use crate::support::{FakeApi, execute};

pub const ADAPTER: &str = "adapter: {name: widget, version: 0.2.0}\nclients: {hyperfleet_api: {base_url: 'http://api:8000'}}\n";
const WHERE: &str = "discovery: {by_name: x}";
const MANIFEST: &str = "manifest: {apiVersion: v1, kind: Namespace, metadata: {name: x}}";

pub fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(owned).collect()
}

pub fn load_both(
    adapter: &str,
    task: &str,
    variables: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let path = |name| Path::new("/nowhere").join(name);
    load_text(
        (adapter, &path("adapter.yaml")),
        (task, &path("task.yaml")),
        &environment(variables),
    )
}

#[track_caller]
pub fn accepted(task: &str) -> Config {
    load_both(ADAPTER, task, &[]).unwrap_or_else(|error| panic!("{task}\n{}", error_chain(&error)))
}

#[track_caller]
pub fn refused(task: &str, expected: &str) {
    refused_both(ADAPTER, task, expected);
}

#[track_caller]
pub fn refused_both(adapter: &str, task: &str, expected: &str) {
    let error = load_both(adapter, task, &[]).expect_err(task);
    let text = error_chain(&error);
    assert!(
        text.contains(expected),
        "{task}\n  found {text}\n  expected {expected}"
    );
}

fn resource(body: &str) -> String {
    format!("resources: [{{name: r, {body}}}]")
}

#[test]
fn a001_no_file_at_all_names_flag_and_variable() {
    let error = adapter_config_path(None, &BTreeMap::new())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("--config flag or HYPERFLEET_ADAPTER_CONFIG env var"),
        "{error}"
    );
}

#[test]
fn a002_the_flag_wins_over_the_variable() {
    let environment = environment(&[("HYPERFLEET_ADAPTER_CONFIG", "/by/variable")]);
    let flag = Path::new("/by/flag");
    assert_eq!(adapter_config_path(Some(flag), &environment).unwrap(), flag);
    let named = adapter_config_path(None, &environment).unwrap();
    assert_eq!(named, Path::new("/by/variable"));
}

#[test]
fn a003_an_adapter_needs_a_name() {
    refused_both(
        "adapter: {version: 0.2.0}",
        "params: []",
        "adapter.name is required",
    );
    refused_both(
        "log: {level: info}",
        "params: []",
        "adapter.name is required",
    );
}

#[test]
fn a004_another_minor_version_is_refused() {
    let version = |version: &str| format!("adapter: {{name: a, version: {version}}}");
    refused_both(&version("77.2.0"), "params: []", "adapter version mismatch");
    let own = env!("CARGO_PKG_VERSION");
    let (minor, _) = own.rsplit_once('.').unwrap();
    assert!(load_both(&version(&format!("{minor}.99")), "params: []", &[]).is_ok());
}

#[test]
fn a005_a_version_that_is_none_is_only_warned_of() {
    let config = load_both("adapter: {name: a, version: latest}", "params: []", &[]).unwrap();
    assert!(config.warnings[0].contains("\"latest\" is not a semantic version"));
}

#[test]
fn a006_an_unknown_key_at_the_top() {
    refused("spec: {}", "field spec not found");
}

#[test]
fn a007_the_old_envelope() {
    let old =
        "apiVersion: hyperfleet.io/v1alpha1\nkind: AdapterConfig\nmetadata: {name: a}\nspec: {}\n";
    for key in ["apiVersion", "kind", "metadata", "spec"] {
        refused(old, &format!("field {key} not found"));
    }
}

#[test]
fn a008_camel_case_of_the_old_format() {
    refused(
        "post: {post_actions: [{name: a, apiCall: {method: GET, url: /x}}]}",
        "field apiCall not found",
    );
}

#[test]
fn a009_an_unknown_key_inside_a_source_is_ignored() {
    accepted("params: [{name: a, source: {api_call: {method: GET, url: /x, foo: 1}, bar: 2}}]");
    accepted("params: [{name: a, source: {file: {path: /x, foo: 1}}}]");
}

#[test]
fn a010_an_unknown_key_inside_a_condition() {
    refused(
        "preconditions: [{name: p, conditions: [{field: a, operator: exists, extra: 1}]}]",
        "field extra not found",
    );
}

#[test]
fn a011_a_duplicate_key() {
    refused("params: []\nparams: []\n", "params");
    refused("params: [{name: a, name: b, source: x}]", "name");
}

#[test]
fn a012_an_empty_task_file() {
    refused("", "EOF");
    refused("# only a comment\n", "EOF");
}

#[test]
fn a013_only_the_first_document_counts() {
    let config = accepted("params: [{name: a, source: id}]\n---\nnonsense: true\n");
    assert_eq!(config.task.params.len(), 1);
}

#[test]
fn a014_a_duration_needs_a_unit() {
    let timeout = |text: &str| {
        format!("adapter: {{name: a}}\nclients: {{hyperfleet_api: {{timeout: {text}}}}}\n")
    };
    refused_both(&timeout("10"), "params: []", "\"10\" is not a duration");
    let config = load_both(&timeout("10s"), "params: []", &[]).unwrap();
    assert_eq!(config.adapter.api.timeout.as_secs(), 10);
}

#[test]
fn a015_quoted_words_are_booleans() {
    for word in ["\"yes\"", "yes", "on", "\"true\"", "true"] {
        let config = accepted(&format!(
            "params: [{{name: a, source: id, required: {word}}}]"
        ));
        assert!(config.task.params[0].required, "{word}");
    }
}

#[tokio::test]
async fn a016_a_number_as_source_is_a_path() {
    let api = FakeApi::start().await;
    let outcome = execute(&api, "params: [{name: a, source: 5, required: true}]").await;
    let error = &outcome.errors[&Phase::ParamExtraction];
    assert!(error.contains("from source '5'"), "{error}");
}

#[test]
fn a017_a_source_that_is_missing_or_a_list() {
    refused("params: [{name: a, source: }]", "source is required");
    refused("params: [{name: a}]", "source is required");
    refused(
        "params: [{name: a, source: [a]}]",
        "source: expected string or mapping",
    );
}

#[test]
fn a018_two_kinds_of_source() {
    refused(
        "params: [{name: a, source: {api_call: {method: GET, url: /x}, expression: '1'}}]",
        "only one of 'api_call', 'expression', or 'file' may be set",
    );
    refused(
        "params: [{name: a, source: {}}]",
        "mapping must contain one of",
    );
}

#[test]
fn a019_two_resources_of_one_name() {
    refused(
        &format!(
            "resources: [{{name: ns, {MANIFEST}, {WHERE}}}, {{name: ns, {MANIFEST}, {WHERE}}}]"
        ),
        "resources: contains duplicate name values",
    );
}

#[tokio::test]
async fn a020_of_two_params_of_one_name_the_second_counts() {
    let api = FakeApi::start().await;
    let task = "params: [{name: generation, source: event.id}, {name: generation, source: event.generation}]";
    let outcome = execute(&api, task).await;
    assert_eq!(outcome.params["generation"], 5.0);
}

#[test]
fn a021_names_of_resources_are_identifiers_and_those_of_params_are_not() {
    refused(
        &format!("resources: [{{name: My-Res, {MANIFEST}, {WHERE}}}]"),
        "must match the pattern",
    );
    refused(
        "preconditions: [{name: My-Pre, expression: 'true'}]",
        "must match the pattern",
    );
    refused(
        "post: {post_actions: [{name: My-Action}]}",
        "must match the pattern",
    );
    accepted("params: [{name: my-param, source: id}]");
}

#[test]
fn a022_a_precondition_that_only_logs() {
    refused(
        "preconditions: [{name: p, log: {message: x}}]",
        "must specify at least one of",
    );
}

#[test]
fn a023_a_precondition_that_only_captures() {
    refused(
        "preconditions: [{name: p, capture: [{name: c, field: x}]}]",
        "must specify at least one of",
    );
}

#[test]
fn a024_operators_that_do_not_exist() {
    for name in ["notExists", "greaterThanOrEqual", "lessThanOrEqual", "eq"] {
        refused(
            &format!(
                "preconditions: [{{name: p, conditions: [{{field: a, operator: {name}, value: 1}}]}}]"
            ),
            &format!("invalid operator \"{name}\""),
        );
    }
}

fn condition(rest: &str) -> String {
    format!("preconditions: [{{name: p, conditions: [{{field: a, {rest}}}]}}]")
}

#[test]
fn a025_exists_takes_no_value() {
    refused(
        &condition("operator: exists, value: true"),
        "value/values should not be set for operator \"exists\"",
    );
}

#[test]
fn a026_in_takes_a_list() {
    refused(
        &condition("operator: in, value: a"),
        "value must be a list for operator \"in\"",
    );
    accepted(&condition("operator: in, values: [a]"));
    refused(
        &condition("operator: in, value: [a], values: [a]"),
        "condition has both 'value' and 'values' keys; use only one",
    );
}

#[test]
fn a027_equals_needs_a_value_which_may_be_empty() {
    refused(
        &condition("operator: equals"),
        "value is required for operator \"equals\"",
    );
    refused(
        &condition("operator: equals, value: null"),
        "value is required",
    );
    accepted(&condition("operator: equals, value: ''"));
}

#[test]
fn a028_methods_are_in_capitals_and_known() {
    let call = |method: &str| {
        format!("post: {{post_actions: [{{name: a, api_call: {{{method}url: /x}}}}]}}")
    };
    refused(&call("method: get, "), "\"get\" is not a method");
    refused(&call(""), "method is required");
    refused(&call("method: HEAD, "), "\"HEAD\" is not a method");
    let config = accepted(&call("method: PATCH, "));
    assert_eq!(
        config.task.post.actions[0]
            .api_call
            .as_ref()
            .unwrap()
            .method,
        Method::Patch
    );
}

#[test]
fn a029_a_resource_is_discovered_in_exactly_one_way() {
    refused(&resource(MANIFEST), "discovery is required");
    refused(
        &resource(&format!(
            "{MANIFEST}, discovery: {{by_name: x, by_selectors: {{label_selector: {{a: b}}}}}}"
        )),
        "by_name and by_selectors are both set",
    );
    refused(
        &resource(&format!(
            "{MANIFEST}, discovery: {{by_selectors: {{label_selector: {{}}}}}}"
        )),
        "label_selector needs at least one label",
    );
}

#[test]
fn a030_transports() {
    let transport =
        |transport: &str| resource(&format!("{MANIFEST}, {WHERE}, transport: {transport}"));
    refused(
        &transport("{client: desire}"),
        "invalid transport client \"desire\"",
    );
    refused(
        &transport("{client: maestro}"),
        "target_cluster is required",
    );
    refused(
        &transport("{client: maestro, maestro: {}}"),
        "target_cluster is required",
    );
    accepted(&transport("{client: kubernetes}"));
    accepted(&transport(
        "{client: maestro, maestro: {target_cluster: c}}",
    ));
}

fn lifecycle(lifecycle: &str) -> String {
    resource(&format!("{MANIFEST}, {WHERE}, lifecycle: {lifecycle}"))
}

#[test]
fn a031_the_propagation_policy_is_written_in_camel_case() {
    let task = lifecycle("{delete: {propagation_policy: Foreground, when: {expression: 'true'}}}");
    refused(&task, "field propagation_policy not found");
}

#[test]
fn a032_a_deletion_needs_its_condition() {
    refused(
        &lifecycle("{delete: {propagationPolicy: Foreground}}"),
        "when.expression is required",
    );
    refused(
        &lifecycle("{delete: {when: {}}}"),
        "when.expression is required",
    );
}

#[test]
fn a033_lifecycle_has_no_recreate() {
    refused(
        &lifecycle("{recreate: {when: {expression: 'true'}}}"),
        "field recreate not found",
    );
}

#[test]
fn a034_an_unknown_propagation_policy() {
    let task = lifecycle("{delete: {propagationPolicy: Cascade, when: {expression: 'true'}}}");
    refused(
        &task,
        "\"Cascade\" is not one of Background, Foreground, Orphan",
    );
}

#[test]
fn a035_expressions_are_parsed_wherever_they_are() {
    let cases = [
        ("params: [{name: a, source: {expression: 'a =='}}]".to_owned(), "params[0].source.expression"),
        ("preconditions: [{name: p, expression: 'a =='}]".to_owned(), "preconditions[0].expression"),
        (
            "preconditions: [{name: p, api_call: {method: GET, url: /x}, capture: [{name: c, expression: 'a =='}]}]".to_owned(),
            "preconditions[0].capture[0].expression",
        ),
        (lifecycle("{create: {when: {expression: 'a =='}}}"), "resources[0].lifecycle.create.when.expression"),
        (lifecycle("{delete: {when: {expression: 'a =='}}}"), "resources[0].lifecycle.delete.when.expression"),
        ("post: {payloads: [{name: p, build: {x: {expression: 'a =='}}}]}".to_owned(), "post.payloads[0].build.x.expression"),
        ("post: {payloads: [{name: p, build: {}, when: {expression: 'a =='}}]}".to_owned(), "post.payloads[0].when.expression"),
        ("post: {post_actions: [{name: a, when: {expression: 'a =='}}]}".to_owned(), "post.post_actions[0].when.expression"),
    ];
    for (task, path) in cases {
        refused(&task, &format!("  - {path}: CEL parse error: "));
    }
}

#[test]
fn a036_an_undefined_variable_in_an_expression_loads() {
    accepted("preconditions: [{name: p, expression: 'undefinedThing == 1'}]");
}

fn action(url: &str) -> String {
    format!("post: {{post_actions: [{{name: a, api_call: {{method: GET, url: '{url}'}}}}]}}")
}

#[test]
fn a037_an_undefined_variable_in_a_simple_template() {
    refused(
        &action("/x/{{ .undefinedThing }}"),
        "undefined template variable \"undefinedThing\"",
    );
    refused(
        &action("/x/{{ .undefinedThing | lower }}"),
        "undefined template variable \"undefinedThing\"",
    );
}

#[test]
fn a038_an_undefined_variable_in_a_condition_of_a_template_loads() {
    accepted(&action("/x/{{ if .undefinedThing }}y{{ end }}"));
}

#[test]
fn a039_a_param_sees_only_earlier_ones() {
    let call = |name: &str| {
        format!(
            "{{name: {name}, source: {{api_call: {{method: GET, url: '/x/{{{{ .second }}}}'}}}}}}"
        )
    };
    refused(
        &format!("params: [{}, {{name: second, source: id}}]", call("first")),
        "params[0].source.api_call.url: undefined template variable \"second\"",
    );
    accepted(&format!(
        "params: [{{name: second, source: id}}, {}]",
        call("third")
    ));
}

#[tokio::test]
async fn a040_now_is_a_function_and_not_a_variable() {
    let api = FakeApi::start().await;
    let outcome = execute(&api, &action("/x/{{ .now }}")).await;
    let error = &outcome.errors[&Phase::PostActions];
    assert!(
        error.contains("map has no entry for key \"now\""),
        "{error}"
    );
    let outcome = execute(&api, &action("/x/{{ now | date \"2006\" }}")).await;
    assert!(!outcome.is_failed());
    assert!(api.requests()[0].path.starts_with("/api/hyperfleet/v1/x/2"));
}

#[test]
fn a047_an_unknown_back_off_of_one_call_is_constant() {
    refused_both(
        "adapter: {name: a}\nclients: {hyperfleet_api: {retry_backoff: fibonacci}}\n",
        "params: []",
        "invalid retry backoff strategy",
    );
    let config = accepted(
        "post: {post_actions: [{name: a, api_call: {method: GET, url: /x, retry_backoff: fibonacci}}]}",
    );
    let call = config.task.post.actions[0].api_call.as_ref().unwrap();
    assert_eq!(
        Backoff::from_name(call.retry_backoff.as_ref().unwrap()),
        None
    );
}

#[test]
fn a048_formats_are_checked_and_levels_are_not() {
    refused_both(
        "adapter: {name: a}\nlog: {format: xml}\n",
        "params: []",
        "\"xml\" is not one of json, text",
    );
    refused_both(
        "adapter: {name: a}\nlog: {output: file}\n",
        "params: []",
        "not one of stdout, stderr",
    );
    let config = load_both(
        "adapter: {name: a}\nlog: {level: chatty}\n",
        "params: []",
        &[],
    )
    .unwrap();
    assert_eq!(config.adapter.log.level, "info");
}
