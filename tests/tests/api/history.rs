//! Histories: complete, explained, and there after the resource is gone.

use hyperfleet_projections::history::{self, Filter, Part};
use hyperfleet_runtime::http::TenantScope;
use hyperfleet_tests::app::{Answer, Report, TestApp};
use serde_json::{Value, json};

/// What holds for the events that a filter lets through.
type Holds<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

fn entries(answer: &Answer) -> &Vec<Value> {
    answer.body["items"].as_array().expect("items")
}

fn change<'a>(entry: &'a Value, path: &str) -> &'a Value {
    let changes = entry["changes"].as_array().expect("changes");
    changes
        .iter()
        .find(|change| change["path"] == path)
        .unwrap_or(&Value::Null)
}

#[tokio::test]
async fn every_event_says_who_why_and_what_changed() {
    let app = TestApp::start().await;
    let created = app
        .post(
            "clusters",
            &json!({"kind": "Cluster", "name": "abc", "spec": {"a": 1}}),
        )
        .await
        .expect(201);
    let path = format!("clusters/{}", created.id());
    let patched = app
        .patch(&path, &json!({"spec": {"a": 2}}))
        .await
        .expect(200);
    app.report(&path, &Report::new("validation", 2, "True"))
        .await
        .expect(201);
    let history = app.get(&format!("{path}/history")).await.expect(200);
    let entries = entries(&history);
    assert_eq!(history.body["total"], entries.len());
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry["sequence"], index + 1);
        assert_eq!(entry["actor"], "system@hyperfleet.local");
        assert_eq!(entry["name"], "abc");
        assert!(entry["time"].is_string() && entry["position"].is_u64());
    }
    assert_eq!(entries[0]["type"], "hyperfleet.resource.created");
    assert_eq!(entries[0]["cause"], "CreateResource");
    assert_eq!(entries[0]["request_id"], created.header("x-request-id"));
    assert_eq!(change(&entries[0], "/name")["to"], "abc");
    assert_eq!(entries[0]["generation_before"], Value::Null);
    assert!(entries.iter().all(|entry| entry["outcome"] == "accepted"));
    assert_eq!(
        history.body["through_position"],
        entries[entries.len() - 1]["position"]
    );
    let changed = entries
        .iter()
        .find(|entry| entry["type"] == "hyperfleet.resource.spec_changed")
        .expect("the patch is recorded");
    assert_eq!(changed["request_id"], patched.header("x-request-id"));
    assert_eq!(
        (&changed["generation_before"], &changed["generation"]),
        (&json!(1), &json!(2))
    );
    assert!(
        changed["patch"]
            .as_array()
            .expect("a patch")
            .contains(&json!(
                {"op": "replace", "path": "/spec/a", "value": 2}
            ))
    );
    assert_eq!(
        change(changed, "/spec/a"),
        &json!({"path": "/spec/a", "from": 1, "to": 2})
    );
    let reported = entries
        .iter()
        .find(|entry| entry["type"] == "hyperfleet.resource.adapter_status_reported")
        .expect("the report is recorded");
    assert_eq!(
        change(reported, "/adapter_statuses/validation")["to"]["adapter"],
        "validation"
    );
    let page = app
        .get(&format!("{path}/history?size=1&page=2"))
        .await
        .expect(200);
    assert_eq!(page.body["items"], json!([entries[1]]));
}

