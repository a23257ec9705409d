//! Reading resources and lists.

use hyperfleet_tests::app::TestApp;
use serde_json::{Value, json};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["name"].as_str().expect("a name"))
        .collect()
}

#[tokio::test]
async fn case_50_and_51_every_route_shows_the_same() {
    let app = TestApp::start().await;
    let body = json!({"kind": "Cluster", "name": "abc", "spec": {"a": 1}, "labels": {"x": "y"}});
    let created = app.post("clusters", &body).await.expect(201);
    let id = created.id();
    let read = app.get(&format!("clusters/{id}")).await.expect(200);
    assert_eq!(read.body, created.body);
    assert_eq!(read.header("vary"), "Authorization");
    let pool = app.node_pool(&id, "workers").await;
    let flat = app.get(&format!("nodepools/{pool}")).await.expect(200);
    let nested = app
        .get(&format!("clusters/{id}/nodepools/{pool}"))
        .await
        .expect(200);
    assert_eq!(flat.body, nested.body);
    let root = app.get(&format!("resources/{pool}")).await.expect(200);
    assert_eq!(flat.body, root.body);
}

#[tokio::test]
async fn case_52_to_54_a_resource_is_found_only_where_it_belongs() {
    let app = TestApp::start().await;
    let one = app.cluster("one").await;
    let two = app.cluster("two").await;
    let pool = app.node_pool(&one, "workers").await;
    for (path, detail) in [
        (
            format!("clusters/{two}/nodepools/{pool}"),
            format!("NodePool with id='{pool}' not found"),
        ),
        (
            format!("clusters/x/nodepools/{pool}"),
            "Cluster with id='x' not found".to_owned(),
        ),
        (
            format!("clusters/{pool}"),
            format!("Cluster with id='{pool}' not found"),
        ),
        (
            format!("nodepools/{one}"),
            format!("NodePool with id='{one}' not found"),
        ),
    ] {
        app.get(&path).await.expect_problem(404, "NTF-001", &detail);
    }
}

#[tokio::test]
async fn case_56_an_empty_list() {
    let app = TestApp::start().await;
    let list = app.get("clusters").await.expect(200);
    assert_eq!(
        list.body,
        json!({"items": [], "page": 1, "size": 0, "total": 0})
    );
}

#[tokio::test]
async fn case_57_and_58_pages_newest_first() {
    let app = TestApp::start().await;
    for number in 0..25 {
        app.cluster(&format!("cluster-{number:02}")).await;
    }
    let first = app.get("clusters").await.expect(200);
    assert_eq!(first.body["size"], 20);
    assert_eq!(first.body["total"], 25);
    assert_eq!(first.body["page"], 1);
    assert_eq!(names(&first.body)[0], "cluster-24");
    let second = app.get("clusters?page=2").await.expect(200);
    assert_eq!(second.body["size"], 5);
    assert_eq!(names(&second.body)[4], "cluster-00");
    let beyond = app.get("clusters?page=99").await.expect(200);
    assert_eq!(
        beyond.body,
        json!({"items": [], "page": 99, "size": 0, "total": 25})
    );
}

#[tokio::test]
async fn case_59_to_61_pages_that_cannot_be() {
    let app = TestApp::start().await;
    app.get("clusters?size=100").await.expect(200);
    for (query, errors) in [
        (
            "size=101",
            json!([{"field": "size", "value": 101, "constraint": "max",
                "message": "size must be at most 100"}]),
        ),
        (
            "size=0",
            json!([{"field": "size", "value": 0, "constraint": "min",
                "message": "size must be at least 1"}]),
        ),
        (
            "page=0",
            json!([{"field": "page", "value": 0, "constraint": "min",
                "message": "page must be at least 1"}]),
        ),
        (
            "page=100001",
            json!([{"field": "page", "value": 100_001, "constraint": "max",
                "message": "page must be at most 100000"}]),
        ),
        (
            "page=abc&size=x",
            json!([
                {"field": "page", "value": "abc", "constraint": "format",
                    "message": "must be a valid integer"},
                {"field": "size", "value": "x", "constraint": "format",
                    "message": "must be a valid integer"},
            ]),
        ),
    ] {
        let answer = app.get(&format!("clusters?{query}")).await;
        let answer = answer.expect_problem(400, "VAL-000", "Invalid query parameters");
        assert_eq!(answer.body["errors"], errors, "{query}");
    }
}

#[tokio::test]
async fn case_62_and_63_blank_and_unknown_parameters_are_ignored() {
    let app = TestApp::start().await;
    app.cluster("abc").await;
    for query in ["page=&size=", "pageSize=5&orderBy=name&foo=1", "order="] {
        let list = app.get(&format!("clusters?{query}")).await.expect(200);
        assert_eq!(list.body["total"], 1, "{query}");
    }
}

#[tokio::test]
async fn case_64_and_65_a_nested_list_is_the_parents_own() {
    let app = TestApp::start().await;
    let one = app.cluster("one").await;
    let two = app.cluster("two").await;
    app.node_pool(&one, "a-pool").await;
    app.node_pool(&two, "b-pool").await;
    let list = app
        .get(&format!("clusters/{one}/nodepools"))
        .await
        .expect(200);
    assert_eq!(names(&list.body), ["a-pool"]);
    assert_eq!(list.body["total"], 1);
    let all = app.get("nodepools").await.expect(200);
    assert_eq!(all.body["total"], 2);
    let nowhere = app.get("clusters/x/nodepools?size=0").await;
    nowhere.expect_problem(404, "NTF-001", "Cluster with id='x' not found");
}

#[tokio::test]
async fn case_68_to_71_order() {
    let app = TestApp::start().await;
    for name in ["bbb", "ccc", "aaa"] {
        app.cluster(name).await;
    }
    for (order, expected) in [
        ("name", ["aaa", "bbb", "ccc"]),
        ("name%20desc", ["ccc", "bbb", "aaa"]),
        ("name%20asc,created_time%20desc", ["aaa", "bbb", "ccc"]),
        ("generation&order=name%20desc", ["ccc", "bbb", "aaa"]),
        ("", ["aaa", "ccc", "bbb"]),
    ] {
        let list = app
            .get(&format!("clusters?order={order}"))
            .await
            .expect(200);
        assert_eq!(names(&list.body), expected, "{order}");
    }
    for (sent, term) in [
        ("name%20DESC", "name DESC"),
        ("name;%20drop%20table", "name; drop table"),
        ("name%20asc%20x", "name asc x"),
        ("name%20ascending", "name ascending"),
    ] {
        let detail = format!("invalid order format '{term}': expected 'field' or 'field asc|desc'");
        let answer = app.get(&format!("clusters?order={sent}")).await;
        answer.expect_problem(400, "VAL-005", &detail);
    }
    let unknown = app.get("clusters?order=nosuch").await;
    unknown.expect_problem(400, "VAL-005", "invalid field in search or order query");
}

#[tokio::test]
async fn pages_never_overlap_when_rows_are_equal_in_the_order() {
    let app = TestApp::start().await;
    for number in 0..9 {
        app.cluster(&format!("cluster-{number}")).await;
    }
    let mut seen = Vec::new();
    for page in 1..=3 {
        let list = app
            .get(&format!("clusters?order=generation&size=3&page={page}"))
            .await;
        seen.extend(names(&list.body).into_iter().map(str::to_owned));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 9);
}

#[tokio::test]
async fn a_name_selects_exactly() {
    let app = TestApp::start().await;
    app.cluster("abc").await;
    app.cluster("abcd").await;
    let list = app.get("clusters?name=abc").await.expect(200);
    assert_eq!(names(&list.body), ["abc"]);
}
