//! Cases 82 to 106: preconditions.

use std::time::Duration;

use hyperfleet_adapter::metrics::{AdapterMetrics, EVENTS_PROCESSED};
use hyperfleet_adapter::outcome::{Outcome, Phase};
use prometheus::Registry;
use serde_json::{Value, json};

use super::{DATA, api, cluster, param};
use crate::support::{FakeApi, execute};

const SEEN: &str = r#"
post:
  payloads:
  - name: seen
    build:
      status: {expression: adapter.executionStatus}
      skipped: {expression: adapter.resourcesSkipped}
      reason: {expression: adapter.skipReason}
      error: {expression: adapter.errorReason}
      phase: {expression: 'adapter.?executionError.?phase.orValue("")'}
      step: {expression: 'adapter.?executionError.?step.orValue("")'}
  post_actions: [{name: report, api_call: {method: PUT, url: /report, body: "{{ .seen }}"}}]
"#;

/// What is looked at: texts, numbers, and empty things.
const PARAMS: &str = "{name: text, source: {expression: '\"Ready\"'}}, {name: number, source: data.generation}, {name: integer, source: data.generation, type: int}, {name: seven, source: {expression: '7.5'}}, {name: digits, source: {expression: '\"7\"'}}, {name: zero, source: {expression: '0'}}, {name: no, source: {expression: 'false'}}, {name: values, source: {expression: '{\"blank\": \"\", \"list\": [], \"map\": {}, \"none\": null, \"full\": [\"a\", \"b\"]}'}}";

async fn gate_on(api: &FakeApi, preconditions: &str) -> Outcome {
    let task = format!("params: [{DATA}, {PARAMS}]\npreconditions: {preconditions}\n{SEEN}");
    execute(api, &task).await
}

async fn gate(preconditions: &str) -> (FakeApi, Outcome) {
    let api = api().await;
    let outcome = gate_on(&api, preconditions).await;
    (api, outcome)
}

async fn condition(condition: &str) -> &'static str {
    let (_api, outcome) = gate(&format!("[{{name: p, conditions: [{{{condition}}}]}}]")).await;
    verdict(&outcome)
}

async fn expression(expression: &str) -> &'static str {
    let (_api, outcome) = gate(&format!("[{{name: p, expression: '{expression}'}}]")).await;
    verdict(&outcome)
}

fn verdict(outcome: &Outcome) -> &'static str {
    match outcome.status() {
        "success" => "met",
        "skipped" => "not met",
        other => other,
    }
}

#[tokio::test]
async fn a082_equal_texts() {
    assert_eq!(
        condition("field: text, operator: equals, value: Ready").await,
        "met"
    );
}

#[tokio::test]
async fn a083_numbers_of_different_types_are_not_equal() {
    assert_eq!(
        condition("field: number, operator: equals, value: 5").await,
        "not met"
    );
    assert_eq!(
        condition("field: number, operator: equals, value: 5.0").await,
        "met"
    );
    assert_eq!(
        condition("field: integer, operator: equals, value: 5").await,
        "not met"
    );
    assert_eq!(expression("integer == 5 && number == 5").await, "met");
}

#[tokio::test]
async fn a084_and_so_they_are_always_unequal() {
    assert_eq!(
        condition("field: number, operator: notEquals, value: 5").await,
        "met"
    );
}

#[tokio::test]
async fn a085_a_missing_field_is_nil() {
    let (_api, outcome) =
        gate("[{name: p, conditions: [{field: missing.path, operator: equals, value: x}]}]").await;
    let reason = &outcome.metadata.skip_reason;
    assert_eq!(
        reason,
        "precondition 'p' not met: missing.path equals x (actual: <nil>)"
    );
}

#[tokio::test]
async fn a086_what_exists() {
    for field in ["zero", "no", "text", "values.full"] {
        assert_eq!(
            condition(&format!("field: {field}, operator: exists")).await,
            "met",
            "{field}"
        );
    }
    for field in [
        "values.blank",
        "values.list",
        "values.map",
        "missing",
        "values.none",
    ] {
        assert_eq!(
            condition(&format!("field: {field}, operator: exists")).await,
            "not met",
            "{field}"
        );
    }
}

