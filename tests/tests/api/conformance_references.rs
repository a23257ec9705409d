//! References between resources.

use hyperfleet_tests::app::TestApp;
use hyperfleet_tests::registries::registry_b;
use serde_json::{Value, json};

/// The API with a `WifConfig` and two channels; their ids.
async fn app_with_targets() -> (TestApp, String, [String; 2]) {
    let app = TestApp::with(registry_b()).await;
    let wif = app.create("wifconfigs", "WifConfig", "w").await;
    let channels = [
        app.create("channels", "Channel", "one").await,
        app.create("channels", "Channel", "two").await,
    ];
    (app, wif, channels)
}

fn wif(id: &str) -> Value {
    json!({"id": id, "kind": "WifConfig"})
}

fn channel(id: &str) -> Value {
    json!({"id": id, "kind": "Channel"})
}

fn plain(name: &str, references: &Value) -> Value {
    json!({"kind": "Plain", "name": name, "spec": {}, "references": references})
}

async fn create(app: &TestApp, name: &str, references: &Value) -> String {
    let answer = app.post("plains", &plain(name, references)).await;
    answer.expect(201).id()
}

#[tokio::test]
async fn case_154_to_159_what_is_accepted_and_what_is_not() {
    let (app, w, [c, _]) = app_with_targets().await;
    let v = app.create("wifconfigs", "WifConfig", "v").await;
    let missing = "required reference type \"wif_config\" missing for Plain (min 1)";
    let is_wif = "reference type \"wif_config\"";
    for (references, detail) in [
        (Value::Null, missing.to_owned()),
        (json!({}), missing.to_owned()),
        (json!({"wif_config": []}), missing.to_owned()),
        (
            json!({"wif_config": [wif(&w)], "foo": []}),
            "unknown reference type \"foo\" for Plain".to_owned(),
        ),
        (
            json!({"wif_config": [wif(&w), wif(&v)]}),
            format!("{is_wif} for Plain exceeds max count 1 (got 2)"),
        ),
        (
            json!({"wif_config": [wif(&w)], "chans": [channel(&c), channel(&c)]}),
            format!("reference type \"chans\": duplicate target id \"{c}\""),
        ),
        (
            json!({"wif_config": [{"kind": "WifConfig"}]}),
            format!("{is_wif}: id is required"),
        ),
        (
            json!({"wif_config": [channel(&c)]}),
            format!("{is_wif}: kind \"Channel\" does not match expected target kind \"WifConfig\""),
        ),
        (
            json!({"wif_config": [wif("x")]}),
            format!("{is_wif}: target WifConfig \"x\" not found"),
        ),
        (
            json!({"wif_config": [wif(&c)]}),
            format!("{is_wif}: target WifConfig \"{c}\" not found"),
        ),
    ] {
        app.post("plains", &plain("p", &references))
            .await
            .expect_problem(400, "VAL-000", &detail);
    }
    assert_eq!(app.get("plains").await.expect(200).body["total"], 0);
    let sent = json!({"wif_config": [{"id": w, "kind": "WifConfig", "href": "ignored"}]});
    let created = app.post("plains", &plain("p", &sent)).await.expect(201);
    let stored = json!({"wif_config": [{
        "id": w, "kind": "WifConfig", "href": format!("/api/hyperfleet/v1/wifconfigs/{w}"),
    }]});
    assert_eq!(created.body["references"], stored);
    let read = app.get(&format!("plains/{}", created.id())).await;
    assert_eq!(read.expect(200).body, created.body);
}

#[tokio::test]
async fn case_160_a_target_that_is_being_deleted() {
    let mut kinds: Vec<_> = registry_b().iter().cloned().collect();
    for kind in kinds.iter_mut().filter(|kind| kind.kind == "WifConfig") {
        kind.required_adapters = vec!["alpha".to_owned()];
    }
    let registry = hyperfleet_domain::Registry::new(kinds).expect("consistent");
    let app = TestApp::with(registry).await;
    let w = app.create("wifconfigs", "WifConfig", "w").await;
    app.delete(&format!("wifconfigs/{w}")).await.expect(202);
    let references = json!({"wif_config": [wif(&w)]});
    let detail =
        format!("reference type \"wif_config\": target WifConfig \"{w}\" is marked for deletion");
    app.post("plains", &plain("p", &references))
        .await
        .expect_problem(400, "VAL-000", &detail);
}

#[tokio::test]
async fn case_161_to_163_patches_of_references() {
    let (app, w, [c, d]) = app_with_targets().await;
    let all = json!({"wif_config": [wif(&w)], "chans": [channel(&c), channel(&d)]});
    let path = format!("plains/{}", create(&app, "p", &all).await);
    let before = app.get(&path).await.expect(200);
    let same = app.patch(&path, &json!({"references": all})).await;
    let same = same.expect(200);
    assert_eq!(same.body["generation"], 2);
    assert_eq!(same.body["references"], before.body["references"]);
    for references in [json!({}), json!({"chans": [channel(&c)]})] {
        let answer = app.patch(&path, &json!({"references": references})).await;
        answer.expect_problem(
            400,
            "VAL-000",
            "required reference type \"wif_config\" missing for Plain (min 1)",
        );
    }
    let only = json!({"references": {"wif_config": [wif(&w)]}});
    let less = app.patch(&path, &only).await.expect(200);
    assert_eq!(less.body["generation"], 3);
    assert!(less.body["references"].get("chans").is_none());
    let spec = app.patch(&path, &json!({"spec": {"a": 1}})).await;
    assert_eq!(spec.expect(200).body["references"], less.body["references"]);
    app.delete(&format!("channels/{c}")).await.expect(202);
}

