use std::collections::HashMap;

use cel::common::types::{CelDouble, CelList, CelMap, CelMapKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::convert::{Absent, to_json};

fn value(json: &Value) -> Box<dyn Val + '_> {
    match json {
        Value::Number(number) => Box::new(CelDouble::from(number.as_f64().unwrap())),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => {
            let items: Vec<Box<dyn Val>> = items.iter().map(value).collect();
            Box::new(CelList::from(items))
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let map: HashMap<CelMapKey, Box<dyn Val>> = fields
                .map(|(key, field)| (CelMapKey::from(key.as_str()), value(field)))
                .collect();
            Box::new(CelMap::from(map))
        }
        other => crate::to_cel(other).try_into().unwrap(),
    }
}

fn compile(source: &str) -> Result<Expression, CompileError> {
    Expression::compile(source, &["x"])
}

fn evaluate_on(x: &Value, source: &str, limit: u32) -> Result<Value, EvaluationError> {
    let expression = compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let scope = Scope::new().with("x", value(x));
    let result = expression.evaluate(&scope, limit)?;
    Ok(to_json(&result, Absent::Null).unwrap().unwrap_or_default())
}

fn evaluate(source: &str) -> Result<Value, EvaluationError> {
    let x = json!({
        "items": [{"n": 1, "name": "a"}, {"n": 2, "name": "b"}],
        "b": "B", "a": {"c": [1, {"d": "deep"}]},
    });
    evaluate_on(&x, source, 10_000)
}

