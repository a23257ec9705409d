use std::collections::BTreeMap;

use super::*;
use serde_json::json;

struct Fixed(BTreeMap<String, Value>);

impl Variables for Fixed {
    fn variable(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }
    fn now(&self) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-03-04T05:10:00Z")
            .unwrap()
            .with_timezone(&Utc)
    }
}

fn variables() -> Fixed {
    let transition = "2026-03-04T05:00:00Z";
    let value = json!({
        "data": {
            "generation": 5.0, "name": "n", "deleted": null,
            "status": {"conditions": [
                {"type": "Reconciled", "status": "True", "last_transition_time": transition},
                {"type": "Odd", "status": 1.0}
            ]}
        },
        "ready": {"last_transition_time": transition},
        "generation": 5,
        "adapter": {"executionStatus": "success", "resourcesSkipped": false, "executionError": null, "errorReason": ""},
        "resources": {"ns": {"status": {"phase": "Active"}}, "namespace": {"status": {"phase": "Active"}},
            "job": {"status": {"conditions": [{"type": "Available", "status": "True"}]}},
            "work": {"statusFeedback": {"values": [{"name": "phase", "fieldValue": {"type": "String", "string": "Active"}}]}}},
        "deleting": true
    });
    let Value::Object(map) = value else {
        unreachable!("the literal above is an object")
    };
    Fixed(map.into_iter().collect())
}