#[tokio::test]
async fn a_removed_resource_is_found_by_id_and_by_name() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    let path = format!("clusters/{id}");
    let pool = app.node_pool(&id, "workers").await;
    app.delete(&path).await.expect(202);
    app.post(&format!("{path}/force-delete"), &json!({"reason": "test"}))
        .await
        .expect(204);
    app.get(&path).await.expect(404);
    let by_id = app.get(&format!("{path}/history")).await.expect(200);
    let last = entries(&by_id).last().expect("entries").clone();
    assert_eq!(last["type"], "hyperfleet.resource.force_removed");
    app.get(&format!("nodepools/{pool}/history"))
        .await
        .expect(200);
    app.get(&format!("{path}/nodepools/{pool}/history"))
        .await
        .expect(200);
    app.get(&format!("nodepools/{id}/history"))
        .await
        .expect(404);
    let again = app.cluster("abc").await;
    let by_name = app
        .get("history?kind=Cluster&name=abc&size=100")
        .await
        .expect(200);
    let entries = entries(&by_name);
    assert!(
        entries
            .iter()
            .any(|entry| entry["resource_id"] == json!(id))
    );
    assert!(
        entries
            .iter()
            .any(|entry| entry["resource_id"] == json!(again))
    );
    let positions: Vec<_> = entries
        .iter()
        .map(|entry| entry["position"].as_u64())
        .collect();
    assert!(positions.is_sorted(), "{positions:?}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_by_name() {
    let app = TestApp::start().await;
    let unknown = app.get("history?kind=Nope&name=x").await;
    unknown.expect_problem(400, "VAL-000", "Unknown entity kind: Nope");
    let nobody = app.get("history?kind=Cluster&name=nobody").await;
    assert_eq!(nobody.expect(200).items().len(), 0);
    for (query, field) in [
        ("page=2", "page"),
        ("generation=1", "generation"),
        ("generation=x&kind=Cluster&name=a", "generation"),
        ("type=eaten", "type"),
        ("label=novalue", "label"),
        ("from=yesterday", "from"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("outcome=maybe", "outcome"),
        ("order=name", "order"),
        ("outcome=all&kind=Cluster", "kind"),
        ("size=101", "size"),
        ("actor=%00", "actor"),
    ] {
        let refused = app.get(&format!("history?{query}")).await;
        let refused = refused.expect_problem(400, "VAL-000", "Invalid query parameters");
        assert_eq!(refused.body["errors"][0]["field"], field, "{query}");
    }
    let token = app.get("history?page_token=x").await;
    token.expect_problem(
        400,
        "VAL-005",
        "invalid page_token: it is not a token of this API",
    );
}

/// A fleet with something of everything; the ids of two clusters.
async fn fleet(app: &TestApp) -> (String, String) {
    let document =
        json!({"kind": "Cluster", "name": "one", "spec": {"a": 1}, "labels": {"env": "prod"}});
    let one = app.post("clusters", &document).await.expect(201).id();
    let two = app.cluster("two").await;
    app.node_pool(&one, "workers").await;
    for generation in 2..5 {
        let spec = json!({"spec": {"a": generation}});
        app.patch(&format!("clusters/{one}"), &spec)
            .await
            .expect(200);
    }
    let path = format!("clusters/{two}");
    app.report(&path, &Report::new("validation", 1, "True"))
        .await
        .expect(201);
    app.delete(&path).await.expect(202);
    let reason = json!({"reason": "test"});
    app.post(&format!("{path}/force-delete"), &reason)
        .await
        .expect(204);
    (one, two)
}

/// Everything that a history has, walked in pages of that size.
async fn walk(app: &TestApp, query: &str, size: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let page = app
            .get(&format!("{query}&size={size}&page_token={token}"))
            .await
            .expect(200);
        assert!(page.items().len() <= size);
        items.extend(page.items().iter().cloned());
        assert!(page.body["page"].is_null() && page.body["total"].is_null());
        match page.body["next_page_token"].as_str() {
            Some(next) => {
                assert!(page.header("link").contains(next));
                next.clone_into(&mut token);
            }
            None => return items,
        }
    }
}

