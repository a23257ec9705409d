//! Races: what is acknowledged is kept, and rules that span resources hold.

use std::collections::BTreeSet;

use futures::future::join_all;
use hyperfleet_tests::app::{Report, TestApp};
use hyperfleet_tests::registries::registry_b;
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

/// Each round, plains that refer to a configuration are created and patched while it is deleted: then
/// either it is gone and nobody refers to it, or it is there and cannot be deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_never_outlives_its_target() {
    let app = TestApp::with(registry_b()).await;
    let mut outcomes = BTreeSet::new();
    for round in 0..200 {
        let kept = app
            .create("wifconfigs", "WifConfig", &format!("kept-{round}"))
            .await;
        let raced = app
            .create("wifconfigs", "WifConfig", &format!("raced-{round}"))
            .await;
        let plain = |name: &str, wif: &str| {
            json!({"kind": "Plain", "name": format!("{name}-{round}"), "spec": {},
                "references": {"wif_config": [{"id": wif, "kind": "WifConfig"}]}})
        };
        let old = app.post("plains", &plain("old", &kept)).await.expect(201);
        let old = format!("plains/{}", old.id());
        let new = plain("new", &raced);
        let references = json!({"references": new["references"]});
        let target = format!("wifconfigs/{raced}");
        let create = app.post("plains", &new);
        let patch = app.patch(&old, &references);
        let delete = app.delete(&target);
        // Each gets its turn at being sent first.
        let (created, patched, deleted) = if round % 2 == 0 {
            futures::join!(create, patch, delete)
        } else {
            let (deleted, patched, created) = futures::join!(delete, patch, create);
            (created, patched, deleted)
        };
        let attached = created.status == 201 || patched.status == 200;
        if attached {
            assert_eq!(deleted.status, 409, "{}", deleted.text);
            app.get(&target).await.expect(200);
        } else {
            deleted.expect(202);
            app.get(&target).await.expect(404);
            assert_eq!((created.status, patched.status), (400, 400));
        }
        outcomes.insert(attached);
        // Whoever won: the target knows exactly who refers to it.
        let referring = [&created, &patched]
            .into_iter()
            .filter(|answer| [200, 201].contains(&answer.status));
        for answer in referring {
            let path = format!("plains/{}", answer.id());
            app.delete(&path).await.expect(202);
        }
        if attached {
            app.delete(&target).await.expect(202);
        }
    }
    assert_eq!(outcomes.len(), 2, "it was no race");
    let report = hyperfleet_projections::replay::verify(app.pool()).await;
    assert!(report.expect("readable").is_equal());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_references_to_one_target_at_once_are_all_counted() {
    let app = TestApp::with(registry_b()).await;
    let wif = app.create("wifconfigs", "WifConfig", "w").await;
    let plains: Vec<_> = (0..40)
        .map(|number| {
            json!({"kind": "Plain", "name": format!("p{number}"), "spec": {},
                "references": {"wif_config": [{"id": wif, "kind": "WifConfig"}]}})
        })
        .collect();
    let answers = join_all(plains.iter().map(|plain| app.post("plains", plain))).await;
    let target = format!("wifconfigs/{wif}");
    let refused = app.delete(&target).await.expect(409);
    assert!(
        refused.text.contains(", and 20 more — "),
        "{}",
        refused.text
    );
    let paths: Vec<_> = answers
        .into_iter()
        .map(|answer| format!("plains/{}", answer.expect(201).id()))
        .collect();
    for answer in join_all(paths.iter().map(|path| app.delete(path))).await {
        answer.expect(202);
    }
    app.delete(&target).await.expect(202);
}
