//! For which tenant: dimensions and system identities.

use axum::http::Method;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_command_api::identity::{IdentityConfig, IdentitySections};
use hyperfleet_domain::Registry;
use hyperfleet_tests::app::{Answer, Report, TestApp};
use serde_json::{Value, json};

const SYSTEM_TEXT: &str = "system identities may only write status and conditions";
const SYSTEM: &[(&str, &str)] = &[("x-system", "TRUE")];
const ORG_A: &[(&str, &str)] = &[("x-org", "a")];
const ORG_B: &[(&str, &str)] = &[("x-org", "b")];

/// An API with tenants, and without tokens.
pub(crate) async fn tenanted(isolation: &str) -> TestApp {
    let config = IdentityConfig::from_sections(IdentitySections {
        tenant: Some(json!({
            "enabled": true,
            "system_header": "X-System",
            "isolation": isolation,
            "dimensions": [
                {"header": "X-Org", "key": "org", "required": true},
                {"header": "X-Team", "key": "team"},
            ],
        })),
        ..IdentitySections::default()
    });
    TestApp::with_identity(Registry::builtin(), &config.expect("valid")).await
}

pub(crate) async fn send(
    app: &TestApp,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    app.send(method, &format!("{BASE_PATH}/{path}"), headers, body)
        .await
}

fn cluster(name: &str) -> Value {
    json!({"kind": "Cluster", "name": name, "spec": {}})
}

pub(crate) async fn create(app: &TestApp, headers: &[(&str, &str)], name: &str) -> Answer {
    send(app, Method::POST, "clusters", headers, &cluster(name)).await
}

#[tokio::test]
async fn case_227_a_required_header_must_be_there() {
    let app = tenanted("none").await;
    for (method, path) in [(Method::GET, "clusters"), (Method::POST, "clusters")] {
        for headers in [&[][..], &[("x-org", "")], &[("x-team", "t")]] {
            let answer = send(&app, method.clone(), path, headers, &Value::Null).await;
            let detail = "required tenant header \"X-Org\" is missing";
            answer.expect_problem(403, "AUZ-001", detail);
        }
    }
    // Documents are for everybody.
    send(&app, Method::GET, "openapi", &[], &Value::Null)
        .await
        .expect(200);
}

#[tokio::test]
async fn case_228_a_value_is_a_short_word() {
    let app = tenanted("none").await;
    let long = "a".repeat(64);
    for value in ["a b", "a/b", &long] {
        let headers = [("x-org", value)];
        let answer = send(&app, Method::GET, "clusters", &headers, &Value::Null).await;
        let detail = "tenant header \"X-Org\" has an invalid value";
        answer.expect_problem(403, "AUZ-001", detail);
    }
    let optional = [("x-org", "a"), ("x-team", "a b")];
    let answer = send(&app, Method::GET, "clusters", &optional, &Value::Null).await;
    let detail = "tenant header \"X-Team\" has an invalid value";
    answer.expect_problem(403, "AUZ-001", detail);
    let longest = [("x-org", &long[1..])];
    send(&app, Method::GET, "clusters", &longest, &Value::Null)
        .await
        .expect(200);
}

#[tokio::test]
async fn case_229_names_are_unique_within_a_tenant() {
    for isolation in ["none", "strict"] {
        let app = tenanted(isolation).await;
        let first = create(&app, ORG_A, "abc").await.expect(201);
        assert_eq!(first.body["tenancy"], json!({"org": "a"}));
        let second = create(&app, ORG_B, "abc").await.expect(201);
        assert_eq!(second.body["tenancy"], json!({"org": "b"}));
        let again = create(&app, ORG_A, "abc").await;
        again.expect_problem(409, "CNF-001", "This Cluster already exists");
    }
}

#[tokio::test]
async fn case_230_without_isolation_every_tenant_sees_and_changes_everything() {
    let app = tenanted("none").await;
    let id = create(&app, ORG_A, "abc").await.expect(201).id();
    let path = format!("clusters/{id}");
    let seen = send(&app, Method::GET, &path, ORG_B, &Value::Null).await;
    assert_eq!(seen.expect(200).body["tenancy"], json!({"org": "a"}));
    let patch = json!({"labels": {"a": "b"}});
    send(&app, Method::PATCH, &path, ORG_B, &patch)
        .await
        .expect(200);
    let list = send(&app, Method::GET, "clusters", ORG_B, &Value::Null).await;
    assert_eq!(list.expect(200).body["total"], 1);
    let below = json!({"kind": "NodePool", "name": "abc", "spec": {}});
    let below = send(
        &app,
        Method::POST,
        &format!("{path}/nodepools"),
        ORG_B,
        &below,
    )
    .await;
    assert_eq!(below.expect(201).body["tenancy"], json!({"org": "b"}));
    send(&app, Method::DELETE, &path, ORG_B, &Value::Null)
        .await
        .expect(202);
}

