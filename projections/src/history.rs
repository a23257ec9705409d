//! History: the recorded events of resources, each with who, why, and what it changed.
//!
//! Read from the event log, never from a read model, so that it is complete and also there for
//! removed resources. What an event changed is the difference between the folds before and after it.
//!
//! Invariants:
//! - events come in the order of their positions, which is the order of their commits;
//! - a page is about positions up to a mark that it names. Positions become visible in increasing
//!   order, so nothing is ever added at or below a position that was seen: what a page says about its
//!   range stays true for ever;
//! - a page costs a bounded number of rows looked at, whatever the filters: it may be short, and then
//!   says where to go on.

mod difference;
mod fold;
mod select;

use chrono::{DateTime, Utc};
use hyperfleet_api_types::HistoryEntry;
use hyperfleet_domain::resource::Resource;
use hyperfleet_runtime::http::TenantScope;
use sqlx::PgPool;

pub use self::difference::difference;
pub use self::fold::Folds;
use self::select::Selection;
use crate::error::Error;
use crate::resource_view::unsigned;
use crate::time_travel::position;

/// Which events: those that every part lets through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Only events of this resource. Whether the caller may see it is checked before.
    pub resource_id: Option<String>,
    /// Only events of this kind.
    pub kind: Option<String>,
    /// Only events of resources of this name.
    pub name: Option<String>,
    /// Only events of resources that have these labels now, or had them when they were removed.
    pub labels: Vec<(String, String)>,
    /// Only what this actor caused.
    pub actor: Option<String>,
    /// Only events of these stored types.
    pub types: Vec<String>,
    /// Only what this request caused.
    pub request_id: Option<String>,
    /// Only what was recorded at that time or later.
    pub from: Option<DateTime<Utc>>,
    /// Only what was recorded before that time.
    pub to: Option<DateTime<Utc>>,
    /// Only events after which the resource had this generation.
    pub generation: Option<i32>,
    /// Only events of resources that the caller can see.
    pub scope: TenantScope,
}

impl Filter {
    /// Whether it chooses by what a resource is.
    pub(crate) fn chooses_resources(&self) -> bool {
        self.kind.is_some()
            || self.name.is_some()
            || !self.labels.is_empty()
            || !self.scope.is_everything()
    }

    /// Whether it can let through events of this resource, as far as the resource itself tells by what
    /// never changes about it.
    pub(crate) fn may_have(&self, resource: &Resource) -> bool {
        let is = |asked: &Option<String>, actual: &str| {
            asked.as_deref().is_none_or(|asked| asked == actual)
        };
        is(&self.resource_id, &resource.id)
            && is(&self.kind, &resource.kind)
            && is(&self.name, &resource.name)
            && self.scope.sees(&resource.tenancy)
    }
}

/// Which part of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whether the newest comes first.
    pub descending: bool,
    /// Only what comes after this position, in that order.
    pub after: Option<u64>,
    /// How many are left out first.
    pub offset: u64,
    /// How many, at most.
    pub size: u32,
    /// Nothing above this position; see [`mark`].
    pub mark: u64,
}

/// Events of a history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// The events.
    pub entries: Vec<HistoryEntry>,
    /// Where to go on; `None` when there is nothing more up to the mark.
    pub next: Option<Next>,
}

/// Where a history goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// After this position.
    pub after: u64,
    /// Set when there may be nothing there: as many rows as one page may cost were looked at, up to
    /// the event that was recorded then.
    pub searched_until: Option<DateTime<Utc>>,
}

/// The greatest position that is visible. Nothing is ever added at or below it.
///
/// # Errors
/// When the database cannot answer.
pub async fn mark(pool: &PgPool) -> Result<u64, Error> {
    let mark: Option<i64> = sqlx::query_scalar("SELECT max(position) FROM live_events")
        .fetch_one(pool)
        .await?;
    unsigned("position", mark.unwrap_or_default())
}

/// One page of events. `folds` may have states of earlier pages, and keeps those of this one.
///
/// # Errors
/// When the database cannot answer, or the log cannot be read.
pub async fn page(
    pool: &PgPool,
    filter: &Filter,
    part: Part,
    folds: &mut Folds,
) -> Result<Events, Error> {
    let bounds = position::bounds(pool, filter.from, filter.to).await?;
    let selection = Selection::new(pool, filter, part, bounds).await?;
    let (selected, next) = selection.read(pool).await?;
    let entries = folds.entries(pool, selected).await?;
    Ok(Events { entries, next })
}

/// How the database would look for a page, line by line as EXPLAIN says it.
///
/// # Errors
/// When the database cannot answer.
pub async fn plan(pool: &PgPool, filter: &Filter, part: Part) -> Result<Vec<String>, Error> {
    let bounds = position::bounds(pool, filter.from, filter.to).await?;
    Selection::new(pool, filter, part, bounds)
        .await?
        .plan(pool)
        .await
}

/// How many events a filter lets through, up to a mark. Every one is looked at: for the history of
/// one resource.
///
/// # Errors
/// When the database cannot answer.
pub async fn count(pool: &PgPool, filter: &Filter, mark: u64) -> Result<u64, Error> {
    let part = Part {
        descending: false,
        after: None,
        offset: 0,
        size: 0,
        mark,
    };
    let selection = Selection::new(pool, filter, part, (None, None)).await?;
    selection.count(pool).await
}
