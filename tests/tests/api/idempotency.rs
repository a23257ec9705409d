//! `Idempotency-Key`: a request that is sent again is answered again and carried out once.

use axum::http::Method;
use futures::future::join_all;
use hyperfleet_test_support::relay::{Cut, Relay};
use hyperfleet_tests::app::{Answer, Report, TestApp};
use serde_json::{Value, json};

use hyperfleet_tests::registries::registry_b;

const BASE: &str = "/api/hyperfleet/v1";

async fn keyed(app: &TestApp, method: Method, path: &str, key: &str, body: &Value) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let headers = [("idempotency-key", key)];
    app.send(method, &format!("{BASE}/{path}"), &headers, body)
        .await
}

#[track_caller]
fn assert_replayed(again: &Answer, first: &Answer) {
    assert_eq!(
        again.header("idempotency-replayed"),
        "true",
        "{}",
        again.text
    );
    assert_eq!(first.header("idempotency-replayed"), "");
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    for header in ["etag", "content-type", "vary"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
    }
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
}

fn cluster(name: &str) -> Value {
    json!({"kind": "Cluster", "name": name, "spec": {"z": 1, "a": [1.5, "ü"]}})
}

#[tokio::test]
async fn a_create_that_is_sent_again_is_answered_as_before() {
    let app = TestApp::start().await;
    let body = cluster("abc");
    let first = keyed(&app, Method::POST, "clusters", "k-1", &body)
        .await
        .expect(201);
    let again = keyed(&app, Method::POST, "clusters", "k-1", &body).await;
    assert_replayed(&again, &first);
    // The structured form of the header names the same key, and a trailing slash the same path.
    let again = keyed(&app, Method::POST, "clusters/", "\"k-1\"", &body).await;
    assert_replayed(&again, &first);
    assert_eq!(app.get("clusters").await.expect(200).body["total"], 1);
    let path = format!("clusters/{}/history", first.id());
    let history = app.store.read_all(0, 10).await.expect("the log is there");
    assert!(
        history
            .iter()
            .all(|event| event.metadata["idempotency_key"] == "k-1")
    );
    assert!(app.get(&path).await.expect(200).body["total"].is_u64());
    let other = keyed(&app, Method::POST, "clusters", "k-2", &body).await;
    other.expect_problem(409, "CNF-001", "This Cluster already exists");
}

#[tokio::test]
async fn a_key_is_good_for_one_request_only() {
    let app = TestApp::start().await;
    let first = keyed(&app, Method::POST, "clusters", "k", &cluster("abc"))
        .await
        .expect(201);
    let path = format!("clusters/{}", first.id());
    for (method, path, body) in [
        (Method::POST, "clusters", &cluster("other")),
        (Method::PATCH, path.as_str(), &cluster("abc")["spec"]),
        (Method::PATCH, path.as_str(), &json!({"spec": {}})),
        (Method::DELETE, path.as_str(), &Value::Null),
    ] {
        let answer = keyed(&app, method, path, "k", body).await;
        if answer.status == 400 {
            continue;
        }
        answer.expect_problem(
            422,
            "VAL-008",
            "the Idempotency-Key was used for another request; a new request needs a new key",
        );
    }
    assert_eq!(app.get("clusters").await.expect(200).body["total"], 1);
    assert_eq!(app.get(&path).await.expect(200).body["generation"], 1);
}

#[tokio::test]
async fn a_malformed_key_is_refused() {
    let app = TestApp::start().await;
    for key in ["", "\"\"", "two words", &"k".repeat(256)] {
        let answer = keyed(&app, Method::POST, "clusters", key, &cluster("abc")).await;
        assert_eq!(answer.expect(400).body["code"], "HYPERFLEET-VAL-005");
    }
    assert_eq!(app.get("clusters").await.expect(200).body["total"], 0);
}

#[tokio::test]
async fn every_kind_of_write_is_carried_out_once() {
    let app = TestApp::with(registry_b()).await;
    let path = format!("gadgets/{}", app.create("gadgets", "Gadget", "abc").await);
    let report = Report::new("alpha", 1, "True")
        .at(app.seconds_ago(5))
        .document();
    let status_path = format!("{path}/statuses");
    let force_path = format!("{path}/force-delete");
    let reason = json!({"reason": "test"});
    let steps = [
        (Method::PUT, &status_path, report, 201),
        (Method::PATCH, &path, json!({"spec": {"a": 1}}), 200),
        (Method::DELETE, &path, Value::Null, 202),
        (Method::POST, &force_path, reason, 204),
    ];
    let mut answers = Vec::new();
    for (number, (method, path, body, status)) in steps.iter().enumerate() {
        let key = format!("k{number}");
        let first = keyed(&app, method.clone(), path, &key, body)
            .await
            .expect(*status);
        answers.push(first);
    }
    let events = app
        .store
        .read_all(0, 100)
        .await
        .expect("the log is there")
        .len();
    app.get(&path).await.expect(404);
    // Whatever became of the resource since, each is answered as it was.
    for (number, (method, path, body, _)) in steps.iter().enumerate() {
        let again = keyed(&app, method.clone(), path, &format!("k{number}"), body).await;
        assert_replayed(&again, &answers[number]);
    }
    let after = app
        .store
        .read_all(0, 100)
        .await
        .expect("the log is there")
        .len();
    assert_eq!(after, events);
}

