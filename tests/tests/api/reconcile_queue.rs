//! The reconcile queue: what becomes due, who may work on it, and that no change is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use hyperfleet_projections::reconcile_queue::{
    ClaimRequest, Completion, DueResource, claim, complete, depth, next_due_in, release,
};
use hyperfleet_tests::app::{Report, TestApp};
use serde_json::json;

const HOUR: Duration = Duration::from_hours(1);

fn clusters(limit: u32) -> ClaimRequest {
    ClaimRequest {
        kind: "Cluster".to_owned(),
        labels: BTreeMap::new(),
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
    let wait = next_due_in(app.pool(), "Cluster")
        .await
        .expect("answers")
        .expect("a row");
    assert!(wait > Duration::from_mins(59) && wait <= HOUR, "{wait:?}");
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
    let depths = depth(app.pool()).await.expect("answers");
    assert_eq!(
        (depths[0].total, depths[0].due, depths[0].claimed),
        (1, 0, 0)
    );
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
    assert_eq!(depth(app.pool()).await.expect("answers"), []);
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
