//! Resources and lists as they were: `?at=<time>` and `?version=<n>`.
//!
//! A past answer has no entity tag: nothing can be changed there.

use axum::http::Uri;
use axum::http::header::LINK;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use hyperfleet_api_types::problem::{Fault, codes, constraints};
use hyperfleet_runtime::http::TenantScope;
use serde_json::{Value, json};

use super::answer::{self, Answer, Failure};
use super::fields::Fields;
use super::parameters::{self, Parameters};
use super::walk::{self, PAGE_TOKEN};
use super::{KindState, QueryState};
use crate::keyset::{self, ListIdentity, TokenError};
use crate::resource_view;
use crate::time_travel::{self, Filter, Moment, Part, Past, position};

/// Whether a past state is asked for.
pub(super) fn is_asked(parameters: &Parameters) -> bool {
    ["at", "version"]
        .iter()
        .any(|name| parameters::value(parameters, name).is_some())
}

/// `at`.
pub(super) fn time(parameters: &Parameters) -> Result<Option<DateTime<Utc>>, Fault> {
    parameters::time(parameters, "at")
}

/// The parent of a nested route, also one that is gone: it lived when its children did.
pub(super) async fn require_parent(
    state: &KindState,
    scope: &TenantScope,
    parent_id: &str,
) -> Result<(), Failure> {
    let Some(kind) = &state.parent_kind else {
        return Ok(());
    };
    let parent = resource_view::identify(&state.query.pool, scope, parent_id).await?;
    match parent {
        Some(parent) if parent.kind == *kind => Ok(()),
        _ => Err(answer::not_found(kind, parent_id).into()),
    }
}

/// 200 with the resource as it was.
pub(super) async fn read(
    state: &KindState,
    scope: &TenantScope,
    owner_id: Option<&str>,
    id: &str,
    parameters: &Parameters,
) -> Answer {
    let fields = Fields::of(parameters)?;
    let (at, version) = (time(parameters)?, version(parameters)?);
    let pool = &state.query.pool;
    let kind = state.kind.name();
    let found = resource_view::identify(pool, scope, id).await?;
    let found = found.filter(|found| {
        state.kind.serves(&found.kind)
            && owner_id.is_none_or(|owner| found.owner_id.as_deref() == Some(owner))
    });
    let (Some(_), moment) = (found, moment(&state.query, at, version).await?) else {
        return Err(answer::not_found(kind, id).into());
    };
    let when = at.map_or_else(|| format!("version {}", version.unwrap_or_default()), shown);
    let missing = |why: String| {
        let detail = format!("{kind} with id='{id}' {why}");
        Err(Fault::new(codes::RESOURCE_NOT_FOUND, detail).into())
    };
    match time_travel::read(pool, id, moment).await? {
        Past::Lived { resource, .. } => Ok(answer::document(&fields.of_resource(&resource))),
        Past::NotYet { created } => missing(format!(
            "did not exist at {when}: it was created at {}",
            shown(created)
        )),
        Past::Gone {
            removed,
            last_version,
        } => missing(format!(
            "was gone at {when}: it was removed at {}; the last version at which it existed is {last_version}",
            shown(removed)
        )),
        Past::NoVersion { latest } => {
            missing(format!("has no {when}: its latest version is {latest}"))
        }
        Past::Unknown => Err(answer::not_found(kind, id).into()),
    }
}

/// Which moment is asked for.
async fn moment(
    state: &QueryState,
    at: Option<DateTime<Utc>>,
    version: Option<u64>,
) -> Result<Moment, Failure> {
    match (at, version) {
        (Some(_), Some(_)) => {
            let detail = "at and version cannot be used together: each names a moment";
            Err(Fault::new(codes::BAD_REQUEST, detail).into())
        }
        (Some(at), None) => Ok(Moment::Position(past_position(state, at).await?)),
        (None, version) => Ok(Moment::Version(version.unwrap_or(1))),
    }
}

/// The position that a time names, which must not be to come.
async fn past_position(state: &QueryState, at: DateTime<Utc>) -> Result<u64, Failure> {
    let place = position::at(&state.pool, at).await?;
    if at <= place.now {
        return Ok(place.position);
    }
    let message = format!(
        "at must not be in the future; it is now {}",
        shown(place.now)
    );
    Err(parameters::invalid("at", message, Some(json!(shown(at))), constraints::MAX).into())
}

fn version(parameters: &Parameters) -> Result<Option<u64>, Fault> {
    let Some(text) = parameters::value(parameters, "version") else {
        return Ok(None);
    };
    let version = text.parse().ok().filter(|version| *version >= 1);
    version.map(Some).ok_or_else(|| {
        let message = "must be a whole number from 1: how many events the resource had".to_owned();
        parameters::invalid("version", message, Some(json!(text)), constraints::FORMAT)
    })
}

