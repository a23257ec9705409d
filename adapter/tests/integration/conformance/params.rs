//! Cases 55 to 81: parameters.

use hyperfleet_adapter::outcome::{Outcome, Phase};
use serde_json::{Value, json};

use super::{api, param, with_params};
use crate::support::{FakeApi, execute};

const REPORT: &str =
    "post: {post_actions: [{name: report, api_call: {method: PUT, url: /report}}]}";

#[track_caller]
fn phase_error(outcome: &Outcome) -> &str {
    assert_eq!(outcome.status(), "failed");
    &outcome.errors[&Phase::ParamExtraction]
}

/// The value of a parameter `a` of this definition.
async fn value(definition: &str) -> Option<Value> {
    param(
        &with_params(&format!("{{name: a, {definition}}}")).await,
        "a",
    )
}

/// The error of a required parameter of this definition.
async fn error(definition: &str) -> String {
    let outcome = with_params(&format!("{{name: a, required: true, {definition}}}")).await;
    phase_error(&outcome).to_owned()
}

#[tokio::test]
async fn a055_the_owner_of_a_nested_resource() {
    assert_eq!(
        value("source: event.owner_references.id").await,
        Some(json!("p1"))
    );
}

#[tokio::test]
async fn a056_a_default_is_not_converted() {
    assert_eq!(
        value("source: event.missing, default: d, type: int").await,
        Some(json!("d"))
    );
}

#[tokio::test]
async fn a057_a_missing_required_param_ends_everything() {
    let api = FakeApi::start().await;
    let task = format!(
        "params: [{{name: a, source: event.missing, required: true}}, {{name: b, source: {{api_call: {{method: GET, url: /x}}}}}}]\n{REPORT}"
    );
    let outcome = execute(&api, &task).await;
    let error = phase_error(&outcome);
    assert!(
        error.starts_with("failed to extract required parameter 'a' from source 'event.missing'"),
        "{error}"
    );
    assert!(api.requests().is_empty());
    assert!(!outcome.transient, "the event is acknowledged");
    assert_eq!(outcome.metadata.error_reason, "ParameterExtractionFailed");
}

#[tokio::test]
async fn a058_null_is_no_failure_of_a_required_param() {
    assert_eq!(value("source: event.nothing, required: true").await, None);
}

#[tokio::test]
async fn a059_an_empty_text_takes_the_default() {
    assert_eq!(
        value("source: event.empty, default: z").await,
        Some(json!("z"))
    );
}

#[tokio::test]
async fn a060_an_integer_out_of_an_answer() {
    let found = value("source: data.generation, type: int").await.unwrap();
    assert!(found.is_i64(), "{found}");
    assert_eq!(found.to_string(), "5");
}

#[tokio::test]
async fn a061_an_unconverted_number_is_a_double() {
    let outcome = with_params(
        "{name: generation, source: data.generation}, {name: int_sum, source: {expression: 'generation + 1'}}, {name: sum, source: {expression: 'generation + 1.0'}}, {name: text, source: {expression: 'toJson(generation)'}}",
    )
    .await;
    assert_eq!(param(&outcome, "int_sum"), None, "no overload");
    assert_eq!(param(&outcome, "sum"), Some(json!(6.0)));
    assert_eq!(param(&outcome, "text"), Some(json!("5")));
    assert!(outcome.params["generation"].is_f64());
}

#[tokio::test]
async fn a062_texts_become_integers() {
    let text = |rest: &str| format!("source: b, type: int{rest}");
    let with = |b: &str, rest: &str| {
        format!(
            "{{name: b, source: {{expression: '\"{b}\"'}}}}, {{name: a, {}}}",
            text(rest)
        )
    };
    let outcome = with_params(&with("3.9", "")).await;
    assert_eq!(param(&outcome, "a"), Some(json!(3)));
    let outcome = with_params(&with("abc", ", default: 7")).await;
    assert_eq!(param(&outcome, "a"), Some(json!(7)));
    let outcome = with_params(&with("abc", ", required: true")).await;
    let error = phase_error(&outcome);
    assert!(
        error.starts_with("failed to convert parameter 'a' to type 'int'"),
        "{error}"
    );
}

