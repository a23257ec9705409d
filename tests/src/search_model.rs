//! What a search finds, evaluated in memory: the model that the SQL of searches must agree with.
//!
//! Written apart from the SQL, from the meaning that `Predicate` documents. `None` is unknown.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use hyperfleet_projections::search::{
    Comparison, ConditionTime, Field, OwnText, Predicate, Test, TextField, TimeField,
};
use serde_json::Value;

/// Whether a search finds a resource.
pub fn finds(predicate: &Predicate, resource: &Resource) -> bool {
    holds(predicate, resource) == Some(true)
}

fn holds(predicate: &Predicate, resource: &Resource) -> Option<bool> {
    match predicate {
        Predicate::All(parts) => combined(parts, resource, false),
        Predicate::Any(parts) => combined(parts, resource, true),
        Predicate::Not(inner) => holds(inner, resource).map(|holds| !holds),
        Predicate::Never => Some(false),
        Predicate::Text(field, test) => passes(test, text(field, resource), Ord::cmp),
        Predicate::Like {
            field,
            pattern,
            ignore_case,
        } => {
            let folded = |text: String| {
                if *ignore_case {
                    text.to_ascii_lowercase()
                } else {
                    text
                }
            };
            let text: Vec<char> = folded(text(field, resource)?).chars().collect();
            let pattern: Vec<char> = folded(pattern.clone()).chars().collect();
            Some(like(&text, &pattern))
        }
        Predicate::SpecNumber(path, test) => {
            let values = map(test, &|number| number.as_double());
            passes(&values, spec_number(path, resource), f64::total_cmp)
        }
        Predicate::Generation(test) => passes(test, Some(i64::from(resource.generation)), Ord::cmp),
        Predicate::Time(field, test) => passes(test, time(*field, resource), Ord::cmp),
        Predicate::Fields(left, comparison, right) => fields(*left, *comparison, *right, resource),
        Predicate::Condition { r#type, status } => {
            let held = resource.condition(r#type);
            Some(held.is_some_and(|held| held.status.to_string() == *status))
        }
        Predicate::NoCondition { r#type } => Some(resource.condition(r#type).is_none()),
        Predicate::ConditionTime {
            r#type,
            time,
            comparison,
            value,
        } => {
            let held = resource.condition(r#type)?;
            let held = match time {
                ConditionTime::LastUpdated => held.last_updated_time,
                ConditionTime::LastTransition => held.last_transition_time,
            };
            Some(compares(held.cmp(value), *comparison))
        }
        Predicate::ConditionGeneration {
            r#type,
            comparison,
            value,
        } => {
            let held = resource.condition(r#type)?;
            Some(compares(held.observed_generation.cmp(value), *comparison))
        }
    }
}

/// `decisive` when a part is; unknown when a part is that; else the opposite.
fn combined(parts: &[Predicate], resource: &Resource, decisive: bool) -> Option<bool> {
    let parts: Vec<_> = parts.iter().map(|part| holds(part, resource)).collect();
    if parts.contains(&Some(decisive)) {
        return Some(decisive);
    }
    (!parts.contains(&None)).then_some(!decisive)
}

fn compares(order: Ordering, comparison: Comparison) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn passes<T>(test: &Test<T>, value: Option<T>, order: fn(&T, &T) -> Ordering) -> Option<bool> {
    if matches!(test, Test::IsNull) {
        return Some(value.is_none());
    }
    let value = value?;
    Some(match test {
        Test::Compare(comparison, other) => compares(order(&value, other), *comparison),
        Test::AnyOf(values) => values.iter().any(|other| order(&value, other).is_eq()),
        Test::Between(low, high) => order(&value, low).is_ge() && order(&value, high).is_le(),
        Test::IsNull => false,
    })
}

fn map<T, U>(test: &Test<T>, one: &dyn Fn(&T) -> U) -> Test<U> {
    match test {
        Test::Compare(comparison, value) => Test::Compare(*comparison, one(value)),
        Test::AnyOf(values) => Test::AnyOf(values.iter().map(one).collect()),
        Test::Between(low, high) => Test::Between(one(low), one(high)),
        Test::IsNull => Test::IsNull,
    }
}

fn text(field: &TextField, resource: &Resource) -> Option<String> {
    match field {
        TextField::Own(field) => own(*field, resource),
        TextField::Label(key) => resource.labels.get(key).cloned(),
        TextField::Spec(path) => match spec_value(path, resource)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        },
    }
}

fn own(field: OwnText, resource: &Resource) -> Option<String> {
    let owner = resource.owner.as_ref();
    match field {
        OwnText::Id => Some(resource.id.clone()),
        OwnText::Name => Some(resource.name.clone()),
        OwnText::Kind => Some(resource.kind.clone()),
        OwnText::Href => Some(resource.href.clone()),
        OwnText::CreatedBy => Some(resource.created_by.clone()),
        OwnText::UpdatedBy => Some(resource.updated_by.clone()),
        OwnText::DeletedBy => resource.deleted_by.clone(),
        OwnText::OwnerId => owner.map(|owner| owner.id.clone()),
        OwnText::OwnerKind => owner.map(|owner| owner.kind.clone()),
        OwnText::OwnerHref => owner.map(|owner| owner.href.clone()),
    }
}

fn time(field: TimeField, resource: &Resource) -> Option<DateTime<Utc>> {
    match field {
        TimeField::Created => Some(resource.created_time),
        TimeField::Updated => Some(resource.updated_time),
        TimeField::Deleted => resource.deleted_time,
    }
}

fn fields(left: Field, comparison: Comparison, right: Field, resource: &Resource) -> Option<bool> {
    let order = match (left, right) {
        (Field::Text(left), Field::Text(right)) => own(left, resource)?.cmp(&own(right, resource)?),
        (Field::Time(left), Field::Time(right)) => {
            time(left, resource)?.cmp(&time(right, resource)?)
        }
        (Field::Generation, Field::Generation) => Ordering::Equal,
        _ => unreachable!("fields of different sorts are refused"),
    };
    Some(compares(order, comparison))
}

fn spec_value<'a>(path: &[String], resource: &'a Resource) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let mut value = resource.spec.get(first)?;
    for segment in rest {
        value = match value {
            Value::Object(members) => members.get(segment)?,
            Value::Array(values) => values.get(segment.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn spec_number(path: &[String], resource: &Resource) -> Option<f64> {
    match spec_value(path, resource)? {
        Value::Number(number) => number.as_f64(),
        // Words that Rust reads as numbers are none here.
        Value::String(text) if !text.contains(['n', 'N', 'i', 'I']) => text.parse().ok(),
        _ => None,
    }
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', rest)) => (0..=text.len()).any(|from| like(&text[from..], rest)),
        Some(('_', rest)) => !text.is_empty() && like(&text[1..], rest),
        Some(('\\', rest)) => match rest.split_first() {
            Some((literal, rest)) => text.first() == Some(literal) && like(&text[1..], rest),
            None => false,
        },
        Some((literal, rest)) => text.first() == Some(literal) && like(&text[1..], rest),
    }
}