#[tokio::test]
async fn a_walk_over_the_fleet_meets_every_event_once_in_either_direction() {
    let app = TestApp::start().await;
    fleet(&app).await;
    let stored: Vec<i64> = sqlx::query_scalar("SELECT position FROM events ORDER BY position")
        .fetch_all(app.pool())
        .await
        .expect("positions");
    let positions = |items: &[Value]| -> Vec<i64> {
        items
            .iter()
            .map(|item| item["position"].as_i64().expect("a position"))
            .collect()
    };
    for size in [1, 3, 100] {
        let up = walk(&app, "history?order=asc", size).await;
        assert_eq!(positions(&up), stored);
        let mut down = walk(&app, "history?order=desc", size).await;
        down.reverse();
        assert_eq!(down, up);
    }
    let page = app.get("history?size=1").await.expect(200);
    let token = page.text_of("next_page_token").to_owned();
    let other = app
        .get(&format!("history?order=desc&page_token={token}"))
        .await;
    assert_eq!(other.status, 400, "{}", other.text);
}

#[tokio::test]
async fn each_filter_lets_through_what_it_says() {
    let app = TestApp::start().await;
    let (one, _) = fleet(&app).await;
    let all = walk(&app, "history?order=asc", 100).await;
    let middle = all[all.len() / 2]["time"]
        .as_str()
        .expect("a time")
        .to_owned();
    let request = all[0]["request_id"].as_str().expect("an id").to_owned();
    let member = |name: &'static str, value: Value| -> Holds<'_> {
        Box::new(move |item: &Value| item[name] == value)
    };
    let time = |item: &Value| -> chrono::DateTime<chrono::Utc> {
        let time = item["time"].as_str().expect("a time");
        time.parse().expect("RFC 3339")
    };
    let at: chrono::DateTime<chrono::Utc> = middle.parse().expect("RFC 3339");
    let created = "hyperfleet.resource.created";
    let removed = "hyperfleet.resource.force_removed";
    let expected: Vec<(String, Holds<'_>)> = vec![
        ("kind=NodePool".into(), member("kind", json!("NodePool"))),
        ("name=two".into(), member("name", json!("two"))),
        ("label=env=prod".into(), member("resource_id", json!(one))),
        ("actor=system@hyperfleet.local".into(), Box::new(|_| true)),
        ("actor=nobody".into(), Box::new(|_| false)),
        ("type=created".into(), member("type", json!(created))),
        (
            "type=created,force_removed".into(),
            Box::new(|item| item["type"] == created || item["type"] == removed),
        ),
        (
            "type=created&actor=system@hyperfleet.local&kind=Cluster".into(),
            Box::new(|item| item["type"] == created && item["kind"] == "Cluster"),
        ),
        (
            "type=created,force_removed&kind=Cluster&actor=system@hyperfleet.local".into(),
            Box::new(|item| {
                (item["type"] == created || item["type"] == removed) && item["kind"] == "Cluster"
            }),
        ),
        (
            format!("request_id={request}"),
            member("request_id", json!(request)),
        ),
        (format!("from={middle}"), Box::new(|item| time(item) >= at)),
        (format!("to={middle}"), Box::new(|item| time(item) < at)),
        (
            "kind=Cluster&name=one&generation=3".into(),
            Box::new(|item| item["name"] == "one" && item["generation"] == 3),
        ),
    ];
    for (query, holds) in &expected {
        let wanted: Vec<Value> = all.iter().filter(|item| holds(item)).cloned().collect();
        for size in [2, 100] {
            let found = walk(&app, &format!("history?{query}"), size).await;
            assert_eq!(found, wanted, "{query}");
            let mut down = walk(&app, &format!("history?{query}&order=desc"), size).await;
            down.reverse();
            assert_eq!(down, wanted, "{query}, newest first");
        }
    }
}

#[tokio::test]
async fn the_history_of_one_resource_is_its_part_of_the_fleets() {
    let app = TestApp::start().await;
    let (one, two) = fleet(&app).await;
    let all = walk(&app, "history?order=asc", 100).await;
    for id in [one, two] {
        let wanted: Vec<&Value> = all
            .iter()
            .filter(|item| item["resource_id"] == *id)
            .collect();
        let found = app
            .get(&format!("clusters/{id}/history?size=100"))
            .await
            .expect(200);
        assert_eq!(found.items().iter().collect::<Vec<_>>(), wanted);
        let walked = walk(&app, &format!("clusters/{id}/history?order=asc"), 2).await;
        assert_eq!(walked.iter().collect::<Vec<_>>(), wanted);
        let some = app
            .get(&format!("clusters/{id}/history?type=created&generation=1"))
            .await
            .expect(200);
        assert_eq!((some.items().len(), &some.body["total"]), (1, &json!(1)));
    }
}

