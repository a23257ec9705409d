//! Lists of what refers to a resource.

use hyperfleet_domain::registry::{EntityDescriptor, ReferenceRule, Registry};
use hyperfleet_tests::app::TestApp;
use serde_json::{Value, json};

/// The built-in kinds, and `Plain` that may refer to `WifConfig`s.
fn registry() -> Registry {
    let mut kinds: Vec<_> = Registry::builtin().iter().cloned().collect();
    kinds.push(EntityDescriptor {
        kind: "Plain".to_owned(),
        plural: "plains".to_owned(),
        references: vec![ReferenceRule {
            ref_type: "wif_config".to_owned(),
            target_kind: "WifConfig".to_owned(),
            min: 0,
            max: 0,
        }],
        ..EntityDescriptor::default()
    });
    Registry::new(kinds).expect("the kinds agree with each other")
}

async fn refer(app: &TestApp, id: &str, targets: &[&str]) {
    let target = |target: &&str| json!({"id": target, "kind": "WifConfig"});
    let targets: Vec<Value> = targets.iter().map(target).collect();
    let references = json!({"references": {"wif_config": targets}});
    app.patch(&format!("plains/{id}"), &references)
        .await
        .expect(200);
}

#[tokio::test]
async fn case_166_only_what_refers_to_the_target() {
    let app = TestApp::with(registry()).await;
    let target = app.create("wifconfigs", "WifConfig", "w").await;
    let other = app.create("wifconfigs", "WifConfig", "v").await;
    let one = app.create("plains", "Plain", "one").await;
    let two = app.create("plains", "Plain", "two").await;
    refer(&app, &one, &[&target]).await;
    refer(&app, &two, &[&target, &other]).await;
    let list = async |query: &str| app.get(&format!("plains?{query}")).await.expect(200).body;
    let of_target = format!("ref_type=wif_config&ref_target_id={target}");
    assert_eq!(list(&of_target).await["total"], 2);
    let narrowed = list(&format!("{of_target}&search=name%3D'one'")).await;
    assert_eq!(narrowed["total"], 1);
    assert_eq!(narrowed["items"][0]["id"], one);
    let of_other = list(&format!("ref_type=wif_config&ref_target_id={other}")).await;
    assert_eq!(of_other["total"], 1);
    assert_eq!(of_other["items"][0]["id"], two);
    let of_nobody = list(&format!("ref_type=wif_config&ref_target_id={one}")).await;
    assert_eq!(
        (&of_nobody["total"], &of_nobody["items"]),
        (&json!(0), &json!([]))
    );
    refer(&app, &one, &[]).await;
    assert_eq!(list(&of_target).await["items"][0]["id"], two);
}

#[tokio::test]
async fn case_167_a_reference_filter_needs_both_parameters_and_a_known_type() {
    let app = TestApp::with(registry()).await;
    for (query, missing) in [
        ("ref_type=wif_config", "reftargetid"),
        ("ref_type=&ref_target_id=x", "reftype"),
    ] {
        let answer = app.get(&format!("plains?{query}")).await;
        let answer = answer.expect_problem(400, "VAL-000", "Invalid query parameters");
        assert_eq!(
            answer.body["errors"],
            json!([{"field": missing, "constraint": "required",
                "message": "ref_type and ref_target_id must be provided together"}])
        );
    }
    let unknown = app.get("plains?ref_type=x&ref_target_id=y").await;
    unknown.expect_problem(400, "VAL-000", "Unknown ref_type \"x\" for entity Plain");
    let undeclared = app
        .get("clusters?ref_type=wif_config&ref_target_id=y")
        .await;
    let detail = "Unknown ref_type \"wif_config\" for entity Cluster";
    undeclared.expect_problem(400, "VAL-000", detail);
}
