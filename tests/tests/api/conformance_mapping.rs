//! Conditions that rules in CEL give (registry B, one Gadget).

use hyperfleet_domain::mapping::ConditionRule;
use hyperfleet_domain::registry::{EntityDescriptor, Registry};
use hyperfleet_projections::replay::verify;
use hyperfleet_tests::app::{Answer, Report, TestApp};
use prometheus::{Encoder as _, TextEncoder};
use serde_json::{Value, json};

use hyperfleet_tests::registries::registry_b;

/// One rule as it stands in a configuration file.
fn rule(r#type: &str, when: &str, status: &str, message: &str) -> ConditionRule {
    let expression = |text: &str| json!({"expression": text});
    let entry = json!({
        "type": r#type,
        "when": expression(when),
        "output": {
            "status": expression(status),
            "reason": expression("'FromNet'"),
            "message": expression(message),
        },
    });
    serde_json::from_value(entry).expect("a rule")
}

fn net_ready() -> ConditionRule {
    rule(
        "NetReady",
        "statuses.exists(s, s.adapter == 'net')",
        "statuses.filter(s, s.adapter == 'net')[0].conditions.filter(c, c.type == 'Ready')[0].status",
        "'of ' + resource.name",
    )
}

/// Registry B, with these rules for gadgets.
fn kinds_with(rules: &[ConditionRule]) -> Vec<EntityDescriptor> {
    let mut kinds: Vec<EntityDescriptor> = registry_b().iter().cloned().collect();
    for entry in &mut kinds {
        if entry.kind == "Gadget" {
            entry.condition_rules = rules.to_vec();
        }
    }
    kinds
}

async fn app_with_gadget(rules: Vec<ConditionRule>) -> (TestApp, String) {
    let registry = Registry::new(kinds_with(&rules)).expect("rules that compile");
    let app = TestApp::with(registry).await;
    let id = app.create("gadgets", "Gadget", "g1").await;
    (app, format!("gadgets/{id}"))
}

/// A report of `net` with a condition `Ready`, observed so many seconds ago.
fn net(app: &TestApp, ready: &str, seconds: i64) -> Value {
    let time = app.seconds_ago(seconds);
    let mut document = Report::new("net", 1, "True").at(time).document();
    let conditions = document["conditions"].as_array_mut().expect("conditions");
    conditions.push(json!({"type": "Ready", "status": ready}));
    document
}

fn types(gadget: &Answer) -> Vec<&str> {
    let conditions = gadget.body["status"]["conditions"].as_array();
    let types = conditions.into_iter().flatten();
    types
        .filter_map(|condition| condition["type"].as_str())
        .collect()
}

fn scraped(app: &TestApp) -> String {
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&app.metrics.gather(), &mut text)
        .expect("metrics");
    String::from_utf8(text).expect("text")
}

#[tokio::test]
async fn case_210_a_rule_gives_a_condition_after_the_report() {
    let (app, path) = app_with_gadget(vec![net_ready()]).await;
    let before = app.get(&path).await.expect(200);
    assert_eq!(before.condition("NetReady"), &Value::Null);
    let alpha = Report::new("alpha", 1, "True").at(app.seconds_ago(40));
    app.report(&path, &alpha).await.expect(201);
    let report = net(&app, "True", 30);
    let statuses = format!("{path}/statuses");
    app.put(&statuses, &report).await.expect(201);
    let after = app.get(&path).await.expect(200);
    assert_eq!(
        types(&after),
        [
            "Reconciled",
            "LastKnownReconciled",
            "AlphaSuccessful",
            "NetReady"
        ]
    );
    let updated = &after.body["updated_time"];
    let expected = json!({
        "type": "NetReady", "status": "True", "reason": "FromNet", "message": "of g1", "observed_generation": 1,
        "created_time": updated, "last_updated_time": updated, "last_transition_time": updated,
    });
    assert_eq!(after.condition("NetReady"), &expected);
}

