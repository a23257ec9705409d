//! What a search asks keeps the invariants that SQL relies on.

use std::sync::LazyLock;

use chrono::{DateTime, Timelike as _, Utc};
use hyperfleet_projections::search::{Number, Predicate, Test, TextField};
use regex::Regex;

/// What PostgreSQL reads as a number of bounded size.
static DECIMAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$").expect("the pattern is valid")
});

/// `negated`: it stands under NOT, where labels and conditions must not.
pub(super) fn check(predicate: &Predicate, negated: bool) {
    match predicate {
        Predicate::All(parts) | Predicate::Any(parts) => {
            assert!(parts.len() > 1, "nothing is combined: {predicate:?}");
            for part in parts {
                check(part, negated);
            }
        }
        Predicate::Not(inner) => check(inner, true),
        Predicate::Never | Predicate::Fields(..) => {}
        Predicate::Text(place, test) => {
            field(place, negated);
            each(test, |value| text(value));
        }
        Predicate::Like {
            field: place,
            pattern,
            ..
        } => {
            field(place, negated);
            text(pattern);
            assert!(!ends_in_escape(pattern), "{pattern:?} ends in an escape");
        }
        Predicate::SpecNumber(path, test) => {
            for part in path {
                text(part);
            }
            each(test, number);
        }
        Predicate::Generation(test) => each(test, |_| ()),
        Predicate::Time(_, test) => each(test, time),
        Predicate::Condition { r#type, status } => {
            condition(r#type, negated);
            assert!(["True", "False", "Unknown"].contains(&status.as_str()));
        }
        Predicate::NoCondition { r#type } | Predicate::ConditionGeneration { r#type, .. } => {
            condition(r#type, negated);
        }
        Predicate::ConditionTime { r#type, value, .. } => {
            condition(r#type, negated);
            time(value);
        }
    }
}

fn each<T>(test: &Test<T>, one: impl Fn(&T)) {
    match test {
        Test::Compare(_, value) => one(value),
        Test::AnyOf(values) => {
            assert!(!values.is_empty(), "one of none");
            values.iter().for_each(one);
        }
        Test::Between(low, high) => {
            one(low);
            one(high);
        }
        Test::IsNull => {}
    }
}

fn field(place: &TextField, negated: bool) {
    match place {
        TextField::Own(_) => {}
        TextField::Label(key) => {
            assert!(!negated, "a label under NOT");
            text(key);
        }
        TextField::Spec(path) => {
            assert!(!path.is_empty(), "a path of nothing");
            for part in path {
                text(part);
            }
        }
    }
}

fn condition(name: &str, negated: bool) {
    assert!(!negated, "a condition under NOT");
    assert!(
        name.starts_with(|first: char| first.is_ascii_uppercase()),
        "{name:?}"
    );
    assert!(
        name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{name:?}"
    );
}

fn text(value: &str) {
    assert!(!value.contains('\0'), "PostgreSQL refuses {value:?}");
}

fn number(value: &Number) {
    assert!(DECIMAL.is_match(&value.decimal), "{value:?}");
    assert!(value.decimal.len() <= 400 && value.factor >= 1, "{value:?}");
}

fn time(value: &DateTime<Utc>) {
    assert_eq!(
        value.nanosecond() % 1000,
        0,
        "{value} is finer than stored times"
    );
}

fn ends_in_escape(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && characters.next().is_none() {
            return true;
        }
    }
    false
}