#[test]
fn metering_changes_no_result() {
    for (source, expected) in [
        ("x.items.map(i, i.name)", json!(["a", "b"])),
        ("x.items.map(i, i.n > 1.0, i.name)", json!(["b"])),
        ("x.items.filter(i, i.n == 1)[0].name", json!("a")),
        ("x.items.exists(i, i.name == 'b')", json!(true)),
        ("x.items.exists_one(i, i.n >= 1.0)", json!(false)),
        ("x.items.all(i, i.missing == 1 || i.n > 0.0)", json!(true)),
        ("x.items.exists(i, i.missing || i.name == 'b')", json!(true)),
        ("x.map(key, key)", json!(["a", "b", "items"])),
        (
            "x.items.map(i, x.items.map(j, i.name + j.name))",
            json!([["aa", "ab"], ["ba", "bb"]]),
        ),
        ("[1, 2] + [3]", json!([1, 2, 3])),
        (
            "{'k': x.b, ?'n': x.?nope, ?'b': x.?b}",
            json!({"k": "B", "b": "B"}),
        ),
        ("x.?a.?c[?1].?d.orValue('none')", json!("deep")),
        ("x.?a.?zz.?d.orValue('none')", json!("none")),
        ("x.?b.optMap(b, b + b).orValue('')", json!("BB")),
        (
            "optional.of(x.b).value() + string(size(x.items))",
            json!("B2"),
        ),
        (
            "x.b.startsWith('B') && x.b.matches('^[A-Z]$') && 'b' in x",
            json!(true),
        ),
        ("has(x.a.c) && !has(x.a.q) ? 'y' : 'n'", json!("y")),
        ("toJson(x.a)", json!(r#"{"c":[1,{"d":"deep"}]}"#)),
        ("dig(x, 'a.c.1.d')", json!("deep")),
        ("dig(x, 'a.q.1')", json!(null)),
        (
            "type(x.b) == string && dyn(x.items)[1].n * 2.0 == 4.0",
            json!(true),
        ),
        (
            "timestamp('2026-01-01T01:00:00Z') - duration('1h') == timestamp('2026-01-01T00:00:00Z')",
            json!(true),
        ),
    ] {
        assert_eq!(evaluate(source), Ok(expected), "{source}");
    }
}

#[test]
fn errors_name_types_not_contents() {
    for (source, expected) in [
        ("x.items[7]", "index out of bounds: 7"),
        ("x.nope", "no such key: nope"),
        (
            "x.items.filter(i, i.name == 'z')[0].name",
            "index out of bounds: 0",
        ),
        ("1 / 0", "division by zero"),
        (
            "x.a + 1",
            "the operator 'add' is not supported between map and int",
        ),
        (
            "x.b.contains(1)",
            "found no matching overload for 'contains' applied to 'string.(int)'",
        ),
        ("{x.a: 1}", "a map cannot be a key"),
    ] {
        let message = evaluate(source).unwrap_err().to_string();
        assert_eq!(message, expected, "{source}");
    }
}

#[test]
fn what_cannot_work_is_refused_when_compiling() {
    let refused = |source: &str| compile(source).unwrap_err().to_string();
    assert_eq!(refused(" \n"), "the expression is empty");
    assert!(refused(&"1".repeat(20_000)).starts_with("the expression has 20000 bytes"));
    assert!(refused("x +").contains("ERROR"), "{}", refused("x +"));
    assert_eq!(
        refused("y == 1"),
        "undeclared reference to 'y'; declared are: x"
    );
    assert_eq!(refused("lookup(x)"), "undeclared function 'lookup'");
    let chain = vec!["x"; 80].join("+");
    assert_eq!(
        refused(&chain),
        "the expression is nested deeper than 64 levels: split it"
    );
    for source in ["(", "@meter", "@use(@meter, x)", "#unused"] {
        assert!(
            matches!(compile(source), Err(CompileError::Syntax { .. })),
            "{source}"
        );
    }
}

#[test]
fn what_a_result_is_shows_without_evaluating() {
    let of = |source: &str| {
        compile(source)
            .unwrap()
            .result_type()
            .map(|kind| kind.to_string())
    };
    for (source, expected) in [
        ("x.items.exists(i, i == 1)", Some("bool")),
        ("x.items.exists_one(i, i == 1)", Some("bool")),
        ("x.items.map(i, i)", Some("list")),
        ("has(x.a) && x.b", Some("bool")),
        ("true ? 'a' : 'b'", Some("string")),
        ("true ? 'a' : 1", None),
        ("x.b", None),
        ("'a' + x.b", None),
        ("null", Some("null")),
        ("{}", Some("map")),
    ] {
        assert_eq!(of(source).as_deref(), expected, "{source}");
    }
    assert!(compile("1 + size('a')").unwrap().is_constant());
    assert!(compile("[1].map(i, i)").unwrap().is_constant());
    assert!(!compile("[1].map(i, x)").unwrap().is_constant());
}

#[test]
fn a_loop_costs_what_its_rounds_cost() {
    let x = json!(vec![1; 100]);
    // 100 rounds of the body `i > 0`, and what stands around.
    let source = "x.all(i, i > 0.0)";
    assert_eq!(evaluate_on(&x, source, 1_500), Ok(json!(true)));
    let limit = 300;
    assert_eq!(
        evaluate_on(&x, source, limit),
        Err(EvaluationError::TooCostly { limit })
    );
    // A loop in a loop in a loop: 10^6 rounds.
    let nested = "x.all(i, x.all(j, x.all(k, i + j + k > 0.0)))";
    assert!(matches!(
        evaluate_on(&x, nested, 10_000),
        Err(EvaluationError::TooCostly { .. })
    ));
}

#[test]
fn nothing_hides_that_the_limit_was_exceeded() {
    let x = json!(vec![1; 100]);
    for source in [
        "x.all(i, x.all(j, x.all(k, k > 0.0))) || true",
        "x.exists(i, x.all(j, x.all(k, k > 0.0)) || i > 0.0)",
        "optional.of(x.map(i, x.map(j, x.map(k, k)))).hasValue() || true",
    ] {
        let result = evaluate_on(&x, source, 10_000);
        assert!(
            matches!(result, Err(EvaluationError::TooCostly { .. })),
            "{source}: {result:?}"
        );
    }
}

#[test]
fn data_that_grows_without_end_is_stopped() {
    let doubling = |step: &str| format!("[x]{}[0] == x", step.repeat(50));
    let x = json!("x".repeat(100));
    for source in [
        doubling(".map(s, s + s)"),
        doubling(".map(s, [s, s])"),
        doubling(".map(s, {'a': s, 'b': s})"),
    ] {
        let result = Expression::compile(&source, &["x"])
            .map(|expression| expression.evaluate(&Scope::new().with("x", value(&x)), 10_000));
        match result {
            Err(CompileError::TooDeep) => {}
            Ok(result) => assert!(
                matches!(result, Err(EvaluationError::TooCostly { .. })),
                "{source}"
            ),
            Err(other) => panic!("{other}"),
        }
    }
    let wide = json!({"big": "y".repeat(200_000), "many": vec![0; 99]});
    let source = "x.many.map(i, x.big + x.big).size() > 0";
    assert!(matches!(
        evaluate_on(&wide, source, 10_000),
        Err(EvaluationError::TooCostly { .. })
    ));
    let copies = "x.many.map(i, x).size() > 0";
    assert!(matches!(
        evaluate_on(&wide, copies, 10_000),
        Err(EvaluationError::TooCostly { .. })
    ));
    assert!(evaluate_on(&wide, "x.big.contains('z') || x.big == ''", 1_000).is_ok());
}

#[test]
fn to_json_is_bounded() {
    let x = json!("z".repeat(1024 * 1024));
    let error = evaluate_on(&x, "toJson(x)", 10_000)
        .unwrap_err()
        .to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
    assert!(
        evaluate_on(
            &json!("z".repeat(1_000_000)),
            "toJson(x).size() > 1",
            10_000
        )
        .is_ok()
    );
}

#[test]
fn the_deepest_expression_fits_in_a_small_stack() {
    let sources = [
        format!("1{}", " + 1".repeat(62)),
        format!("[1]{}", ".map(s, s)".repeat(61)),
        format!("{}1{}", "[1].map(s, ".repeat(15), ")".repeat(15)),
        format!("{}1{}", "true ? (".repeat(30), ") : 2".repeat(30)),
        format!("{}1{}", "[".repeat(30), "][0]".repeat(30)),
    ];
    let compiled = sources.map(|source| compile(&source).unwrap());
    std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(move || {
            let scope = Scope::new();
            for expression in compiled {
                expression.evaluate(&scope, 10_000).unwrap();
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_expression_gives_the_same_result(
        keys in prop::collection::btree_map("[a-z]{1,3}", 0..9i32, 0..12),
        source in prop::sample::select(vec![
            "x.map(k, k)", "toJson(x)", "x.filter(k, x[k] > 3.0)", "x.map(k, x[k])[0]", "x.all(k, x[k] > 1.0)", "x + 1",
            "x.map(k, x[k] > 4.0, k)[0] + x",
        ]),
    ) {
        let x = json!(keys);
        prop_assert_eq!(evaluate_on(&x, source, 10_000), evaluate_on(&x, source, 10_000));
    }
}
