//! Watches of histories: what is told, from where, to whom, and how they go on.

use std::collections::BTreeSet;

use hyperfleet_api_types::client::{
    Client, Collection, HistoryOf, HistoryWatch, HistoryWatchEvent,
};
use hyperfleet_tests::app::{Report, TestApp};
use hyperfleet_tests::watching::{Told, WatchStream};
use serde_json::{Value, json};

use crate::watch::{refusal, watch};

/// The next `count` events of the history, bookmarks left out.
async fn recorded(stream: &mut WatchStream, count: usize) -> Vec<Told> {
    let mut told = Vec::new();
    while told.len() < count {
        told.push(stream.next_change().await);
    }
    assert!(told.iter().all(|one| one.event == "RECORDED"), "{told:#?}");
    told
}

/// The items of a whole history, as pages give them.
async fn pages(app: &TestApp, path: &str) -> Vec<Value> {
    let body = app.get(path).await.expect(200).body;
    assert_eq!(body["next_page_token"], Value::Null, "one page is enough");
    body["items"].as_array().expect("items").clone()
}

fn data(told: &[Told]) -> Vec<Value> {
    told.iter().map(|one| one.data.clone()).collect()
}

#[tokio::test]
async fn a_watch_tells_what_the_pages_show_as_it_happens() {
    let app = TestApp::start().await;
    app.cluster("before").await;
    let mut stream = watch(&app, "history?watch=true").await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let first = stream.next().await.expect("a bookmark");
    let position = app.store.head().await.expect("the log can be read");
    assert_eq!(
        (first.event.as_str(), first.position),
        ("BOOKMARK", Some(position))
    );

    let id = app.cluster("one").await;
    let path = format!("clusters/{id}");
    app.patch(&path, &json!({"spec": {"a": 1}}))
        .await
        .expect(200);
    app.report(&path, &Report::new("dns", 2, "True"))
        .await
        .expect(201);
    app.delete(&path).await.expect(202);
    let all = pages(&app, "history?size=100").await;
    let later: Vec<_> = all
        .iter()
        .filter(|item| item["position"].as_u64() > Some(position))
        .cloned()
        .collect();
    assert!(later.len() >= 4, "{later:#?}");
    let told = recorded(&mut stream, later.len()).await;
    assert_eq!(data(&told), later);
    for one in &told {
        assert_eq!(
            one.position,
            one.data["position"].as_u64(),
            "its id is its position"
        );
    }
}

#[tokio::test]
async fn a_watch_goes_on_after_any_position_and_from_any_time() {
    let app = TestApp::start().await;
    for number in 0..130 {
        app.cluster(&format!("c-{number}")).await;
    }
    let mut query = "history?size=100&page_token=".to_owned();
    let mut all = Vec::new();
    loop {
        let body = app.get(&query).await.expect(200).body;
        all.extend(body["items"].as_array().expect("items").clone());
        let Some(token) = body["next_page_token"].as_str() else {
            break;
        };
        query = format!("history?size=100&page_token={token}");
    }
    let after = all[3]["position"].to_string();
    let headers = [("last-event-id", after.as_str())];
    let mut stream = app
        .watch("history?watch=true", &headers)
        .await
        .expect("a stream");
    let told = recorded(&mut stream, all.len() - 4).await;
    assert_eq!(data(&told), all[4..]);
    // From a time on: everything that was recorded then or later, and what comes after it.
    let from = all[7]["time"].as_str().expect("a time");
    let expected: Vec<_> = all
        .iter()
        .filter(|item| item["time"].as_str().is_some_and(|time| time >= from))
        .cloned()
        .collect();
    let mut stream = watch(&app, &format!("history?watch=true&from={from}")).await;
    let told = recorded(&mut stream, expected.len()).await;
    assert_eq!(data(&told), expected);
    app.cluster("late").await;
    assert_eq!(recorded(&mut stream, 1).await[0].data["name"], "late");
}

