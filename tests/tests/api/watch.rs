//! Watches: what one watcher sees, where it may start, and how it ends.

use std::time::Duration;

use axum::http::Method;
use hyperfleet_projections::WatchOptions;
use hyperfleet_test_support::eventually;
use hyperfleet_tests::app::{Report, TestApp};
use hyperfleet_tests::watching::{Told, WatchStream};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) async fn watch(app: &TestApp, path: &str) -> WatchStream {
    app.watch(path, &[]).await.expect("a stream")
}

pub(crate) async fn refusal(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Value {
    let answer = app.watch(path, headers).await.err().expect("a refusal");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    answer.body
}

fn shorts(told: &[Told]) -> Vec<String> {
    let changes = told.iter().filter(|one| one.event != "BOOKMARK");
    changes.map(Told::short).collect()
}

async fn head(app: &TestApp) -> u64 {
    app.store.head().await.expect("the log can be read")
}

#[tokio::test]
async fn the_initial_state_comes_first_and_then_every_change() {
    let app = TestApp::start().await;
    app.cluster("one").await;
    let id = app.cluster("two").await;
    let path = format!("clusters/{id}");
    let mut stream = watch(&app, "clusters?watch=true").await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-store");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    let (initial, position) = stream.initial().await;
    assert_eq!(shorts(&initial), ["ADDED two", "ADDED one"]);
    assert_eq!(initial[0].data, app.get(&path).await.body);
    assert_eq!(position, head(&app).await);

    let third = app.cluster("three").await;
    let created = stream.next_change().await;
    assert_eq!(created.short(), "ADDED three");
    assert_eq!(
        created.position,
        Some(head(&app).await),
        "one event for a creation"
    );
    assert_eq!(
        created.data,
        app.get(&format!("clusters/{third}")).await.body
    );
    app.patch(&path, &json!({"labels": {"a": "b"}}))
        .await
        .expect(200);
    let patched = stream.next_change().await;
    assert_eq!(patched.short(), "MODIFIED two");
    assert_eq!(patched.data, app.get(&path).await.body);
    app.delete(&path).await.expect(202);
    let marked = stream.next_change().await;
    assert_eq!(marked.event, "MODIFIED");
    assert!(marked.data["deleted_time"].is_string());
    let reason = json!({"reason": "x"});
    app.post(&format!("{path}/force-delete"), &reason)
        .await
        .expect(204);
    let removed = stream.next_change().await;
    assert_eq!(removed.short(), "DELETED two");
    assert_eq!(removed.position, Some(head(&app).await));
}

#[tokio::test]
async fn what_enters_the_filter_is_added_and_what_leaves_it_deleted() {
    let app = TestApp::start().await;
    let id = app.cluster("one").await;
    let path = format!("clusters/{id}");
    let search = "labels.env%3D'prod'";
    let mut stream = watch(&app, &format!("clusters?watch=true&search={search}")).await;
    assert!(stream.initial().await.0.is_empty());
    for (env, expected) in [("prod", "ADDED"), ("prod", "MODIFIED"), ("dev", "DELETED")] {
        let labels = json!({"labels": {"env": env, "turn": expected}});
        app.patch(&path, &labels).await.expect(200);
        let told = stream.next_change().await;
        assert_eq!(told.event, expected);
        assert_eq!(told.data["labels"]["env"], env);
    }
    // Outside the filter, unseen.
    app.patch(&path, &json!({"labels": {"env": "test"}}))
        .await
        .expect(200);
    app.patch(&path, &json!({"labels": {"env": "prod"}}))
        .await
        .expect(200);
    assert_eq!(stream.next_change().await.data["labels"]["env"], "prod");
}

#[tokio::test]
async fn every_list_and_resource_can_be_watched() {
    let app = TestApp::start().await;
    let cluster = app.cluster("one").await;
    let other = app.cluster("two").await;
    let pool = app.node_pool(&cluster, "pool").await;
    app.node_pool(&other, "else").await;
    let nested = format!("clusters/{cluster}/nodepools");
    for (path, expected) in [
        (nested.clone(), vec!["ADDED pool"]),
        (format!("{nested}/{pool}"), vec!["ADDED pool"]),
        (format!("nodepools/{pool}"), vec!["ADDED pool"]),
        (format!("resources/{pool}"), vec!["ADDED pool"]),
        ("nodepools".to_owned(), vec!["ADDED else", "ADDED pool"]),
        (
            "resources".to_owned(),
            vec!["ADDED else", "ADDED pool", "ADDED two", "ADDED one"],
        ),
        (
            "resources?kind=NodePool&name=else".to_owned(),
            vec!["ADDED else"],
        ),
        ("versions".to_owned(), vec![]),
    ] {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}watch=true&fields=name");
        let mut stream = watch(&app, &path).await;
        let (initial, _) = stream.initial().await;
        assert_eq!(shorts(&initial), expected, "{path}");
        assert!(initial.iter().all(|told| told.data.get("spec").is_none()));
        let turn = json!({"labels": {"turn": "1"}});
        if !expected.is_empty() && !path.contains("name=else") {
            app.patch(&format!("nodepools/{pool}"), &turn)
                .await
                .expect(200);
            let told = stream.next_change().await;
            assert_eq!(told.data, json!({"id": pool, "name": "pool"}), "{path}");
            let other = json!({"labels": {}});
            app.patch(&format!("nodepools/{pool}"), &other)
                .await
                .expect(200);
        }
    }
}