#[tokio::test]
async fn a063_texts_become_booleans() {
    let convert = |text: &'static str| async move {
        let outcome = with_params(&format!(
            "{{name: b, source: {{expression: '\"{text}\"'}}}}, {{name: a, source: b, type: bool, default: bad}}"
        ))
        .await;
        param(&outcome, "a").unwrap()
    };
    assert_eq!(convert("Yes").await, json!(true));
    assert_eq!(convert("tRUE").await, json!("bad"));
    // The default stands in for an empty text, so that it is converted here without one.
    let outcome = with_params("{name: a, source: event.empty, type: bool}").await;
    assert_eq!(param(&outcome, "a"), Some(json!(false)));
}

#[tokio::test]
async fn a064_a_million_as_text_has_no_exponent() {
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 200, json!({"n": 1_000_000}));
    let task = format!(
        "params: [{}, {{name: a, source: data.n, type: string}}]",
        super::DATA
    );
    let outcome = execute(&api, &task).await;
    assert_eq!(param(&outcome, "a"), Some(json!("1000000")));
}

#[tokio::test]
async fn a065_an_unknown_type() {
    assert_eq!(
        value("source: event.id, type: integer, default: d").await,
        Some(json!("d"))
    );
    let error = error("source: event.id, type: integer").await;
    assert!(
        error.contains("failed to convert parameter 'a' to type 'integer'"),
        "{error}"
    );
}

#[tokio::test]
async fn a066_the_type_of_an_expression_is_ignored() {
    assert_eq!(
        value("source: {expression: '\"5\"'}, type: int").await,
        Some(json!("5"))
    );
}

#[tokio::test]
async fn a067_a_path_through_a_text() {
    let outcome =
        with_params("{name: text, source: event.id}, {name: a, source: text.x, required: true}")
            .await;
    assert!(phase_error(&outcome).contains("is not a map"));
}

#[tokio::test]
async fn a068_a_path_has_no_indexes() {
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 200, json!({"items": [1]}));
    let task = format!(
        "params: [{}, {{name: a, source: data.items.0, required: true}}]",
        super::DATA
    );
    assert!(phase_error(&execute(&api, &task).await).contains("is not a map"));
}

#[tokio::test]
async fn a069_a_bare_word_is_a_path_into_the_event() {
    assert_eq!(value("source: id").await, Some(json!("c1")));
}

#[tokio::test]
async fn a070_an_answer_must_be_an_object() {
    for body in [json!([]), json!(""), json!("text"), json!(5)] {
        let api = FakeApi::start().await;
        api.answer("GET", "/x", 200, body);
        let task =
            "params: [{name: a, required: true, source: {api_call: {method: GET, url: /x}}}]";
        assert!(phase_error(&execute(&api, task).await).contains("not a JSON object"));
    }
}

#[tokio::test]
async fn a071_a_missing_resource() {
    let api = FakeApi::start().await;
    let call = |required: bool| {
        format!(
            "params: [{{name: a, required: {required}, source: {{api_call: {{method: GET, url: /gone}}}}}}]\n{REPORT}"
        )
    };
    let outcome = execute(&api, &call(true)).await;
    assert!(phase_error(&outcome).contains("returned 404"));
    assert!(api.requests_of("PUT").is_empty());
    let outcome = execute(&api, &call(false)).await;
    assert_eq!(
        (outcome.status(), outcome.params.get("a")),
        ("success", None)
    );
    assert_eq!(api.requests_of("PUT").len(), 1);
}