#[tokio::test]
async fn a_change_of_nothing_stays_one_when_it_comes_again_late() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let same = json!({"spec": {}});
    let first = keyed(&app, Method::PATCH, &path, "late", &same)
        .await
        .expect(200);
    app.patch(&path, &json!({"spec": {"a": 1}}))
        .await
        .expect(200);
    let again = keyed(&app, Method::PATCH, &path, "late", &same).await;
    assert_replayed(&again, &first);
    assert_eq!(
        app.get(&path).await.expect(200).body["spec"],
        json!({"a": 1})
    );
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let app = TestApp::with(registry_b()).await;
    let channel = json!({"kind": "Channel", "name": "stable", "spec": {}});
    let holder = app.post("channels", &channel).await.expect(201).id();
    keyed(&app, Method::POST, "channels", "k", &channel)
        .await
        .expect(409);
    app.delete(&format!("channels/{holder}")).await.expect(202);
    let created = keyed(&app, Method::POST, "channels", "k", &channel)
        .await
        .expect(201);
    assert_eq!(created.header("idempotency-replayed"), "");
}

#[tokio::test]
async fn a_replay_comes_before_the_precondition() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let tag = app.get(&path).await.expect(200).header("etag").to_owned();
    let headers = [("idempotency-key", "k"), ("if-match", tag.as_str())];
    let full = format!("{BASE}/{path}");
    let send = || app.send(Method::PATCH, &full, &headers, r#"{"spec":{"a":1}}"#);
    let first = send().await.expect(200);
    assert_replayed(&send().await, &first);
    assert_eq!(app.get(&path).await.expect(200).body["generation"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_with_one_key_get_one_answer_over_two_processes() {
    let app = TestApp::start().await;
    let beside = app.beside().await;
    for round in 0..10 {
        let (name, key) = (format!("abc-{round}"), format!("k-{round}"));
        let body = cluster(&name);
        let sent = (0..30).map(|number| {
            let app = if number % 2 == 0 { &app } else { &beside };
            keyed(app, Method::POST, "clusters", &key, &body)
        });
        let answers = join_all(sent).await;
        let created: Vec<_> = answers
            .iter()
            .filter(|answer| answer.header("idempotency-replayed").is_empty())
            .collect();
        assert_eq!(created.len(), 1);
        for answer in &answers {
            assert_eq!((answer.status, &answer.text), (201, &created[0].text));
        }
        let path = format!("clusters/{}", created[0].id());
        let change = json!({"spec": {"round": round}});
        let key = format!("p-{round}");
        let sent = (0..30).map(|number| {
            let app = if number % 2 == 0 { &app } else { &beside };
            keyed(app, Method::PATCH, &path, &key, &change)
        });
        for answer in join_all(sent).await {
            assert_eq!(answer.expect(200).body["generation"], 2);
        }
    }
    assert_eq!(app.get("clusters").await.expect(200).body["total"], 10);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_answered_from_its_receipt() {
    let app = TestApp::start().await;
    let body = cluster("abc");
    let relay = Relay::start(app.database_url(), Cut::AfterAndForGood, 1).await;
    let cut_off = app.beside_through(&relay.url).await;
    // The API itself finds that the commit was done, over a connection that it has for reading.
    let lost = keyed(&cut_off, Method::POST, "clusters", "k", &body)
        .await
        .expect(201);
    assert_eq!(relay.cuts_left(), 0, "no commit was cut");
    // And if it never comes to that, any other process answers the same.
    let again = keyed(&app, Method::POST, "clusters", "k", &body)
        .await
        .expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.text, lost.text);
    let list = app.get("clusters").await.expect(200);
    assert_eq!(list.body["items"], json!([again.body]));
}

#[tokio::test]
async fn without_a_key_a_lost_answer_is_a_failure_and_a_repeated_create_a_conflict() {
    let app = TestApp::start().await;
    let body = cluster("abc");
    let relay = Relay::start(app.database_url(), Cut::AfterAndForGood, 1).await;
    let cut_off = app.beside_through(&relay.url).await;
    let lost = cut_off.post("clusters", &body).await;
    lost.expect_problem(503, "SVC-001", "Database connection unavailable");
    app.post("clusters", &body).await.expect(409);
}

#[tokio::test]
async fn after_a_day_a_key_is_forgotten() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let change = json!({"spec": {"a": 1}});
    keyed(&app, Method::PATCH, &path, "k", &change)
        .await
        .expect(200);
    let lifetime: i64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM expires_at - recorded_at)::bigint FROM receipts",
    )
    .fetch_one(app.pool())
    .await
    .expect("one receipt");
    assert_eq!(lifetime, 24 * 60 * 60);
    let expire = "UPDATE receipts SET expires_at = clock_timestamp()";
    sqlx::query(expire)
        .execute(app.pool())
        .await
        .expect("it can be changed");
    let anew = keyed(&app, Method::PATCH, &path, "k", &json!({"spec": {"a": 2}})).await;
    assert_eq!(anew.expect(200).header("idempotency-replayed"), "");
    let metrics = app.metrics.gather();
    let counted = metrics
        .iter()
        .find(|family| family.name() == "hyperfleet_api_idempotent_requests_total");
    assert!(counted.is_some());
}
