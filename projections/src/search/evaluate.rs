//! What a search asks, of a resource in memory: the answer that the database gives for its row.
//!
//! A watch looks at every change once for each watcher, so it cannot ask the database. Invariant: for
//! every search and every stored resource this module and [`super::sql`] agree; a property test compares
//! them on a real database. `None` is SQL's unknown.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use serde_json::Value;

use super::decimal::Decimal;
use super::predicate::{
    Comparison, ConditionTime, Field, Number, OwnText, Predicate, Test, TextField, TimeField,
};
use super::sql::NUMBER_LENGTH;

impl Predicate {
    /// Whether a search finds that resource, when it is live.
    pub fn finds(&self, resource: &Resource) -> bool {
        holds(self, resource) == Some(true)
    }
}

fn holds(predicate: &Predicate, resource: &Resource) -> Option<bool> {
    match predicate {
        Predicate::All(parts) => combined(parts, resource, false),
        Predicate::Any(parts) => combined(parts, resource, true),
        Predicate::Not(inner) => holds(inner, resource).map(|holds| !holds),
        Predicate::Never => Some(false),
        Predicate::Text(field, test) => {
            let value = text(field, resource);
            passes(test, value.as_deref(), |left, right| {
                left.cmp(right.as_str())
            })
        }
        Predicate::Like {
            field,
            pattern,
            ignore_case,
        } => {
            let text = text(field, resource)?;
            Some(if *ignore_case {
                like(&text.to_ascii_lowercase(), &pattern.to_ascii_lowercase())
            } else {
                like(&text, pattern)
            })
        }
        Predicate::SpecNumber(path, test) => {
            let value = spec_number(path, resource);
            passes(test, value.as_ref(), |left, right| left.cmp(&number(right)))
        }
        Predicate::Generation(test) => {
            let generation = i64::from(resource.generation);
            passes(test, Some(&generation), Ord::cmp)
        }
        Predicate::Time(field, test) => passes(test, time(*field, resource).as_ref(), Ord::cmp),
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
        } => Some(resource.condition(r#type).is_some_and(|held| {
            let held = match time {
                ConditionTime::LastUpdated => held.last_updated_time,
                ConditionTime::LastTransition => held.last_transition_time,
            };
            compares(held.cmp(value), *comparison)
        })),
        Predicate::ConditionGeneration {
            r#type,
            comparison,
            value,
        } => Some(
            resource
                .condition(r#type)
                .is_some_and(|held| compares(held.observed_generation.cmp(value), *comparison)),
        ),
    }
}

/// `decisive` when a part is; unknown when a part is that; else the opposite.
fn combined(parts: &[Predicate], resource: &Resource, decisive: bool) -> Option<bool> {
    let mut is_known = true;
    for part in parts {
        match holds(part, resource) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(!decisive)
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

fn passes<T: ?Sized, U>(
    test: &Test<U>,
    value: Option<&T>,
    order: impl Fn(&T, &U) -> Ordering,
) -> Option<bool> {
    Some(match (test, value) {
        (Test::IsNull, value) => value.is_none(),
        (_, None) => return None,
        (Test::Compare(comparison, other), Some(value)) => {
            compares(order(value, other), *comparison)
        }
        (Test::AnyOf(values), Some(value)) => {
            values.iter().any(|other| order(value, other).is_eq())
        }
        (Test::Between(low, high), Some(value)) => {
            order(value, low).is_ge() && order(value, high).is_le()
        }
    })
}

fn text<'a>(field: &TextField, resource: &'a Resource) -> Option<Cow<'a, str>> {
    match field {
        TextField::Own(field) => own(*field, resource).map(Cow::Borrowed),
        TextField::Label(key) => resource.labels.get(key).map(|text| Cow::Borrowed(&**text)),
        TextField::Spec(path) => match spec_value(path, resource)? {
            Value::Null => None,
            Value::String(text) => Some(Cow::Borrowed(text)),
            other => {
                let mut text = String::new();
                write_json(other, &mut text);
                Some(Cow::Owned(text))
            }
        },
    }
}