async fn requests_of_attempts(attempts: u32, method: &str, answers: &[u16]) -> (usize, bool) {
    let api = FakeApi::start().await;
    for status in answers {
        api.answer(method, "/x", *status, json!({}));
    }
    let task = format!(
        "params: [{{name: a, required: true, source: {{api_call: {{method: {method}, url: /x, retry_attempts: {attempts}}}}}}}]"
    );
    let outcome = execute(&api, &task).await;
    (api.requests().len(), !outcome.is_failed())
}

#[tokio::test]
async fn a072_attempts_are_counted_in_total() {
    assert_eq!(
        requests_of_attempts(3, "GET", &[500, 500, 200]).await,
        (3, true)
    );
    assert_eq!(
        requests_of_attempts(2, "GET", &[500, 500, 200]).await,
        (2, false)
    );
}

#[tokio::test]
async fn a073_every_method_is_tried_again() {
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(
            requests_of_attempts(3, method, &[503, 200]).await,
            (2, true),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a074_a_refusal_is_final() {
    assert_eq!(requests_of_attempts(3, "GET", &[400]).await, (1, false));
}

#[tokio::test]
async fn a075_false_is_a_value() {
    assert_eq!(
        value("source: {expression: has(data.deleted_time)}").await,
        Some(json!(false))
    );
}

#[tokio::test]
async fn a076_a_missing_key_takes_the_default() {
    assert_eq!(
        value("source: {expression: data.nope}, default: false").await,
        Some(json!(false))
    );
}

#[tokio::test]
async fn a077_an_undeclared_variable_of_a_required_param() {
    let error = error("source: {expression: undefinedVar}").await;
    assert!(error.contains("undefinedVar"), "{error}");
}

#[tokio::test]
async fn a078_files_are_read_for_every_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let shown = path.display();
    let read = |rest: &str| {
        format!("{{name: a, source: {{file: {{path: '{shown}'{rest}}}}}, default: bad}}")
    };
    std::fs::write(&path, "tok\n").unwrap();
    assert_eq!(
        param(&with_params(&read("")).await, "a"),
        Some(json!("tok"))
    );
    assert_eq!(
        param(&with_params(&read(", trim: false")).await, "a"),
        Some(json!("tok\n"))
    );
    std::fs::write(&path, "new").unwrap();
    assert_eq!(
        param(&with_params(&read("")).await, "a"),
        Some(json!("new"))
    );
    std::fs::write(&path, "x".repeat(1024 * 1024)).unwrap();
    assert_ne!(
        param(&with_params(&read("")).await, "a"),
        Some(json!("bad"))
    );
    std::fs::write(&path, "x".repeat(1024 * 1024 + 1)).unwrap();
    assert_eq!(
        param(&with_params(&read("")).await, "a"),
        Some(json!("bad"))
    );
}

#[tokio::test]
async fn a079_an_earlier_value_of_the_name_stays() {
    let outcome =
        with_params("{name: a, source: event.id}, {name: a, source: event.missing}").await;
    assert_eq!(param(&outcome, "a"), Some(json!("c1")));
}

#[tokio::test]
async fn a080_the_merged_configuration() {
    assert_eq!(
        value("source: config.clients.broker.topic").await,
        Some(json!("clusters"))
    );
    assert_eq!(
        value("source: config.adapter.name").await,
        Some(json!("widget"))
    );
    assert_eq!(value("source: config.debug_config").await, None);
    assert!(
        error("source: config.debug_config")
            .await
            .contains("debug_config is missing")
    );
}

#[tokio::test]
async fn a081_a_param_named_adapter_is_for_templates_only() {
    let api = api().await;
    let outcome = execute(
        &api,
        "params: [{name: adapter, source: event.id}]\npost: {payloads: [{name: p, build: {text: '{{ .adapter }}', cel: {expression: adapter.executionStatus}}}]}",
    )
    .await;
    assert_eq!(
        param(&outcome, "p"),
        Some(json!(r#"{"cel":"success","text":"c1"}"#))
    );
}
