//! The counts behind the gauges of pending resources, and the claims of re-evaluation.

use std::time::Duration;

use chrono::TimeDelta;
use hyperfleet_projections::pending::{self, PendingGroup};
use hyperfleet_projections::reevaluation::{self, Claim};
use hyperfleet_runtime::Clock as _;
use hyperfleet_tests::app::{Report, TestApp};
use uuid::Uuid;

async fn pending(app: &TestApp, threshold: TimeDelta) -> Vec<(String, bool, u64, u64)> {
    let groups = pending::count(app.pool(), app.clock.now() - threshold);
    let group = |group: PendingGroup| (group.kind, group.is_delete, group.pending, group.stuck);
    let mut groups: Vec<_> = groups
        .await
        .expect("counted")
        .into_iter()
        .map(group)
        .collect();
    groups.sort();
    groups
}

#[tokio::test]
async fn case_236_and_237_pending_resources_are_counted_by_kind_and_deletion() {
    let app = TestApp::start().await;
    let hour = TimeDelta::hours(1);
    assert_eq!(pending(&app, hour).await, []);
    let id = app.cluster("abc").await;
    app.cluster("def").await;
    app.create("channels", "Channel", "stable").await;
    let one = |is_delete, pending, stuck| ("Cluster".to_owned(), is_delete, pending, stuck);
    assert_eq!(pending(&app, hour).await, [one(false, 2, 0)]);
    app.clock.advance(TimeDelta::minutes(11));
    assert_eq!(
        pending(&app, TimeDelta::minutes(10)).await,
        [one(false, 2, 2)]
    );
    for adapter in ["validation", "dns", "placement", "pullsecret", "hypershift"] {
        let report = Report::new(adapter, 1, "True");
        app.report(&format!("clusters/{id}"), &report)
            .await
            .expect(201);
    }
    assert_eq!(pending(&app, hour).await, [one(false, 1, 0)]);
    app.delete(&format!("clusters/{id}")).await.expect(202);
    assert_eq!(
        pending(&app, hour).await,
        [one(false, 1, 0), one(true, 1, 0)]
    );
    for adapter in ["validation", "dns", "placement", "pullsecret", "hypershift"] {
        let report = Report::new(adapter, 2, "False").finalized("True");
        app.report(&format!("clusters/{id}"), &report)
            .await
            .expect(201);
    }
    app.get(&format!("clusters/{id}")).await.expect(404);
    assert_eq!(pending(&app, hour).await, [one(false, 1, 0)]);
}

#[tokio::test]
async fn one_process_at_a_time_evaluates_a_kind_and_the_next_goes_on() {
    let app = TestApp::start().await;
    let first = app.cluster("abc").await;
    let second = app.cluster("def").await;
    let pool = app.pool();
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let lease = Duration::from_mins(1);
    let claim = |rules: &'static str, token, lease| {
        let claimed = reevaluation::claim(pool, "Cluster", rules, token, lease);
        async move { claimed.await.expect("the database answers") }
    };
    let fresh = Claim::Taken { progress: None };
    assert_eq!(claim("a", one, lease).await, fresh);
    assert_eq!(claim("a", two, lease).await, Claim::Elsewhere);
    let ids = reevaluation::next(pool, "Cluster", None, 1)
        .await
        .expect("ids");
    assert_eq!(ids, std::slice::from_ref(&first));
    // The first holder is killed: its claim ends, its progress stays.
    assert!(
        reevaluation::advance(pool, "Cluster", one, &first, Duration::ZERO)
            .await
            .expect("moved")
    );
    let rest = Claim::Taken {
        progress: Some(first.clone()),
    };
    assert_eq!(claim("a", two, lease).await, rest);
    let ids = reevaluation::next(pool, "Cluster", Some(&first), 9)
        .await
        .expect("ids");
    assert_eq!(ids, [second]);
    assert!(
        !reevaluation::finish(pool, "Cluster", one)
            .await
            .expect("answered")
    );
    assert!(
        reevaluation::finish(pool, "Cluster", two)
            .await
            .expect("answered")
    );
    assert_eq!(claim("a", one, lease).await, Claim::Done);
    // Other rules start from the beginning.
    assert_eq!(claim("b", one, lease).await, fresh);
    reevaluation::release(pool, "Cluster", one)
        .await
        .expect("released");
    assert_eq!(claim("c", two, lease).await, fresh);
}
