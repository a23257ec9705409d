//! Cases 149 to 163: when objects are created and deleted.

use hyperfleet_adapter::cluster::ClusterTarget as _;
use hyperfleet_adapter::metrics::{AdapterMetrics, RESOURCES_DELETED};
use hyperfleet_adapter::outcome::{Operation, Outcome, Phase};
use serde_json::json;

use super::resources::{Map, World, did, map, task};
use crate::scripted::{Refusal, Scripted, run};

const NEVER_CREATED: &str = ", lifecycle: {create: {when: {expression: 'false'}}}";
const DELETED: &str = ", lifecycle: {delete: {when: {expression: 'generation == 9'}}}";

#[tokio::test]
async fn a149_a_create_gate_that_is_closed() {
    let world = World::new().await;
    let outcome = world.run(&[map("a", NEVER_CREATED), map("b", "")], 5).await;
    assert_eq!(
        did(&outcome, 0),
        (
            Operation::Skip,
            "lifecycle.create.when condition evaluated to false"
        )
    );
    assert_eq!(did(&outcome, 1).0, Operation::Create);
    assert_eq!(world.seen()["skipped"], true);
    assert_eq!(
        outcome.metadata.skip_reason,
        "a: lifecycle.create.when condition evaluated to false"
    );
    assert_eq!(
        outcome.status(),
        "success",
        "a create gate changes no metric"
    );
}

#[tokio::test]
async fn a150_does_not_concern_an_object_that_exists() {
    let world = World::new().await;
    world.run(&[map("a", "")], 5).await;
    let outcome = world.run(&[map("a", NEVER_CREATED)], 6).await;
    assert_eq!(did(&outcome, 0).0, Operation::Update);
}

#[tokio::test]
async fn a151_and_is_closed_when_it_cannot_be_decided() {
    let world = World::new().await;
    let outcome = world
        .run(
            &[map(
                "a",
                ", lifecycle: {create: {when: {expression: nope}}}",
            )],
            5,
        )
        .await;
    assert_eq!(did(&outcome, 0).0, Operation::Skip);
    assert_eq!(world.seen()["errors"], json!({}));
}

/// How many deletions metrics count as successes.
fn deletions(outcome: &Outcome) -> u64 {
    let registry = prometheus::Registry::new();
    let metrics = AdapterMetrics::register(&registry).unwrap();
    metrics.execution("widget", outcome, std::time::Duration::ZERO);
    let families = registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == RESOURCES_DELETED);
    let metrics = family
        .map(prometheus::proto::MetricFamily::get_metric)
        .unwrap_or_default();
    metrics
        .iter()
        .filter(|metric| {
            metric
                .get_label()
                .iter()
                .any(|label| label.value() == "success")
        })
        .count() as u64
}

#[tokio::test]
async fn a152_deleting_what_is_absent_is_a_success() {
    let world = World::new().await;
    let outcome = world.run(&[map("a", DELETED)], 9).await;
    assert_eq!(
        did(&outcome, 0),
        (
            Operation::Delete,
            "resource already deleted or never existed"
        )
    );
    assert_eq!(deletions(&outcome), 1);
}

const AFTER_A: &str =
    ", lifecycle: {delete: {when: {expression: 'generation == 9 && !resources.?a.hasValue()'}}}";

#[tokio::test]
async fn a153_a_dependent_goes_in_the_same_event() {
    let world = World::new().await;
    let maps = [map("a", DELETED), map("b", AFTER_A)];
    world.run(&maps, 5).await;
    let outcome = world.run(&maps, 9).await;
    assert_eq!(
        did(&outcome, 0),
        (Operation::Delete, "lifecycle.delete.when evaluated to true")
    );
    assert_eq!(did(&outcome, 1).0, Operation::Delete);
    assert!(world.get("a").await.is_none() && world.get("b").await.is_none());
}

