//! Condition rules as configuration: read strictly, and refused when they cannot work. The number in
//! a test's name is the number of the conformance case.

use hyperfleet_domain::mapping::ConditionRule;
use hyperfleet_domain::registry::{EntityDescriptor, Registry};
use serde_json::{Value, json};

use super::mapping::{net_ready, rule};
use super::support::descriptors;

type Change = fn(&mut ConditionRule);
type Spoil = fn(&mut Value);

/// Why a registry is refused whose second rule for widgets was changed like this.
fn refused(change: impl Fn(&mut ConditionRule)) -> String {
    let mut bad = rule("NetReady", "true", "true", "'R'", "''");
    change(&mut bad);
    let mut all = descriptors();
    all[1].condition_rules = vec![rule("Other", "true", "true", "''", "''"), bad];
    Registry::new(all).unwrap_err().to_string()
}

/// How such a refusal begins.
fn place(name: &str) -> String {
    format!("the condition rule 1 of kind 'Widget', type '{name}': ")
}

#[test]
fn a_rule_in_configuration_is_read_strictly() {
    let entry = |rule: Value| json!({"kind": "Gadget", "plural": "gadgets", "conditions": [rule]});
    let expression = |text: &str| json!({"expression": text});
    let output = json!({"status": expression("true"), "reason": expression("'R'"), "message": expression("''")});
    let good = json!({"type": "NetReady", "when": expression("true"), "output": output});
    let read: EntityDescriptor = serde_json::from_value(entry(good.clone())).unwrap();
    assert_eq!(
        read.condition_rules,
        [rule("NetReady", "true", "true", "'R'", "''")]
    );
    assert_eq!(
        serde_json::to_value(&read.condition_rules[0]).unwrap(),
        good
    );
    let faults: [(Spoil, &str); 4] = [
        (|rule| rule["whenn"] = json!(1), "unknown field `whenn`"),
        (
            |rule| rule["output"]["severity"] = json!(1),
            "unknown field `severity`",
        ),
        (
            |rule| rule["when"]["text"] = json!(1),
            "unknown field `text`",
        ),
        (
            |rule| rule["output"] = json!({"status": {"expression": "true"}}),
            "missing field `reason`",
        ),
    ];
    for (spoil, expected) in faults {
        let mut rule = good.clone();
        spoil(&mut rule);
        let error = serde_json::from_value::<EntityDescriptor>(entry(rule))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn case_214_rules_that_cannot_work_stop_the_start() {
    let typed = |name: &str| refused(|rule| name.clone_into(&mut rule.r#type));
    assert_eq!(typed(""), place("") + "the type is empty: give it one");
    assert!(typed(&"N".repeat(101)).ends_with("the type has 101 characters: use at most 100"));
    assert!(typed("net-ready").contains("must be PascalCase"));
    assert_eq!(
        typed("Reconciled"),
        "the condition rule 1 of kind 'Widget' has the type 'Reconciled', which is reserved for the aggregation of reports: choose another"
    );
    assert!(typed("LastKnownReconciled").contains("reserved"));
    // Reserved by an adapter of another kind.
    assert!(typed("BetaTwoSuccessful").contains("reserved for the adapter 'beta-two'"));
    assert_eq!(
        typed("Other"),
        "the condition rule 1 of kind 'Widget' repeats the type 'Other': keep one rule"
    );
}

#[test]
fn case_214_expressions_that_cannot_work_stop_the_start() {
    let expressions: [(Change, &str); 9] = [
        (
            |rule| "resource.".clone_into(&mut rule.when),
            "when: ERROR: <input>:1:10",
        ),
        (
            |rule| rule.when.clear(),
            "when: the expression is empty, in the expression: ",
        ),
        (
            |rule| "x == 1".clone_into(&mut rule.status),
            "status: undeclared reference to 'x'; declared are: statuses, resource, in the expression: x == 1",
        ),
        (
            |rule| "now()".clone_into(&mut rule.reason),
            "reason: undeclared function 'now', in the expression: now()",
        ),
        (
            |rule| "'yes'".clone_into(&mut rule.when),
            "when: gives string, not a bool",
        ),
        (
            |rule| "1".clone_into(&mut rule.status),
            "status: gives int, not a bool or string",
        ),
        (
            |rule| "'Unknown'".clone_into(&mut rule.status),
            "status: gave 'Unknown', not 'True' or 'False'",
        ),
        (
            |rule| "[resource]".clone_into(&mut rule.message),
            "message: gives list, not a string",
        ),
        (|rule| "'a' + 1".clone_into(&mut rule.message), "message: "),
    ];
    for (change, expected) in expressions {
        let error = refused(change);
        assert!(
            error.starts_with(&(place("NetReady") + expected)),
            "{error}"
        );
    }
    let long = refused(|rule| rule.reason = format!("'{}'", "r".repeat(257)));
    assert!(long.contains("reason: gave 257 bytes"), "{long}");
}

#[test]
fn registries_are_equal_when_their_rules_read_alike() {
    let with = |rules: Vec<ConditionRule>| {
        let mut all = descriptors();
        all[0].condition_rules = rules;
        Registry::new(all).unwrap()
    };
    assert_eq!(with(vec![net_ready()]), with(vec![net_ready()]).clone());
    assert_ne!(with(vec![net_ready()]), with(vec![]));
}
