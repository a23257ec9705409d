//! The reconcile queue: what becomes due, who may work on it, and that no change is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use hyperfleet_projections::reconcile_queue::{
    ClaimRequest, Completion, DueResource, Priority, Shard, claim, complete, depth, release,
};
use hyperfleet_tests::app::{Report, TestApp};
use serde_json::json;

const HOUR: Duration = Duration::from_hours(1);

fn clusters(limit: u32) -> ClaimRequest {
    ClaimRequest {
        kind: "Cluster".to_owned(),
        labels: BTreeMap::new(),
        shard: Shard::default(),
        limit,
        visibility: Duration::from_mins(1),
    }
}

async fn claim_one(app: &TestApp) -> DueResource {
    let mut due = claim(app.pool(), &clusters(10))
        .await
        .expect("the queue answers");
    assert_eq!(due.len(), 1, "{due:?}");
    due.remove(0)
}

async fn nothing_is_due(app: &TestApp) {
    let due = claim(app.pool(), &clusters(10))
        .await
        .expect("the queue answers");
    assert!(due.is_empty(), "{due:?}");
}

fn published(due: &DueResource) -> Completion {
    Completion {
        claim: due.claim.clone(),
        published_generation: Some(due.resource.generation),
        attempt: due.attempt + 1,
        next_due_in: HOUR,
        next_priority: Priority::Refresh,
    }
}

#[tokio::test]
async fn a_change_makes_due_and_a_completed_row_waits() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let due = claim_one(&app).await;
    assert_eq!((due.attempt, due.last_published_generation), (0, None));
    assert_eq!(due.resource.name, "abc");
    nothing_is_due(&app).await;
    complete(app.pool(), &[published(&due)])
        .await
        .expect("completed");
    nothing_is_due(&app).await;
    let minutes: f64 = sqlx::query_scalar(
        "SELECT EXTRACT(EPOCH FROM due_time - now())::float8 / 60 FROM reconcile_queue",
    )
    .fetch_one(app.pool())
    .await
    .expect("a row");
    assert!(minutes > 59.0 && minutes <= 60.0, "{minutes}");
    app.patch(&path, &json!({"spec": {"x": 1}}))
        .await
        .expect(200);
    let due = claim_one(&app).await;
    assert_eq!(due.resource.generation, 2);
    assert_eq!((due.attempt, due.last_published_generation), (0, Some(1)));
    assert!(due.last_published_time.is_some());
}

#[tokio::test]
async fn a_change_while_claimed_is_not_lost() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let outdated = claim_one(&app).await;
    app.patch(&path, &json!({"spec": {"x": 1}}))
        .await
        .expect(200);
    let current = claim_one(&app).await;
    complete(app.pool(), &[published(&outdated)])
        .await
        .expect("completed");
    nothing_is_due(&app).await;
    release(app.pool(), &[outdated.claim], HOUR)
        .await
        .expect("released");
    complete(app.pool(), &[published(&current)])
        .await
        .expect("completed");
    nothing_is_due(&app).await;
    assert_eq!(depth(app.pool(), "Cluster").await.expect("answers").due, 0);
}

#[tokio::test]
async fn a_claim_that_is_neither_completed_nor_released_returns() {
    let app = TestApp::start().await;
    app.cluster("abc").await;
    let mut request = clusters(1);
    request.visibility = Duration::ZERO;
    let first = claim(app.pool(), &request).await.expect("claimed");
    let second = claim(app.pool(), &request).await.expect("claimed");
    assert_eq!((first.len(), second.len()), (1, 1));
    release(app.pool(), &[second[0].claim.clone()], Duration::ZERO)
        .await
        .expect("released");
    claim_one(&app).await;
}

#[tokio::test]
async fn reports_make_due_only_when_a_condition_changes() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let adapters = app
        .registry
        .by_kind("Cluster")
        .expect("registered")
        .required_adapters
        .clone();
    for adapter in &adapters {
        let report = Report::new(adapter, 1, "True").at(app.seconds_ago(30));
        app.report(&path, &report).await.expect(201);
    }
    let due = claim_one(&app).await;
    assert_eq!(
        due.resource
            .condition("Reconciled")
            .map(|one| one.status.is_true()),
        Some(true)
    );
    complete(app.pool(), &[published(&due)])
        .await
        .expect("completed");
    let still = Report::new(&adapters[0], 1, "True").at(app.seconds_ago(20));
    app.report(&path, &still).await.expect(201);
    app.report(&path, &Report::new("bystander", 1, "True"))
        .await
        .expect(201);
    nothing_is_due(&app).await;
    let fails = Report::new(&adapters[0], 1, "False").at(app.seconds_ago(10));
    app.report(&path, &fails).await.expect(201);
    claim_one(&app).await;
}