/// Applied one after the other, the patches make the resource as it is shown.
#[tokio::test]
async fn patches_lead_from_nothing_to_the_resource() {
    let app = TestApp::start().await;
    let (one, _) = fleet(&app).await;
    let path = format!("clusters/{one}");
    app.report(&path, &Report::new("validation", 4, "True"))
        .await
        .expect(201);
    let mut state = json!({});
    for item in walk(&app, &format!("{path}/history?order=asc"), 2).await {
        let patch: json_patch::Patch =
            serde_json::from_value(item["patch"].clone()).expect("a JSON patch");
        json_patch::patch(&mut state, &patch).expect("it applies");
    }
    let statuses = state["adapter_statuses"].take();
    assert_eq!(statuses["validation"]["observed_generation"], 4);
    state
        .as_object_mut()
        .expect("an object")
        .remove("adapter_statuses");
    assert_eq!(state, app.get(&path).await.expect(200).body);
}

#[tokio::test]
async fn an_export_has_every_line_and_is_the_same_as_the_pages() {
    let app = TestApp::start().await;
    let (one, _) = fleet(&app).await;
    for number in 0..250 {
        let spec = json!({"spec": {"a": number}});
        app.patch(&format!("clusters/{one}"), &spec)
            .await
            .expect(200);
    }
    for query in [
        "history?order=asc",
        "history?order=desc",
        "history?kind=Cluster",
    ] {
        let path = format!("{}/{query}", hyperfleet_api_types::BASE_PATH);
        let accept = [("accept", "application/x-ndjson")];
        let export = app.send(axum::http::Method::GET, &path, &accept, "").await;
        let export = export.expect(200);
        assert_eq!(export.header("content-type"), "application/x-ndjson");
        let lines: Vec<Value> = export
            .text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert!(lines.len() > 250, "{query}");
        assert_eq!(lines, walk(&app, query, 100).await, "{query}");
    }
}

/// Readers that look at ranges again and again while several processes write.
#[tokio::test]
async fn a_past_range_never_changes_while_others_write() {
    const WRITERS: usize = 4;
    const CHANGES: usize = 25;
    let app = std::sync::Arc::new(TestApp::start().await);
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let beside = app.beside().await;
        writers.spawn(async move {
            let id = beside.cluster(&format!("w{number:03}")).await;
            for change in 0..CHANGES {
                let spec = json!({"spec": {"a": change}});
                beside
                    .patch(&format!("clusters/{id}"), &spec)
                    .await
                    .expect(200);
            }
        });
    }
    let mut seen: Vec<(u64, Vec<Value>)> = Vec::new();
    while !writers.is_empty() {
        let page = app.get("history?size=100&order=desc").await.expect(200);
        let through = page.body["through_position"].as_u64().expect("a mark");
        seen.push((through, page.items().to_vec()));
        while let Some(ended) = writers.try_join_next() {
            ended.expect("a writer succeeded");
        }
    }
    assert!(seen.len() > 1);
    let all = walk(&app, "history?order=asc", 100).await;
    for (through, items) in seen {
        let range: Vec<&Value> = all
            .iter()
            .rev()
            .filter(|item| {
                item["position"]
                    .as_u64()
                    .is_some_and(|position| position <= through)
            })
            .take(items.len().max(1))
            .collect();
        assert_eq!(range, items.iter().collect::<Vec<_>>(), "up to {through}");
    }
}

/// A log of 30,000 events of 3,000 resources, made by the database: every tenth resource is a node pool.
const MANY_EVENTS: &str = "
INSERT INTO live_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
    position, recorded_at, hash)
