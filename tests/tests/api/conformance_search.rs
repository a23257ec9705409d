//! Searching lists: API contract v1, §3.

use std::fmt::Write as _;

use hyperfleet_tests::app::{Answer, Report, TestApp};
use serde_json::{Value, json};

/// A text as the value of a query parameter.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let _ = write!(encoded, "%{byte:02X}");
    }
    encoded
}

async fn search(app: &TestApp, path: &str, text: &str) -> Answer {
    app.get(&format!("{path}?search={}", encoded(text))).await
}

/// The names that a search finds, sorted; the total must agree.
async fn found(app: &TestApp, path: &str, text: &str) -> Vec<String> {
    let list = search(app, path, text).await.expect(200);
    let items = list.body["items"].as_array().expect("items");
    let mut names: Vec<String> = items
        .iter()
        .map(|item| item["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(list.body["total"], names.len(), "{text}");
    names.sort();
    names
}

async fn assert_finds(app: &TestApp, text: &str, expected: &[&str]) {
    assert_eq!(found(app, "clusters", text).await, expected, "{text}");
}

async fn assert_refuses(app: &TestApp, text: &str, detail: &str) {
    search(app, "clusters", text)
        .await
        .expect_problem(400, "VAL-005", detail);
}

/// Refused as no text of the language, which the detail repeats and points into.
async fn assert_no_syntax(app: &TestApp, path: &str, text: &str) {
    let answer = search(app, path, text).await.expect(400);
    assert_eq!(answer.text_of("code"), "HYPERFLEET-VAL-005");
    let detail = answer.text_of("detail");
    assert!(
        detail.starts_with("failed to parse search query: "),
        "{text}: {detail}"
    );
    let mut lines = detail.lines();
    let position = lines
        .next()
        .and_then(|line| line.rsplit(" at position ").next())
        .and_then(|position| position.strip_suffix(':')?.parse::<usize>().ok());
    assert_eq!(lines.next(), Some(text));
    let pointer = lines.next().expect("a pointer");
    assert_eq!(Some(pointer.len()), position, "{detail}");
    assert!(pointer.ends_with('^'));
}

async fn cluster(app: &TestApp, name: &str, labels: Value, spec: Value) -> String {
    let body = json!({"kind": "Cluster", "name": name, "spec": spec, "labels": labels});
    app.post("clusters", &body).await.expect(201).id()
}

/// c-1 (prod, replicas 1), c-2 (dev, replicas 10), x-3 (no label, no spec).
async fn fleet() -> TestApp {
    let app = TestApp::start().await;
    cluster(
        &app,
        "c-1",
        json!({"env": "prod", "app.kubernetes.io/name": "x", "my-key": "v"}),
        json!({"region": "us-east", "replicas": 1, "release": {"config": {"replicas": 9}}}),
    )
    .await;
    cluster(
        &app,
        "c-2",
        json!({"env": "dev"}),
        json!({"region": "eu", "replicas": 10, "release": {"config": {"replicas": 10}}}),
    )
    .await;
    cluster(&app, "x-3", json!({}), json!({"replicas": "many"})).await;
    app
}

#[tokio::test]
async fn case_77_to_83_names() {
    let app = fleet().await;
    for (text, expected) in [
        ("name='c-1'", &["c-1"][..]),
        ("name == \"c-1\"", &["c-1"]),
        ("name in ['c-1','c-2']", &["c-1", "c-2"]),
        ("name in ['c-1','c-2',]", &["c-1", "c-2"]),
        ("not name='c-1'", &["c-2", "x-3"]),
        ("name != 'c-1'", &["c-2", "x-3"]),
        ("name='c-1' or name='c-2' and name='zz'", &["c-1"]),
        ("(name='c-1' or name='c-2') and name='c-2'", &["c-2"]),
        ("name like 'c%'", &["c-1", "c-2"]),
        ("name like 'C%'", &[]),
        ("name ilike 'C%'", &["c-1", "c-2"]),
        ("name between 'c-2' and 'd'", &["c-2"]),
        ("name NOT IN ['c-1'] AND name <> 'x-3'", &["c-2"]),
        ("name='it\\'s'", &[]),
    ] {
        assert_finds(&app, text, expected).await;
    }
    assert_no_syntax(&app, "clusters", "name in ('c-1','c-2')").await;
}

#[tokio::test]
async fn case_84_to_89_labels() {
    let app = fleet().await;
    for (text, expected) in [
        ("labels.env='prod'", &["c-1"][..]),
        ("labels.env != 'prod'", &["c-2"]),
        ("labels.env is null", &["x-3"]),
        ("labels.env in ['prod', 'dev', 'test']", &["c-1", "c-2"]),
        ("labels.env > 'e'", &["c-1"]),
        ("labels.env like 'd_v'", &["c-2"]),
        ("labels.app.kubernetes.io/name='x'", &["c-1"]),
        ("labels['my-key']='v'", &["c-1"]),
        ("labels.non_existing_label='value'", &[]),
        ("spec.region='us-east' and labels.env='prod'", &["c-1"]),
        ("labels.env='prod' and (name='c-1' or name='c-2')", &["c-1"]),
    ] {
        assert_finds(&app, text, expected).await;
    }
    for text in [
        "not labels.env='prod'",
        "labels.env not in ['a']",
        "labels.env is not null",
    ] {
        let detail = "NOT operator is not supported with label queries";
        assert_refuses(&app, text, detail).await;
    }
}

#[tokio::test]
async fn case_90_to_92_members_of_the_spec() {
    let app = fleet().await;
    for (text, expected) in [
        ("spec.release.config.replicas > 9", &["c-2"][..]),
        ("spec.replicas in [1,2,3]", &["c-1"]),
        ("spec.replicas < 2", &["c-1"]),
        ("spec.replicas = 'many'", &["x-3"]),
        ("spec.replicas > 0", &["c-1", "c-2"]),
        ("not spec.replicas = 1", &["c-2"]),
        ("spec.region is null", &["x-3"]),
        ("spec.region is not null", &["c-1", "c-2"]),
        ("spec.replicas = 0.01k", &["c-2"]),
    ] {
        assert_finds(&app, text, expected).await;
    }
    assert_refuses(
        &app,
        "spec.nodeCount = 3",
        "spec field segment 'nodeCount' is invalid: must contain only lowercase letters, digits, and underscores",
    )
    .await;
}

#[tokio::test]
async fn case_93_to_98_statuses_of_conditions() {
    let app = fleet().await;
    let all = &["c-1", "c-2", "x-3"][..];
    for (text, expected) in [
        ("status.conditions.Reconciled='False'", all),
        ("status.conditions.Reconciled='True'", &[]),
        ("status.conditions.Reconciled='Unknown'", &[]),
        ("status.conditions.Reconciled = True", &[]),
        ("status.conditions.Reconciled is null", &[]),
        ("status.conditions.DnsSuccessful is null", all),
    ] {
        assert_finds(&app, text, expected).await;
    }
    for (text, detail) in [
        (
            "status.conditions.Reconciled != 'True'",
            "only equality operator (=) is supported for condition status queries",
        ),
        (
            "status.conditions.Reconciled='Maybe'",
            "condition status 'Maybe' is invalid: must be True, False, or Unknown",
        ),
        (
            "status.conditions.reconciled='True'",
            "condition type 'reconciled' is invalid: must be PascalCase (e.g., Reconciled, Available)",
        ),
        (
            "not status.conditions.Reconciled='True'",
            "NOT operator is not supported with condition queries",
        ),
        (
            "status.conditions.Reconciled in ['True']",
            "IN is not supported for condition queries; use comparison operators (=, !=, <, <=, >, >=)",
        ),
    ] {
        assert_refuses(&app, text, detail).await;
    }
}

#[tokio::test]
async fn case_99_to_102_parts_of_conditions() {
    let app = fleet().await;
    let all = &["c-1", "c-2", "x-3"][..];
    let reconciled = "status.conditions.Reconciled";
    for (text, expected) in [
        (".last_updated_time < '2999-01-01T00:00:00Z'", all),
        (".last_updated_time < '2001-01-01T00:00:00Z'", &[]),
        (".last_transition_time >= '2001-01-01T00:00:00+02:00'", all),
        (".observed_generation >= 1", all),
        (".observed_generation != 1", &[]),
        (".observed_generation is null", &[]),
    ] {
        assert_finds(&app, &format!("{reconciled}{text}"), expected).await;
    }
    for (text, detail) in [
        (
            ".last_updated_time < '2030-01-01'",
            "invalid timestamp for condition subfield: expected RFC3339 format (e.g., 2026-01-01T00:00:00Z)",
        ),
        (
            ".created_time < '2030-01-01T00:00:00Z'",
            "condition subfield 'created_time' is not supported; use last_updated_time, last_transition_time, or observed_generation",
        ),
        (
            ".observed_generation = 1.5",
            "expected integer value for condition subfield 'observed_generation', got 1.5",
        ),
    ] {
        assert_refuses(&app, &format!("{reconciled}{text}"), detail).await;
    }
}

#[tokio::test]
async fn a_search_follows_reports() {
    let app = fleet().await;
    let id = cluster(&app, "reported", json!({}), json!({})).await;
    let path = format!("clusters/{id}");
    let dns = "status.conditions.DnsSuccessful";
    for (available, seconds) in [("True", 50), ("False", 40)] {
        let report = Report::new("dns", 1, available).at(app.seconds_ago(seconds));
        app.report(&path, &report).await.expect(201);
        assert_finds(&app, &format!("{dns}='{available}'"), &["reported"]).await;
    }
    assert_finds(&app, &format!("{dns}='True'"), &[]).await;
    let before = app.seconds_ago(30);
    let before = before.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let old = format!("{dns}.last_updated_time < '{before}'");
    let either = format!("name='c-1' or ({dns}='False' and {old})");
    assert_finds(&app, &either, &["c-1", "reported"]).await;
    // Still so: the time moves, nothing else does.
    let report = Report::new("dns", 1, "False").at(app.seconds_ago(20));
    app.report(&path, &report).await.expect(201);
    assert_finds(&app, &either, &["c-1"]).await;
    app.delete(&path).await.expect(202);
    app.post(&format!("{path}/force-delete"), &json!({"reason": "x"}))
        .await
        .expect(204);
    assert_finds(&app, &format!("{dns}='False'"), &[]).await;
}

#[tokio::test]
async fn case_103_to_105_numbers_and_times() {
    let app = fleet().await;
    let finalizing = cluster(&app, "gone", json!({}), json!({})).await;
    app.delete(&format!("clusters/{finalizing}"))
        .await
        .expect(202);
    let all = &["c-1", "c-2", "gone", "x-3"][..];
    let active = &["c-1", "c-2", "x-3"][..];
    for (text, expected) in [
        ("generation=1", active),
        ("generation in [2, 3]", &["gone"]),
        ("created_time > '2001-01-01T00:00:00Z'", all),
        ("created_time > 2001-01-01T00:00:00Z", all),
        ("created_time > '2001-01-01'", all),
        ("created_time between '1999-01-01' and '2000-01-01'", &[]),
        ("deleted_time is null", active),
        ("deleted_time is not null", &["gone"]),
        ("not deleted_time is null", &["gone"]),
    ] {
        assert_finds(&app, text, expected).await;
    }
    for text in [
        "generation='abc'",
        "'abc'=generation",
        "generation in [1,'a']",
    ] {
        assert_refuses(&app, text, "field 'generation' expects an integer").await;
    }
    assert_refuses(
        &app,
        "created_time='not-a-date'",
        "field 'created_time' expects an RFC3339 timestamp (e.g. 2026-01-01T00:00:00Z)",
    )
    .await;
}

#[tokio::test]
async fn case_106_to_109_what_is_no_search() {
    let app = fleet().await;
    for (text, detail) in [
        ("nosuch='x'", "invalid field in search or order query"),
        ("label.env='x'", "invalid field in search or order query"),
        (
            "properties.foo='bar'",
            "properties is not a related resource of Resource",
        ),
        ("Name='x'", "Name is not a valid field name"),
    ] {
        assert_refuses(&app, text, detail).await;
    }
    for text in ["name='unterminated", "name=", "and"] {
        assert_no_syntax(&app, "clusters", text).await;
    }
    let long = format!("name='{}'", "x".repeat(4096));
    let detail = "search query exceeds maximum length of 4096 characters";
    assert_refuses(&app, &long, detail).await;
    assert_finds(&app, "  \t ", &["c-1", "c-2", "x-3"]).await;
}

#[tokio::test]
async fn case_110_injected_text_is_data_or_refused() {
    let app = fleet().await;
    for text in [
        "name='x'' or ''1''=''1'",
        "name='x' or 1=1",
        "name='x'; drop table resources",
        "name='x' -- ",
        "name='x' union select 1",
    ] {
        search(&app, "clusters", text).await.expect(400);
    }
    for text in [
        "name='\\' or \\'1\\'=\\'1'",
        "name='$1'",
        "labels.env='\\') or true --'",
        "name='x/*' or name='*/'",
    ] {
        assert_finds(&app, text, &[]).await;
    }
    assert_finds(&app, "name is not null", &["c-1", "c-2", "x-3"]).await;
}

#[tokio::test]
async fn case_111_a_search_cannot_leave_its_scope() {
    let app = TestApp::start().await;
    let one = app.cluster("one").await;
    let two = app.cluster("two").await;
    app.node_pool(&one, "a-pool").await;
    app.node_pool(&two, "b-pool").await;
    let nested = format!("clusters/{one}/nodepools");
    assert_no_syntax(&app, &nested, "name='a') or (name='b'").await;
    for text in [
        "name='a-pool' or name='b-pool' or kind='Cluster'",
        "name='a-pool' or status.conditions.Reconciled.observed_generation = 1",
        "not name='zz'",
    ] {
        assert_eq!(found(&app, &nested, text).await, ["a-pool"], "{text}");
    }
}

#[tokio::test]
async fn case_112_a_mismatch_of_types_is_refused() {
    let app = fleet().await;
    assert_refuses(
        &app,
        "generation = 1.5",
        "field 'generation' expects an integer",
    )
    .await;
    for text in [
        "name in []",
        "name",
        "name like 5",
        "name = 5",
        "status.conditions.Reconciled.observed_generation = 'abc'",
        "spec.x = 1e999999",
        "name ~= 'x'",
        "len name = 3",
    ] {
        let answer = search(&app, "clusters", text).await.expect(400);
        assert_eq!(answer.text_of("code"), "HYPERFLEET-VAL-005", "{text}");
    }
}

#[tokio::test]
async fn pages_of_a_search_are_in_order_and_know_the_total() {
    let app = TestApp::start().await;
    for number in 0..7 {
        cluster(&app, &format!("c-{number}"), json!({"l": "m"}), json!({})).await;
    }
    let search = encoded("labels.l='m' and not name='c-3'");
    let query = format!("clusters?search={search}&order=name%20desc&size=2");
    for (page, expected) in [(1, &["c-6", "c-5"][..]), (3, &["c-1", "c-0"]), (4, &[])] {
        let list = app.get(&format!("{query}&page={page}")).await.expect(200);
        let items = list.body["items"].as_array().expect("items");
        let names: Vec<&Value> = items.iter().map(|item| &item["name"]).collect();
        assert_eq!(names, expected);
        assert_eq!(list.body["total"], 6);
    }
    for column in [
        "spec",
        "tenancy",
        "href",
        "owner_id",
        "owner_kind",
        "owner_href",
        "deleted_time",
    ] {
        let list = app
            .get(&format!("clusters?search={search}&order={column}"))
            .await;
        assert_eq!(list.expect(200).body["total"], 6, "{column}");
    }
}
