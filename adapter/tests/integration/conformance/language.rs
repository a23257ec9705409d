//! Cases 107 to 131: CEL, templates, and manifests as texts.

use hyperfleet_adapter::Pipeline;
use hyperfleet_adapter::expression::Expression;
use hyperfleet_adapter::outcome::{Outcome, Phase};
use serde_json::{Value, json};

use super::loading::{accepted, refused};
use super::{api, param, with_params};
use crate::objects::Simulated;
use crate::support::{FakeApi, event, execute};

/// The value of an expression over the cluster, `None` after a soft error.
async fn cel(expression: &str) -> Option<Value> {
    let outcome = with_params(&format!("{{name: conds, source: data.status.conditions}}, {{name: a, source: {{expression: '{expression}'}}}}")).await;
    param(&outcome, "a")
}

/// A payload of one expression, as JSON text.
async fn built(expression: &str) -> String {
    let outcome = execute(
        &api().await,
        &format!("params: [{}]\npost: {{payloads: [{{name: p, build: {{x: {{expression: '{expression}'}}}}}}]}}", super::DATA),
    )
    .await;
    param(&outcome, "p").unwrap().as_str().unwrap().to_owned()
}

/// What a template over these params is rendered to, or its error.
async fn rendered(params: &str, template: &str) -> Result<String, String> {
    let api = api().await;
    let outcome = execute(
        &api,
        &format!("params: [{}{params}]\npost: {{post_actions: [{{name: a, api_call: {{method: PUT, url: /x, body: '{template}'}}}}]}}", super::DATA),
    )
    .await;
    match outcome.errors.get(&Phase::PostActions) {
        Some(error) => Err(error.clone()),
        None => Ok(api.requests_of("PUT")[0].body.clone()),
    }
}

#[tokio::test]
async fn a107_reserved_words_are_selectors_and_no_variables() {
    assert!(Expression::parse("resources.namespace.status.phase").is_ok());
    refused(
        "preconditions: [{name: p, expression: 'namespace == 1'}]",
        "CEL parse error: ",
    );
    accepted(
        "preconditions: [{name: p, expression: 'resources.namespace.status.phase == \"Active\"'}]",
    );
}

#[tokio::test]
async fn a108_libraries() {
    assert_eq!(
        cel("\"a-b\".split(\"-\")[1].upperAscii()").await,
        Some(json!("B"))
    );
    assert_eq!(cel("[3,1,2].sort()").await, Some(json!([1, 2, 3])));
    assert_eq!(cel("math.greatest(1,2)").await, None);
}

#[tokio::test]
async fn a109_digging() {
    assert_eq!(
        cel("dig(data, \"status.conditions.0.type\")").await,
        Some(json!("Reconciled"))
    );
    assert_eq!(cel("dig(data, \"x.y\") == null").await, Some(json!(true)));
}

#[tokio::test]
async fn a110_now_is_a_text() {
    assert_eq!(
        cel("timestamp(now()) > timestamp(\"2020-01-01T00:00:00Z\")").await,
        Some(json!(true))
    );
    assert_eq!(cel("type(now()) == string").await, Some(json!(true)));
}

