//! The reconcile queue shared among tenants, shards and sentinels of different selectors, and its rate.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyperfleet_projections::reconcile_queue::{
    ClaimRequest, Claimer, Completion, DueResource, Priority, Rate, Registration, Shard, claim,
    complete, depth, entry, register, selecting, set_unselected_aside, take, unregister,
    unselected,
};
use hyperfleet_runtime::{IdSource as _, UuidV7Source};
use hyperfleet_tests::app::TestApp;
use serde_json::json;

const KIND: &str = "Cluster";

fn request(limit: u32) -> ClaimRequest {
    ClaimRequest {
        kind: KIND.to_owned(),
        labels: BTreeMap::new(),
        shard: Shard::default(),
        limit,
        visibility: Duration::from_mins(1),
    }
}

fn labels(key: &str, value: &str) -> BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

/// Rows that are due, in the queue alone: so many of a tenant, each due longer than the next.
async fn due_of_tenant(app: &TestApp, tenant: &str, count: i32, priority: Priority) {
    let stored = Priority::ALL.iter().position(|one| *one == priority);
    let stored = i16::try_from(stored.expect("known")).expect("small");
    // A state that can be read, of a resource that exists.
    app.cluster(&format!("state-of-{}", tenant.replace('=', "-")))
        .await;
    sqlx::query(
        "INSERT INTO resources (id, kind, name, href, generation, spec, labels, tenancy, created_time,
             updated_time, created_by, updated_by, version, state)
         SELECT $1 || number, kind, $1 || number, href, generation, spec, labels, tenancy, created_time,
             updated_time, created_by, updated_by, version,
             jsonb_set(jsonb_set(state, '{id}', to_jsonb($1 || number)), '{name}', to_jsonb($1 || number))
         FROM resources, generate_series(1, $2) AS number
         WHERE name = 'state-of-' || replace($1, '=', '-')",
    )
    .bind(tenant)
    .bind(count)
    .execute(app.pool())
    .await
    .expect("inserted");
    sqlx::query(
        "INSERT INTO reconcile_queue (resource_id, kind, labels, due_time, priority, tenant)
         SELECT $1 || number, 'Cluster', '{}', now() - make_interval(secs => 1000 - number), $3, $1
         FROM generate_series(1, $2) AS number",
    )
    .bind(tenant)
    .bind(count)
    .bind(stored)
    .execute(app.pool())
    .await
    .expect("inserted");
    sqlx::query("DELETE FROM reconcile_queue WHERE tenant = ''")
        .execute(app.pool())
        .await
        .expect("deleted");
}

