//! Payloads and actions.

use serde_json::json;

use crate::support::{FakeApi, execute};
use hyperfleet_adapter::outcome::Phase;

#[tokio::test]
async fn a_status_report_is_built_to_the_byte() {
    let api = FakeApi::start().await;
    let outcome = execute(
        &api,
        r#"
params:
- {name: generation, source: event.generation, type: int}
- {name: clusterId, source: event.id}
post:
  payloads:
  - name: status
    build:
      adapter: "{{ .adapter.name }}"
      observed_generation: {expression: generation}
      untyped: {expression: event.generation}
      as_text: "{{ .generation }}"
      conditions:
      - type: Available
        status: {expression: 'resources.?x.hasValue() ? "True" : "False"'}
        message: "a <b> & c"
      missing: {expression: 'event.nope'}
      defaulted: {expression: 'event.nope', default: 7}
      none: {expression: 'event.?nope', default: d}
      no_value: {expression: 'event.nothing', default: unused}
      by_path: {field: event.owner_references.id}
      by_path_default: {field: event.nope, default: x}
      "{{ .clusterId }}": keyed
      empty_expression: {expression: "", other: 1}
      literal: [1, 2.0, true, null, text]
  post_actions:
  - {name: report, api_call: {method: PUT, url: "/clusters/{{ .clusterId }}/statuses", body: "{{ .status }}"}}
"#,
    )
    .await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    let request = &api.requests()[0];
    assert_eq!(request.path, "/api/hyperfleet/v1/clusters/c1/statuses");
    assert_eq!(
        request.body,
        r#"{"adapter":"widget","as_text":"5","by_path":"p1","by_path_default":"x","c1":"keyed","conditions":[{"message":"a \u003cb\u003e \u0026 c","status":"False","type":"Available"}],"defaulted":7,"empty_expression":{"expression":"","other":1},"literal":[1,2,true,null,"text"],"missing":null,"no_value":null,"none":"d","observed_generation":5,"untyped":5}"#
    );
}

#[tokio::test]
async fn payloads_see_what_was_before_the_first() {
    let api = FakeApi::start().await;
    let outcome = execute(
        &api,
        "post: {payloads: [{name: one, build: {a: 1}}, {name: two, build: {text: '{{ .one }}', cel: {expression: one, default: unseen}}}], post_actions: [{name: a, when: {expression: 'one == \"{\\\"a\\\":1}\"'}, api_call: {method: PUT, url: /x, body: '{{ .two }}'}}]}\n",
    )
    .await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    assert_eq!(
        api.reports()[0],
        json!({"text": "{\"a\":1}", "cel": "unseen"})
    );
}

#[tokio::test]
async fn a_skipped_payload_skips_the_actions_that_send_it() {
    let api = FakeApi::start().await;
    let outcome = execute(
        &api,
        "post: {payloads: [{name: p, build: {}, when: {expression: 'false'}}], post_actions: [
            {name: refers, api_call: {method: PUT, url: /a, body: '{{ .p }}'}},
            {name: function, api_call: {method: PUT, url: /b, body: '{{ lower \"X\" }}'}},
            {name: plain, api_call: {method: PUT, url: /c, body: '{}'}},
            {name: gated, when: {expression: '1 == 2'}, api_call: {method: PUT, url: /d}}]}\n",
    )
    .await;
    let skipped: Vec<Option<&str>> = outcome
        .actions
        .iter()
        .map(|action| action.skipped.as_deref())
        .collect();
    assert_eq!(
        skipped,
        [
            Some("referenced payload 'p' was skipped"),
            Some("referenced payload 'p' was skipped"),
            None,
            Some("when condition evaluated to false: 1 == 2"),
        ]
    );
    assert_eq!(api.requests().len(), 1);
    assert_eq!(outcome.status(), "success");
}

#[tokio::test]
async fn failures_of_the_post_phase_name_their_step() {
    let cases = [
        (
            "payloads: [{name: p, build: {x: {field: a, expression: b}}}]",
            "build_payloads",
        ),
        (
            "payloads: [{name: p, build: {x: '{{ .event.nope }}'}}]",
            "build_payloads",
        ),
        (
            "payloads: [{name: p, build: {}, when: {expression: nope}}]",
            "build_payloads",
        ),
        ("payloads: []", "act"),
    ];
    for (payloads, step) in cases {
        let api = FakeApi::start().await;
        let outcome = execute(
            &api,
            &format!("post: {{{payloads}, post_actions: [{{name: act, when: {{expression: nope}}, api_call: {{method: PUT, url: /x}}}}]}}\n"),
        )
        .await;
        assert!(
            outcome.errors.contains_key(&Phase::PostActions),
            "{payloads}"
        );
        assert_eq!(outcome.metadata.execution_error.unwrap().step, step);
        assert!(api.requests().is_empty());
    }
}

#[tokio::test]
async fn an_action_that_fails_ends_the_list() {
    let actions = "post: {post_actions: [{name: a, api_call: {method: PUT, url: /a, retry_attempts: 1}}, {name: b, api_call: {method: PUT, url: /b}}]}\n";
    let api = FakeApi::start().await;
    api.answer("PUT", "/a", 500, json!({}));
    let outcome = execute(&api, actions).await;
    assert!(outcome.is_failed() && outcome.transient);
    assert_eq!(api.requests().len(), 1);

    let api = FakeApi::start().await;
    api.answer("PUT", "/a", 404, json!({}));
    let outcome = execute(&api, actions).await;
    assert_eq!(outcome.status(), "skipped");
    assert_eq!(
        outcome.actions[0].skipped.as_deref(),
        Some("ResourceNotFound")
    );
    assert_eq!(api.requests().len(), 1);
}