#[tokio::test]
async fn a111_a_null_stays_null() {
    // There it was 0, for want of a better conversion; listed as a correction.
    assert_eq!(built("dig(data, \"nope\")").await, r#"{"x":null}"#);
}

#[tokio::test]
async fn a112_a_computed_list_serialises() {
    // There it was garbage; listed as a correction.
    let text =
        built("data.status.conditions.filter(c, c.type == \"Reconciled\").map(c, c.status)").await;
    assert_eq!(text, r#"{"x":["True"]}"#);
    let text = built("data.status.conditions.map(c, {\"type\": c.type})").await;
    assert_eq!(text, r#"{"x":[{"type":"Reconciled"}]}"#);
}

#[tokio::test]
async fn a113_an_element_of_a_computed_list() {
    let text = built("data.status.conditions.filter(c, c.type == \"Reconciled\")[0].status").await;
    assert_eq!(text, r#"{"x":"True"}"#);
}

#[tokio::test]
async fn a114_the_execution_error_is_always_a_key() {
    assert_eq!(
        built("adapter.?executionError.hasValue()").await,
        r#"{"x":true}"#
    );
    assert_eq!(
        built("adapter.?executionError.?phase.orValue(\"none\")").await,
        r#"{"x":"none"}"#
    );
}

#[tokio::test]
async fn a115_adapter_means_two_things() {
    assert_eq!(cel("adapter.name").await, None);
    assert_eq!(rendered("", "{{ .adapter.name }}").await.unwrap(), "widget");
    let error = rendered("", "{{ .adapter.executionStatus }}")
        .await
        .unwrap_err();
    assert!(
        error.contains("map has no entry for key \"executionStatus\""),
        "{error}"
    );
}

#[tokio::test]
async fn a116_the_subject_comes_first() {
    assert_eq!(
        rendered("", "{{ \"abc\" | trimPrefix \"a\" }}")
            .await
            .unwrap(),
        "a"
    );
    assert_eq!(
        rendered("", "{{ trimPrefix \"abc\" \"a\" }}")
            .await
            .unwrap(),
        "bc"
    );
}

#[tokio::test]
async fn a117_a_missing_key_never_reaches_default() {
    let params = ", {name: deletedTime, source: event.nothing}";
    let error = rendered(params, "{{ .deletedTime | default \"x\" }}")
        .await
        .unwrap_err();
    assert!(
        error.contains("map has no entry for key \"deletedTime\""),
        "{error}"
    );
}

#[tokio::test]
async fn a118_default_replaces_nothing_but_nothing() {
    assert_eq!(
        rendered(", {name: e, source: event.empty}", "{{ default \"x\" .e }}")
            .await
            .unwrap(),
        "x"
    );
    assert_eq!(
        rendered(
            ", {name: e, source: {expression: \"0\"}}",
            "{{ default \"x\" .e }}"
        )
        .await
        .unwrap(),
        "0"
    );
    assert_eq!(
        rendered(
            ", {name: e, source: {expression: \"false\"}}",
            "{{ default \"x\" .e }}"
        )
        .await
        .unwrap(),
        "false"
    );
}

#[tokio::test]
async fn a119_numbers_print_as_in_go() {
    let number = |text: &str| format!(", {{name: n, source: {{expression: \"{text}\"}}}}");
    assert_eq!(rendered("", "{{ .data.generation }}").await.unwrap(), "5");
    assert_eq!(
        rendered(&number("1000000.0"), "{{ .n }}").await.unwrap(),
        "1e+06"
    );
    assert_eq!(
        rendered(&number("1000000"), "{{ .n }}").await.unwrap(),
        "1000000"
    );
}

#[tokio::test]
async fn a120_eq_compares_no_integer_with_a_double() {
    let error = rendered("", "{{ if eq .data.generation 5 }}y{{ end }}")
        .await
        .unwrap_err();
    assert!(
        error.contains("incompatible types for comparison"),
        "{error}"
    );
    let params = ", {name: generation, source: data.generation, type: int}";
    assert_eq!(
        rendered(params, "{{ if eq .generation 5 }}y{{ end }}")
            .await
            .unwrap(),
        "y"
    );
}

#[tokio::test]
async fn a121_index_forgives_and_a_field_does_not() {
    assert_eq!(
        rendered("", "{{ index .data \"nope\" }}").await.unwrap(),
        "<no value>"
    );
    assert!(rendered("", "{{ .data.nope }}").await.is_err());
}

#[tokio::test]
async fn a122_an_unknown_function_fails_when_it_is_used() {
    let error = rendered("", "{{ toJson .data }}").await.unwrap_err();
    assert!(error.contains("toJson"), "{error}");
}

#[tokio::test]
async fn a123_a_time_by_a_layout() {
    let text = rendered("", "{{ now | date \"2006-01-02T15:04:05Z07:00\" }}")
        .await
        .unwrap();
    assert!(
        chrono::DateTime::parse_from_rfc3339(&text).is_ok(),
        "{text}"
    );
}

#[tokio::test]
async fn a124_a_text_without_actions_is_left_alone() {
    assert_eq!(rendered("", "a }} b").await.unwrap(), "a }} b");
}

/// A task with one `ConfigMap` whose manifest is given, after its name was put in.
fn manifest_task(manifest: &str) -> String {
    format!(
        "params: [{{name: gen, source: event.generation, type: int}}, {{name: v, source: {{expression: '\"it''s a: b\"'}}}}, {{name: on, source: {{expression: 'false'}}}}, {{name: list, source: {{expression: '[\"p\", \"q\"]'}}}}]\nresources:\n- name: r\n  discovery: {{namespace: default, by_name: r}}\n  manifest: {manifest}\n"
    )
}

const META: &str = "apiVersion: v1, kind: ConfigMap, metadata: {name: r, namespace: default}";

async fn applied(manifest: &str) -> (Simulated, Outcome) {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    let pipeline: Pipeline = simulated.pipeline(&api, &manifest_task(manifest));
    let outcome = pipeline.execute(&event(5)).await;
    (simulated, outcome)
}

/// The data of the `ConfigMap` that a manifest leads to.
async fn data(manifest: &str) -> Value {
    let (simulated, outcome) = applied(manifest).await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    simulated.config_map("r").await.unwrap()["data"].clone()
}

async fn failure(manifest: &str) -> String {
    let (_simulated, outcome) = applied(manifest).await;
    outcome.errors[&Phase::Resources].clone()
}

fn block(lines: &str) -> String {
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: r, namespace: default}\n";
    let text = format!("{head}{lines}").replace('\n', "\n    ");
    format!("|\n    {text}")
}

#[tokio::test]
async fn a125_inline_values_stay_texts_and_block_values_do_not() {
    assert_eq!(
        data(&format!("{{{META}, data: {{n: '{{{{ .gen }}}}'}}}}")).await["n"],
        "5"
    );
    let unquoted = data(&block("data:\n  n: {{ .gen }}")).await;
    assert_eq!(unquoted["n"], 5);
    assert_eq!(data(&block("data:\n  n: \"{{ .gen }}\"")).await["n"], "5");
}

#[tokio::test]
async fn a126_a_text_that_looks_like_a_number_becomes_one() {
    let value = |text: &str| format!("{{{META}, data: {{n: '{text}{{{{ .gen }}}}'}}}}");
    assert_eq!(data(&value("1")).await["n"], 15);
    assert_eq!(data(&value("v1")).await["n"], "v15");
}

#[tokio::test]
async fn a127_a_value_with_a_colon_breaks_a_plain_scalar() {
    let error = failure(&format!("{{{META}, data: {{n: 'p-{{{{ .v }}}}'}}}}")).await;
    assert!(error.contains("not valid YAML"), "{error}");
}

#[tokio::test]
async fn a128_a_quote_breaks_a_quoted_scalar() {
    let error = failure(&format!("{{{META}, data: {{n: '{{{{ .v }}}}'}}}}")).await;
    assert!(error.contains("not valid YAML"), "{error}");
}

#[tokio::test]
async fn a129_a_manifest_that_renders_to_nothing() {
    let error =
        failure("|\n    {{ if .on }}\n    apiVersion: v1\n    kind: ConfigMap\n    {{ end }}")
            .await;
    assert!(
        error.contains("empty manifest: template rendered to an empty document"),
        "{error}"
    );
}

#[tokio::test]
async fn a130_only_the_first_document_is_applied() {
    let manifest = block(
        "data: {a: first}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: default}",
    );
    let (simulated, outcome) = applied(&manifest).await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    assert!(simulated.config_map("r").await.is_some());
    assert!(simulated.config_map("other").await.is_none());
}

#[tokio::test]
async fn a131_a_range_over_a_list() {
    let manifest = block("data:\n  {{- range .list }}\n  {{ . }}: x-{{ . }}\n  {{- end }}");
    assert_eq!(data(&manifest).await, json!({"p": "x-p", "q": "x-q"}));
}
