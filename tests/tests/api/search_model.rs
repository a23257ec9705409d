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

/// Comparisons of every sort, with values that occur and some that do not.
fn comparison(resources: &[Resource]) -> impl Strategy<Value = String> + use<> {
    let sampled = |values: &[&str]| {
        prop::sample::select(
            values
                .iter()
                .map(|value| (*value).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let order = sampled(&["=", "!=", "<", "<=", ">", ">="]);
    let own = sampled(&[
        "id",
        "name",
        "kind",
        "href",
        "created_by",
        "updated_by",
        "deleted_by",
        "owner_id",
        "owner_kind",
        "owner_href",
    ]);
    let spec = sampled(&[
        "spec.a",
        "spec.b",
        "spec.b.c",
        "spec.b.0",
        "spec.b.2.c",
        "spec.no",
    ]);
    let label = sampled(&[
        "labels.env",
        "labels.tier",
        "labels.no",
        "labels.app.kubernetes.io/name",
        "labels['my-key']",
    ]);
    let texts = prop_oneof![own.clone(), spec.clone(), label.clone()];
    let mut words: Vec<String> = [
        "", "x", "X%", "y", "prod", "Prod", "1", "2", "true", "x_y", "Cluster", "NodePool", "c-1",
        "p-3", "[]", "NaN", "é", "%", "it\\'s",
    ]
    .map(|word| format!("'{word}'"))
    .to_vec();
    words.extend(
        resources
            .iter()
            .take(5)
            .map(|resource| format!("'{}'", resource.id)),
    );
    let word = prop::sample::select(words);
    let number = sampled(&[
        "0", "1", "2", "2.5", "-7", "100", "1k", "3", "1e300", "-1e-300",
    ]);
    let pattern = sampled(&[
        "'%'", "'_-1'", "'c-1%'", "'C%'", "'x\\_y'", "'%\\\\%'", "''", "'%o%'",
    ]);
    let mut times = vec!["'1999-01-01'".to_owned(), "2999-01-01T00:00:00Z".to_owned()];
    for resource in resources {
        let reported = resource
            .conditions
            .iter()
            .map(|held| held.last_updated_time);
        for time in reported.chain([resource.created_time, resource.updated_time]) {
            times.push(format!("'{}'", hyperfleet_domain::timestamp::format(&time)));
        }
    }
    let time = prop::sample::select(times);
    let moment = time
        .clone()
        .prop_filter("a timestamp", |time| time.contains('T'));
    let time_field = sampled(&["created_time", "updated_time", "deleted_time"]);
    let condition = sampled(&[
        "status.conditions.Reconciled",
        "status.conditions.LastKnownReconciled",
        "status.conditions.DnsSuccessful",
        "status.conditions.ValidationSuccessful",
        "status.conditions.Nosuch",
    ]);
    let part = sampled(&["last_updated_time", "last_transition_time"]);
    let status = sampled(&["'True'", "'False'", "'Unknown'", "True"]);
    let any_field = prop_oneof![
        texts.clone(),
        time_field.clone(),
        condition.clone(),
        sampled(&["generation"])
    ];
    let list = |values: BoxedStrategy<String>| {
        prop::collection::vec(values, 1..4).prop_map(|values| format!("[{}]", values.join(", ")))
    };
    prop_oneof![
        4 => (texts.clone(), order.clone(), word.clone())
            .prop_map(|(field, order, word)| format!("{field} {order} {word}")),
        2 => (label, sampled(&["=", "!="]), word.clone())
            .prop_map(|(field, order, word)| format!("{field} {order} {word}")),
        1 => (texts.clone(), sampled(&["in", "not in"]), list(word.clone().boxed()))
            .prop_map(|(field, operator, list)| format!("{field} {operator} {list}")),
        1 => (texts.clone(), sampled(&["", "not "]), word.clone(), word.clone())
            .prop_map(|(field, not, low, high)| format!("{field} {not}between {low} and {high}")),
        2 => (texts, sampled(&["like", "ilike"]), pattern)
            .prop_map(|(field, like, pattern)| format!("{field} {like} {pattern}")),
        3 => (spec.clone(), order.clone(), number.clone())
            .prop_map(|(field, order, number)| format!("{field} {order} {number}")),
        1 => (spec, list(number.clone().boxed()))
            .prop_map(|(field, list)| format!("{field} in {list}")),
        1 => (order.clone(), sampled(&["0", "1", "2", "5000000000"]))
            .prop_map(|(order, number)| format!("generation {order} {number}")),
        1 => (time_field.clone(), order.clone(), time.clone())
            .prop_map(|(field, order, time)| format!("{field} {order} {time}")),
        1 => (time_field, time.clone(), time)
            .prop_map(|(field, low, high)| format!("{field} between {low} and {high}")),
        1 => (own.clone(), order.clone(), own)
            .prop_map(|(left, order, right)| format!("{left} {order} {right}")),
        2 => (any_field, sampled(&["is null", "is not null"]))
            .prop_map(|(field, operator)| format!("{field} {operator}")),
        3 => (condition.clone(), status)
            .prop_map(|(condition, status)| format!("{condition} = {status}")),
        3 => (condition.clone(), part, order.clone(), moment)
            .prop_map(|(condition, part, order, time)| format!("{condition}.{part} {order} {time}")),
        2 => (condition, order, sampled(&["0", "1", "2"])).prop_map(|(condition, order, number)| {
            format!("{condition}.observed_generation {order} {number}")
        }),
    ]
}

fn search_text(resources: &[Resource]) -> impl Strategy<Value = String> + use<> {
    comparison(resources).prop_recursive(4, 24, 4, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..5);
        prop_oneof![
            4 => several.clone().prop_map(|parts| format!("({})", parts.join(" and "))),
            4 => several.prop_map(|parts| format!("({})", parts.join(" or "))),
            1 => inner.prop_map(|part| format!("not ({part})")),
        ]
    })
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