#[tokio::test]
async fn a_deletion_makes_due_and_a_removal_takes_the_row_out() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let due = claim_one(&app).await;
    complete(app.pool(), &[published(&due)])
        .await
        .expect("completed");
    app.delete(&path).await.expect(202);
    let due = claim_one(&app).await;
    assert!(due.resource.is_finalizing());
    app.post(&format!("{path}/force-delete"), &json!({"reason": "x"}))
        .await
        .expect(204);
    complete(app.pool(), &[published(&due)])
        .await
        .expect("completing a gone row is fine");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM reconcile_queue")
        .fetch_one(app.pool())
        .await
        .expect("answers");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn labels_select_and_change_with_the_resource() {
    let app = TestApp::start().await;
    let body = json!({"kind": "Cluster", "name": "abc", "spec": {}, "labels": {"shard": "1"}});
    let id = app.post("clusters", &body).await.expect(201).id();
    let mut request = clusters(10);
    request.labels = BTreeMap::from([("shard".to_owned(), "2".to_owned())]);
    assert!(
        claim(app.pool(), &request)
            .await
            .expect("answers")
            .is_empty()
    );
    let labels = json!({"labels": {"shard": "2", "other": "x"}});
    app.patch(&format!("clusters/{id}"), &labels)
        .await
        .expect(200);
    assert_eq!(claim(app.pool(), &request).await.expect("answers").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn claimers_share_the_work_without_overlap() {
    let app = TestApp::start().await;
    for number in 0..40 {
        app.cluster(&format!("cluster-{number}")).await;
    }
    let claims = join_all((0..8).map(|_| async { claim(app.pool(), &clusters(5)).await })).await;
    let mut ids: Vec<_> = claims
        .into_iter()
        .flat_map(|due| due.expect("the queue answers"))
        .map(|due| due.resource.id)
        .collect();
    let claimed = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), claimed), (40, 40));
}

/// Creates a cluster whose creation is dealt with; it is due again in an hour.
async fn settled(app: &TestApp, name: &str, next_priority: Priority) -> String {
    let id = app.cluster(name).await;
    let due = claim_one(app).await;
    let completion = Completion {
        next_priority,
        ..published(&due)
    };
    complete(app.pool(), &[completion])
        .await
        .expect("completed");
    id
}

#[tokio::test]
async fn what_is_urgent_goes_first_however_long_the_rest_has_waited() {
    // Given a refresh and a retry that have been due for minutes
    let app = TestApp::start().await;
    let changed = settled(&app, "changed", Priority::Refresh).await;
    let labelled = settled(&app, "labelled", Priority::Refresh).await;
    settled(&app, "refresh", Priority::Refresh).await;
    settled(&app, "retry", Priority::Retry).await;
    sqlx::query("UPDATE reconcile_queue SET due_time = now() - interval '10 minutes'")
        .execute(app.pool())
        .await
        .expect("updated");
    // When one cluster gets other labels, another one another generation, and a third is created
    app.patch(
        &format!("clusters/{labelled}"),
        &json!({"labels": {"x": "1"}}),
    )
    .await
    .expect(200);
    app.patch(&format!("clusters/{changed}"), &json!({"spec": {"x": 1}}))
        .await
        .expect(200);
    app.cluster("created").await;
    // Then they are claimed by urgency, one at a time or together
    let mut order = Vec::new();
    for limit in [1, 1, 3] {
        let due = claim(app.pool(), &clusters(limit)).await.expect("answers");
        order.extend(due.into_iter().map(|due| due.resource.name));
    }
    assert_eq!(
        order,
        ["changed", "created", "labelled", "retry", "refresh"]
    );
}

#[tokio::test]
async fn a_publish_under_a_claim_that_ran_out_is_detected() {
    // Given a sentinel that stands still until its claim is taken by another one
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let mut request = clusters(1);
    request.visibility = Duration::ZERO;
    let late = claim(app.pool(), &request)
        .await
        .expect("claimed")
        .remove(0);
    app.patch(&path, &json!({"spec": {"x": 1}}))
        .await
        .expect(200);
    let current = claim_one(&app).await;
    // When it goes on
    let fenced = complete(app.pool(), &[published(&late)]).await;
    // Then that is told, and the other one's claim stands
    assert_eq!(fenced.expect("answers"), 1);
    let fenced = complete(app.pool(), &[published(&current)]).await;
    assert_eq!(fenced.expect("answers"), 0);
    // And also when the other one has finished before; its publication is the last that is remembered
    let fenced = complete(app.pool(), &[published(&late)]).await;
    assert_eq!(fenced.expect("answers"), 1);
    nothing_is_due(&app).await;
    let last: (i32, i32) =
        sqlx::query_as("SELECT last_published_generation, attempt FROM reconcile_queue")
            .fetch_one(app.pool())
            .await
            .expect("a row");
    assert_eq!(last, (2, 1));
}

#[tokio::test]
async fn a_change_under_a_claim_that_stands_is_not_taken_for_a_late_publish() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let outdated = claim_one(&app).await;
    app.patch(&path, &json!({"spec": {"x": 1}}))
        .await
        .expect(200);
    let fenced = complete(app.pool(), &[published(&outdated)]).await;
    assert_eq!(fenced.expect("answers"), 0);
    claim_one(&app).await;
}