#[tokio::test]
async fn a_watch_of_one_resource_ends_with_it() {
    let app = TestApp::start().await;
    let id = app.cluster("one").await;
    let path = format!("clusters/{id}");
    let watched = format!("{path}?watch=true");
    let mut stream = watch(&app, &watched).await;
    let (_, begun) = stream.initial().await;
    app.delete(&path).await.expect(202);
    let marked = stream.next_change().await;
    let reason = json!({"reason": "x"});
    app.post(&format!("{path}/force-delete"), &reason)
        .await
        .expect(204);
    let removed = stream.next_change().await;
    assert_eq!(removed.event, "DELETED");
    assert_eq!(stream.next().await, None);
    // Whoever goes on from before learns it, whoever goes on from there, or begins, finds nothing.
    let before = begun.to_string();
    let mut resumed = app
        .watch(&watched, &[("last-event-id", &before)])
        .await
        .expect("a stream");
    assert_eq!(resumed.next_change().await, marked);
    assert_eq!(resumed.next_change().await, removed);
    assert_eq!(resumed.next().await, None);
    let after = removed.position.expect("a position").to_string();
    for headers in [vec![], vec![("last-event-id", after.as_str())]] {
        assert_eq!(refusal(&app, &watched, &headers).await["status"], 404);
    }
    for path in [
        "nodepools",
        "clusters/019b7600-0000-7000-8000-000000000000/nodepools",
    ] {
        let path = format!("{path}/{id}?watch=true&from={before}");
        assert_eq!(refusal(&app, &path, &[]).await["status"], 404, "{path}");
    }
}

#[tokio::test]
async fn liveness_is_no_change() {
    let app = TestApp::start().await;
    let id = app.cluster("one").await;
    let path = format!("clusters/{id}");
    let report = Report::new("validation", 1, "True");
    app.report(&path, &report).await.expect(201);
    let mut stream = watch(&app, "clusters?watch=true").await;
    stream.initial().await;
    let head_before = head(&app).await;
    for _ in 0..3 {
        app.report(&path, &report).await.expect(201);
    }
    assert_eq!(head(&app).await, head_before);
    app.patch(&path, &json!({"labels": {"a": "b"}}))
        .await
        .expect(200);
    let told = stream.next_change().await;
    assert_eq!(told.data["labels"]["a"], "b");
    assert_eq!(
        told.data,
        app.get(&path).await.body,
        "its times are not turned back"
    );
}