#[tokio::test]
async fn case_211_a_failing_rule_marks_its_condition_and_the_report_is_stored() {
    let (app, path) = app_with_gadget(vec![net_ready()]).await;
    let statuses = format!("{path}/statuses");
    let without_ready = Report::new("net", 1, "True").at(app.seconds_ago(30));
    let stored = app.report(&path, &without_ready).await.expect(201);
    assert_eq!(stored.body["adapter"], "net");
    let listed = app.get(&statuses).await.expect(200);
    assert_eq!(listed.body["items"][0]["adapter"], "net");
    let gadget = app.get(&path).await.expect(200);
    let failed = gadget.condition("NetReady");
    assert_eq!(failed["status"], "False");
    assert_eq!(failed["reason"], "MappingFailed");
    assert_eq!(failed["message"], "status: index out of bounds: 0");
    assert_eq!(gadget.condition("Reconciled")["status"], "False");
    let counted =
        "hyperfleet_api_condition_mapping_failures_total{kind=\"Gadget\",type=\"NetReady\"} 1";
    assert!(scraped(&app).contains(counted), "{}", scraped(&app));
    // Saying so again is neither evaluated nor counted; a complete report heals the condition.
    let again = Report::new("net", 1, "True").at(app.seconds_ago(20));
    app.report(&path, &again).await.expect(201);
    assert!(scraped(&app).contains(counted), "{}", scraped(&app));
    let report = net(&app, "True", 10);
    app.put(&statuses, &report).await.expect(201);
    let gadget = app.get(&path).await.expect(200);
    assert_eq!(gadget.condition("NetReady")["status"], "True");
    assert_eq!(gadget.condition("NetReady")["reason"], "FromNet");
}

#[tokio::test]
async fn case_211_creating_changing_and_deleting_survive_a_failing_rule() {
    let broken = rule("Broken", "true", "statuses[9].adapter", "''");
    let (app, path) = app_with_gadget(vec![broken]).await;
    let patched = app.patch(&path, &json!({"spec": {"a": 1}})).await;
    let condition = patched.expect(200).condition("Broken").clone();
    assert_eq!(condition["reason"], "MappingFailed");
    assert_eq!(condition["observed_generation"], 2);
    app.delete(&path).await.expect(202);
    for adapter in ["alpha", "beta-two"] {
        let done = Report::new(adapter, 3, "True").finalized("True");
        app.report(&path, &done).await.expect(201);
    }
    app.get(&path).await.expect(404);
}

#[tokio::test]
async fn case_212_an_adapter_with_an_unknown_condition_is_left_out() {
    let (app, path) = app_with_gadget(vec![net_ready()]).await;
    let statuses = format!("{path}/statuses");
    let report = net(&app, "Unknown", 30);
    app.put(&statuses, &report).await.expect(201);
    let gadget = app.get(&path).await.expect(200);
    assert_eq!(gadget.condition("NetReady"), &Value::Null);
}

#[tokio::test]
async fn case_213_secrets_are_masked() {
    let exposing = rule(
        "Exposing",
        "statuses.size() > 0",
        "true",
        "statuses[0].data.adminPassword",
    );
    let everything = rule(
        "Everything",
        "statuses.size() > 0",
        "true",
        "toJson(statuses) + toJson(resource)",
    );
    let (app, path) = app_with_gadget(vec![exposing, everything]).await;
    let mut report = net(&app, "True", 30);
    report["data"] = json!({"adminPassword": "hunter2", "nested": [{"clientSecret": "hunter2"}]});
    app.put(&format!("{path}/statuses"), &report)
        .await
        .expect(201);
    let gadget = app.get(&path).await.expect(200);
    assert_eq!(
        gadget.condition("Exposing")["message"],
        "***REDACTED***",
        "{}",
        gadget.text
    );
    assert!(!gadget.text.contains("hunter2"), "{}", gadget.text);
}

