//! Parameters and the calls they make.

use serde_json::{Value, json};

use crate::support::{FakeApi, cluster, execute};
use hyperfleet_adapter::outcome::Phase;

const FETCH: &str = "params: [{name: data, required: true, source: {api_call: {method: GET, url: '/clusters/{{ .event.id }}', retry_attempts: ATTEMPTS}}}]\npost: {post_actions: [{name: report, api_call: {method: PUT, url: /done}}]}\n";

#[tokio::test]
async fn server_errors_are_tried_again_up_to_the_total() {
    for (attempts, expected_requests, success) in [(3, 3, true), (2, 2, false)] {
        // Given an API that fails twice and then answers
        let api = FakeApi::start().await;
        api.answer("GET", "/clusters/c1", 500, json!({}))
            .answer("GET", "/clusters/c1", 503, json!({}))
            .answer("GET", "/clusters/c1", 200, cluster(5));
        // When a call allows that many attempts in total
        let outcome = execute(&api, &FETCH.replace("ATTEMPTS", &attempts.to_string())).await;
        // Then exactly that many are made, and a failure may pass by itself
        assert_eq!(api.requests_of("GET").len(), expected_requests);
        assert_eq!(!outcome.is_failed(), success);
        assert_eq!(outcome.transient, !success);
    }
}

#[tokio::test]
async fn a_client_error_is_final() {
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 400, json!({"detail": "no"}));
    let outcome = execute(&api, &FETCH.replace("ATTEMPTS", "3")).await;
    assert_eq!(api.requests().len(), 1);
    let error = &outcome.errors[&Phase::ParamExtraction];
    assert!(
        error.starts_with(
            "failed to extract required parameter 'data' from source 'api_call': API request failed: GET "
        ),
        "{error}"
    );
    assert!(
        error.contains("returned 400 Bad Request after 1 attempt(s): {\"detail\":\"no\"}"),
        "{error}"
    );
    assert!(!outcome.transient);
}

#[tokio::test]
async fn a_failed_required_parameter_ends_everything() {
    let api = FakeApi::start().await;
    let outcome = execute(
        &api,
        "params: [{name: a, source: event.missing, required: true}]\npost: {post_actions: [{name: report, api_call: {method: PUT, url: /done}}]}\n",
    )
    .await;
    assert_eq!(
        outcome.errors[&Phase::ParamExtraction],
        "failed to extract required parameter 'a' from source 'event.missing': missing is missing"
    );
    assert!(api.requests().is_empty());
    assert_eq!(outcome.status(), "failed");
}

#[tokio::test]
async fn an_answer_that_is_no_object_is_a_failure() {
    for body in [json!([]), json!("text"), json!(5)] {
        let api = FakeApi::start().await;
        api.answer("GET", "/clusters/c1", 200, body);
        let outcome = execute(&api, &FETCH.replace("ATTEMPTS", "1")).await;
        assert!(outcome.errors.contains_key(&Phase::ParamExtraction));
    }
}

#[tokio::test]
async fn parameters_resolve_as_the_contract_says() {
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 200, cluster(5));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, " tok\n").unwrap();
    let token = token.display();
    let task = format!(
        "params:
- {{name: data, source: {{api_call: {{method: GET, url: '/clusters/{{{{ .event.id }}}}'}}}}}}
- {{name: parent, source: event.owner_references.id}}
- {{name: fallback, source: event.missing, default: d, type: int}}
- {{name: absent, source: event.nothing, required: true}}
- {{name: filled, source: event.empty, default: z}}
- {{name: generation, source: data.generation, type: int}}
- {{name: untyped, source: data.generation}}
- {{name: sum, source: {{expression: 'generation + 1'}}}}
- {{name: bad_sum, source: {{expression: 'untyped + 1'}}, default: none}}
- {{name: float_sum, source: {{expression: 'untyped + 1.0'}}}}
- {{name: bare, source: id}}
- {{name: set, source: env.SET}}
- {{name: blank, source: env.BLANK, default: b}}
- {{name: unset, source: env.UNSET}}
- {{name: topic, source: config.clients.broker.topic}}
- {{name: through, source: parent.deeper, default: x}}
- {{name: indexed, source: data.list.0, default: x}}
- {{name: has, source: {{expression: 'has(data.deleted_time)'}}}}
- {{name: nope, source: {{expression: 'data.nope'}}, default: false}}
- {{name: trimmed, source: {{file: {{path: '{token}'}}}}}}
- {{name: raw, source: {{file: {{path: '{token}', trim: no}}}}}}
- {{name: ignored_type, source: {{expression: '\"5\"'}}, type: int}}
- {{name: twice, source: event.id}}
- {{name: twice, source: event.missing}}
- {{name: null_default, source: {{expression: 'data.none'}}, default: n}}
"
    );
    let outcome = execute(&api, &task).await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    let mut found = outcome.params;
    assert!(found.remove("data").is_some());
    let expected = json!({
        "parent": "p1", "fallback": "d", "filled": "z", "generation": 5, "untyped": 5.0, "sum": 6,
        "bad_sum": "none", "float_sum": 6.0, "bare": "c1", "set": "value", "blank": "b",
        "topic": "clusters", "through": "x", "indexed": "x", "has": false, "nope": false,
        "trimmed": "tok", "raw": " tok\n", "ignored_type": "5", "twice": "c1", "null_default": "n"
    });
    assert_eq!(Value::Object(found.into_iter().collect()), expected);
}

#[tokio::test]
async fn an_optional_call_to_nothing_leaves_the_default() {
    let api = FakeApi::start().await;
    let outcome = execute(
        &api,
        "params: [{name: data, default: none, source: {api_call: {method: GET, url: /nowhere}}}]\n",
    )
    .await;
    assert_eq!(outcome.params["data"], "none");
    assert!(!outcome.is_failed());
}

#[tokio::test]
async fn requests_carry_what_was_configured() {
    let api = FakeApi::start().await;
    let outcome = execute(
        &api,
        "post: {post_actions: [{name: a, api_call: {method: POST, url: '/x?dropped=1', body: '{\"id\": \"{{ .event.id }}\"}', headers: [{name: X-Id, value: 'v-{{ .event.id }}'}]}}, {name: b, api_call: {method: DELETE, url: /y, body: unsent}}]}\n",
    )
    .await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    let requests = api.requests();
    let (post, delete) = (&requests[0], &requests[1]);
    assert_eq!(post.path, "/api/hyperfleet/v1/x");
    assert_eq!(post.json(), json!({"id": "c1"}));
    assert_eq!(post.headers["content-type"], "application/json");
    assert_eq!(post.headers["x-id"], "v-c1");
    assert!(
        post.headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("hyperfleet-adapter/")
    );
    assert_eq!(delete.body, "");
}
