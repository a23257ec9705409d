//! Status reports of adapters.

use chrono::TimeDelta;
use hyperfleet_runtime::Clock as _;
use hyperfleet_tests::app::{Report, TestApp};
use serde_json::{Value, json};

async fn app_with_cluster() -> (TestApp, String) {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    (app, format!("clusters/{id}"))
}

fn transition<'a>(status: &'a Value, condition_type: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().expect("conditions");
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == condition_type);
    &found.expect(condition_type)["last_transition_time"]
}

#[tokio::test]
async fn case_168_to_170_times_of_a_status() {
    let (app, path) = app_with_cluster().await;
    let (t1, t2, t3) = (
        app.seconds_ago(30),
        app.seconds_ago(20),
        app.seconds_ago(10),
    );
    let mut document = Report::new("validation", 1, "True").at(t1).document();
    document["data"] = json!({"zone": "a"});
    document["metadata"] = json!({"job_name": "j", "attempt": 1, "unknown": true});
    let statuses = format!("{path}/statuses");
    let first = app.put(&statuses, &document).await.expect(201);
    assert_eq!(first.body["adapter"], "validation");
    assert_eq!(first.body["observed_generation"], 1);
    assert_eq!(first.body["conditions"].as_array().map(Vec::len), Some(3));
    assert_eq!(first.body["created_time"], json!(t1));
    assert_eq!(first.body["last_report_time"], json!(t1));
    assert_eq!(first.body["data"], json!({"zone": "a"}));
    assert_eq!(
        first.body["metadata"],
        json!({"job_name": "j", "attempt": 1})
    );
    for absent in ["id", "kind", "href"] {
        assert!(first.body.get(absent).is_none(), "{absent} is there");
    }
    let second = app
        .report(&path, &Report::new("validation", 1, "True").at(t2))
        .await
        .expect(201);
    assert_eq!(second.body["created_time"], json!(t1));
    assert_eq!(second.body["last_report_time"], json!(t2));
    assert_eq!(transition(&second.body, "Available"), &json!(t1));
    assert_eq!(second.body["data"], json!({}));
    assert!(second.body.get("metadata").is_none());
    let third = app
        .report(&path, &Report::new("validation", 1, "False").at(t3))
        .await
        .expect(201);
    assert_eq!(transition(&third.body, "Available"), &json!(t3));
    assert_eq!(transition(&third.body, "Health"), &json!(t1));
}

#[tokio::test]
async fn case_171_to_175_reports_that_come_too_late_or_too_early() {
    let (app, path) = app_with_cluster().await;
    let (t1, t2) = (app.seconds_ago(30), app.seconds_ago(20));
    let stored = app
        .report(&path, &Report::new("validation", 1, "True").at(t2))
        .await
        .expect(201);
    let stale = app
        .report(&path, &Report::new("validation", 1, "False").at(t1))
        .await
        .expect(204);
    assert_eq!(stale.text, "");
    let mut same_time = Report::new("validation", 1, "False").at(t2).document();
    same_time["data"] = json!({"other": 1});
    let same = app
        .put(&format!("{path}/statuses"), &same_time)
        .await
        .expect(201);
    assert_eq!(same.body, stored.body);
    app.report(&path, &Report::new("validation", 2, "True"))
        .await
        .expect(204);
    app.patch(&path, &json!({"spec": {"x": 1}}))
        .await
        .expect(200);
    app.report(&path, &Report::new("validation", 2, "True"))
        .await
        .expect(201);
    app.report(&path, &Report::new("validation", 1, "True"))
        .await
        .expect(204);
    let older = app
        .report(&path, &Report::new("dns", 1, "True"))
        .await
        .expect(201);
    assert_eq!(older.body["observed_generation"], 1);
}

