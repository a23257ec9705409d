//! Random searches over a fleet: comparisons of every sort, combined.

use hyperfleet_domain::resource::Resource;
use hyperfleet_domain::timestamp;
use proptest::prelude::*;

type Text = BoxedStrategy<String>;

/// Comparisons combined by `and`, `or` and `not`.
pub(crate) fn search_text(resources: &[Resource]) -> impl Strategy<Value = String> + use<> {
    let word = word(resources);
    let time = time(resources);
    let comparison = prop_oneof![
        10 => texts(&word),
        4 => numbers(),
        3 => times(&time),
        9 => conditions(&time),
        2 => absences(),
    ];
    comparison.prop_recursive(4, 24, 4, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..5);
        prop_oneof![
            4 => several.clone().prop_map(|parts| format!("({})", parts.join(" and "))),
            4 => several.prop_map(|parts| format!("({})", parts.join(" or "))),
            1 => inner.prop_map(|part| format!("not ({part})")),
        ]
    })
}

fn one_of(values: &[&str]) -> Text {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    prop::sample::select(values).boxed()
}

fn list(values: &Text) -> Text {
    let values = prop::collection::vec(values.clone(), 1..4);
    values
        .prop_map(|values| format!("[{}]", values.join(", ")))
        .boxed()
}

fn order() -> Text {
    one_of(&["=", "!=", "<", "<=", ">", ">="])
}

fn own() -> Text {
    one_of(&[
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
    ])
}

fn spec() -> Text {
    one_of(&[
        "spec.a",
        "spec.b",
        "spec.b.c",
        "spec.b.0",
        "spec.b.2.c",
        "spec.no",
    ])
}

fn label() -> Text {
    one_of(&[
        "labels.env",
        "labels.tier",
        "labels.no",
        "labels.app.kubernetes.io/name",
        "labels['my-key']",
    ])
}

fn time_field() -> Text {
    one_of(&["created_time", "updated_time", "deleted_time"])
}

fn condition() -> Text {
    one_of(&[
        "status.conditions.Reconciled",
        "status.conditions.LastKnownReconciled",
        "status.conditions.DnsSuccessful",
        "status.conditions.ValidationSuccessful",
        "status.conditions.Nosuch",
    ])
}

/// Texts that occur and some that do not.
fn word(resources: &[Resource]) -> Text {
    let words = [
        "", "x", "X%", "y", "prod", "Prod", "1", "2", "true", "x_y", "Cluster", "NodePool", "c-1",
        "p-3", "[]", "NaN", "é", "%", "it\\'s",
    ];
    let ids = resources
        .iter()
        .take(5)
        .map(|resource| resource.id.as_str());
    let words = words.into_iter().chain(ids);
    prop::sample::select(words.map(|word| format!("'{word}'")).collect::<Vec<_>>()).boxed()
}

/// Times that occur, and some before and after.
fn time(resources: &[Resource]) -> Text {
    let mut times = vec!["'1999-01-01'".to_owned(), "2999-01-01T00:00:00Z".to_owned()];
    for resource in resources {
        let conditions = resource.conditions.iter();
        let reported = conditions.map(|held| held.last_updated_time);
        for time in reported.chain([resource.created_time, resource.updated_time]) {
            times.push(format!("'{}'", timestamp::format(&time)));
        }
    }
    prop::sample::select(times).boxed()
}

fn texts(word: &Text) -> Text {
    let field = prop_oneof![own(), spec(), label()];
    let pattern = one_of(&[
        "'%'", "'_-1'", "'c-1%'", "'C%'", "'x\\_y'", "'%\\\\%'", "''", "'%o%'",
    ]);
    prop_oneof![
        4 => (field.clone(), order(), word.clone())
            .prop_map(|(field, order, word)| format!("{field} {order} {word}")),
        2 => (label(), one_of(&["=", "!="]), word.clone())
            .prop_map(|(field, order, word)| format!("{field} {order} {word}")),
        1 => (field.clone(), one_of(&["in", "not in"]), list(word))
            .prop_map(|(field, operator, list)| format!("{field} {operator} {list}")),
        1 => (field.clone(), one_of(&["", "not "]), word.clone(), word.clone())
            .prop_map(|(field, not, low, high)| format!("{field} {not}between {low} and {high}")),
        2 => (field, one_of(&["like", "ilike"]), pattern)
            .prop_map(|(field, like, pattern)| format!("{field} {like} {pattern}")),
        1 => (own(), order(), own())
            .prop_map(|(left, order, right)| format!("{left} {order} {right}")),
    ]
    .boxed()
}

fn numbers() -> Text {
    let number = one_of(&[
        "0", "1", "2", "2.5", "-7", "100", "1k", "3", "1e300", "-1e-300",
    ]);
    prop_oneof![
        3 => (spec(), order(), number.clone())
            .prop_map(|(field, order, number)| format!("{field} {order} {number}")),
        1 => (spec(), list(&number)).prop_map(|(field, list)| format!("{field} in {list}")),
        1 => (order(), one_of(&["0", "1", "2", "5000000000"]))
            .prop_map(|(order, number)| format!("generation {order} {number}")),
    ]
    .boxed()
}

fn times(time: &Text) -> Text {
    prop_oneof![
        (time_field(), order(), time.clone())
            .prop_map(|(field, order, time)| format!("{field} {order} {time}")),
        (time_field(), time.clone(), time.clone())
            .prop_map(|(field, low, high)| format!("{field} between {low} and {high}")),
    ]
    .boxed()
}

fn conditions(time: &Text) -> Text {
    let moment = time
        .clone()
        .prop_filter("a timestamp", |time| time.contains('T'));
    let part = one_of(&["last_updated_time", "last_transition_time"]);
    prop_oneof![
        3 => (condition(), one_of(&["'True'", "'False'", "'Unknown'", "True"]))
            .prop_map(|(condition, status)| format!("{condition} = {status}")),
        3 => (condition(), part, order(), moment)
            .prop_map(|(condition, part, order, time)| format!("{condition}.{part} {order} {time}")),
        2 => (condition(), order(), one_of(&["0", "1", "2"])).prop_map(|(condition, order, number)| {
            format!("{condition}.observed_generation {order} {number}")
        }),
    ]
    .boxed()
}

fn absences() -> Text {
    let fields = [
        own(),
        spec(),
        label(),
        time_field(),
        condition(),
        one_of(&["generation"]),
    ];
    let field = prop::strategy::Union::new(fields);
    (field, one_of(&["is null", "is not null"]))
        .prop_map(|(field, operator)| format!("{field} {operator}"))
        .boxed()
}