SELECT 'resource', 'r' || stream, sequence,
    'hyperfleet.resource.' || CASE sequence WHEN 1 THEN 'created' ELSE 'spec_changed' END, '1',
    jsonb_build_object('kind', CASE stream % 10 WHEN 0 THEN 'NodePool' ELSE 'Cluster' END,
        'name', 'n' || stream, 'tenancy', jsonb_build_object('org', 'o' || stream % 100)),
    jsonb_build_object('actor', 'a' || stream % 500, 'correlation_id', stream || '/' || sequence),
    sequence * 3000 + stream, now() - interval '1 day' + (sequence * 3000 + stream) * interval '1 s', ''
FROM generate_series(1, 3000) AS stream, generate_series(1, 10) AS sequence";

#[tokio::test]
async fn every_filter_is_answered_from_an_index() {
    let app = TestApp::start().await;
    let pool = app.pool();
    for statement in [MANY_EVENTS, "ANALYZE"] {
        sqlx::raw_sql(statement).execute(pool).await.expect("a log");
    }
    let mark = history::mark(pool).await.expect("a mark");
    let scope = TenantScope::of([("org".to_owned(), "o7".to_owned())].into());
    let hour_ago = chrono::DateTime::from_timestamp(0, 0);
    let all = Filter::default();
    let filters = [
        all.clone(),
        Filter {
            kind: Some("Cluster".to_owned()),
            ..all.clone()
        },
        Filter {
            kind: Some("Nope".to_owned()),
            ..all.clone()
        },
        Filter {
            name: Some("n7".to_owned()),
            ..all.clone()
        },
        Filter {
            labels: vec![("a".to_owned(), "b".to_owned())],
            ..all.clone()
        },
        Filter {
            actor: Some("a7".to_owned()),
            ..all.clone()
        },
        Filter {
            types: vec!["hyperfleet.resource.removed".to_owned()],
            ..all.clone()
        },
        Filter {
            request_id: Some("7/7".to_owned()),
            ..all.clone()
        },
        Filter {
            from: hour_ago,
            to: hour_ago,
            ..all.clone()
        },
        Filter {
            resource_id: Some("r7".to_owned()),
            generation: Some(1),
            ..all.clone()
        },
        Filter {
            scope,
            ..all.clone()
        },
    ];
    for filter in filters {
        for (descending, after) in [(false, None), (true, Some(mark / 2))] {
            let part = Part {
                descending,
                after,
                offset: 0,
                size: 20,
                mark,
            };
            let plan = history::plan(pool, &filter, part)
                .await
                .expect("a plan")
                .join("\n");
            assert!(!plan.contains("Seq Scan on events"), "{filter:?}\n{plan}");
        }
    }
}

#[tokio::test]
async fn lifetimes_are_what_the_events_say() {
    let app = TestApp::start().await;
    fleet(&app).await;
    let different: i64 = sqlx::query_scalar(
        "WITH told AS (
             SELECT created.aggregate_id, created.payload ->> 'kind' AS kind,
                 created.payload ->> 'name' AS name, created.payload #>> '{owner,id}' AS owner_id,
                 created.payload -> 'tenancy' AS tenancy, created.position,
                 (SELECT position FROM events AS removed
                  WHERE removed.aggregate_id = created.aggregate_id
                      AND removed.event_type LIKE 'hyperfleet.resource.%removed')
             FROM events AS created WHERE sequence = 1
         )
         SELECT count(*) FROM (
             (TABLE told EXCEPT TABLE resource_lifetimes) UNION ALL
             (TABLE resource_lifetimes EXCEPT TABLE told)
         ) AS different",
    )
    .fetch_one(app.pool())
    .await
    .expect("a comparison");
    assert_eq!(different, 0);
    let gone: i64 = sqlx::query_scalar("SELECT count(removed_position) FROM resource_lifetimes")
        .fetch_one(app.pool())
        .await
        .expect("a count");
    assert_eq!(gone, 1);
}