#[tokio::test]
async fn case_176_to_178_unknown_is_taken_once_and_counts_for_nothing() {
    let (app, path) = app_with_cluster().await;
    let before = app.get(&path).await.expect(200);
    let (t1, t2) = (app.seconds_ago(30), app.seconds_ago(20));
    app.report(&path, &Report::new("validation", 1, "Unknown").at(t1))
        .await
        .expect(201);
    let list = app.get(&format!("{path}/statuses")).await.expect(200);
    assert_eq!(list.body["total"], 1);
    let after = app.get(&path).await.expect(200);
    assert_eq!(after.body["status"], before.body["status"]);
    app.report(&path, &Report::new("validation", 1, "Unknown").at(t2))
        .await
        .expect(204);
    app.report(&path, &Report::new("validation", 1, "True").at(t2))
        .await
        .expect(201);
    let aggregated = app.get(&path).await.expect(200);
    assert_eq!(
        aggregated.condition("ValidationSuccessful")["status"],
        "True"
    );
}

#[tokio::test]
async fn case_179_to_184_and_186_reports_that_are_refused() {
    let (app, path) = app_with_cluster().await;
    let statuses = format!("{path}/statuses");
    let report = || Report::new("validation", 1, "True").document();
    let with = |member: &str, value: Value| {
        let mut document = report();
        document[member] = value;
        document
    };
    let all = report()["conditions"].clone();
    let only = |count: usize| json!(all.as_array().map(|all| &all[..count]));
    let ok = |status: &str, name: &str| json!({"type": name, "status": status});
    let missing = |name: &str| {
        format!(
            "missing mandatory condition '{name}': all adapters must report Available, Applied, \
             and Health"
        )
    };
    for (document, detail) in [
        (with("conditions", only(2)), missing("Health")),
        (with("conditions", json!([])), missing("Available")),
        (
            with("conditions", json!([ok("True", "A"), ok("True", "A")])),
            "duplicate condition type 'A' at index 1".to_owned(),
        ),
        (
            with("conditions", json!([ok("True", "")])),
            "condition type cannot be empty at index 0".to_owned(),
        ),
        (
            with("conditions", json!([ok("Ready", "A")])),
            "invalid status value 'Ready' for condition at index 0 (type: A): must be 'True', \
             'False', or 'Unknown'"
                .to_owned(),
        ),
        (with("adapter", json!("")), "adapter is required".to_owned()),
        (
            with("observed_generation", json!(0)),
            "observed_generation must be >= 1".to_owned(),
        ),
        (
            with(
                "observed_time",
                json!(app.clock.now() + TimeDelta::minutes(6)),
            ),
            "observed_time must not be more than 5m0s in the future".to_owned(),
        ),
        (
            with(
                "observed_time",
                json!(app.clock.now() - TimeDelta::minutes(31)),
            ),
            "observed_time must not be more than 30m0s in the past".to_owned(),
        ),
    ] {
        app.put(&statuses, &document)
            .await
            .expect_problem(400, "VAL-000", &detail);
    }
}

#[tokio::test]
async fn case_183_184_and_186_times_of_reports() {
    let (app, path) = app_with_cluster().await;
    let mut document = Report::new("validation", 1, "True").document();
    document["observed_time"] = json!("yesterday");
    let unreadable = app.put(&format!("{path}/statuses"), &document).await;
    assert_eq!(
        (unreadable.status, unreadable.text_of("code")),
        (400, "HYPERFLEET-VAL-006")
    );
    for minutes in [4, -29] {
        let time = app.clock.now() + TimeDelta::minutes(minutes);
        let adapter = format!("adapter{minutes}");
        app.report(&path, &Report::new(&adapter, 1, "True").at(time))
            .await
            .expect(201);
    }
}

#[tokio::test]
async fn case_180_a_stale_report_is_dropped_even_when_it_is_incomplete() {
    let (app, path) = app_with_cluster().await;
    app.report(
        &path,
        &Report::new("dns", 1, "True").at(app.seconds_ago(10)),
    )
    .await
    .expect(201);
    let mut document = Report::new("dns", 1, "True")
        .at(app.seconds_ago(20))
        .document();
    document["conditions"] = json!([]);
    app.put(&format!("{path}/statuses"), &document)
        .await
        .expect(204);
}

