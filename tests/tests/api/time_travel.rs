//! Resources and lists as they were, against a fold of the whole log.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hyperfleet_domain::resource::Resource;
use hyperfleet_domain::upcast;
use hyperfleet_tests::app::{Report, TestApp};
use rand::prelude::*;
use serde_json::{Value, json};
use sqlx::Row as _;

/// Pairs of a resource and a time, unless `HYPERFLEET_TEST_TIME_TRAVEL_PAIRS` says how many.
const PAIRS: usize = 300;

#[expect(
    clippy::disallowed_methods,
    reason = "how thorough a test is is said from outside"
)]
fn pairs() -> usize {
    let asked = std::env::var("HYPERFLEET_TEST_TIME_TRAVEL_PAIRS").ok();
    asked
        .and_then(|number| number.parse().ok())
        .unwrap_or(PAIRS)
}

/// One event, as it is stored.
struct Stored {
    id: String,
    position: i64,
    time: DateTime<Utc>,
    event: hyperfleet_domain::Event,
}

/// The whole log, in its order.
struct Log(Vec<Stored>);

impl Log {
    async fn read(app: &TestApp) -> Self {
        let rows = sqlx::query(
            "SELECT aggregate_id, position, recorded_at, event_type, event_version, payload
             FROM events ORDER BY position",
        )
        .fetch_all(app.pool())
        .await
        .expect("the log");
        let stored = rows.iter().map(|row| Stored {
            id: row.get("aggregate_id"),
            position: row.get("position"),
            time: row.get("recorded_at"),
            event: upcast::read(
                row.get("event_type"),
                row.get("event_version"),
                row.get("payload"),
            )
            .expect("a known event"),
        });
        Self(stored.collect())
    }

    /// Every resource that there ever was, folded up to the first event that was recorded later.
    fn at(&self, time: DateTime<Utc>) -> BTreeMap<&str, Resource> {
        let mut states: BTreeMap<&str, Resource> = BTreeMap::new();
        for stored in self.0.iter().take_while(|stored| stored.time <= time) {
            let state = states.entry(&stored.id).or_default();
            *state = std::mem::take(state).evolve(&stored.event);
        }
        states
    }

    fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.0.iter().map(|stored| stored.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// A time at, just before or just after an event.
    fn some_time(&self, random: &mut StdRng) -> DateTime<Utc> {
        let stored = self.0.choose(random).expect("events");
        stored.time + TimeDelta::microseconds(random.random_range(-2..=2))
    }
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn document(resource: &Resource) -> Value {
    serde_json::to_value(resource.document()).expect("a document")
}

/// A fleet with a past: everything that can happen to clusters and node pools.
async fn with_a_past(random: &mut StdRng) -> TestApp {
    let app = TestApp::start().await;
    let mut clusters: Vec<String> = Vec::new();
    for step in 0..120 {
        let path = clusters
            .choose(random)
            .map(|id| format!("clusters/{id}"))
            .unwrap_or_default();
        match (path.is_empty(), random.random_range(0..8)) {
            (true, _) | (_, 0) => clusters.push(app.cluster(&format!("c{step:03}")).await),
            (_, 1) => {
                let pool = json!({"kind": "NodePool", "name": format!("p{step:03}"), "spec": {}});
                app.post(&format!("{path}/nodepools"), &pool).await;
            }
            (_, 2 | 3) => {
                app.patch(&path, &json!({"spec": {"step": step}})).await;
            }
            (_, 4) => {
                let labels = json!({"labels": {"step": step.to_string()}});
                app.patch(&path, &labels).await;
            }
            (_, 5) => {
                app.delete(&path).await;
            }
            (_, 6) => {
                let reason = json!({"reason": "test"});
                app.post(&format!("{path}/force-delete"), &reason).await;
            }
            _ => {
                let available = if step % 2 == 0 { "True" } else { "False" };
                app.report(&path, &Report::new("validation", 1, available))
                    .await;
            }
        }
    }
    app
}

/// As if batches had overtaken each other: some neighbours change their times.
async fn overtake(app: &TestApp) {
    sqlx::query(
        "UPDATE live_events SET recorded_at = other.recorded_at
         FROM events AS other
         WHERE other.position = live_events.position + CASE WHEN live_events.position % 10 = 3 THEN 2 ELSE -2 END
             AND live_events.position % 10 IN (3, 5)",
    )
    .execute(app.pool())
    .await
    .expect("other times");
}

#[tokio::test]
async fn a_past_state_is_the_fold_of_the_log_up_to_then() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = with_a_past(&mut random).await;
    overtake(&app).await;
    let log = Log::read(&app).await;
    let disorder = log.0.windows(2).filter(|pair| pair[0].time > pair[1].time);
    assert!(disorder.count() > 3, "no event overtook another");
    let ids = log.ids();
    let mut outcomes = BTreeMap::new();
    // At both ends each resource has not come, lives or is gone, so that every kind of answer is met.
    let ends = [log.0.first(), log.0.last()].map(|end| end.expect("events").time);
    let at_the_ends = ids.iter().flat_map(|id| ends.map(|time| (*id, time)));
    let mut asked: Vec<(&str, DateTime<Utc>)> = at_the_ends.collect();
    for _ in 0..pairs() {
        let time = log.some_time(&mut random);
        asked.push((ids.choose(&mut random).expect("resources"), time));
    }
    for (id, time) in asked {
        let states = log.at(time);
        let answer = app
            .get(&format!("resources/{id}?at={}", written(time)))
            .await;
        let expected = match states.get(id) {
            Some(resource) if resource.exists() => {
                assert_eq!(answer.body, document(resource), "{id} at {time}");
                assert_eq!(answer.header("etag"), "");
                200
            }
            Some(_) => {
                assert!(answer.text_of("detail").contains("was gone at"));
                404
            }
            None => {
                assert!(answer.text_of("detail").contains("did not exist at"));
                404
            }
        };
        assert_eq!(answer.status, expected, "{id} at {time}: {}", answer.text);
        *outcomes
            .entry((expected, states.contains_key(id)))
            .or_insert(0) += 1;
    }
    println!("{outcomes:?}");
    assert_eq!(outcomes.len(), 3, "every kind of answer was met");
}

#[tokio::test]
async fn a_past_list_holds_what_lived_then_page_by_page() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = with_a_past(&mut random).await;
    overtake(&app).await;
    let log = Log::read(&app).await;
    for round in 0..20 {
        let time = log.some_time(&mut random);
        let states = log.at(time);
        for (plural, kind) in [
            ("clusters", Some("Cluster")),
            ("nodepools", Some("NodePool")),
            ("resources", None),
        ] {
            let mut expected: Vec<Value> = log
                .0
                .iter()
                .filter(|stored| stored.event.event_type() == "hyperfleet.resource.created")
                .filter_map(|stored| states.get(stored.id.as_str()))
                .filter(|resource| resource.exists())
                .filter(|resource| kind.is_none_or(|kind| resource.kind == kind))
                .map(document)
                .collect();
            let order = if round % 2 == 0 {
                expected.reverse();
                "created_time desc"
            } else {
                "created_time"
            };
            let order = order.replace(' ', "%20");
            let query = format!("{plural}?at={}&size=3&order={order}", written(time));
            let mut walked = Vec::new();
            let mut token = String::new();
            loop {
                let page = app
                    .get(&format!("{query}&page_token={token}"))
                    .await
                    .expect(200);
                assert_eq!(page.body["total"], expected.len());
                walked.extend(page.items().iter().cloned());
                let Some(next) = page.body["next_page_token"].as_str() else {
                    break;
                };
                next.clone_into(&mut token);
            }
            assert_eq!(walked, expected, "{plural} at {time}");
            let second = app.get(&format!("{query}&page=2")).await.expect(200);
            let shown: Vec<&Value> = expected.iter().skip(3).take(3).collect();
            assert_eq!(second.items().iter().collect::<Vec<_>>(), shown);
        }
    }
}

