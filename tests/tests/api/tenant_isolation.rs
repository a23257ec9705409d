//! Tenants do not see each other: a resource of another tenant is answered exactly like one that
//! does not exist.

use axum::http::Method;
use hyperfleet_test_support::eventually;
use hyperfleet_tests::app::{Report, TestApp};
use serde_json::{Value, json};

use crate::conformance_tenancy::{create, send, tenanted};

const ORG_A: &[(&str, &str)] = &[("x-org", "a")];
const ORG_B: &[(&str, &str)] = &[("x-org", "b")];
const TEAM_X: &[(&str, &str)] = &[("x-org", "a"), ("x-team", "x")];
const TEAM_Y: &[(&str, &str)] = &[("x-org", "a"), ("x-team", "y")];
const SYSTEM: &[(&str, &str)] = &[("x-system", "true")];

fn node_pool(name: &str) -> Value {
    json!({"kind": "NodePool", "name": name, "spec": {}})
}

/// Every route to one resource of tenant a: method, path with `{cluster}` and `{pool}`, body.
fn routes() -> Vec<(Method, &'static str, Value)> {
    let report = Report::new("validation", 1, "True").document();
    let patch = json!({"labels": {"a": "b"}});
    let reason = json!({"reason": "x"});
    let mut routes = vec![
        (Method::GET, "clusters/{cluster}/nodepools", Value::Null),
        (
            Method::POST,
            "clusters/{cluster}/nodepools",
            node_pool("new"),
        ),
    ];
    for one in [
        "clusters/{cluster}",
        "nodepools/{pool}",
        "clusters/{cluster}/nodepools/{pool}",
    ] {
        routes.extend([
            (Method::GET, one, Value::Null),
            (Method::PATCH, one, patch.clone()),
            (Method::DELETE, one, Value::Null),
        ]);
    }
    for (statuses, history, forced) in [
        (
            "clusters/{cluster}/statuses",
            "clusters/{cluster}/history",
            "clusters/{cluster}/force-delete",
        ),
        (
            "nodepools/{pool}/statuses",
            "nodepools/{pool}/history",
            "nodepools/{pool}/force-delete",
        ),
        (
            "clusters/{cluster}/nodepools/{pool}/statuses",
            "clusters/{cluster}/nodepools/{pool}/history",
            "clusters/{cluster}/nodepools/{pool}/force-delete",
        ),
    ] {
        routes.extend([
            (Method::GET, statuses, Value::Null),
            (Method::PUT, statuses, report.clone()),
            (Method::GET, history, Value::Null),
            (Method::POST, forced, reason.clone()),
        ]);
    }
    routes
}

#[tokio::test]
async fn a_resource_of_another_tenant_is_answered_like_one_that_does_not_exist() {
    let app = tenanted("strict").await;
    let cluster = create(&app, ORG_A, "abc").await.expect(201).id();
    let pools = format!("clusters/{cluster}/nodepools");
    let pool = send(&app, Method::POST, &pools, ORG_A, &node_pool("abc")).await;
    let pool = pool.expect(201).id();
    let nobody = "019b7600-0000-7000-8000-000000000000";
    for (method, path, body) in routes() {
        let filled =
            |cluster: &str, pool: &str| path.replace("{cluster}", cluster).replace("{pool}", pool);
        let theirs = send(&app, method.clone(), &filled(&cluster, &pool), ORG_B, &body).await;
        let missing = send(&app, method.clone(), &filled(nobody, nobody), ORG_B, &body).await;
        assert_eq!(theirs.status, 404, "{method} {path}: {}", theirs.text);
        assert_eq!(missing.status, 404, "{method} {path}: {}", missing.text);
        for member in ["type", "title", "code", "errors"] {
            assert_eq!(theirs.body[member], missing.body[member], "{method} {path}");
        }
        let detail = theirs.text_of("detail").replace(&cluster, nobody);
        let detail = detail.replace(&pool, nobody);
        assert_eq!(detail, missing.text_of("detail"), "{method} {path}");
        let names = |answer: &hyperfleet_tests::app::Answer| {
            answer
                .headers
                .keys()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&theirs), names(&missing), "{method} {path}");
    }
    for path in [format!("clusters/{cluster}"), format!("nodepools/{pool}")] {
        let own = send(&app, Method::GET, &path, ORG_A, &Value::Null).await;
        assert_eq!(own.expect(200).body["generation"], 1, "{path}");
        let path = format!("{path}/history");
        let history = send(&app, Method::GET, &path, ORG_A, &Value::Null).await;
        let causes = history.expect(200).text;
        assert!(!causes.contains("PatchResource") && !causes.contains("DeleteResource"));
    }
}

