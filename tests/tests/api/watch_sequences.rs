//! What watchers are told is what the log says: for each of them exactly the changes of its filter, in
//! order, none missing and none twice, however often it is cut and wherever it goes on.

use std::collections::{BTreeMap, HashMap};

use hyperfleet_domain::resource::Resource;
use hyperfleet_domain::upcast;
use hyperfleet_projections::search::{self, Predicate};
use hyperfleet_tests::app::{Report, TestApp};
use hyperfleet_tests::search_model;
use hyperfleet_tests::watching::Told;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::conformance_search::encoded;
use crate::conformance_tenancy::{create, send, tenanted};
use crate::watch::{refusal, watch};

/// A watcher for the test: its filter, in the address and as a condition.
struct Watched {
    path: &'static str,
    kind: Option<&'static str>,
    search: Option<&'static str>,
}

const WATCHED: [Watched; 5] = [
    Watched {
        path: "clusters",
        kind: Some("Cluster"),
        search: None,
    },
    Watched {
        path: "nodepools",
        kind: Some("NodePool"),
        search: None,
    },
    Watched {
        path: "resources",
        kind: None,
        search: None,
    },
    Watched {
        path: "clusters",
        kind: Some("Cluster"),
        search: Some("labels.env='a'"),
    },
    Watched {
        path: "clusters",
        kind: Some("Cluster"),
        search: Some("status.conditions.Reconciled='True' or spec.n > 2"),
    },
];