fn counts(due: &[DueResource]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in due {
        let id = row.claim.resource_id();
        let tenant = id.trim_end_matches(|character: char| character.is_ascii_digit());
        *counts.entry(tenant.to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn in_a_backlog_tenants_take_turns() {
    // Given a tenant with hundreds of due clusters, and two with a few that became due later
    let app = TestApp::start().await;
    due_of_tenant(&app, "org=large", 400, Priority::Change).await;
    due_of_tenant(&app, "org=small", 5, Priority::Change).await;
    due_of_tenant(&app, "org=tiny", 1, Priority::Change).await;
    sqlx::query("UPDATE reconcile_queue SET due_time = now() WHERE tenant <> 'org=large'")
        .execute(app.pool())
        .await
        .expect("updated");
    let mut claimer = Claimer::new(request(20));
    // When a full batch shows that there is a backlog
    let first = claimer.claim(app.pool(), 20).await.expect("claimed");
    assert_eq!(counts(&first), [("org=large".to_owned(), 20)].into());
    // Then each has its share of the next, and the longest waiting of each come first
    let second = claimer.claim(app.pool(), 20).await.expect("claimed");
    let shares = [("org=large", 14), ("org=small", 5), ("org=tiny", 1)];
    let shares = shares.map(|(tenant, count)| (tenant.to_owned(), count));
    assert_eq!(counts(&second), shares.into());
    let large: BTreeSet<&str> = second
        .iter()
        .map(|row| row.claim.resource_id())
        .filter(|id| id.starts_with("org=large"))
        .collect();
    let expected: Vec<String> = (21..=34)
        .map(|number| format!("org=large{number}"))
        .collect();
    assert_eq!(large, expected.iter().map(String::as_str).collect());
    // And nobody is given less than there is
    let third = claimer.claim(app.pool(), 500).await.expect("claimed");
    assert_eq!(third.len(), 406 - 40);
    assert!(
        claimer
            .claim(app.pool(), 20)
            .await
            .expect("claimed")
            .is_empty()
    );
}

#[tokio::test]
async fn turns_go_round_among_more_tenants_than_one_claim_serves() {
    let app = TestApp::start().await;
    let names: Vec<String> = (0..70).map(|number| format!("org=t{number:02}x")).collect();
    for name in &names {
        due_of_tenant(&app, name, 6, Priority::Retry).await;
    }
    let mut claimer = Claimer::new(request(32));
    let mut served: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..8 {
        let due = claimer.claim(app.pool(), 32).await.expect("claimed");
        assert_eq!(due.len(), 32);
        for (tenant, count) in counts(&due) {
            *served.entry(tenant).or_default() += count;
        }
    }
    // 256 rows of 420; the first batch was by time alone, the others in turns.
    let least = names
        .iter()
        .map(|name| served.get(name).copied().unwrap_or_default())
        .min();
    assert!(least >= Some(2), "{served:#?}");
}

#[tokio::test]
async fn urgent_rows_of_one_tenant_go_before_refreshes_of_all() {
    let app = TestApp::start().await;
    for tenant in ["org=a", "org=b"] {
        due_of_tenant(&app, tenant, 30, Priority::Refresh).await;
    }
    due_of_tenant(&app, "org=c", 15, Priority::Generation).await;
    let mut claimer = Claimer::new(request(10));
    let first = claimer.claim(app.pool(), 10).await.expect("claimed");
    let second = claimer.claim(app.pool(), 10).await.expect("claimed");
    assert_eq!(counts(&first), [("org=c".to_owned(), 10)].into());
    let shares = [("org=a", 3), ("org=b", 2), ("org=c", 5)];
    let shares = shares.map(|(tenant, count)| (tenant.to_owned(), count));
    assert_eq!(counts(&second), shares.into());
}

#[tokio::test]
async fn a_row_knows_its_tenant_from_its_first_event_on() {
    let app = TestApp::start().await;
    app.cluster("abc").await;
    for (tenancy, expected) in [
        (json!({}), ""),
        (json!({"org": "a"}), "org=a"),
        (json!({"project": "p", "org": "a"}), "org=a,project=p"),
    ] {
        let tenant: String = sqlx::query_scalar("SELECT tenant_of($1)")
            .bind(tenancy)
            .fetch_one(app.pool())
            .await
            .expect("a text");
        assert_eq!(tenant, expected);
    }
    let of_rows: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM reconcile_queue JOIN resources ON id = resource_id
         WHERE tenant = tenant_of(tenancy)",
    )
    .fetch_one(app.pool())
    .await
    .expect("a count");
    assert_eq!(of_rows, 1);
}

#[tokio::test]
async fn shards_divide_the_queue_without_overlap() {
    let app = TestApp::start().await;
    for number in 0..60 {
        app.cluster(&format!("c-{number:02}")).await;
    }
    let mut all = BTreeSet::new();
    for index in 0..4 {
        let mut share = request(100);
        share.shard = Shard { index, count: 4 };
        let due = claim(app.pool(), &share).await.expect("claimed");
        assert!(
            (4..=30).contains(&due.len()),
            "shard {index} has {}",
            due.len()
        );
        for row in due {
            assert!(all.insert(row.claim.resource_id().to_owned()));
        }
    }
    assert_eq!(all.len(), 60);
}

fn registration(labels: BTreeMap<String, String>, shard: Shard) -> Registration {
    Registration {
        id: UuidV7Source.new_id(),
        name: "test".to_owned(),
        kind: KIND.to_owned(),
        labels,
        shard,
    }
}

async fn has_been_due(app: &TestApp) {
    sqlx::query("UPDATE reconcile_queue SET due_time = now() - interval '2 minutes'")
        .execute(app.pool())
        .await
        .expect("updated");
}

#[tokio::test]
async fn what_no_sentinel_selects_is_set_aside_and_comes_back() {
    let app = TestApp::start().await;
    let pool = app.pool();
    let east = app.cluster("east").await;
    let west = app.cluster("west").await;
    for (id, region) in [(&east, "east"), (&west, "west")] {
        app.patch(
            &format!("clusters/{id}"),
            &json!({"labels": {"region": region}}),
        )
        .await
        .expect(200);
    }
    let of_east = registration(labels("region", "east"), Shard::default());
    register(pool, &of_east).await.expect("registered");
    // Nothing is set aside before it has been due for a while
    assert_eq!(set_unselected_aside(pool, KIND).await.expect("done"), 0);
    has_been_due(&app).await;
    assert_eq!(set_unselected_aside(pool, KIND).await.expect("done"), 1);
    let found = unselected(pool, KIND, 5).await.expect("found");
    assert_eq!((found.count, found.first), (1, vec![west.clone()]));
    assert_eq!(
        depth(pool, KIND).await.expect("depth").due,
        1,
        "what is aside does not count"
    );
    let looked = entry(pool, &west).await.expect("looked").expect("a row");
    assert_eq!(looked.priority, None);
    assert!(
        selecting(pool, &looked.resource)
            .await
            .expect("looked")
            .is_empty()
    );
    // A claim of everything passes it by, a sentinel that selects it brings it back
    let due = claim(pool, &request(10)).await.expect("claimed");
    assert_eq!(due.len(), 1);
    let of_west = registration(labels("region", "west"), Shard::default());
    register(pool, &of_west).await.expect("registered");
    assert_eq!(unselected(pool, KIND, 5).await.expect("found").count, 0);
    let due = claim(pool, &request(10)).await.expect("claimed");
    assert_eq!(due[0].claim.resource_id(), west);
    assert_eq!(
        selecting(pool, &due[0].resource)
            .await
            .expect("looked")
            .len(),
        1
    );
    // And a change brings back what was set aside, too
    unregister(pool, of_west.id).await.expect("unregistered");
    let done = Completion {
        claim: due[0].claim.clone(),
        published_generation: Some(1),
        attempt: 1,
        next_due_in: Duration::ZERO,
        next_priority: Priority::Retry,
    };
    complete(pool, &[done]).await.expect("completed");
    has_been_due(&app).await;
    assert_eq!(set_unselected_aside(pool, KIND).await.expect("done"), 1);
    app.patch(&format!("clusters/{west}"), &json!({"spec": {"a": 1}}))
        .await
        .expect(200);
    assert_eq!(unselected(pool, KIND, 5).await.expect("found").count, 0);
}

#[tokio::test]
async fn a_missing_shard_leaves_its_share_unselected() {
    let app = TestApp::start().await;
    for number in 0..20 {
        app.cluster(&format!("c-{number:02}")).await;
    }
    let half = registration(BTreeMap::new(), Shard { index: 1, count: 2 });
    register(app.pool(), &half).await.expect("registered");
    has_been_due(&app).await;
    let aside = set_unselected_aside(app.pool(), KIND).await.expect("done");
    let mut other = request(100);
    other.shard = Shard { index: 1, count: 2 };
    let due = claim(app.pool(), &other).await.expect("claimed");
    assert_eq!(u64::try_from(due.len()).expect("few") + aside, 20);
    assert!((1..20).contains(&aside), "{aside}");
    // One that is not seen any more counts like one that ended.
    sqlx::query("UPDATE sentinels SET seen_time = now() - interval '5 minutes'")
        .execute(app.pool())
        .await
        .expect("updated");
    sqlx::query("UPDATE reconcile_queue SET claimed_until = NULL, claim_token = NULL")
        .execute(app.pool())
        .await
        .expect("updated");
    let rest = set_unselected_aside(app.pool(), KIND).await.expect("done");
    assert_eq!(rest + aside, 20);
}

#[tokio::test]
async fn replicas_share_one_bucket_of_tokens() {
    let app = TestApp::start().await;
    let pool = app.pool();
    let rate = Rate {
        name: "shared".to_owned(),
        per_second: 0.01,
        burst: 50,
    };
    let taking = (0..8).map(|_| async { take(pool, &rate, 10).await.expect("taken") });
    let taken: Vec<u32> = futures::future::join_all(taking).await;
    assert_eq!(taken.iter().sum::<u32>(), 50, "{taken:?}");
    assert_eq!(take(pool, &rate, 10).await.expect("taken"), 0);
    // A second adds what the rate says, and never more than the bucket holds.
    for (seconds, expected) in [(500.0, 5), (1.0e6, 50)] {
        sqlx::query("UPDATE sentinel_rates SET filled_time = now() - make_interval(secs => $1)")
            .bind(seconds)
            .execute(pool)
            .await
            .expect("updated");
        assert_eq!(take(pool, &rate, 100).await.expect("taken"), expected);
    }
    let other = Rate {
        name: "another".to_owned(),
        ..rate
    };
    assert_eq!(take(pool, &other, 7).await.expect("taken"), 7);
}
