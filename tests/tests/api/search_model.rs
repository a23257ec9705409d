//! Random searches find on the database what the model finds in memory, and none makes it fail.

use hyperfleet_domain::resource::Resource;
use hyperfleet_projections::resource_view::{self, Filter, Order, Page};
use hyperfleet_projections::search;
use hyperfleet_tests::app::{Report, TestApp};
use hyperfleet_tests::search_model;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::conformance_search::encoded;
use crate::search_texts::search_text;

const ALL: Page = Page {
    number: 1,
    size: 100,
};

/// Resources of every sort: with and without each label, spec member, owner, condition; patched,
/// reported on, finalizing, removed.
async fn fleet() -> TestApp {
    let app = TestApp::start().await;
    let specs = [
        json!({}),
        json!({"a": 1, "b": {"c": "x"}}),
        json!({"a": 2.5, "b": {"c": "X%"}}),
        json!({"a": "2", "b": {"c": null}}),
        json!({"a": "x", "b": [3, "y", {"c": true}]}),
        json!({"a": true, "b": "1e2"}),
        json!({"a": null, "b": {"c": -7}}),
        json!({"a": "1e999", "b": {"c": "NaN"}}),
        json!({"a": [], "b": {"c": {}}}),
        json!({"a": 1e300, "b": {"c": "."}}),
    ];
    let labels = [
        json!({}),
        json!({"env": "prod"}),
        json!({"env": "Prod", "tier": "1"}),
        json!({"env": "", "app.kubernetes.io/name": "x"}),
        json!({"tier": "true", "my-key": "x_y"}),
    ];
    for number in 0..30 {
        let body = json!({
            "kind": "Cluster",
            "name": format!("c-{number}"),
            "spec": specs[number % specs.len()],
            "labels": labels[number % labels.len()],
        });
        let id = app.post("clusters", &body).await.expect(201).id();
        let path = format!("clusters/{id}");
        if number % 3 == 0 {
            app.node_pool(&id, &format!("p-{number}")).await;
        }
        if number % 4 == 0 {
            app.patch(&path, &json!({"spec": specs[(number + 1) % specs.len()]}))
                .await
                .expect(200);
        }
        for adapter in ["validation", "dns"].iter().take(number % 3) {
            let available = if number % 2 == 0 { "True" } else { "False" };
            let seconds = i64::try_from(number).expect("small");
            let report = Report::new(adapter, 1, available).at(app.seconds_ago(100 - seconds));
            app.report(&path, &report).await.expect(201);
        }
        if number % 7 == 5 {
            app.delete(&path).await.expect(202);
        }
        if number == 12 {
            let reason = json!({"reason": "x"});
            app.post(&format!("{path}/force-delete"), &reason)
                .await
                .expect(204);
        }
    }
    app
}

async fn states(pool: &PgPool) -> Vec<Resource> {
    let states: Vec<Value> =
        sqlx::query_scalar("SELECT state FROM resources WHERE removed_time IS NULL")
            .fetch_all(pool)
            .await
            .expect("the database answers");
    states
        .into_iter()
        .map(|state| serde_json::from_value(state).expect("a state"))
        .collect()
}

#[test]
fn a_search_finds_what_the_model_finds() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let app = runtime.block_on(fleet());
    let resources = runtime.block_on(states(app.pool()));
    assert!(resources.len() > 35, "{}", resources.len());
    let mut runner = TestRunner::new(Config {
        cases: 600,
        max_global_rejects: 6000,
        // Ids and times differ in every run, so a seed would not bring a case back.
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&search_text(&resources), |text| {
        let Ok(predicate) = search::parse(&text) else {
            // A label or condition under NOT.
            return Err(TestCaseError::reject("refused"));
        };
        let mut expected: Vec<&str> = resources
            .iter()
            .filter(|resource| search_model::finds(&predicate, resource))
            .map(|resource| resource.id.as_str())
            .collect();
        for resource in &resources {
            let watched = predicate.finds(resource);
            let modelled = search_model::finds(&predicate, resource);
            prop_assert_eq!(watched, modelled, "{}: {}", text, resource.id);
        }
        let filter = Filter {
            search: Some(predicate),
            ..Filter::default()
        };
        let order = Order::parse(["id"].into_iter()).expect("an order");
        let found = resource_view::list(app.pool(), &filter, &order, ALL);
        let found = runtime
            .block_on(found)
            .map_err(|error| TestCaseError::fail(format!("{text}: {error:?}")))?;
        expected.sort_unstable();
        let ids: Vec<&str> = found.items.iter().map(|item| item.id.as_str()).collect();
        prop_assert_eq!(&ids, &expected, "{}", text);
        prop_assert_eq!(found.total, expected.len() as u64);
        Ok(())
    });
    outcome.expect("the model and the database agree");
}

#[test]
fn no_words_of_the_language_make_the_server_fail() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let app = runtime.block_on(fleet());
    let words = prop::sample::select(vec![
        "and",
        "or",
        "not",
        "in",
        "like",
        "between",
        "is",
        "null",
        "true",
        "len",
        "(",
        ")",
        "[",
        "]",
        ",",
        "=",
        "!=",
        "<",
        "~=",
        "+",
        "-",
        "'a'",
        "'%\\\\'",
        "1",
        "1.5",
        "1e999",
        "9P",
        "2020-01-01",
        "name",
        "generation",
        "labels.a",
        "spec.a.b",
        "created_time",
        "status.conditions.Reconciled",
        "status.conditions.A.last_updated_time",
        "'0001-01-01'",
        "'9999-12-31T23:59:60+23:59'",
        "status.conditions.A.observed_generation",
        "'\0'",
        "\0",
    ]);
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&prop::collection::vec(words, 1..8), |words| {
        let text = words.join(" ");
        let path = format!("clusters?search={}", encoded(&text));
        let answer = runtime.block_on(app.get(&path));
        prop_assert!(
            matches!(answer.status, 200 | 400),
            "{}: {}",
            text,
            answer.text
        );
        if answer.status == 400 {
            prop_assert_eq!(answer.text_of("code"), "HYPERFLEET-VAL-005");
        }
        Ok(())
    });
    outcome.expect("every search is answered or refused");
}