#[tokio::test]
async fn a087_what_contains_what() {
    for (field, value, expected) in [
        ("text", "ead", "met"),
        ("text", "x", "not met"),
        ("values.full", "b", "met"),
        ("values.full", "c", "not met"),
        ("values", "none", "met"),
        ("values", "other", "not met"),
        ("number", "x", "failed"),
    ] {
        let text = format!("field: {field}, operator: contains, value: {value}");
        assert_eq!(condition(&text).await, expected, "{text}");
    }
    let (api, outcome) =
        gate("[{name: p, conditions: [{field: missing, operator: contains, value: x}]}]").await;
    assert!(outcome.errors.contains_key(&Phase::Preconditions));
    assert_eq!(api.reports()[0]["error"], "PreconditionFailed");
}

#[tokio::test]
async fn a088_only_numbers_are_compared() {
    assert_eq!(
        condition("field: digits, operator: greaterThan, value: 7").await,
        "failed"
    );
    assert_eq!(
        condition("field: seven, operator: greaterThan, value: 7").await,
        "met"
    );
    assert_eq!(
        condition("field: number, operator: lessThan, value: 5.5").await,
        "met"
    );
}

#[tokio::test]
async fn a089_every_condition_is_evaluated() {
    let (_api, outcome) = gate(
        "[{name: p, conditions: [{field: text, operator: equals, value: other}, {field: digits, operator: greaterThan, value: 1}, {field: text, operator: exists}]}]",
    )
    .await;
    assert_eq!(verdict(&outcome), "failed");
}

#[tokio::test]
async fn a090_conditions_win_over_the_expression() {
    let (_api, outcome) =
        gate("[{name: p, conditions: [{field: text, operator: exists}], expression: 'false'}]")
            .await;
    assert_eq!(verdict(&outcome), "met");
}

#[tokio::test]
async fn a091_nothing_is_asked_after_the_first_that_is_not_met() {
    let (api, _) =
        gate("[{name: a, expression: 'false'}, {name: b, api_call: {method: GET, url: /never}}]")
            .await;
    assert!(
        api.requests_of("GET")
            .iter()
            .all(|request| !request.path.contains("never"))
    );
}

#[tokio::test]
async fn a092_not_met_skips_and_reports() {
    let (api, outcome) = gate("[{name: x, expression: 'false'}]").await;
    let seen = &api.reports()[0];
    assert_eq!(
        (&seen["skipped"], &seen["status"]),
        (&json!(true), &json!("success"))
    );
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.starts_with("precondition 'x' not met:"), "{reason}");
    assert_eq!(outcome.status(), "skipped");
}

#[tokio::test]
async fn a093_a_soft_error_is_not_met() {
    let (_api, outcome) = gate("[{name: p, expression: 'noSuchVar == 1'}]").await;
    assert_eq!(outcome.status(), "skipped");
    assert!(outcome.metadata.skip_reason.contains("CEL error:"));
    assert!(!outcome.metadata.failed);
}

#[tokio::test]
async fn a094_what_counts_as_true() {
    for met in ["1", "0", "0.0", "\"false\"", "optional.none()", "[1]"] {
        assert_eq!(expression(met).await, "met", "{met}");
    }
    for not_met in ["\"\"", "[]", "{}", "null"] {
        assert_eq!(expression(not_met).await, "not met", "{not_met}");
    }
    assert_eq!(expression("").await, "met");
}

/// The value that a capture of this definition has on an answer.
async fn captured(definition: &str, answer: Value) -> Value {
    let api = api().await;
    api.answer("GET", "/x", 200, answer);
    let outcome = gate_on(
        &api,
        &format!("[{{name: pre, api_call: {{method: GET, url: /x}}, capture: [{{name: c, {definition}}}]}}]"),
    )
    .await;
    param(&outcome, "c").unwrap()
}

const RECONCILED: &str = "field: 'status.conditions[?(@.type==\"Reconciled\")].status'";

#[tokio::test]
async fn a095_a_filter_over_conditions() {
    assert_eq!(captured(RECONCILED, cluster()).await, "True");
}

#[tokio::test]
async fn a096_none_and_several_matches() {
    assert_eq!(
        captured(RECONCILED, json!({"status": {"conditions": []}})).await,
        Value::Null
    );
    let two = json!({"status": {"conditions": [
        {"type": "Reconciled", "status": "True"}, {"type": "Reconciled", "status": "False"}
    ]}});
    assert_eq!(captured(RECONCILED, two).await, json!(["True", "False"]));
}

#[tokio::test]
async fn a097_a_default_for_a_missing_field() {
    assert_eq!(
        captured("field: nope, default: 0", json!({})).await,
        json!(0)
    );
    assert_eq!(captured("field: nope", json!({})).await, Value::Null);
}

