//! Cases 172 to 197: payloads, actions, status reports.

use hyperfleet_adapter::outcome::{Outcome, Phase};
use serde_json::{Value, json};

use super::{DATA, api, param};
use crate::support::{FakeApi, Recorded, execute, execute_under};

/// Runs one action and returns its only request.
async fn request(call: &str) -> Recorded {
    let api = FakeApi::start().await;
    let outcome = execute(
        &api,
        &format!("post: {{post_actions: [{{name: a, api_call: {{{call}}}}}]}}"),
    )
    .await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    api.requests().remove(0)
}

/// Runs a task whose params are the cluster, its generation and its id.
async fn post(api: &FakeApi, post: &str) -> Outcome {
    let params = format!(
        "[{DATA}, {{name: generation, source: data.generation, type: int}}, {{name: clusterId, source: event.id}}]"
    );
    execute(api, &format!("params: {params}\npost: {post}\n")).await
}

/// The payload `p` with this `build`, as a value.
async fn payload(build: &str) -> Value {
    let outcome = post(
        &api().await,
        &format!("{{payloads: [{{name: p, build: {build}}}]}}"),
    )
    .await;
    serde_json::from_str(param(&outcome, "p").unwrap().as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a172_a_relative_url_is_below_the_api() {
    let api = api().await;
    post(&api, "{post_actions: [{name: a, api_call: {method: PUT, url: '/clusters/{{ .clusterId }}/statuses'}}]}").await;
    assert_eq!(
        api.requests_of("PUT")[0].path,
        "/api/hyperfleet/v1/clusters/c1/statuses"
    );
}

#[tokio::test]
async fn a173_a_url_of_the_api_is_kept_and_queries_are_lost() {
    assert_eq!(
        request("method: GET, url: api/hyperfleet/v2/x").await.path,
        "/api/hyperfleet/v2/x"
    );
    assert_eq!(
        request("method: PUT, url: '/clusters?search=a'").await.path,
        "/api/hyperfleet/v1/clusters"
    );
}

#[tokio::test]
async fn a174_an_absolute_url_of_the_api_gets_no_prefix() {
    let api = FakeApi::start().await;
    let task = format!(
        "post: {{post_actions: [{{name: a, api_call: {{method: PUT, url: '{}/clusters/c1?x=1'}}}}]}}",
        api.url
    );
    execute(&api, &task).await;
    assert_eq!(api.requests()[0].path, "/clusters/c1");
}

#[tokio::test]
async fn a175_another_host_is_asked_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let (api, other) = (FakeApi::start().await, FakeApi::start().await);
    let settings = format!("    auth: {{token_path: '{}'}}\n", token.display());
    let task = format!(
        "post: {{post_actions: [{{name: a, api_call: {{method: PUT, url: '{}/x?y=1'}}}}]}}",
        other.url
    );
    execute_under(&api, &settings, &task).await;
    assert!(api.requests().is_empty());
    let request = &other.requests()[0];
    assert_eq!(request.path, "/x?y=1");
    assert_eq!(request.headers["authorization"], "Bearer secret");
}

#[tokio::test]
async fn a176_the_version_is_v1_unless_set() {
    assert_eq!(
        request("method: PUT, url: x").await.path,
        "/api/hyperfleet/v1/x"
    );
    let api = FakeApi::start().await;
    let task = "post: {post_actions: [{name: a, api_call: {method: PUT, url: x}}]}";
    execute_under(&api, "    version: v9\n", task).await;
    assert_eq!(api.requests()[0].path, "/api/hyperfleet/v9/x");
}

#[tokio::test]
async fn a177_a_payload_is_the_body_to_the_byte() {
    let api = api().await;
    post(&api, "{payloads: [{name: p, build: {b: 1, a: x}}], post_actions: [{name: a, api_call: {method: PUT, url: /x, body: '{{ .p }}'}}]}").await;
    let request = &api.requests_of("PUT")[0];
    assert_eq!(request.body, r#"{"a":"x","b":1}"#);
    assert_eq!(request.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a178_header_values_are_templates_and_names_are_not() {
    let api = FakeApi::start().await;
    let task = |name: &str| {
        format!(
            "post: {{post_actions: [{{name: a, api_call: {{method: PUT, url: /x, headers: [{{name: '{name}', value: 'v-{{{{ .event.id }}}}'}}]}}}}]}}"
        )
    };
    execute(&api, &task("X-Id")).await;
    assert_eq!(api.requests()[0].headers["x-id"], "v-c1");
    let outcome = execute(&api, &task("X-{{ .event.id }}")).await;
    let error = &outcome.errors[&Phase::PostActions];
    assert!(
        error.contains("\"X-{{ .event.id }}\" is not a header name"),
        "{error}"
    );
}

#[tokio::test]
async fn a179_get_and_delete_have_no_body() {
    let delete = request("method: DELETE, url: /x, body: text").await;
    assert_eq!(
        (delete.body.as_str(), delete.headers.get("content-type")),
        ("", None)
    );
    let api = api().await;
    execute(
        &api,
        "post: {post_actions: [{name: a, api_call: {method: GET, url: /clusters/c1, body: text}}]}",
    )
    .await;
    assert_eq!(api.requests()[0].body, "");
}

#[tokio::test]
async fn a180_a_call_can_only_shorten_the_timeout() {
    // The server never answers; how long the adapter waits is what counts.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", silent.local_addr().unwrap());
    for (client, call, longest) in [
        ("200ms", "60s", 5.0),
        ("60s", "200ms", 5.0),
        ("200ms", "abc", 5.0),
    ] {
        let api = FakeApi::start().await;
        let task = format!(
            "post: {{post_actions: [{{name: a, api_call: {{method: GET, url: '{url}', timeout: {call}, retry_attempts: 1}}}}]}}"
        );
        let started = std::time::Instant::now();
        let outcome = execute_under(&api, &format!("    timeout: {client}\n"), &task).await;
        assert!(outcome.is_failed());
        let waited = started.elapsed().as_secs_f64();
        assert!(
            (0.2..longest).contains(&waited),
            "{client} {call}: {waited}"
        );
    }
}

#[tokio::test]
async fn a181_generations_are_numbers_by_expression_only() {
    let built = payload("{text: '{{ .generation }}', number: {expression: generation}}").await;
    assert_eq!(built, json!({"text": "5", "number": 5}));
}

#[tokio::test]
async fn a182_the_default_of_an_expression() {
    let built = payload("{a: {expression: data.nope, default: 7}, b: {expression: 'data.?nope', default: x}, c: {expression: data.nope}, d: {expression: 'data.?nope'}}").await;
    assert_eq!(built, json!({"a": 7, "b": "x", "c": null, "d": null}));
}

#[tokio::test]
async fn a183_field_and_expression_contradict_each_other() {
    let api = api().await;
    let outcome = post(
        &api,
        "{payloads: [{name: p, build: {x: {field: a, expression: '1'}}}], post_actions: [{name: a, api_call: {method: PUT, url: /x}}]}",
    )
    .await;
    assert!(outcome.errors.contains_key(&Phase::PostActions));
    assert!(api.requests_of("PUT").is_empty());
    let error = outcome.metadata.execution_error.unwrap();
    assert_eq!(
        (error.phase.as_str(), error.step.as_str()),
        ("post_actions", "build_payloads")
    );
}

#[tokio::test]
async fn a184_an_empty_expression_is_ordinary_data() {
    let built = payload("{x: {expression: '', other: 1}}").await;
    assert_eq!(built, json!({"x": {"expression": "", "other": 1}}));
}

#[tokio::test]
async fn a185_expressions_inside_lists() {
    let built = payload("{x: [{v: {expression: generation}}, {expression: data.name}]}").await;
    assert_eq!(built, json!({"x": [{"v": 5}, "n"]}));
}

#[tokio::test]
async fn a186_keys_are_templates() {
    assert_eq!(payload("{'{{ .clusterId }}': v}").await, json!({"c1": "v"}));
}

const SKIPPED: &str = "payloads: [{name: p, build: {a: 1}, when: {expression: 'false'}}]";

#[tokio::test]
async fn a187_an_action_without_its_payload_is_skipped() {
    let api = api().await;
    let outcome = post(&api, &format!("{{{SKIPPED}, post_actions: [{{name: a, api_call: {{method: PUT, url: /a, body: '{{{{ .p }}}}'}}}}, {{name: b, api_call: {{method: PUT, url: /b, body: x}}}}]}}")).await;
    assert!(!outcome.is_failed());
    assert_eq!(
        outcome.actions[0].skipped.as_deref(),
        Some("referenced payload 'p' was skipped")
    );
    assert_eq!(outcome.actions[1].skipped, None);
    assert_eq!(api.requests_of("PUT").len(), 1);
}

#[tokio::test]
async fn a188_a_payload_whose_condition_cannot_be_decided() {
    let outcome = post(
        &api().await,
        "{payloads: [{name: p, build: {}, when: {expression: nope}}]}",
    )
    .await;
    let error = &outcome.errors[&Phase::PostActions];
    assert!(
        error.contains("when condition evaluation error for payload 'p'"),
        "{error}"
    );
}

#[tokio::test]
async fn a189_an_action_whose_condition_is_false() {
    let outcome = post(
        &api().await,
        "{post_actions: [{name: a, when: {expression: 'generation == 6'}}]}",
    )
    .await;
    assert_eq!(
        outcome.actions[0].skipped.as_deref(),
        Some("when condition evaluated to false: generation == 6")
    );
}

#[tokio::test]
async fn a190_an_action_whose_condition_cannot_be_decided() {
    let outcome = post(
        &api().await,
        "{post_actions: [{name: a, when: {expression: nope}}]}",
    )
    .await;
    assert!(outcome.errors.contains_key(&Phase::PostActions));
}

const TWO: &str = "{post_actions: [{name: a, api_call: {method: PUT, url: /a, retry_attempts: 2}}, {name: b, api_call: {method: PUT, url: /b}}]}";

#[tokio::test]
async fn a191_nothing_runs_after_a_failed_action() {
    let api = api().await;
    api.answer("PUT", "/a", 500, json!({}));
    let outcome = post(&api, TWO).await;
    assert_eq!(outcome.status(), "failed");
    assert!(
        api.requests_of("PUT")
            .iter()
            .all(|request| request.path.ends_with("/a"))
    );
}

#[tokio::test]
async fn a192_a_missing_resource_ends_the_actions_quietly() {
    let api = api().await;
    api.answer("PUT", "/a", 404, json!({"code": "HYPERFLEET-NTF-001"}));
    let outcome = post(&api, TWO).await;
    assert_eq!(outcome.actions.len(), 1);
    assert_eq!(
        outcome.actions[0].skipped.as_deref(),
        Some("ResourceNotFound")
    );
    assert_eq!(
        (outcome.status(), outcome.metadata.failed),
        ("skipped", false)
    );
}

#[tokio::test]
async fn a193_and_mends_no_earlier_failure() {
    let api = api().await;
    api.answer("PUT", "/a", 404, json!({}));
    let outcome = execute(
        &api,
        &format!("preconditions: [{{name: p, conditions: [{{field: missing, operator: contains, value: x}}]}}]\npost: {TWO}"),
    )
    .await;
    assert_eq!(
        (outcome.status(), outcome.metadata.failed),
        ("failed", true)
    );
}

#[tokio::test]
async fn a194_templates_see_earlier_payloads_and_expressions_do_not() {
    let outcome = post(
        &api().await,
        "{payloads: [{name: payload1, build: {a: 1}}, {name: p, build: {text: '{{ .payload1 }}', cel: {expression: payload1, default: undeclared}}}]}",
    )
    .await;
    let built: Value = serde_json::from_str(outcome.params["p"].as_str().unwrap()).unwrap();
    assert_eq!(built, json!({"text": "{\"a\":1}", "cel": "undeclared"}));
}

#[tokio::test]
async fn a195_keys_are_sorted_and_html_is_escaped() {
    let outcome = post(
        &api().await,
        "{payloads: [{name: p, build: {b: '<&>', a: 1}}]}",
    )
    .await;
    assert_eq!(outcome.params["p"], r#"{"a":1,"b":"\u003c\u0026\u003e"}"#);
}

const APPLIED: &str = "post: {payloads: [{name: p, build: {applied: {expression: 'has(resources.x) ? \"True\" : \"False\"'}, reason: {expression: 'adapter.?errorReason.orValue(\"\")'}}}]}";

#[tokio::test]
async fn a196_nothing_was_applied_when_a_gate_was_not_met() {
    let outcome = execute(
        &api().await,
        &format!("preconditions: [{{name: p, expression: 'false'}}]\n{APPLIED}"),
    )
    .await;
    assert_eq!(outcome.params["p"], r#"{"applied":"False","reason":""}"#);
}

#[tokio::test]
async fn a197_the_reason_of_a_failure() {
    let resources = "resources: [{name: x, discovery: {by_name: x}, manifest: {apiVersion: v1, kind: Namespace, metadata: {name: x}}}]";
    // No cluster is connected, so that the resource fails.
    let outcome = execute(&api().await, &format!("{resources}\n{APPLIED}")).await;
    assert_eq!(
        outcome.params["p"],
        r#"{"applied":"False","reason":"ResourceFailed"}"#
    );
}