#[tokio::test]
async fn filters_are_those_of_the_pages() {
    let app = TestApp::start().await;
    let id = app.cluster("mine").await;
    let path = format!("clusters/{id}");
    let filters = [
        "history?watch=true&kind=Cluster&name=mine".to_owned(),
        "history?watch=true&type=spec_changed,created".to_owned(),
        "history?watch=true&kind=NodePool".to_owned(),
        "history?watch=true&label=tier%3Dgold".to_owned(),
        format!("{path}/history?watch=true"),
    ];
    let mut streams = Vec::new();
    for filter in &filters {
        let mut stream = watch(&app, filter).await;
        stream.next().await.expect("a bookmark");
        streams.push(stream);
    }
    let from = app.store.head().await.expect("the log can be read");
    app.cluster("other").await;
    app.patch(
        &path,
        &json!({"spec": {"a": 1}, "labels": {"tier": "gold"}}),
    )
    .await
    .expect(200);
    app.node_pool(&id, "workers").await;
    app.patch(&path, &json!({"spec": {"a": 2}}))
        .await
        .expect(200);
    let mut sizes = BTreeSet::new();
    for (filter, stream) in filters.iter().zip(&mut streams) {
        let asked = filter.replace("watch=true", "size=100");
        let expected: Vec<_> = pages(&app, &asked)
            .await
            .into_iter()
            .filter(|item| item["position"].as_u64() > Some(from))
            .collect();
        assert!(!expected.is_empty(), "{filter}");
        let told = recorded(stream, expected.len()).await;
        assert_eq!(data(&told), expected, "{filter}");
        sizes.insert(expected.len());
    }
    assert!(sizes.len() > 1, "the filters let through different events");
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_by_name() {
    let app = TestApp::start().await;
    for (query, field) in [
        ("order=desc", "order"),
        ("size=3", "size"),
        ("page=2", "page"),
        ("page_token=x", "page_token"),
        ("to=2026-01-01T00:00:00Z", "to"),
        ("outcome=refused", "outcome"),
        ("from=yesterday", "from"),
        ("type=nosuch", "type"),
    ] {
        let problem = refusal(&app, &format!("history?watch=true&{query}"), &[]).await;
        assert_eq!(problem["status"], 400, "{query}");
        let text = problem.to_string();
        assert!(text.contains(field), "{query}: {text}");
    }
    let problem = refusal(&app, "history?watch=maybe", &[]).await;
    assert_eq!(problem["errors"][0]["field"], "watch");
    let beyond = [("last-event-id", "99999999")];
    let problem = refusal(&app, "history?watch=true", &beyond).await;
    assert_eq!(problem["code"], "HYPERFLEET-WCH-001");
    let absent = "clusters/019b7600-0000-7000-8000-000000000000/history?watch=true";
    assert_eq!(refusal(&app, absent, &[]).await["status"], 404);
    app.get("history?watch=false").await.expect(200);
}

async fn next(watch: &mut HistoryWatch) -> HistoryWatchEvent {
    loop {
        let next = tokio::time::timeout(std::time::Duration::from_secs(30), watch.next()).await;
        let event = next
            .expect("an event in time")
            .expect("a watch that goes on");
        if !matches!(event, HistoryWatchEvent::Bookmark { .. }) {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_goes_on_by_itself_without_loss_or_repetition() {
    let app = TestApp::start().await;
    let server = crate::watch_client::Server::start_anywhere(app.router()).await;
    let client = Client::new(&format!("http://{}", server.address)).expect("an address");
    let id = app.cluster("one").await;
    let clusters = Collection::of("clusters");
    let of = HistoryOf::Resource(&clusters, &id);
    let mut watch = client.watch_history(of, &[("type", "spec_changed".to_owned())], None);
    let waiting = watch.next().await.expect("a watch");
    assert!(
        matches!(waiting, HistoryWatchEvent::Bookmark { .. }),
        "{waiting:?}"
    );
    let patch = async |number: i32| {
        let path = format!("clusters/{id}");
        app.patch(&path, &json!({"spec": {"n": number}}))
            .await
            .expect(200);
    };
    patch(0).await;
    let address = server.stop().await;
    for number in 1..250 {
        patch(number).await;
    }
    let server = crate::watch_client::Server::start(app.router(), address).await;
    for generation in 2..=251 {
        let HistoryWatchEvent::Recorded(entry) = next(&mut watch).await else {
            panic!("it did not begin anew");
        };
        assert_eq!(entry.generation, generation);
    }
    server.stop().await;
}