/// Position, type, resource, and its generation after the change.
type Expected = (u64, &'static str, String, i32);

/// What the log says that such a watcher is told after a position. Written apart from the product: here
/// the events of one request to one resource are one change.
async fn expected(app: &TestApp, watched: &Watched, after: u64) -> Vec<Expected> {
    let events = app
        .store
        .read_all(0, 1_000_000)
        .await
        .expect("the log can be read");
    let search: Option<Predicate> = watched
        .search
        .map(|text| search::parse(text).expect("valid"));
    let sees = |resource: &Resource| {
        resource.exists()
            && watched.kind.is_none_or(|kind| resource.kind == kind)
            && search
                .as_ref()
                .is_none_or(|search| search_model::finds(search, resource))
    };
    let mut states: HashMap<String, Resource> = HashMap::new();
    let mut changes: BTreeMap<(String, String), (Resource, u64, Resource)> = BTreeMap::new();
    for event in &events {
        let id = event.stream.aggregate_id.clone();
        let before = states.remove(&id).unwrap_or_default();
        let request = event.metadata["correlation_id"]
            .as_str()
            .expect("a request")
            .to_owned();
        let read = upcast::read(
            &event.event_type,
            &event.event_version,
            event.payload.clone(),
        );
        let state = before.clone().evolve(&read.expect("a known event"));
        states.insert(id.clone(), state.clone());
        let change = changes
            .entry((request, id))
            .or_insert((before, 0, Resource::default()));
        change.1 = event.position;
        change.2 = state;
    }
    let mut told: Vec<Expected> = changes
        .into_values()
        .filter_map(|(before, position, state)| {
            let event = match (sees(&before), sees(&state)) {
                (false, true) => "ADDED",
                (true, true) => "MODIFIED",
                (true, false) => "DELETED",
                (false, false) => return None,
            };
            (position > after).then_some((position, event, state.id, state.generation))
        })
        .collect();
    told.sort_unstable();
    told
}

fn told(events: &[Told]) -> Vec<(u64, String, String, i32)> {
    let changes = events.iter().filter(|told| told.event != "BOOKMARK");
    changes
        .map(|told| {
            let generation = told.data["generation"].as_i64().expect("a generation");
            (
                told.position.expect("a position"),
                told.event.clone(),
                told.data["id"].as_str().expect("an id").to_owned(),
                i32::try_from(generation).expect("a generation"),
            )
        })
        .collect()
}

/// Random commands, by a seed.
async fn write(app: &TestApp, seed: u64, commands: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut clusters: Vec<String> = Vec::new();
    for number in 0..commands {
        let turn = random.random_range(0..10);
        let Some(id) = clusters
            .get(random.random_range(0..clusters.len().max(1)))
            .cloned()
        else {
            clusters.push(app.cluster(&format!("s{seed}-{number}")).await);
            continue;
        };
        let path = format!("clusters/{id}");
        match turn {
            0 | 1 => clusters.push(app.cluster(&format!("s{seed}-{number}")).await),
            2 => {
                let pools = format!("{path}/nodepools");
                let pool = json!({"kind": "NodePool", "name": format!("p{number}"), "spec": {}});
                app.post(&pools, &pool).await;
            }
            3..=5 => {
                let env = ["a", "b"][random.random_range(0..2)];
                app.patch(&path, &json!({"labels": {"env": env}})).await;
            }
            6 | 7 => {
                let n = random.random_range(0..5);
                app.patch(&path, &json!({"spec": {"n": n}})).await;
            }
            8 => {
                let adapter = ["validation", "dns", "placement"][random.random_range(0..3)];
                let available = if random.random_bool(0.7) {
                    "True"
                } else {
                    "False"
                };
                app.report(&path, &Report::new(adapter, 1, available)).await;
            }
            _ => {
                app.delete(&path).await;
                let reason = json!({"reason": "x"});
                app.post(&format!("{path}/force-delete"), &reason).await;
                clusters.retain(|one| *one != id);
            }
        }
    }
}

/// Watches from a position to the end, cut at random points and gone on with elsewhere.
async fn cut_watch(
    apps: [&TestApp; 2],
    watched: &Watched,
    seed: u64,
    end: impl Fn() -> Option<u64>,
) -> Vec<Told> {
    let mut random = StdRng::seed_from_u64(seed);
    let search = watched
        .search
        .map(|text| format!("&search={}", encoded(text)));
    let path = format!(
        "{}?watch=true&from=0{}",
        watched.path,
        search.unwrap_or_default()
    );
    let mut all: Vec<Told> = Vec::new();
    let mut last = "0".to_owned();
    loop {
        let app = apps[random.random_range(0..2)];
        let opened = app.watch(&path, &[("last-event-id", &last)]).await;
        let mut stream = opened.expect("a stream");
        for _ in 0..random.random_range(1..15) {
            let told = stream.next().await.expect("the stream goes on");
            assert_ne!(told.event, "ERROR", "{}", told.data);
            last = told
                .position
                .expect("every event can be gone on from")
                .to_string();
            let position = told.position;
            all.push(told);
            if end().is_some_and(|end| position >= Some(end)) {
                return all;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_watcher_is_told_exactly_what_the_log_says() {
    let app = TestApp::with_watches(hyperfleet_projections::WatchOptions {
        bookmark_interval: std::time::Duration::from_millis(100),
        ..Default::default()
    })
    .await;
    let beside = app.beside().await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let end = std::sync::OnceLock::new();
    let writing = async {
        let writers = (0..4).map(|writer| {
            let app = if writer % 2 == 0 { &app } else { &beside };
            write(app, seed.wrapping_add(writer), 60)
        });
        futures::future::join_all(writers).await;
        let head = app.store.head().await.expect("the log can be read");
        end.set(head).expect("set once");
    };
    let watching =
        futures::future::join_all(WATCHED.iter().enumerate().map(|(number, watched)| {
            let seed = seed.wrapping_add(100 + number as u64);
            cut_watch([&app, &beside], watched, seed, || end.get().copied())
        }));
    let ((), seen) = tokio::join!(writing, watching);
    for (watched, seen) in WATCHED.iter().zip(seen) {
        let expected: Vec<_> = expected(&app, watched, 0)
            .await
            .into_iter()
            .map(|(position, event, id, generation)| (position, event.to_owned(), id, generation))
            .collect();
        assert!(expected.len() > 5, "{} {:?}", watched.path, watched.search);
        assert_eq!(
            told(&seen),
            expected,
            "{} {:?}",
            watched.path,
            watched.search
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initial_state_of_many_pages_and_what_follows_add_up_to_the_list() {
    let app = TestApp::start().await;
    for first in (0..420).step_by(20) {
        let creating = (first..first + 20).map(|number| {
            let app = &app;
            async move { app.cluster(&format!("c-{number}")).await }
        });
        futures::future::join_all(creating).await;
    }
    let list = app.get("clusters?size=100").await.expect(200);
    let ids: Vec<String> = list
        .items()
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect();
    let writing = async {
        for (number, id) in ids.iter().enumerate() {
            let path = format!("clusters/{id}");
            app.patch(&path, &json!({"spec": {"n": number}}))
                .await
                .expect(200);
            if number % 5 == 0 {
                app.delete(&path).await.expect(202);
                app.post(&format!("{path}/force-delete"), &json!({"reason": "x"}))
                    .await
                    .expect(204);
                app.cluster(&format!("new-{number}")).await;
            }
        }
        app.store.head().await.expect("the log can be read")
    };
    let watching = async {
        let mut stream = watch(&app, "clusters?watch=true").await;
        let (initial, _) = stream.initial().await;
        (stream, initial)
    };
    let (head, (mut stream, mut all)) = tokio::join!(writing, watching);
    all.extend(stream.until(head).await);
    let mut known: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for told in all.into_iter().filter(|told| told.event != "BOOKMARK") {
        let id = told.data["id"].as_str().expect("an id").to_owned();
        let before = known.get(&id).map(|data| data["generation"].as_i64());
        match told.event.as_str() {
            "ADDED" => assert_eq!(before, None, "{id} is added once"),
            "MODIFIED" => assert!(before.expect("known") <= told.data["generation"].as_i64()),
            _ => assert!(before.is_some(), "{id} is known"),
        }
        if told.event == "DELETED" {
            known.remove(&id);
        } else {
            known.insert(id, told.data);
        }
    }
    let mut listed = BTreeMap::new();
    for page in 1..=5 {
        let list = app
            .get(&format!("clusters?size=100&page={page}"))
            .await
            .expect(200);
        for item in list.items() {
            listed.insert(item["id"].as_str().expect("an id").to_owned(), item.clone());
        }
    }
    assert_eq!(listed.len(), 420);
    assert!(known == listed, "what was told adds up to the list");
}

const ORG_A: &[(&str, &str)] = &[("x-org", "a")];
const ORG_B: &[(&str, &str)] = &[("x-org", "b")];
const SYSTEM: &[(&str, &str)] = &[("x-system", "true")];

#[tokio::test]
async fn a_tenant_is_told_of_its_own_resources_alone() {
    let app = tenanted("strict").await;
    let id = create(&app, ORG_A, "a-one").await.expect(201).id();
    create(&app, ORG_B, "b-one").await.expect(201);
    let mut streams = Vec::new();
    for (headers, own) in [
        (ORG_A, vec!["a-one"]),
        (ORG_B, vec!["b-one"]),
        (SYSTEM, vec!["b-one", "a-one"]),
    ] {
        let opened = app.watch("resources?watch=true", headers).await;
        let mut stream = opened.expect("a stream");
        let (initial, _) = stream.initial().await;
        let names: Vec<_> = initial
            .iter()
            .map(|told| told.data["name"].as_str())
            .collect();
        assert_eq!(names, own.into_iter().map(Some).collect::<Vec<_>>());
        streams.push(stream);
    }
    let path = format!("clusters/{id}");
    let delete = axum::http::Method::DELETE;
    send(&app, delete, &path, ORG_A, &serde_json::Value::Null)
        .await
        .expect(202);
    let force = format!("{path}/force-delete");
    let post = axum::http::Method::POST;
    send(&app, post, &force, ORG_A, &json!({"reason": "x"}))
        .await
        .expect(204);
    create(&app, ORG_B, "b-two").await.expect(201);
    let mut told = Vec::new();
    for (stream, count) in streams.iter_mut().zip([2, 1, 3]) {
        let mut shorts = Vec::new();
        for _ in 0..count {
            shorts.push(stream.next_change().await.short());
        }
        told.push(shorts);
    }
    assert_eq!(told[0], ["MODIFIED a-one", "DELETED a-one"]);
    assert_eq!(told[1], ["ADDED b-two"]);
    assert_eq!(told[2], ["MODIFIED a-one", "DELETED a-one", "ADDED b-two"]);
    // By its id, or from before its end, no more than of one that never was.
    let watched = format!("{path}?watch=true&from=1");
    let theirs = refusal(&app, &watched, ORG_B).await;
    let nobody = watched.replace(&id, "019b7600-0000-7000-8000-000000000000");
    let missing = refusal(&app, &nobody, ORG_B).await;
    assert_eq!(theirs["status"], 404);
    assert_eq!(theirs["code"], missing["code"]);
}