#[tokio::test]
async fn lists_totals_and_histories_hold_what_the_caller_sees() {
    let app = tenanted("strict").await;
    let wide = create(&app, ORG_A, "wide").await.expect(201).id();
    let team = create(&app, TEAM_X, "team").await.expect(201).id();
    create(&app, ORG_B, "wide").await.expect(201);
    for (headers, expected) in [
        (ORG_A, vec![&wide, &team]),
        (TEAM_X, vec![&team]),
        (TEAM_Y, vec![]),
        (&[("x-org", "c")][..], vec![]),
    ] {
        let order = "clusters?order=created_time&size=1";
        let list = send(&app, Method::GET, order, headers, &Value::Null).await;
        let list = list.expect(200);
        assert_eq!(list.body["total"], expected.len(), "{headers:?}");
        assert_eq!(
            list.body["items"][0]["id"].as_str(),
            expected.first().map(|id| id.as_str())
        );
        let named = send(
            &app,
            Method::GET,
            "clusters?name=wide",
            headers,
            &Value::Null,
        )
        .await;
        let sees_wide = expected.contains(&&wide);
        assert_eq!(named.expect(200).body["total"], u8::from(sees_wide));
        let history = "history?kind=Cluster&name=wide&size=100";
        let history = send(&app, Method::GET, history, headers, &Value::Null).await;
        let history = history.expect(200);
        for entry in history.items() {
            assert_eq!(entry["resource_id"], wide.as_str());
        }
        assert_eq!(!history.items().is_empty(), sees_wide);
    }
    let all = send(&app, Method::GET, "clusters", SYSTEM, &Value::Null).await;
    assert_eq!(all.expect(200).body["total"], 3);
}

#[tokio::test]
async fn a_caller_sees_a_resource_only_with_every_dimension_it_has() {
    let app = tenanted("strict").await;
    let wide = create(&app, ORG_A, "wide").await.expect(201).id();
    let team = create(&app, TEAM_X, "team").await.expect(201).id();
    for (headers, id, status) in [
        (ORG_A, &wide, 200),
        (ORG_A, &team, 200),
        (TEAM_X, &team, 200),
        (TEAM_X, &wide, 404),
        (TEAM_Y, &team, 404),
        (ORG_B, &wide, 404),
    ] {
        let path = format!("clusters/{id}");
        send(&app, Method::GET, &path, headers, &Value::Null)
            .await
            .expect(status);
    }
}

#[tokio::test]
async fn a_child_belongs_to_the_tenant_of_its_owner() {
    let app = tenanted("strict").await;
    let cluster = create(&app, TEAM_X, "abc").await.expect(201).id();
    let pools = format!("clusters/{cluster}/nodepools");
    let pool = send(&app, Method::POST, &pools, ORG_A, &node_pool("abc")).await;
    let pool = pool.expect(201);
    assert_eq!(pool.body["tenancy"], json!({"org": "a", "team": "x"}));
    let path = format!("{pools}/{}", pool.id());
    send(&app, Method::GET, &path, TEAM_X, &Value::Null)
        .await
        .expect(200);
    // What goes with the owner is what everybody who sees the owner sees.
    send(
        &app,
        Method::DELETE,
        &format!("clusters/{cluster}"),
        TEAM_X,
        &Value::Null,
    )
    .await
    .expect(202);
    let marked = send(&app, Method::GET, &path, TEAM_X, &Value::Null).await;
    assert!(marked.expect(200).body["deleted_time"].is_string());
}

#[tokio::test]
async fn resources_without_a_tenant_are_for_the_system_alone() {
    let app = tenanted("strict").await;
    let id = uncounted_cluster(&app).await;
    let path = format!("clusters/{id}");
    for headers in [ORG_A, ORG_B] {
        send(&app, Method::GET, &path, headers, &Value::Null)
            .await
            .expect(404);
    }
    send(&app, Method::GET, &path, SYSTEM, &Value::Null)
        .await
        .expect(200);
}

/// A cluster as one was made before tenancy was turned on.
async fn uncounted_cluster(app: &TestApp) -> String {
    let id = create(app, ORG_A, "old").await.expect(201).id();
    for sql in [
        "UPDATE resources SET tenancy = '{}', state = jsonb_set(state, '{tenancy}', '{}')",
        "UPDATE live_events SET payload = jsonb_set(payload, '{tenancy}', '{}') WHERE payload ? 'tenancy'",
    ] {
        sqlx::query(sql)
            .execute(app.pool())
            .await
            .expect("the test database answers");
    }
    id
}

#[tokio::test]
async fn the_summary_counts_what_the_caller_sees() {
    let app = tenanted("strict").await;
    create(&app, ORG_A, "one").await.expect(201);
    create(&app, TEAM_X, "two").await.expect(201);
    create(&app, ORG_B, "one").await.expect(201);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let (store, ended) = (app.store.clone(), shutdown.clone());
    let following =
        tokio::spawn(async move { hyperfleet_projections::run_catch_up(&store, ended).await });
    let total = async |headers: &[(&str, &str)]| {
        let summary = send(&app, Method::GET, "summary", headers, &Value::Null).await;
        summary.expect(200).body["kinds"]["Cluster"]["total"].clone()
    };
    eventually(
        std::time::Duration::from_secs(20),
        "all counted",
        async || total(SYSTEM).await == 3,
    )
    .await;
    assert_eq!(total(ORG_A).await, 2);
    assert_eq!(total(TEAM_X).await, 1);
    assert_eq!(total(TEAM_Y).await, Value::Null);
    assert_eq!(total(ORG_B).await, 1);
    let summary = send(&app, Method::GET, "summary", ORG_A, &Value::Null).await;
    let cluster = &summary.body["kinds"]["Cluster"];
    assert_eq!(cluster["active"], 2);
    assert_eq!(cluster["conditions"]["Reconciled"]["False"], 2);
    shutdown.cancel();
    following.await.expect("the projection ends");
}