#[tokio::test]
async fn case_214_rules_that_cannot_work_stop_the_start() {
    let refused = |rules: Vec<ConditionRule>| {
        let error = Registry::new(kinds_with(&rules)).expect_err("a rule that cannot work");
        error.to_string()
    };
    let typed = |name: &str| rule(name, "true", "true", "''");
    let reserved = refused(vec![typed("Reconciled")]);
    assert!(
        reserved.contains("'Reconciled', which is reserved"),
        "{reserved}"
    );
    let reserved = refused(vec![typed("AlphaSuccessful")]);
    assert!(
        reserved.contains("reserved for the adapter 'alpha'"),
        "{reserved}"
    );
    // Reserved by an adapter of clusters.
    let reserved = refused(vec![typed("HypershiftSuccessful")]);
    assert!(reserved.contains("reserved for the adapter"), "{reserved}");
    let repeated = refused(vec![typed("NetReady"), typed("NetReady")]);
    assert!(
        repeated.contains("repeats the type 'NetReady'"),
        "{repeated}"
    );
    let broken = refused(vec![rule("NetReady", "statuses.", "true", "''")]);
    assert!(
        broken.contains("kind 'Gadget', type 'NetReady': when: ERROR"),
        "{broken}"
    );
}

#[tokio::test]
async fn mapped_conditions_replay_from_the_log() {
    let (app, path) = app_with_gadget(vec![net_ready()]).await;
    let report = net(&app, "True", 30);
    app.put(&format!("{path}/statuses"), &report)
        .await
        .expect(201);
    let verified = verify(app.pool()).await.expect("verified");
    assert!(verified.is_equal());
}

/// The configurations in the guide, in their order.
fn examples() -> Vec<Vec<EntityDescriptor>> {
    #[derive(serde::Deserialize)]
    struct File {
        entities: Vec<EntityDescriptor>,
    }
    let guide = include_str!("../../../docs/condition-mapping.md");
    let blocks = guide.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    blocks
        .map(|block| serde_saphyr::from_str::<File>(block).expect(block).entities)
        .collect()
}

#[tokio::test]
async fn the_examples_of_the_guide_do_what_it_says() {
    let examples = examples();
    let mut kinds = examples[0].clone();
    for example in &examples[1..] {
        kinds[0]
            .condition_rules
            .extend(example[0].condition_rules.clone());
    }
    let app = TestApp::with(Registry::new(kinds).expect("rules that compile")).await;
    let document = json!({"kind": "Gadget", "name": "g", "spec": {"replicas": 3}});
    let path = format!(
        "gadgets/{}",
        app.post("gadgets", &document).await.expect(201).id()
    );
    for (adapter, data) in [
        ("dns", json!({})),
        ("nodes", json!({"ready": 2})),
        ("network", json!({})),
    ] {
        let mut report = Report::new(adapter, 1, "True").document();
        report["data"] = data;
        report["conditions"][2]["status"] =
            json!(if adapter == "nodes" { "False" } else { "True" });
        app.put(&format!("{path}/statuses"), &report)
            .await
            .expect(201);
    }
    let gadget = app.get(&path).await.expect(200);
    for (name, status, reason, message) in [
        ("NetworkReady", "False", "AsReported", "generation 1"),
        (
            "EndpointPublished",
            "False",
            "NoEndpointYet",
            "the dns adapter reported no endpoint",
        ),
        (
            "Degraded",
            "True",
            "AdapterUnhealthy",
            "unhealthy: [\"nodes\"]",
        ),
        ("Scaled", "False", "Scaling", "2 of 3 ready"),
    ] {
        let condition = gadget.condition(name);
        assert_eq!(condition["status"], status, "{condition}");
        assert_eq!(condition["reason"], reason, "{condition}");
        assert_eq!(condition["message"], message, "{condition}");
    }
}