fn run(text: &str) -> Result<Evaluated, SoftError> {
    Expression::parse(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .evaluate(&variables())
}

/// Checks all cases and reports every wrong one at once.
#[track_caller]
fn check(cases: &[(&str, Value)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(text, expected)| {
            let result = run(text);
            (result != Ok(Evaluated::Value(expected.clone())))
                .then(|| format!("{text}: expected {expected}, got {result:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_idioms_of_real_configurations_run() {
    check(&[
        ("has(data.deleted_time)", json!(false)),
        ("has(data.name)", json!(true)),
        ("data.?deleted_time.hasValue()", json!(false)),
        (
            "data.status.conditions.filter(c, c.type == \"Reconciled\").size() > 0 \
             ? data.status.conditions.filter(c, c.type == \"Reconciled\")[0].status : \"False\"",
            json!("True"),
        ),
        (
            "(timestamp(now()) - timestamp(ready.last_transition_time)).getSeconds() > 300",
            json!(true),
        ),
        (
            "resources.?job.?status.?conditions.orValue([]).exists(c, c.type == \"Available\" && c.status == \"True\")",
            json!(true),
        ),
        (
            "resources.?missing.?status.?conditions.orValue([]).exists(c, c.type == \"Available\")",
            json!(false),
        ),
        ("!resources.?missing.hasValue()", json!(true)),
        (
            "adapter.?executionStatus.orValue(\"\") == \"success\" && !adapter.?resourcesSkipped.orValue(false)",
            json!(true),
        ),
        (
            "adapter.?executionError.?phase.orValue(\"none\")",
            json!("none"),
        ),
        ("adapter.?executionError.hasValue()", json!(true)),
        ("adapter.executionError != null", json!(false)),
        (
            "resources.?ns.?status.?phase.orValue(\"\") == \"Active\" ? \"True\" : \"False\"",
            json!("True"),
        ),
        ("resources.namespace.status.phase", json!("Active")),
    ]);
}

#[test]
fn library_functions_work() {
    check(&[
        ("\"a-b\".split(\"-\")[1].upperAscii()", json!("B")),
        ("[3,1,2].sort()", json!([1, 2, 3])),
        ("[1,1,2].distinct()", json!([1, 2])),
        ("[[1],[2]].flatten()", json!([1, 2])),
        ("lists.range(3)", json!([0, 1, 2])),
        ("[1,2,3].reverse()", json!([3, 2, 1])),
        ("[1,2,3].slice(0,2)", json!([1, 2])),
        ("[{'n': 2}, {'n': 1}].sortBy(e, e.n)[0].n", json!(1)),
        (
            "[1,2,3].first().value() + [1,2,3].last().orValue(0)",
            json!(4),
        ),
        ("[].first().hasValue()", json!(false)),
        ("'%s is %d'.format(['x', 5])", json!("x is 5")),
        (
            "' x '.trim() + 'abc'.substring(1) + 'aXa'.replace('X', '-')",
            json!("xbca-a"),
        ),
        ("['a','b'].join(',')", json!("a,b")),
        ("'abc'.matches('^a.c$')", json!(true)),
        ("optional.ofNonZeroValue('').orValue('z')", json!("z")),
        ("data.?name.optMap(n, n + '!').orValue('')", json!("n!")),
        ("[?data.?name, ?data.?nope]", json!(["n"])),
        ("{?'a': data.?name, ?'b': data.?nope}", json!({"a": "n"})),
        (
            "string(timestamp('2026-01-02T03:04:05Z'))",
            json!("2026-01-02T03:04:05Z"),
        ),
        (
            "timestamp('2026-01-02T03:04:05Z').getFullYear()",
            json!(2026),
        ),
        ("duration('90s').getMinutes()", json!(1)),
        ("type(1) == int", json!(true)),
        (
            "data.status.conditions.map(c, c.type)",
            json!(["Reconciled", "Odd"]),
        ),
        (
            "data.status.conditions.exists_one(c, c.type == 'Odd')",
            json!(true),
        ),
        ("'a' in {'a': 1} && 2 in [1, 2]", json!(true)),
    ]);
}

#[test]
fn custom_functions_work() {
    check(&[
        (
            "conditionStatus(data.status.conditions, 'Reconciled')",
            json!("True"),
        ),
        (
            "conditionStatus(data.status.conditions, 'Odd')",
            json!("Unknown"),
        ),
        (
            "conditionStatus(data.status.conditions, 'None')",
            json!("Unknown"),
        ),
        (
            "conditionAge(data.status.conditions, 'Reconciled')",
            json!(600),
        ),
        ("conditionAge(data.status.conditions, 'Odd')", json!(-1)),
        (
            "stableFor(data.status.conditions, 'Reconciled', 300)",
            json!(true),
        ),
        (
            "stableFor(data.status.conditions, 'Reconciled', 600)",
            json!(true),
        ),
        (
            "stableFor(data.status.conditions, 'Reconciled', 900)",
            json!(false),
        ),
        ("dig(data, 'status.conditions.0.type')", json!("Reconciled")),
        ("dig(data, 'x.y')", json!(null)),
        ("dig(data, '').name", json!("n")),
        (
            "statusFeedbackValue(resources.work.statusFeedback, 'phase')",
            json!("Active"),
        ),
        ("statusFeedbackValue(resources.ns, 'phase')", json!("")),
        ("triState(false, true)", json!("False")),
        (
            "triState(true, true) + triState(false, false)",
            json!("TrueUnknown"),
        ),
        (
            "toJson(data.status.conditions[1])",
            json!("{\"status\":1,\"type\":\"Odd\"}"),
        ),
        ("now()", json!("2026-03-04T05:10:00Z")),
    ]);
}

#[test]
fn numbers_follow_the_json_rules() {
    check(&[
        ("data.generation == 5 && data.generation > 3", json!(true)),
        ("data.generation + 1.0", json!(6.0)),
        ("int(data.generation) + 1", json!(6)),
        ("string(int(data.generation))", json!("5")),
        ("string(data.generation)", json!("5")),
        ("generation + 1", json!(6)),
        ("string(1000000.0)", json!("1e+06")),
        ("string(1234567.0) + string(0.5)", json!("1.234567e+060.5")),
        ("[1000000.0].map(n, string(n))[0]", json!("1e+06")),
        (
            "string(1000000) + string(true) + string('x') + string(7u)",
            json!("1000000truex7"),
        ),
    ]);
    assert!(run("data.generation + 1").is_err());
    assert!(run("data.generation % 2").is_err());
}

#[test]
fn results_convert_to_json() {
    check(&[
        (
            "data.status.conditions.filter(c, c.type == 'Odd')",
            json!([{"type": "Odd", "status": 1.0}]),
        ),
        ("[{'a': [1, 2.5]}]", json!([{"a": [1, 2.5]}])),
        ("data.deleted", json!(null)),
        ("data.?nope.orValue(null)", json!(null)),
        (
            "timestamp('2026-01-02T03:04:05.5Z')",
            json!("2026-01-02T03:04:05.500Z"),
        ),
        ("duration('2s')", json!(2_000_000_000)),
        ("data.?name", json!("n")),
    ]);
    assert_eq!(run("data.?nope"), Ok(Evaluated::Nothing));
}

#[test]
fn soft_errors_are_not_parse_errors() {
    let cases = [
        ("undeclared", "undeclared"),
        ("data.nope", "nope"),
        ("data.nope == 1", "nope"),
        ("1 / 0", "zero"),
        ("unknownFunction(1)", "unknownFunction"),
        ("adapter.name", "name"),
        ("conditionStatus(null, 'x')", "list"),
        ("stableFor(data.status.conditions, 'x', 1.5)", ""),
        ("math.greatest(1, 2)", ""),
    ];
    for (text, part) in cases {
        let error = run(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn syntax_errors_are_parse_errors() {
    for text in ["a ==", "(", "namespace == 1", "a b"] {
        let error = Expression::parse(text).expect_err(text).to_string();
        assert!(error.starts_with("CEL parse error: "), "{text}: {error}");
    }
    assert!(Expression::parse(&"a+".repeat(LENGTH_LIMIT)).is_err());
}

#[test]
fn truthiness_is_that_of_the_contract() {
    let met = |text: &str| run(text).unwrap().is_met();
    for text in [
        "1",
        "0",
        "0.0",
        "\"false\"",
        "[1]",
        "optional.none()",
        "",
        "true",
    ] {
        assert!(met(text), "{text}");
    }
    for text in ["false", "\"\"", "[]", "{}", "null"] {
        assert!(!met(text), "{text}");
    }
}

#[test]
fn a_true_branch_absorbs_an_error() {
    check(&[
        ("deleting || data.nope.deep", json!(true)),
        ("!deleting && data.nope.deep", json!(false)),
    ]);
}
