//! History: the recorded events of a resource, each with who, why, and what it changed.
//!
//! Read from the event log, never from a read model, so that it is complete and also there for
//! removed resources. What an event changed is the difference between the folds before and after
//! it.

mod difference;

use hyperfleet_api_types::{FieldChange, HistoryEntry};
use hyperfleet_domain::metadata::EventMetadata;
use hyperfleet_domain::resource::{Event, Resource};
use hyperfleet_event_store::{EventStore, RecordedEvent, StreamId};
use hyperfleet_runtime::http::TenantScope;
use serde::Deserialize as _;
use serde_json::{Value, json};
use sqlx::PgPool;

pub(crate) use self::difference::difference;
use crate::error::Error;
use crate::fleet_summary::read_event;
use crate::resource_view::{IN_SCOPE, Page, Paged, scope_parameter};

/// Events read from the log at a time.
const READ_BATCH: usize = 500;

/// How many resources of one name are looked at, the latest first: names are reused, and one answer
/// must stay bounded.
const SAME_NAME_LIMIT: i64 = 100;

/// One page of the events of a resource, oldest first.
///
/// # Errors
/// When the log cannot be read.
pub async fn of_resource(
    store: &EventStore,
    id: &str,
    page: Page,
) -> Result<Paged<HistoryEntry>, Error> {
    let entries = entries_of(store, id).await?;
    Ok(page_of(entries, page))
}

/// Every resource that ever had a kind and name, as far as a scope sees it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The kind.
    pub kind: &'a str,
    /// The name.
    pub name: &'a str,
    /// Who asks.
    pub scope: &'a TenantScope,
}

/// One page of the events of every resource that ever had that kind and name, oldest first.
///
/// # Errors
/// When the database or the log cannot be read.
pub async fn by_name(
    pool: &PgPool,
    store: &EventStore,
    subject: Named<'_>,
    page: Page,
) -> Result<Paged<HistoryEntry>, Error> {
    let sql = format!(
        "SELECT id FROM resources WHERE kind = $1 AND name = $2 AND {IN_SCOPE}4
         ORDER BY created_time DESC LIMIT $3"
    );
    let ids: Vec<String> = sqlx::query_scalar(&sql)
        .bind(subject.kind)
        .bind(subject.name)
        .bind(SAME_NAME_LIMIT)
        .bind(scope_parameter(subject.scope))
        .fetch_all(pool)
        .await?;
    let mut entries = Vec::new();
    for id in ids {
        entries.extend(entries_of(store, &id).await?);
    }
    entries.sort_by_key(|entry| entry.position);
    Ok(page_of(entries, page))
}

fn page_of(entries: Vec<HistoryEntry>, page: Page) -> Paged<HistoryEntry> {
    let total = entries.len() as u64;
    let skip = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let size = page.size as usize;
    Paged {
        items: entries.into_iter().skip(skip).take(size).collect(),
        total,
    }
}

async fn entries_of(store: &EventStore, id: &str) -> Result<Vec<HistoryEntry>, Error> {
    let mut entries = Vec::new();
    let mut resource = Resource::default();
    let mut view = Value::Null;
    let stream = StreamId::new(crate::AGGREGATE_TYPE, id);
    let mut after = 0;
    loop {
        let events = store.read_stream(&stream, after, READ_BATCH).await?;
        let Some(last) = events.last() else { break };
        after = last.sequence;
        for recorded in &events {
            let event = read_event(recorded)?;
            resource = resource.evolve(&event);
            let next = visible(&resource);
            let mut entry = entry(recorded, &resource, &view, &next);
            entry.changes.extend(referrer_change(&event));
            entries.push(entry);
            view = next;
        }
        if events.len() < READ_BATCH {
            break;
        }
    }
    Ok(entries)
}

/// What a user sees of a resource, with what adapters reported by adapter.
fn visible(resource: &Resource) -> Value {
    let mut view = serde_json::to_value(resource.document()).unwrap_or_default();
    if let (Value::Object(members), Ok(statuses)) =
        (&mut view, serde_json::to_value(&resource.statuses))
    {
        members.insert("adapter_statuses".to_owned(), statuses);
    }
    view
}

/// Who refers to the resource is told by the event alone: of a popular target there are too many to
/// be part of what is compared.
fn referrer_change(event: &Event) -> Option<FieldChange> {
    let path = |ref_type: &str, id: &str| format!("/referenced_by/{ref_type}/{id}");
    if let Event::ReferenceAttached(attached) = event {
        let source = json!({"kind": attached.source_kind, "name": attached.source_name});
        return Some(FieldChange {
            path: path(&attached.ref_type, &attached.source_id),
            from: None,
            to: Some(source),
        });
    }
    if let Event::ReferenceDetached(detached) = event {
        return Some(FieldChange {
            path: path(&detached.ref_type, &detached.source_id),
            from: Some(json!({"id": detached.source_id})),
            to: None,
        });
    }
    None
}

fn entry(
    recorded: &RecordedEvent,
    resource: &Resource,
    before: &Value,
    after: &Value,
) -> HistoryEntry {
    let metadata = EventMetadata::deserialize(&recorded.metadata).unwrap_or_default();
    let empty = Value::Object(serde_json::Map::new());
    HistoryEntry {
        resource_id: resource.id.clone(),
        kind: resource.kind.clone(),
        name: resource.name.clone(),
        sequence: recorded.sequence,
        position: recorded.position,
        time: recorded.recorded_at,
        event_type: recorded.event_type.clone(),
        actor: metadata.actor,
        cause: metadata.command,
        request_id: metadata.correlation_id,
        generation: resource.generation,
        changes: difference(if before.is_null() { &empty } else { before }, after),
    }
}