#[tokio::test]
async fn case_185_without_a_time_the_servers_counts() {
    let (app, path) = app_with_cluster().await;
    let answer = app
        .report(&path, &Report::new("dns", 1, "True"))
        .await
        .expect(201);
    assert_eq!(answer.body["last_report_time"], json!(app.clock.now()));
}

#[tokio::test]
async fn case_187_and_190_the_body_comes_before_the_resource() {
    let (app, path) = app_with_cluster().await;
    app.report("clusters/x", &Report::new("dns", 1, "True"))
        .await
        .expect_problem(404, "NTF-001", "Cluster with id='x' not found");
    app.report("clusters/x", &Report::new("", 1, "True"))
        .await
        .expect(400);
    let owner = path.trim_start_matches("clusters/");
    let pool = app.node_pool(owner, "workers").await;
    let other = app.cluster("other").await;
    for parent in [other.as_str(), "x"] {
        let path = format!("clusters/{parent}/nodepools/{pool}");
        let answer = app
            .report(&path, &Report::new("validation", 1, "True"))
            .await;
        answer.expect_problem(
            404,
            "NTF-001",
            &format!("NodePool with id='{pool}' not found"),
        );
    }
}

#[tokio::test]
async fn case_188_and_189_any_adapter_may_report_on_any_route() {
    let (app, path) = app_with_cluster().await;
    app.report(&path, &Report::new("other", 1, "True"))
        .await
        .expect(201);
    let cluster = app.get(&path).await.expect(200);
    assert_eq!(cluster.condition("OtherSuccessful"), &Value::Null);
    let owner = path.trim_start_matches("clusters/");
    let pool = app.node_pool(owner, "workers").await;
    let flat = format!("nodepools/{pool}");
    let nested = format!("{path}/nodepools/{pool}");
    app.report(&nested, &Report::new("validation", 1, "True"))
        .await
        .expect(201);
    app.report(&flat, &Report::new("hypershift", 1, "True"))
        .await
        .expect(201);
    let one = app.get(&format!("{flat}/statuses")).await.expect(200);
    let other = app.get(&format!("{nested}/statuses")).await.expect(200);
    assert_eq!(one.body["total"], 2);
    assert_eq!(one.body, other.body);
    let root = format!("resources/{pool}");
    app.report(&root, &Report::new("third", 1, "True"))
        .await
        .expect(201);
    let list = app.get(&format!("{root}/statuses")).await.expect(200);
    assert_eq!(list.body["total"], 3);
    let one = app.get(&format!("{flat}/statuses")).await.expect(200);
    assert_eq!(one.body, list.body);
    app.report("resources/x", &Report::new("third", 1, "True"))
        .await
        .expect_problem(404, "NTF-001", "Resource with id='x' not found");
}

#[tokio::test]
async fn case_191_to_194_lists_of_statuses() {
    let (app, path) = app_with_cluster().await;
    let statuses = format!("{path}/statuses");
    let empty = app.get(&statuses).await.expect(200);
    assert_eq!(
        empty.body,
        json!({"items": [], "page": 1, "size": 0, "total": 0})
    );
    for adapter in ["a", "b", "c"] {
        app.report(&path, &Report::new(adapter, 1, "True"))
            .await
            .expect(201);
    }
    for (page, size) in [(1, 2), (2, 1), (9, 0)] {
        let list = app
            .get(&format!("{statuses}?size=2&page={page}"))
            .await
            .expect(200);
        assert_eq!(list.body["size"], size);
        assert_eq!(list.body["total"], 3);
    }
    app.get("clusters/x/statuses?size=0").await.expect(400);
    app.get("clusters/x/statuses").await.expect(404);
    app.delete(&path).await.expect(202);
    app.report(&path, &Report::new("a", 2, "True"))
        .await
        .expect(201);
    app.get(&path).await.expect(200);
}