fn own(field: OwnText, resource: &Resource) -> Option<&str> {
    let owner = resource.owner.as_ref();
    match field {
        OwnText::Id => Some(&resource.id),
        OwnText::Name => Some(&resource.name),
        OwnText::Kind => Some(&resource.kind),
        OwnText::Href => Some(&resource.href),
        OwnText::CreatedBy => Some(&resource.created_by),
        OwnText::UpdatedBy => Some(&resource.updated_by),
        OwnText::DeletedBy => resource.deleted_by.as_deref(),
        OwnText::OwnerId => owner.map(|owner| owner.id.as_str()),
        OwnText::OwnerKind => owner.map(|owner| owner.kind.as_str()),
        OwnText::OwnerHref => owner.map(|owner| owner.href.as_str()),
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
        (Field::Text(left), Field::Text(right)) => own(left, resource)?.cmp(own(right, resource)?),
        (Field::Time(left), Field::Time(right)) => {
            time(left, resource)?.cmp(&time(right, resource)?)
        }
        (Field::Generation, Field::Generation) => Ordering::Equal,
        // Fields of different sorts are refused when a search is checked.
        _ => return None,
    };
    Some(compares(order, comparison))
}

/// As `#>` of jsonb; a segment is lower snake case, so it is an index of an array when it has digits
/// only, and never a negative one.
fn spec_value<'a>(path: &[String], resource: &'a Resource) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let mut value = resource.spec.get(first)?;
    for segment in rest {
        value = match value {
            Value::Object(members) => members.get(segment)?,
            Value::Array(values) => {
                let index: i32 = segment.parse().ok()?;
                values.get(usize::try_from(index).ok()?)?
            }
            _ => return None,
        };
    }
    Some(value)
}

fn spec_number(path: &[String], resource: &Resource) -> Option<Decimal> {
    match spec_value(path, resource)? {
        Value::Number(number) => Decimal::read(&number.to_string()),
        Value::String(text) if text.len() <= NUMBER_LENGTH => Decimal::read(text),
        _ => None,
    }
}

fn number(number: &Number) -> Decimal {
    // The parser of searches lets decimals through and nothing else.
    let decimal = Decimal::read(&number.decimal).unwrap_or_default();
    decimal.times(number.factor)
}

/// JSON as jsonb prints it: members by the length of their names and then by bytes, a space after each
/// comma and colon, numbers without exponents.
fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            out.push_str(Decimal::printed(&text).as_deref().unwrap_or(&text));
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_json(value, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(left, _), (right, _)| {
                left.len().cmp(&right.len()).then_with(|| left.cmp(right))
            });
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                let _ = write!(out, "{}: ", Value::from(name.as_str()));
                write_json(value, out);
            }
            out.push('}');
        }
        simple => {
            let _ = write!(out, "{simple}");
        }
    }
}

/// SQL's LIKE with backslash as escape. Goes back to the last `%` only, so its time is bounded by the
/// product of the two lengths.
fn like(text: &str, pattern: &str) -> bool {
    let pattern = symbols(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut next) = (0, 0);
    // After the last `%`: where the pattern goes on, and from where of the text it was tried.
    let mut retry: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(next) {
            Some(Symbol::Any) => {
                next += 1;
                retry = Some((next, at));
            }
            Some(Symbol::One) => (at, next) = (at + 1, next + 1),
            Some(Symbol::Literal(literal)) if *literal == text[at] => {
                (at, next) = (at + 1, next + 1);
            }
            _ => {
                let Some((after, from)) = retry else {
                    return false;
                };
                retry = Some((after, from + 1));
                (at, next) = (from + 1, after);
            }
        }
    }
    pattern[next..].iter().all(|symbol| *symbol == Symbol::Any)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Any,
    One,
    Literal(char),
}

fn symbols(pattern: &str) -> Vec<Symbol> {
    let mut characters = pattern.chars();
    let mut symbols = Vec::new();
    while let Some(character) = characters.next() {
        symbols.push(match character {
            '%' => Symbol::Any,
            '_' => Symbol::One,
            '\\' => Symbol::Literal(characters.next().unwrap_or('\\')),
            literal => Symbol::Literal(literal),
        });
    }
    symbols
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_match_as_in_sql() {
        for (text, pattern, expected) in [
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("a%c", r"a\%c", true),
            ("abc", r"a\%c", false),
            ("é", "_", true),
            ("", "%", true),
            ("", "_", false),
            ("aab", "%ab", true),
            ("mississippi", "%iss%ip%i", true),
            ("mississippi", "%iss%x", false),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn json_is_printed_as_jsonb_prints_it() {
        let value = json!({"bb": [1.5, "x\n", null], "a": {}, "c": true});
        let mut text = String::new();
        write_json(&value, &mut text);
        assert_eq!(text, r#"{"a": {}, "c": true, "bb": [1.5, "x\n", null]}"#);
    }
}