/// 200 with a page of the resources that lived at a time, as they were.
pub(super) async fn list(
    state: &QueryState,
    filter: &Filter,
    at: DateTime<Utc>,
    uri: &Uri,
    parameters: &Parameters,
) -> Answer {
    refuse_what_looks_at_the_present(parameters)?;
    let fields = Fields::of(parameters)?;
    let mut page = parameters::page(parameters)?;
    let descending = order(parameters)?;
    let identity = ListIdentity::of(uri.path(), parameters);
    let token = parameters.iter().find(|(name, _)| name == PAGE_TOKEN);
    let by_token = token.is_some();
    let mut start = None;
    if let Some((_, token)) = token {
        if parameters::value(parameters, "page").is_some() {
            let detail =
                "page and page_token cannot be used together: the token says where to go on";
            return Err(Fault::new(codes::BAD_REQUEST, detail).into());
        }
        if !token.trim().is_empty() {
            let (number, values) = keyset::open(token.trim(), identity).map_err(walk::refused)?;
            page.number = number;
            let values: Vec<u64> = values.iter().filter_map(Value::as_u64).collect();
            let [position, after] = values[..] else {
                return Err(walk::refused(TokenError::Damaged).into());
            };
            start = Some((position, after));
        }
    }
    // A walk stays at the position that it began with, also when the time is so recent that an event
    // of that time may still come.
    let (position, after) = match start {
        Some((position, after)) => (position, Some(after)),
        None => (past_position(state, at).await?, None),
    };
    let part = Part {
        descending,
        after,
        offset: if after.is_some() {
            0
        } else {
            page.offset().unsigned_abs()
        },
        size: page.size,
    };
    let (paged, more) = time_travel::list(&state.pool, filter, position, part).await?;
    let next = more.map(|last| {
        let number = page.number.saturating_add(1);
        keyset::seal(identity, number, vec![json!(position), json!(last)])
    });
    let next = next.transpose().map_err(walk::refused)?;
    let query = uri.query().unwrap_or_default();
    let link = next
        .as_ref()
        .and_then(|token| walk::link_to_next(uri.path(), query, token));
    let shown = next.filter(|_| by_token);
    let mut response: Response = answer::resource_list(page, &paged, &fields, shown);
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// Indexes know the present only. Silently ignoring a filter would answer another question.
fn refuse_what_looks_at_the_present(parameters: &Parameters) -> Result<(), Fault> {
    for name in ["search", "ref_type", "ref_target_id", "version"] {
        if parameters::value(parameters, name).is_some() {
            let why = if name == "version" {
                "versions belong to one resource; at names a moment of all"
            } else {
                "it looks at the present, and past states are not indexed; use kind, the parent or name, \
                 or filter what is answered"
            };
            let message = format!("cannot be used together with at: {why}");
            return Err(parameters::invalid(
                name,
                message,
                None,
                constraints::FORMAT,
            ));
        }
    }
    Ok(())
}

/// Whether the latest comes first. Past states are ordered by creation, which never changes.
fn order(parameters: &Parameters) -> Result<bool, Fault> {
    let terms: Vec<String> = parameters
        .iter()
        .filter(|(name, _)| name == "order")
        .flat_map(|(_, value)| value.split(','))
        .map(|term| term.trim().to_ascii_lowercase())
        .filter(|term| !term.is_empty())
        .collect();
    match terms.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["created_time desc"] => Ok(true),
        ["created_time" | "created_time asc"] => Ok(false),
        _ => {
            let message =
                "with at, lists are ordered by created_time asc or created_time desc".to_owned();
            Err(parameters::invalid(
                "order",
                message,
                None,
                constraints::FORMAT,
            ))
        }
    }
}

/// A time as messages show it.
fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use hyperfleet_api_types::FieldError;

    use super::*;

    fn parameters(name: &str, value: &str) -> Parameters {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn only_orders_by_creation_are_known() {
        let order = |value: &str| order(&parameters("order", value));
        assert_eq!(order("").ok(), Some(true));
        assert_eq!(order("created_time").ok(), Some(false));
        assert_eq!(order("created_time DESC").ok(), Some(true));
        assert!(order("name").is_err());
        assert!(order("created_time,name").is_err());
    }

    #[test]
    fn a_version_is_a_number_from_one() {
        let version = |value: &str| version(&parameters("version", value));
        assert_eq!(version("").ok(), Some(None));
        assert_eq!(version("7").ok(), Some(Some(7)));
        for wrong in ["0", "-1", "1.5", "x"] {
            let fault = version(wrong).expect_err(wrong);
            assert_eq!(fault.errors[0].field, "version");
        }
    }

    #[test]
    fn what_looks_at_the_present_is_refused_by_name() {
        let error = |name: &str| -> FieldError {
            let refused = refuse_what_looks_at_the_present(&parameters(name, "x"));
            refused.expect_err(name).errors.remove(0)
        };
        assert!(error("search").message.contains("not indexed"));
        assert!(error("version").message.contains("one resource"));
        assert!(refuse_what_looks_at_the_present(&parameters("name", "x")).is_ok());
    }
}