#[tokio::test]
async fn a_watch_goes_on_after_a_position() {
    let app = TestApp::start().await;
    app.cluster("one").await;
    let first = head(&app).await;
    app.cluster("two").await;
    let second = head(&app).await;
    let mut now = watch(&app, "clusters?watch=true&from=now").await;
    let begun = now.next().await.expect("a bookmark");
    assert_eq!(
        (begun.event.as_str(), begun.position),
        ("BOOKMARK", Some(second))
    );
    assert!(!begun.completes());
    app.cluster("three").await;
    assert_eq!(now.next_change().await.short(), "ADDED three");
    let path = format!("clusters?watch=true&from={first}");
    let mut stream = watch(&app, &path).await;
    assert_eq!(stream.next_change().await.short(), "ADDED two");
    assert_eq!(stream.next_change().await.short(), "ADDED three");
    // The header of a client that comes back counts, not the address that it began with.
    let header = second.to_string();
    let mut stream = app
        .watch(&path, &[("last-event-id", &header)])
        .await
        .expect("a stream");
    assert_eq!(stream.next_change().await.short(), "ADDED three");
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    let app = TestApp::start().await;
    for (path, field) in [
        ("clusters?watch=yes", "watch"),
        ("clusters?watch=true&from=x", "from"),
        ("clusters?watch=true&from=-1", "from"),
        ("clusters?watch=true&page=1", "page"),
        ("clusters?watch=true&size=1", "size"),
        ("clusters?watch=true&order=name", "order"),
    ] {
        let problem = refusal(&app, path, &[]).await;
        assert_eq!(problem["code"], "HYPERFLEET-VAL-000", "{path}");
        assert_eq!(problem["errors"][0]["field"], field, "{path}");
    }
    let header = [("last-event-id", "x")];
    let problem = refusal(&app, "clusters?watch=true", &header).await;
    assert_eq!(problem["errors"][0]["field"], "Last-Event-ID");
    let problem = refusal(&app, "clusters?watch=true&search=nosuch%3D1", &[]).await;
    assert_eq!(problem["code"], "HYPERFLEET-VAL-005");
    let problem = refusal(&app, "clusters?watch=true&fields=nosuch", &[]).await;
    assert_eq!(problem["code"], "HYPERFLEET-VAL-000");
    // From another log, or before a restore.
    let problem = refusal(&app, "clusters?watch=true&from=99999", &[]).await;
    assert_eq!(problem["code"], "HYPERFLEET-WCH-001");
    assert_eq!(problem["status"], 410);
    app.get("clusters?watch=false").await.expect(200);
    // Never compressed: that would hold events back.
    let gzip = [("accept-encoding", "gzip")];
    let stream = app.watch("clusters?watch=true", &gzip).await;
    let mut stream = stream.expect("a stream");
    assert!(!stream.headers.contains_key("content-encoding"));
    stream.initial().await;
    let path = "/api/hyperfleet/v1/clusters?watch=true";
    let answer = app.send(Method::HEAD, path, &[], "").await.expect(200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert!(answer.bytes.is_empty());
    app.send(Method::PUT, path, &[], "").await.expect(405);
}

fn small() -> WatchOptions {
    WatchOptions {
        ring_changes: 4,
        catch_up: 40,
        bookmark_interval: Duration::from_millis(50),
        ..WatchOptions::default()
    }
}

#[tokio::test]
async fn who_comes_back_late_is_served_from_the_log_and_too_late_is_told() {
    let app = TestApp::with_watches(small()).await;
    app.cluster("first").await;
    let from = head(&app).await;
    // Somebody watches, so the ring moves on.
    let mut keeping_up = watch(&app, "clusters?watch=true").await;
    keeping_up.initial().await;
    let mut expected = Vec::new();
    for number in 0..12 {
        app.cluster(&format!("c-{number}")).await;
        expected.push(format!("ADDED c-{number}"));
        keeping_up.next_change().await;
    }
    let mut late = watch(&app, &format!("clusters?watch=true&from={from}")).await;
    let told = late.until(head(&app).await).await;
    assert_eq!(shorts(&told), expected);
    assert!(app.counted("hyperfleet_watch_log_reads_total") > 0.0);
    for number in 12..40 {
        app.cluster(&format!("c-{number}")).await;
    }
    let problem = refusal(&app, &format!("clusters?watch=true&from={from}"), &[]).await;
    assert_eq!(problem["code"], "HYPERFLEET-WCH-001");
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_ended_and_holds_up_nobody() {
    let app = TestApp::with_watches(small()).await;
    let id = app.cluster("one").await;
    let mut slow = watch(&app, "clusters?watch=true").await;
    let (_, position) = slow.initial().await;
    let mut other = watch(&app, "clusters?watch=true").await;
    other.initial().await;
    for turn in 0..60 {
        let labels = json!({"labels": {"turn": turn.to_string()}});
        app.patch(&format!("clusters/{id}"), &labels)
            .await
            .expect(200);
        let told = other.next_change().await;
        assert_eq!(told.data["labels"]["turn"], turn.to_string());
    }
    let last = loop {
        let told = slow.next().await.expect("an ERROR before the end");
        assert_ne!(told.event, "MODIFIED", "what is told has no gap");
        if told.event == "ERROR" {
            break told;
        }
    };
    assert_eq!(last.position, None);
    assert_eq!(last.data["code"], "HYPERFLEET-WCH-001");
    assert_eq!(last.data["status"], 410);
    assert_eq!(last.data["instance"], "/api/hyperfleet/v1/clusters");
    let detail = last.data["detail"].as_str().expect("a detail");
    assert!(detail.contains(&position.to_string()), "{detail}");
    assert_eq!(slow.next().await, None);
    assert!((app.counted("hyperfleet_watch_fell_behind_total") - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn bookmarks_come_when_nothing_happens() {
    let app = TestApp::with_watches(small()).await;
    app.cluster("one").await;
    let mut stream = watch(&app, "nodepools?watch=true").await;
    let (_, first) = stream.initial().await;
    app.cluster("two").await;
    // What does not concern the watcher moves its position all the same.
    let position = head(&app).await;
    assert!(position > first);
    let told = stream.until(position).await;
    assert!(
        told.iter()
            .all(|one| one.event == "BOOKMARK" && !one.completes())
    );
}

#[tokio::test]
async fn watchers_have_a_limit_of_their_own() {
    let app = TestApp::with_watches(WatchOptions {
        watchers: 2,
        watchers_per_caller: 2,
        ..WatchOptions::default()
    })
    .await;
    let first = watch(&app, "clusters?watch=true").await;
    let second = watch(&app, "nodepools?watch=true").await;
    let refused = app
        .watch("clusters?watch=true", &[])
        .await
        .err()
        .expect("refused");
    assert_eq!(refused.header("retry-after"), "5");
    refused.expect_problem(503, "SVC-001", "too many watches are open; try again");
    // Requests are not held up.
    app.get("clusters").await.expect(200);
    drop(first);
    let mut third = watch(&app, "clusters?watch=true").await;
    third.initial().await;
    drop((second, third));
    eventually(DEADLINE, "no watchers", async || {
        app.counted("hyperfleet_watch_watchers") == 0.0
    })
    .await;

    let app = TestApp::with_watches(WatchOptions {
        watchers_per_caller: 1,
        ..WatchOptions::default()
    })
    .await;
    let _first = watch(&app, "clusters?watch=true").await;
    let refused = app
        .watch("clusters?watch=true", &[])
        .await
        .err()
        .expect("refused");
    let detail = "this caller has too many watches open; end some of them";
    refused.expect_problem(429, "LMT-001", detail);
}

#[tokio::test]
async fn at_shutdown_every_watch_ends_with_its_position() {
    let app = TestApp::start().await;
    app.cluster("one").await;
    let mut idle = watch(&app, "clusters?watch=true").await;
    let (_, position) = idle.initial().await;
    let mut unread = watch(&app, "clusters?watch=true").await;
    app.shut_down();
    let farewell = idle.next().await.expect("a bookmark");
    assert_eq!(
        (farewell.event.as_str(), farewell.position),
        ("BOOKMARK", Some(position))
    );
    assert_eq!(idle.next().await, None);
    assert_eq!(unread.next().await, None);
}

#[tokio::test]
async fn a_watch_lasts_no_longer_than_allowed() {
    let app = TestApp::with_watches(WatchOptions {
        lifetime: Duration::from_millis(200),
        ..WatchOptions::default()
    })
    .await;
    let mut stream = watch(&app, "clusters?watch=true").await;
    stream.initial().await;
    assert_eq!(
        stream.next().await.map(|told| told.event).as_deref(),
        Some("BOOKMARK")
    );
    assert_eq!(stream.next().await, None);
}
