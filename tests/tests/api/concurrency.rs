//! Races: what is acknowledged is kept, and rules that span resources hold.

use std::collections::BTreeSet;

use futures::future::join_all;
use hyperfleet_tests::app::{Report, TestApp};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn case_126_ten_concurrent_patches_give_ten_generations() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let patches: Vec<_> = (0..10)
        .map(|number| json!({"spec": {"n": number}}))
        .collect();
    let answers = join_all(patches.iter().map(|patch| app.patch(&path, patch))).await;
    let generations: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| {
            answer.expect(200).body["generation"]
                .as_i64()
                .expect("a generation")
        })
        .collect();
    assert_eq!(generations, (2..=11).collect());
    assert_eq!(app.get(&path).await.expect(200).body["generation"], 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_30_of_a_hundred_parallel_creates_of_one_name_one_wins() {
    let app = TestApp::start().await;
    let body = json!({"kind": "Cluster", "name": "race", "spec": {}});
    let answers = join_all((0..100).map(|_| app.post("clusters", &body))).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((created, refused), (1, 99));
    assert_eq!(app.get("clusters").await.expect(200).body["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_never_outlives_the_deletion_of_its_parent_unmarked() {
    let app = TestApp::start().await;
    for round in 0..20 {
        let id = app.cluster(&format!("cluster-{round}")).await;
        let path = format!("clusters/{id}");
        let nested = format!("{path}/nodepools");
        let pools: Vec<_> = (0..4)
            .map(|pool| json!({"kind": "NodePool", "name": format!("pool-{pool}"), "spec": {}}))
            .collect();
        let creations = join_all(pools.iter().map(|pool| app.post(&nested, pool)));
        let (creations, deletion) = futures::join!(creations, app.delete(&path));
        deletion.expect(202);
        let created = creations
            .iter()
            .filter(|answer| answer.status == 201)
            .count();
        for answer in &creations {
            assert!([201, 409].contains(&answer.status), "{}", answer.text);
        }
        let list = app.get(&nested).await.expect(200);
        let items = list.body["items"].as_array().expect("items");
        assert_eq!(items.len(), created);
        assert!(
            items.iter().all(|pool| pool["deleted_time"].is_string()),
            "{}",
            list.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_adapters_at_the_same_time_are_all_kept() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let adapters = app
        .registry
        .by_kind("Cluster")
        .expect("registered")
        .required_adapters
        .clone();
    for round in 0..10 {
        let generation = round + 1;
        let reports: Vec<_> = adapters
            .iter()
            .map(|adapter| Report::new(adapter, generation, "True"))
            .collect();
        let answers = join_all(reports.iter().map(|report| app.report(&path, report))).await;
        for answer in answers {
            answer.expect(201);
        }
        let cluster = app.get(&path).await.expect(200);
        assert_eq!(
            cluster.condition("Reconciled")["status"],
            "True",
            "{}",
            cluster.text
        );
        let list = app.get(&format!("{path}/statuses")).await.expect(200);
        let statuses = list.body["items"].as_array().expect("items");
        assert_eq!(statuses.len(), adapters.len());
        assert!(
            statuses
                .iter()
                .all(|status| status["observed_generation"] == generation)
        );
        app.patch(&path, &json!({"spec": {"round": round}}))
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adapters_that_only_say_still_so_do_not_overwrite_each_other() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let adapters = ["a", "b", "c", "d", "e"];
    for adapter in adapters {
        let report = Report::new(adapter, 1, "True").at(app.seconds_ago(60));
        app.report(&path, &report).await.expect(201);
    }
    let events = app.get(&format!("{path}/history")).await.expect(200).body["total"].clone();
    for second in (0..50).rev() {
        let time = app.seconds_ago(second);
        let reports = adapters.map(|adapter| Report::new(adapter, 1, "True").at(time));
        for answer in join_all(reports.iter().map(|report| app.report(&path, report))).await {
            answer.expect(201);
        }
        let list = app.get(&format!("{path}/statuses")).await.expect(200);
        for status in list.body["items"].as_array().expect("items") {
            assert_eq!(status["last_report_time"], json!(time), "{status}");
        }
    }
    let history = app.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(
        history.body["total"], events,
        "liveness was recorded as history"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_children_created_at_once_are_all_known_to_their_parent() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    let nested = format!("clusters/{id}/nodepools");
    let pools: Vec<_> = (0..40)
        .map(|pool| json!({"kind": "NodePool", "name": format!("pool-{pool}"), "spec": {}}))
        .collect();
    for answer in join_all(pools.iter().map(|pool| app.post(&nested, pool))).await {
        answer.expect(201);
    }
    app.delete(&format!("clusters/{id}")).await.expect(202);
    let list = app.get(&format!("{nested}?size=100")).await.expect(200);
    assert_eq!(list.body["total"], 40);
    let items = list.body["items"].as_array().expect("items");
    assert!(items.iter().all(|pool| pool["deleted_time"].is_string()));
}