#[tokio::test]
async fn a098_captures_see_the_answer_only() {
    assert_eq!(
        captured("expression: text", json!({"a": 1})).await,
        Value::Null
    );
    assert_eq!(captured("expression: pre.a", json!({"a": "x"})).await, "x");
    assert_eq!(captured("expression: a", json!({"a": "x"})).await, "x");
}

#[tokio::test]
async fn a099_an_empty_text_is_null() {
    assert_eq!(
        captured("field: blank", json!({"blank": ""})).await,
        Value::Null
    );
}

#[tokio::test]
async fn a100_the_answer_has_the_name_of_the_precondition() {
    let api = api().await;
    let outcome = execute(
        &api,
        "preconditions: [{name: preName, api_call: {method: GET, url: /clusters/c1}}]\npost: {payloads: [{name: p, build: {n: '{{ .preName.name }}', g: {expression: preName.generation}}}]}",
    )
    .await;
    assert_eq!(param(&outcome, "p"), Some(json!(r#"{"g":5,"n":"n"}"#)));
}

/// How often metrics count an execution with this status.
fn counted(outcome: &Outcome, status: &str) -> f64 {
    let registry = Registry::new();
    let metrics = AdapterMetrics::register(&registry).unwrap();
    metrics.execution("widget", outcome, Duration::from_millis(1));
    let families = registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == EVENTS_PROCESSED)
        .unwrap();
    let of_status = |metric: &&prometheus::proto::Metric| {
        metric
            .get_label()
            .iter()
            .any(|label| label.value() == status)
    };
    family
        .get_metric()
        .iter()
        .find(of_status)
        .map_or(0.0, |metric| metric.get_counter().get_value())
}

const GONE: &str = "[{name: p, api_call: {method: GET, url: /gone}}]";

#[tokio::test]
async fn a101_a_missing_resource_ends_quietly() {
    let (api, outcome) = gate(GONE).await;
    assert!(!outcome.is_failed() && outcome.metadata.resources_skipped);
    assert_eq!(outcome.metadata.skip_reason, "ResourceNotFound");
    assert!(api.requests_of("PUT").is_empty());
    assert!((counted(&outcome, "skipped") - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a102_an_unknown_endpoint_is_a_failure() {
    let api = api().await;
    api.answer("GET", "/gone", 404, json!({"code": "HYPERFLEET-NTF-000"}));
    let outcome = gate_on(&api, GONE).await;
    assert_eq!(outcome.status(), "failed");
    assert_eq!(api.reports()[0]["status"], "failed");
}

#[tokio::test]
async fn a103_an_unreachable_host_is_reported_with_its_step() {
    let (api, outcome) = gate(
        "[{name: p, api_call: {method: GET, url: 'http://no-such-host.invalid/x', retry_attempts: 2}}]",
    )
    .await;
    let error = &outcome.errors[&Phase::Preconditions];
    assert!(error.contains("after 2 attempt(s)"), "{error}");
    let seen = &api.reports()[0];
    assert_eq!(
        (&seen["phase"], &seen["step"]),
        (&json!("preconditions"), &json!("p"))
    );
}

#[tokio::test]
async fn a104_an_answer_replaces_a_param_of_its_name() {
    let api = api().await;
    let outcome = execute(
        &api,
        "params: [{name: data, source: event.id}]\npreconditions: [{name: data, api_call: {method: GET, url: /clusters/c1}}]",
    )
    .await;
    assert_eq!(param(&outcome, "data").unwrap()["name"], "n");
}

#[tokio::test]
async fn a105_conditions_that_are_stable() {
    let stable =
        |seconds: u32| format!("stableFor(data.status.conditions, \"Reconciled\", {seconds})");
    assert_eq!(expression(&stable(300)).await, "met");
    assert_eq!(expression(&stable(900)).await, "not met");
    // Here the helper takes computed lists too, which is listed as a correction.
    let computed = "stableFor(data.status.conditions.filter(c, c.type == \"Reconciled\"), \"Reconciled\", 300)";
    assert_eq!(expression(computed).await, "met");
    assert_eq!(
        expression("stableFor(null, \"Reconciled\", 300)").await,
        "not met"
    );
}

#[tokio::test]
async fn a106_no_preconditions_are_met() {
    let (_api, outcome) = gate("[]").await;
    assert_eq!(verdict(&outcome), "met");
    assert!(!outcome.metadata.resources_skipped);
}