#[tokio::test]
async fn case_231_the_system_reads_everything_and_reports() {
    let app = tenanted("strict").await;
    let id = create(&app, ORG_A, "abc").await.expect(201).id();
    create(&app, ORG_B, "abc").await.expect(201);
    let path = format!("clusters/{id}");
    for value in ["TRUE", "true", " True "] {
        let headers = [("x-system", value)];
        send(&app, Method::GET, &path, &headers, &Value::Null)
            .await
            .expect(200);
    }
    let list = send(&app, Method::GET, "clusters", SYSTEM, &Value::Null).await;
    assert_eq!(list.expect(200).body["total"], 2);
    let report = Report::new("validation", 1, "True").document();
    send(
        &app,
        Method::PUT,
        &format!("{path}/statuses"),
        SYSTEM,
        &report,
    )
    .await
    .expect(201);
}

#[tokio::test]
async fn case_232_the_system_changes_nothing_else() {
    let app = tenanted("strict").await;
    let id = create(&app, ORG_A, "abc").await.expect(201).id();
    let nodepool = json!({"kind": "NodePool", "name": "abc", "spec": {}});
    let pools = format!("clusters/{id}/nodepools");
    let pool = send(&app, Method::POST, &pools, ORG_A, &nodepool).await;
    let pool = pool.expect(201).id();
    let reason = json!({"reason": "x"});
    let patch = json!({"labels": {"a": "b"}});
    let requests = [
        (Method::POST, "clusters".to_owned(), cluster("new")),
        (Method::PATCH, format!("clusters/{id}"), patch.clone()),
        (Method::DELETE, format!("clusters/{id}"), Value::Null),
        (
            Method::POST,
            format!("clusters/{id}/force-delete"),
            reason.clone(),
        ),
        (Method::POST, pools.clone(), nodepool.clone()),
        (Method::PATCH, format!("{pools}/{pool}"), patch.clone()),
        (Method::DELETE, format!("{pools}/{pool}"), Value::Null),
        (
            Method::POST,
            format!("{pools}/{pool}/force-delete"),
            reason.clone(),
        ),
        // On a flat route the sender is refused before the resource is looked for.
        (Method::PATCH, "clusters/x".to_owned(), patch.clone()),
        (Method::DELETE, "clusters/x".to_owned(), Value::Null),
        (
            Method::POST,
            "clusters/x/force-delete".to_owned(),
            reason.clone(),
        ),
    ];
    for (method, path, body) in requests {
        let answer = send(&app, method, &path, SYSTEM, &body).await;
        answer.expect_problem(403, "AUZ-001", SYSTEM_TEXT);
    }
    // Parent and ownership come first.
    for (method, path, body) in [
        (Method::POST, "clusters/x/nodepools".to_owned(), nodepool),
        (Method::PATCH, format!("clusters/x/nodepools/{pool}"), patch),
        (Method::DELETE, format!("{pools}/x"), Value::Null),
        (Method::POST, format!("{pools}/x/force-delete"), reason),
    ] {
        let answer = send(&app, method, &path, SYSTEM, &body).await;
        assert_eq!(
            answer.expect(404).body["code"],
            "HYPERFLEET-NTF-001",
            "{path}"
        );
    }
    let unchanged = send(
        &app,
        Method::GET,
        &format!("clusters/{id}"),
        ORG_A,
        &Value::Null,
    )
    .await;
    assert_eq!(unchanged.expect(200).body["generation"], 1);
}

#[tokio::test]
async fn case_233_what_the_system_sends_is_validated_first() {
    let app = tenanted("strict").await;
    let id = create(&app, ORG_A, "abc").await.expect(201).id();
    let bad = send(&app, Method::POST, "clusters", SYSTEM, &cluster("A")).await;
    assert_eq!(bad.expect(400).body["code"], "HYPERFLEET-VAL-000");
    let empty = send(
        &app,
        Method::PATCH,
        &format!("clusters/{id}"),
        SYSTEM,
        &json!({}),
    )
    .await;
    assert_eq!(empty.expect(400).body["code"], "HYPERFLEET-VAL-005");
    let forced = format!("clusters/{id}/force-delete");
    let forced = send(&app, Method::POST, &forced, SYSTEM, &json!({})).await;
    forced.expect_problem(400, "VAL-000", "reason is required");
    let flat = json!({"kind": "NodePool", "name": "abc", "spec": {}});
    send(&app, Method::POST, "nodepools", SYSTEM, &flat)
        .await
        .expect(422);
}

#[tokio::test]
async fn case_234_only_true_makes_a_system_identity() {
    let app = tenanted("strict").await;
    for headers in [
        &[("x-system", "false")][..],
        &[("x-system", "1")],
        &[("x-system", "")],
        &[("x-system", "true"), ("x-system", "false")],
    ] {
        let answer = send(&app, Method::GET, "clusters", headers, &Value::Null).await;
        assert_eq!(answer.expect(403).body["code"], "HYPERFLEET-AUZ-001");
    }
}
