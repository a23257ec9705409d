//! Entity tags, `If-None-Match` and `If-Match`.

use axum::http::Method;
use futures::future::join_all;
use hyperfleet_tests::app::{Answer, Report, TestApp};
use serde_json::{Value, json};

use hyperfleet_tests::registries::registry_b;

const BASE: &str = "/api/hyperfleet/v1";

async fn conditional(
    app: &TestApp,
    method: Method,
    path: &str,
    header: (&str, &str),
    body: &Value,
) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    app.send(method, &format!("{BASE}/{path}"), &[header], body)
        .await
}

#[tokio::test]
async fn every_answer_about_a_resource_has_the_tag_of_what_it_shows() {
    let app = TestApp::start().await;
    let body = json!({"kind": "Cluster", "name": "abc", "spec": {}});
    let created = app.post("clusters", &body).await.expect(201);
    let path = format!("clusters/{}", created.id());
    let read = app.get(&path).await.expect(200);
    assert_eq!(created.header("etag"), read.header("etag"));
    assert!(
        read.header("etag").starts_with("\"2-"),
        "{}",
        read.header("etag")
    );

    let patched = app
        .patch(&path, &json!({"spec": {"a": 1}}))
        .await
        .expect(200);
    assert_ne!(patched.header("etag"), created.header("etag"));
    let read = app.get(&path).await.expect(200);
    assert_eq!(patched.header("etag"), read.header("etag"));
    let unchanged = app
        .patch(&path, &json!({"spec": {"a": 1}}))
        .await
        .expect(200);
    assert_eq!(unchanged.header("etag"), read.header("etag"));

    let pool = app.node_pool(&created.id(), "pool").await;
    for nested in [
        format!("nodepools/{pool}"),
        format!("{path}/nodepools/{pool}"),
    ] {
        assert!(app.get(&nested).await.expect(200).header("etag").len() > 4);
    }
    let deleted = app.delete(&path).await.expect(202);
    let read = app.get(&path).await.expect(200);
    assert_eq!(deleted.header("etag"), read.header("etag"));
    assert_eq!(app.get("clusters").await.expect(200).header("etag"), "");
}

#[tokio::test]
async fn if_none_match_spares_the_body_only_while_nothing_at_all_moved() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    for adapter in ["validation", "dns", "pullsecret", "hypershift", "placement"] {
        let report = Report::new(adapter, 1, "True").at(app.seconds_ago(60));
        app.report(&path, &report).await.expect(201);
    }
    let first = app.get(&path).await.expect(200);
    let tag = first.header("etag").to_owned();
    let read = async |tags: &str| {
        let header = ("if-none-match", tags);
        conditional(&app, Method::GET, &path, header, &Value::Null).await
    };
    for tags in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let answer = read(&tags).await.expect(304);
        assert_eq!(answer.text, "");
        assert_eq!(answer.header("etag"), tag);
        assert_eq!(answer.header("vary"), "Authorization");
    }
    read("\"1-0\"").await.expect(200);
    read("nonsense").await.expect_problem(
        400,
        "VAL-005",
        "invalid If-None-Match header: expected '*' or at most 64 entity tags like \"12-0\", \
         separated by commas",
    );

    // Liveness moves times in the body and appends nothing: the version stays, the tag does not.
    let report = Report::new("validation", 1, "True").at(app.seconds_ago(30));
    app.report(&path, &report).await.expect(201);
    let moved = read(&tag).await.expect(200);
    assert_ne!(moved.body["status"], first.body["status"]);
    let version = |tag: &str| tag.split('-').next().map(str::to_owned);
    assert_eq!(version(moved.header("etag")), version(&tag));
    read(moved.header("etag")).await.expect(304);
}