#[tokio::test]
async fn case_164_and_165_a_referenced_resource_is_kept() {
    let (app, w, [c, _]) = app_with_targets().await;
    let references = json!({"wif_config": [wif(&w)], "chans": [channel(&c)]});
    let one = create(&app, "one", &references).await;
    let two = create(&app, "two", &json!({"wif_config": [wif(&w)]})).await;
    let path = format!("wifconfigs/{w}");
    let refused = |sources: &str| {
        format!(
            "cannot delete WifConfig \"w\": referenced by {sources} — remove the reference(s) \
             before deleting"
        )
    };
    for path in [&path, &format!("resources/{w}")] {
        let both = refused("Plain \"one\", Plain \"two\"");
        app.delete(path).await.expect_problem(409, "CNF-003", &both);
    }
    assert_eq!(app.get(&path).await.expect(200).body["generation"], 1);
    app.delete(&format!("plains/{one}")).await.expect(202);
    let last = refused("Plain \"two\"");
    app.delete(&path)
        .await
        .expect_problem(409, "CNF-003", &last);
    app.delete(&format!("channels/{c}")).await.expect(202);
    app.delete(&format!("plains/{two}")).await.expect(202);
    app.delete(&path).await.expect(202);
    app.get(&path).await.expect(404);
}

#[tokio::test]
async fn the_history_of_a_target_tells_who_refers_to_it() {
    let (app, w, _) = app_with_targets().await;
    let id = create(&app, "p", &json!({"wif_config": [wif(&w)]})).await;
    app.delete(&format!("plains/{id}")).await.expect(202);
    let history = app.get(&format!("wifconfigs/{w}/history")).await;
    let history = history.expect(200);
    let [_, attached, detached] = history.items() else {
        panic!("{}", history.text)
    };
    assert_eq!(attached["type"], "hyperfleet.resource.reference_attached");
    assert_eq!(attached["cause"], "CreateResource");
    assert_eq!(
        attached["changes"],
        json!([{
            "path": format!("/referenced_by/wif_config/{id}"),
            "to": {"kind": "Plain", "name": "p"},
        }])
    );
    assert_eq!(detached["type"], "hyperfleet.resource.reference_detached");
    assert_eq!(detached["cause"], "DeleteResource");
    let report = hyperfleet_projections::replay::verify(app.pool()).await;
    assert!(report.expect("readable").is_equal());
}

#[tokio::test]
async fn a_soft_deletion_gives_up_references_and_force_takes_those_of_others() {
    let mut kinds: Vec<_> = registry_b().iter().cloned().collect();
    for kind in &mut kinds {
        match kind.kind.as_str() {
            "Plain" => kind
                .references
                .push(hyperfleet_domain::registry::ReferenceRule {
                    ref_type: "orphan".to_owned(),
                    target_kind: "Orphan".to_owned(),
                    min: 1,
                    max: 1,
                }),
            "Orphan" => kind.required_adapters = vec!["alpha".to_owned()],
            _ => {}
        }
    }
    let registry = hyperfleet_domain::Registry::new(kinds).expect("consistent");
    let app = TestApp::with(registry).await;
    let w = app.create("wifconfigs", "WifConfig", "w").await;
    let gadget = app.create("gadgets", "Gadget", "g").await;
    let orphan = app
        .create(&format!("gadgets/{gadget}/orphans"), "Orphan", "o")
        .await;
    let target = json!([{"id": orphan, "kind": "Orphan"}]);
    let references = json!({"wif_config": [wif(&w)], "orphan": target});
    let path = format!("plains/{}", create(&app, "p", &references).await);
    // The orphan is active and referenced; its finalizing owner goes by force, and takes it along.
    app.delete(&format!("gadgets/{gadget}")).await.expect(202);
    let force = format!("gadgets/{gadget}/force-delete");
    app.post(&force, &json!({"reason": "stuck"}))
        .await
        .expect(204);
    app.get(&format!("orphans/{orphan}")).await.expect(404);
    let left = app.get(&path).await.expect(200);
    assert!(left.body["references"].get("orphan").is_none());
    assert_eq!(left.body["references"]["wif_config"][0]["id"], json!(w));
    assert_eq!(left.body["generation"], 1);
    let history = app.get(&format!("{path}/history")).await.expect(200);
    let last = history.items().last().expect("events");
    assert_eq!(last["type"], "hyperfleet.resource.reference_dropped");
    assert_eq!(last["cause"], "ForceDeleteResource");
    let report = hyperfleet_projections::replay::verify(app.pool()).await;
    assert!(report.expect("readable").is_equal());
}