#[tokio::test]
async fn a154_or_waits_for_finalizers() {
    let world = World::new().await;
    let maps = [map("a", DELETED), map("b", AFTER_A)];
    world.run(&maps, 5).await;
    world
        .meddle("a", json!({"metadata": {"finalizers": ["test/guard"]}}))
        .await;
    world.run(&maps, 9).await;
    let seen = world.seen();
    assert_eq!(
        (&seen["a"], &seen["going"], &seen["b"]),
        (&json!(true), &json!(true), &json!(true))
    );
    world.meddle("a", json!({"metadata": {}})).await;
    world.run(&maps, 9).await;
    assert_eq!(
        (&world.seen()["a"], &world.seen()["b"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn a155_in_the_wrong_order_it_takes_another_event() {
    let world = World::new().await;
    let maps = [map("b", AFTER_A), map("a", DELETED)];
    world.run(&maps, 5).await;
    world.run(&maps, 9).await;
    assert!(world.get("a").await.is_none() && world.get("b").await.is_some());
    world.run(&maps, 9).await;
    assert!(world.get("b").await.is_none());
}

#[tokio::test]
async fn a156_who_waits_for_its_turn_is_applied() {
    let world = World::new().await;
    let maps = [map("b", AFTER_A), map("a", "")];
    world.run(&maps, 8).await;
    let outcome = world.run(&maps, 8).await;
    assert_eq!(
        did(&outcome, 0),
        (Operation::Skip, "generation 8 unchanged")
    );
    let waiting = [map("a", ""), map("b", AFTER_A)];
    world
        .simulated
        .target
        .delete(&crate::objects::config_map_id("b"), None)
        .await
        .unwrap();
    let outcome = world.run(&waiting, 9).await;
    assert_eq!(
        did(&outcome, 1).0,
        Operation::Create,
        "it is even created again"
    );
}

#[tokio::test]
async fn a157_failed_deletions_are_remembered_and_joined() {
    let world = World::new().await;
    let maps = [map("a", DELETED), map("b", DELETED), map("c", DELETED)];
    world.run(&maps, 5).await;
    let refusals = [
        ("delete", "a", Refusal::Forbidden),
        ("delete", "b", Refusal::Forbidden),
    ];
    let outcome = run(
        &Scripted::new(&world.simulated, &refusals),
        &world.api,
        &task(&maps),
        9,
    )
    .await;
    assert!(outcome.errors.contains_key(&Phase::Resources));
    assert!(world.get("c").await.is_none(), "the others are processed");
    let seen = world.seen();
    for name in ["a", "b"] {
        let message = seen["errors"][name]["message"].as_str().unwrap();
        assert!(message.contains(&format!("ConfigMap/{name}")), "{message}");
        assert!(seen["message"].as_str().unwrap().contains(message));
    }
    assert_eq!(seen["step"], "a", "the first failure is the execution's");
}

#[tokio::test]
async fn a158_a_failed_apply_is_the_executions_error_only() {
    let world = World::new().await;
    let target = Scripted::new(&world.simulated, &[("apply", "a", Refusal::Forbidden)]);
    run(&target, &world.api, &task(&[map("a", "")]), 5).await;
    let seen = world.seen();
    assert_eq!((&seen["errors"], &seen["step"]), (&json!({}), &json!("a")));
}

#[tokio::test]
async fn a159_a_refused_look_ahead_writes_nothing() {
    let world = World::new().await;
    let target = Scripted::new(&world.simulated, &[("get", "b", Refusal::Forbidden)]);
    let outcome = run(
        &target,
        &world.api,
        &task(&[map("a", ""), map("b", DELETED)]),
        5,
    )
    .await;
    assert!(outcome.errors[&Phase::Resources].contains("pre-discovery failed"));
    assert_eq!(target.count("apply"), 0);
    let seen = world.seen();
    assert_eq!(
        (&seen["phase"], &seen["step"]),
        (&json!("ResourceFailed"), &json!(""))
    );
}

#[tokio::test]
async fn a160_a_delete_gate_that_cannot_be_decided_is_closed() {
    let world = World::new().await;
    let outcome = world
        .run(
            &[map(
                "a",
                ", lifecycle: {delete: {when: {expression: nope}}}",
            )],
            5,
        )
        .await;
    assert_eq!(did(&outcome, 0).0, Operation::Create);
}

#[tokio::test]
async fn a161_propagation_policies_are_sent() {
    for (policy, sent) in [
        ("", "Some(Background)"),
        ("propagationPolicy: Foreground, ", "Some(Foreground)"),
        ("propagationPolicy: Orphan, ", "Some(Orphan)"),
    ] {
        let world = World::new().await;
        world.run(&[map("a", "")], 5).await;
        let target = Scripted::new(&world.simulated, &[]);
        let task = task(&[map(
            "a",
            ", lifecycle: {delete: {POLICYwhen: {expression: 'true'}}}",
        )]);
        run(&target, &world.api, &task.replace("POLICY", policy), 5).await;
        assert!(
            target.calls().contains(&("delete", format!("a {sent}"))),
            "{sent}"
        );
    }
}

/// How often each object was read before the first write.
async fn reads_before_writing(maps: &[Map]) -> usize {
    let world = World::new().await;
    let target = Scripted::new(&world.simulated, &[]);
    run(&target, &world.api, &task(maps), 5).await;
    let calls = target.calls();
    calls.iter().position(|call| call.0 == "apply").unwrap()
}

#[tokio::test]
async fn a162_without_lifecycles_nothing_is_looked_up_ahead() {
    assert_eq!(
        reads_before_writing(&[map("a", ""), map("b", "")]).await,
        1,
        "the decision's own"
    );
}

#[tokio::test]
async fn a163_with_one_lifecycle_everything_is() {
    assert_eq!(
        reads_before_writing(&[map("a", ""), map("b", DELETED)]).await,
        3
    );
}