#[tokio::test]
async fn if_match_lets_a_change_through_at_that_version_only() {
    let app = TestApp::with(registry_b()).await;
    let id = app.create("gadgets", "Gadget", "abc").await;
    let path = format!("gadgets/{id}");
    let old = app.get(&path).await.expect(200).header("etag").to_owned();
    app.patch(&path, &json!({"spec": {"a": 1}}))
        .await
        .expect(200);
    let current = app.get(&path).await.expect(200);
    let tag = current.header("etag").to_owned();
    let reason = json!({"reason": "test"});
    let change = json!({"spec": {"a": 2}});
    let force = format!("{path}/force-delete");
    for stale in [
        old.clone(),
        format!("W/{tag}"),
        "\"x\"".to_owned(),
        "\"99\"".to_owned(),
    ] {
        for (method, path, body) in [
            (Method::PATCH, &path, &change),
            (Method::PATCH, &path, &json!({"spec": {"a": 1}})),
            (Method::DELETE, &path, &Value::Null),
            (Method::POST, &force, &reason),
        ] {
            let answer = conditional(&app, method, path, ("if-match", &stale), body).await;
            let detail = format!(
                "the resource was changed meanwhile: its entity tag is {tag}; \
                 read it again and decide again"
            );
            let answer = answer.expect_problem(412, "CNF-004", &detail);
            assert_eq!(answer.header("etag"), tag);
        }
    }
    assert_eq!(app.get(&path).await.expect(200).body, current.body);

    let missing = ("if-match", "*");
    conditional(&app, Method::PATCH, "gadgets/x", missing, &change)
        .await
        .expect(404);
    let listed = format!("{old}, {tag}");
    let patched = conditional(&app, Method::PATCH, &path, ("if-match", &listed), &change).await;
    let tag = patched.expect(200).header("etag").to_owned();
    let bare = format!("{}\"", tag.split('-').next().expect("a version"));
    let deleted = conditional(
        &app,
        Method::DELETE,
        &path,
        ("if-match", &bare),
        &Value::Null,
    )
    .await;
    let tag = deleted.expect(202).header("etag").to_owned();
    conditional(&app, Method::POST, &force, ("if-match", &tag), &reason)
        .await
        .expect(204);
}

#[tokio::test]
async fn a_malformed_if_match_is_refused_and_changes_nothing() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let change = json!({"spec": {"a": 1}});
    for wrong in ["12", "\"a", "*, \"1\"", ""] {
        let answer = conditional(&app, Method::PATCH, &path, ("if-match", wrong), &change).await;
        let answer = answer.expect(400);
        assert_eq!(answer.body["code"], "HYPERFLEET-VAL-005");
    }
    assert_eq!(app.get(&path).await.expect(200).body["generation"], 1);
}

#[tokio::test]
async fn liveness_is_no_change_to_be_protected_from() {
    let app = TestApp::start().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let report = |seconds| Report::new("validation", 1, "True").at(app.seconds_ago(seconds));
    app.report(&path, &report(60)).await.expect(201);
    let tag = app.get(&path).await.expect(200).header("etag").to_owned();
    app.report(&path, &report(30)).await.expect(201);
    let change = json!({"spec": {"a": 1}});
    conditional(&app, Method::PATCH, &path, ("if-match", &tag), &change)
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_writers_that_saw_the_same_version_one_wins_over_two_processes() {
    let app = TestApp::start().await;
    let beside = app.beside().await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    for round in 0..10 {
        let tag = app.get(&path).await.expect(200).header("etag").to_owned();
        let writers = (0..50).map(|number| {
            let (app, path, tag) = (if number % 2 == 0 { &app } else { &beside }, &path, &tag);
            async move {
                let change = json!({"spec": {"round": round, "number": number}});
                conditional(app, Method::PATCH, path, ("if-match", tag), &change).await
            }
        });
        let answers = join_all(writers).await;
        let won: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .collect();
        assert_eq!(won.len(), 1);
        assert!(
            answers
                .iter()
                .all(|answer| [200, 412].contains(&answer.status))
        );
        let read = app.get(&path).await.expect(200);
        assert_eq!(read.body["spec"], won[0].body["spec"]);
        assert_eq!(read.body["generation"], round + 2);
    }
}
