//! Preconditions and what they lead to.

use serde_json::json;

use crate::support::{FakeApi, cluster, execute};
use hyperfleet_adapter::outcome::{Outcome, Phase};

/// Runs preconditions and reports what the payload saw.
async fn gate(api: &FakeApi, preconditions: &str) -> Outcome {
    let task = format!(
        "params: [{{name: text, source: event.id}}, {{name: number, source: event.generation}}, {{name: integer, source: event.generation, type: int}}]
preconditions: {preconditions}
post:
  payloads:
  - name: seen
    build:
      status: {{expression: adapter.executionStatus}}
      skipped: {{expression: adapter.resourcesSkipped}}
      reason: {{expression: adapter.skipReason}}
      error: {{expression: adapter.errorReason}}
      phase: {{expression: 'adapter.?executionError.?phase.orValue(\"\")'}}
      step: {{expression: 'adapter.?executionError.?step.orValue(\"\")'}}
      applied: {{expression: 'has(resources.x)'}}
  post_actions: [{{name: report, api_call: {{method: PUT, url: /report, body: '{{{{ .seen }}}}'}}}}]
"
    );
    execute(api, &task).await
}

#[tokio::test]
async fn met_or_not_is_decided_as_the_contract_says() {
    let met = [
        "[{name: p, conditions: [{field: text, operator: equals, value: c1}]}]",
        "[{name: p, conditions: [{field: number, operator: equals, value: 5.0}]}]",
        "[{name: p, conditions: [{field: number, operator: notEquals, value: 5}]}]",
        "[{name: p, conditions: [{field: event.owner_references.id, operator: exists}]}]",
        "[{name: p, expression: 'number == 5 && integer == 5'}]",
        "[{name: p, expression: '1'}]",
        "[{name: p, expression: 'optional.none()'}]",
        "[{name: p, conditions: [{field: text, operator: equals, value: c1}], expression: 'false'}]",
        "[]",
    ];
    for preconditions in met {
        let api = FakeApi::start().await;
        let outcome = gate(&api, preconditions).await;
        assert_eq!(outcome.status(), "success", "{preconditions}");
    }
    let not_met = [
        (
            "[{name: p, conditions: [{field: number, operator: equals, value: 5}]}]",
            "precondition 'p' not met: number equals 5 (actual: 5)",
        ),
        (
            "[{name: p, conditions: [{field: integer, operator: equals, value: 5}]}]",
            "precondition 'p' not met: integer equals 5 (actual: 5)",
        ),
        (
            "[{name: p, conditions: [{field: missing.path, operator: equals, value: x}, {field: text, operator: in, values: [a, b]}]}]",
            "precondition 'p' not met: missing.path equals x (actual: <nil>); text in [a b] (actual: c1)",
        ),
        (
            "[{name: p, expression: 'false'}]",
            "precondition 'p' not met: no specific details available",
        ),
        (
            "[{name: p, expression: 'noSuchVar == 1'}]",
            "precondition 'p' not met: CEL error: ",
        ),
    ];
    for (preconditions, reason) in not_met {
        let api = FakeApi::start().await;
        let outcome = gate(&api, preconditions).await;
        assert_eq!(outcome.status(), "skipped", "{preconditions}");
        let seen = &api.reports()[0];
        assert_eq!(seen["status"], "success");
        assert_eq!(seen["skipped"], true);
        assert_eq!(seen["applied"], false);
        let found = seen["reason"].as_str().unwrap();
        assert!(found.starts_with(reason), "{found}");
    }
}

#[tokio::test]
async fn a_hard_error_fails_but_is_reported() {
    for preconditions in [
        "[{name: p, conditions: [{field: missing, operator: contains, value: x}]}]",
        "[{name: p, conditions: [{field: text, operator: equals, value: other}, {field: text, operator: greaterThan, value: 1}]}]",
        "[{name: p, conditions: [{field: '$.x', operator: exists}]}]",
    ] {
        let api = FakeApi::start().await;
        let outcome = gate(&api, preconditions).await;
        assert!(outcome.errors.contains_key(&Phase::Preconditions));
        assert!(!outcome.transient);
        let seen = &api.reports()[0];
        assert_eq!(seen["status"], "failed");
        assert_eq!(seen["error"], "PreconditionFailed");
        assert_eq!(seen["phase"], "PreconditionFailed");
        assert_eq!(seen["step"], "");
    }
}

#[tokio::test]
async fn the_first_unmet_gate_ends_the_list() {
    let api = FakeApi::start().await;
    gate(
        &api,
        "[{name: a, expression: 'false'}, {name: b, api_call: {method: GET, url: /never}}]",
    )
    .await;
    assert!(api.requests_of("GET").is_empty());
}

#[tokio::test]
async fn captures_see_the_response_only() {
    let api = FakeApi::start().await;
    let mut body = cluster(5);
    body["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "Reconciled", "status": "False"}));
    api.answer("GET", "/clusters/c1", 200, body);
    let outcome = gate(
        &api,
        "[{name: pre, api_call: {method: GET, url: '/clusters/c1'}, capture: [
            {name: all, field: 'status.conditions[?(@.type==\"Reconciled\")].status'},
            {name: first, field: 'status.conditions[0].status'},
            {name: none, field: 'status.conditions[?(@.type==\"None\")].status'},
            {name: defaulted, field: nope, default: 0},
            {name: missing, field: nope},
            {name: blank, field: blank},
            {name: param, expression: 'text'},
            {name: own, expression: 'pre.name + name'}]}]",
    )
    .await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    let expected = [
        ("all", json!(["True", "False"])),
        ("first", json!("True")),
        ("none", json!(null)),
        ("defaulted", json!(0)),
        ("missing", json!(null)),
        ("blank", json!(null)),
        ("param", json!(null)),
        ("own", json!("nn")),
    ];
    for (name, value) in expected {
        assert_eq!(outcome.params[name], value, "{name}");
    }
    assert_eq!(outcome.params["pre"]["name"], "n");
}

#[tokio::test]
async fn a_missing_resource_ends_quietly_and_an_unknown_endpoint_fails() {
    let call = "[{name: p, api_call: {method: GET, url: /clusters/gone, retry_attempts: 1}}]";
    let api = FakeApi::start().await;
    let outcome = gate(&api, call).await;
    assert_eq!(outcome.status(), "skipped");
    assert_eq!(outcome.metadata.skip_reason, "ResourceNotFound");
    assert!(api.reports().is_empty());

    let api = FakeApi::start().await;
    api.answer(
        "GET",
        "/clusters/gone",
        404,
        json!({"code": "HYPERFLEET-NTF-000"}),
    );
    let outcome = gate(&api, call).await;
    assert!(outcome.is_failed());
    let seen = &api.reports()[0];
    assert_eq!(
        (&seen["phase"], &seen["step"]),
        (&json!("preconditions"), &json!("p"))
    );
}

#[tokio::test]
async fn an_unreachable_host_is_a_transient_failure_that_is_reported() {
    let api = FakeApi::start().await;
    let outcome = gate(
        &api,
        "[{name: p, api_call: {method: GET, url: 'http://127.0.0.1:1/x', retry_attempts: 2}}]",
    )
    .await;
    assert!(outcome.is_failed() && outcome.transient);
    assert_eq!(api.reports()[0]["phase"], "preconditions");
}
