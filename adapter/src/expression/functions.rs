//! The functions that the DSL adds to CEL.

use std::sync::Arc;

use cel::common::types::LIST_TYPE;
use cel::common::value::{CowVal, Val};
use cel::objects::OptionalValue;
use cel::{Context, DeclarationError, Env, ExecutionError, Value as CelValue};
use chrono::{DateTime, SecondsFormat, Utc};

use hyperfleet_expression::functions::{dig, to_json};
use hyperfleet_expression::{Absent, NoJson};

/// Declares `first()` and `last()` on lists, which the extension library of this engine lacks.
pub(super) fn add_list_ends(environment: &mut Env) -> Result<(), DeclarationError> {
    environment.add_member_overload("first", "list.first()", LIST_TYPE, vec![], first)?;
    environment.add_member_overload("last", "list.last()", LIST_TYPE, vec![], last)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine's function type takes its arguments by value"
)]
fn first<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    end_of(&arguments, |items| items.first().cloned())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine's function type takes its arguments by value"
)]
fn last<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    end_of(&arguments, |items| items.last().cloned())
}

fn end_of<'b, 'v>(
    arguments: &[CowVal<'b, 'v>],
    pick: fn(&[CelValue]) -> Option<CelValue>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(argument) = arguments.first() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let picked = match CelValue::try_from(argument.as_ref())? {
        CelValue::List(items) => pick(&items),
        other => return Err(ExecutionError::unsupported_target_type(other)),
    };
    let optional = picked.map_or_else(OptionalValue::none, OptionalValue::of);
    let boxed: Box<dyn Val> = CelValue::Opaque(Arc::new(optional)).try_into()?;
    Ok(CowVal::Owned(boxed))
}

/// Adds the custom functions to an evaluation context; `now` is fixed for the evaluation.
pub(super) fn register(context: &mut Context<'_, '_>, now: DateTime<Utc>) {
    let added = [
        context.add_function(super::go_text::GO_TEXT, super::go_text::go_text),
        context.add_function("now", move || {
            now.to_rfc3339_opts(SecondsFormat::Secs, true)
        }),
        context.add_function("toJson", |value: CelValue| {
            to_json(&value).map(CelValue::from)
        }),
        context.add_function("dig", |value: CelValue, path: Arc<String>| {
            dig(&value, &path)
        }),
        context.add_function("conditionStatus", |list: CelValue, kind: Arc<String>| {
            condition_status(&list, &kind)
        }),
        context.add_function("conditionAge", move |list: CelValue, kind: Arc<String>| {
            condition_age(&list, &kind, now)
        }),
        context.add_function(
            "stableFor",
            move |list: CelValue, kind: Arc<String>, seconds: i64| {
                stable_for(&list, &kind, seconds, now)
            },
        ),
        context.add_function(
            "statusFeedbackValue",
            |feedback: CelValue, name: Arc<String>| feedback_value(&feedback, &name),
        ),
        context.add_function("triState", |yes: bool, no: bool| {
            match (yes, no) {
                (true, _) => "True",
                (false, true) => "False",
                (false, false) => "Unknown",
            }
            .to_owned()
        }),
    ];
    debug_assert!(
        added.iter().all(Result::is_ok),
        "no custom function shares a name with a standard one"
    );
}

fn failure(function: &str, message: &impl ToString) -> ExecutionError {
    ExecutionError::function_error(function, message.to_string())
}

fn native(value: &CelValue) -> Result<serde_json::Value, NoJson> {
    let json = hyperfleet_expression::to_json(value, Absent::Null)?;
    Ok(json.unwrap_or_default())
}

/// The first element whose `type` is `kind`.
fn condition(
    function: &str,
    list: &CelValue,
    kind: &str,
) -> Result<Option<serde_json::Value>, ExecutionError> {
    let CelValue::List(items) = list else {
        return Err(failure(function, &"conditions must be a list"));
    };
    for item in items.iter() {
        let item = native(item).map_err(|error| failure(function, &error))?;
        if item.get("type").and_then(serde_json::Value::as_str) == Some(kind) {
            return Ok(Some(item));
        }
    }
    Ok(None)
}

fn status_of(condition: Option<&serde_json::Value>) -> &str {
    condition
        .and_then(|condition| condition.get("status"))
        .and_then(serde_json::Value::as_str)
        .unwrap_or("Unknown")
}

/// Whole seconds since `last_transition_time`.
fn age_of(condition: Option<&serde_json::Value>, now: DateTime<Utc>) -> Option<i64> {
    let text = condition?.get("last_transition_time")?.as_str()?;
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some((now - time.with_timezone(&Utc)).num_seconds())
}

fn condition_status(list: &CelValue, kind: &str) -> Result<CelValue, ExecutionError> {
    let condition = condition("conditionStatus", list, kind)?;
    let status = status_of(condition.as_ref()).to_owned();
    Ok(CelValue::String(Arc::new(status)))
}

fn condition_age(
    list: &CelValue,
    kind: &str,
    now: DateTime<Utc>,
) -> Result<CelValue, ExecutionError> {
    let condition = condition("conditionAge", list, kind)?;
    Ok(CelValue::Int(age_of(condition.as_ref(), now).unwrap_or(-1)))
}

fn stable_for(
    list: &CelValue,
    kind: &str,
    seconds: i64,
    now: DateTime<Utc>,
) -> Result<CelValue, ExecutionError> {
    let condition = condition("stableFor", list, kind)?;
    let long_enough = age_of(condition.as_ref(), now).is_some_and(|age| age >= seconds);
    Ok(CelValue::Bool(
        long_enough && status_of(condition.as_ref()) == "True",
    ))
}

fn feedback_value(feedback: &CelValue, name: &str) -> Result<CelValue, ExecutionError> {
    let feedback = native(feedback).map_err(|error| failure("statusFeedbackValue", &error))?;
    let found = feedback
        .get("values")
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
        .filter(|entry| entry.get("name").and_then(serde_json::Value::as_str) == Some(name))
        .find_map(|entry| entry.get("fieldValue")?.get("string")?.as_str())
        .unwrap_or_default()
        .to_owned();
    Ok(CelValue::String(Arc::new(found)))
}