#[tokio::test]
async fn every_version_of_a_resource_can_be_read() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    let path = format!("clusters/{id}");
    let pool = app.node_pool(&id, "workers").await;
    for a in 1..4 {
        app.patch(&path, &json!({"spec": {"a": a}}))
            .await
            .expect(200);
    }
    app.delete(&path).await.expect(202);
    app.post(&format!("{path}/force-delete"), &json!({"reason": "test"}))
        .await
        .expect(204);
    let log = Log::read(&app).await;
    let events: Vec<&Stored> = log.0.iter().filter(|stored| stored.id == id).collect();
    let mut state = Resource::default();
    for (version, stored) in (1..).zip(&events) {
        state = state.evolve(&stored.event);
        let answer = app.get(&format!("{path}?version={version}")).await;
        if state.exists() {
            assert_eq!(answer.expect(200).body, document(&state), "{version}");
        } else {
            let gone = answer.expect(404);
            assert!(gone.text_of("detail").contains("was gone at version"));
        }
    }
    let missing = app.get(&format!("{path}?version=99")).await.expect(404);
    let detail = format!(
        "Cluster with id='{id}' has no version 99: its latest version is {}",
        events.len()
    );
    assert_eq!(missing.text_of("detail"), detail);
    // Below a parent that is gone, and with fields.
    let nested = app
        .get(&format!("{path}/nodepools/{pool}?version=1&fields=name"))
        .await
        .expect(200);
    assert_eq!(nested.body, json!({"id": pool, "name": "workers"}));
    let created = events[0].position;
    let before: DateTime<Utc> = events[0].time - TimeDelta::microseconds(1);
    assert!(created > 0);
    let early = app.get(&format!("{path}?at={}", written(before))).await;
    let detail = early.expect(404).text_of("detail").to_owned();
    assert!(detail.contains("did not exist at"), "{detail}");
}

#[tokio::test]
async fn what_is_no_moment_of_the_past_is_told_why() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    let path = format!("clusters/{id}");
    for (query, field) in [
        ("at=yesterday", "at"),
        ("at=99999-01-01T00:00:00Z", "at"),
        ("version=0", "version"),
        ("version=x", "version"),
    ] {
        let refused = app.get(&format!("{path}?{query}")).await.expect(400);
        assert_eq!(refused.body["errors"][0]["field"], field, "{query}");
    }
    let future = app.get(&format!("{path}?at=2999-01-01T00:00:00Z")).await;
    let future = future.expect_problem(400, "VAL-000", "Invalid query parameters");
    let message = future.body["errors"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(message.contains("in the future; it is now 2"), "{message}");
    app.get("clusters?at=2999-01-01T00:00:00Z")
        .await
        .expect(400);
    let both = app
        .get(&format!("{path}?at=2020-01-01T00:00:00Z&version=1"))
        .await;
    both.expect_problem(
        400,
        "VAL-005",
        "at and version cannot be used together: each names a moment",
    );
    let at = "at=2020-01-01T00:00:00Z";
    for (query, field) in [
        ("search=name='abc'", "search"),
        ("order=name", "order"),
        ("version=1", "version"),
        ("ref_type=x", "ref_type"),
    ] {
        let refused = app.get(&format!("clusters?{at}&{query}")).await.expect(400);
        assert_eq!(refused.body["errors"][0]["field"], field, "{query}");
    }
    let empty = app.get(&format!("clusters?{at}")).await.expect(200);
    assert_eq!(empty.body["total"], 0);
    app.get(&format!("clusters/nosuch?{at}")).await.expect(404);
    app.get(&format!("nodepools/{id}?version=1"))
        .await
        .expect(404);
}
