//! What events changed, by folding their streams up to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::TryStreamExt as _;
use hyperfleet_api_types::{FieldChange, HistoryEntry};
use hyperfleet_domain::resource::{Event, Resource};
use hyperfleet_domain::upcast;
use serde_json::{Map, Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};

use super::difference::difference;
use super::select::Selected;
use crate::error::Error;
use crate::resource_view::unsigned;

/// States that are kept between pages. Together with what one page reads they are the memory of an
/// export; a fleet of more resources than this is folded anew where its events alternate.
const KEPT_STATES: usize = 2000;

/// The states that the pages of one walk have come to, so that a walk from old to new folds every
/// event once.
#[derive(Debug, Default)]
pub struct Folds {
    kept: HashMap<String, State>,
}

/// A resource after one of its events.
#[derive(Debug, Default)]
struct State {
    resource: Resource,
    sequence: u64,
}

/// What an event did.
struct Told {
    kind: String,
    name: String,
    generation_before: Option<i32>,
    generation: i32,
    changes: Vec<FieldChange>,
    patch: Vec<Value>,
}

/// One look-up in the primary key for each stream, whatever the statistics say.
const EVENTS: &str = "
SELECT wanted.id, event.*
FROM UNNEST($2::text[], $3::bigint[], $4::bigint[]) AS wanted (id, after, up_to)
CROSS JOIN LATERAL (
    SELECT sequence, event_type, event_version, payload FROM events
    WHERE aggregate_type = $1 AND aggregate_id = wanted.id
        AND sequence > wanted.after AND sequence <= wanted.up_to
    ORDER BY sequence
) AS event";

impl Folds {
    /// The entries of these events, in their order.
    pub(super) async fn entries(
        &mut self,
        pool: &PgPool,
        selected: Vec<Selected>,
    ) -> Result<Vec<HistoryEntry>, Error> {
        let mut wanted: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for event in &selected {
            let sequences = wanted.entry(event.resource_id.clone()).or_default();
            sequences.insert(event.sequence);
        }
        let mut told = self.tell(pool, &wanted).await?;
        let entries = selected.into_iter().filter_map(|event| {
            let key = (event.resource_id.clone(), event.sequence);
            told.remove(&key).map(|told| entry(event, told))
        });
        Ok(entries.collect())
    }

    /// What the wanted events did, by resource and sequence.
    async fn tell(
        &mut self,
        pool: &PgPool,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> Result<HashMap<(String, u64), Told>, Error> {
        let mut started: HashMap<&str, State> = HashMap::new();
        let (mut ids, mut after, mut up_to) = (Vec::new(), Vec::new(), Vec::new());
        for (id, sequences) in wanted {
            let (first, last) = (sequences.first(), sequences.last());
            let kept = self.kept.remove(id);
            let state = kept.filter(|state| first.is_some_and(|first| state.sequence < *first));
            let state = state.unwrap_or_default();
            ids.push(id.as_str());
            after.push(state.sequence.cast_signed());
            up_to.push(last.copied().unwrap_or_default().cast_signed());
            started.insert(id, state);
        }
        let mut told = HashMap::new();
        let mut rows = sqlx::query(EVENTS)
            .bind(crate::AGGREGATE_TYPE)
            .bind(ids)
            .bind(after)
            .bind(up_to)
            .fetch(pool);
        while let Some(row) = rows.try_next().await? {
            let id: &str = row.try_get("id")?;
            let (Some(state), Some(sequences)) = (started.get_mut(id), wanted.get(id)) else {
                continue;
            };
            let event = read_event(id, &row)?;
            let sequence = unsigned("sequence", row.try_get("sequence")?)?;
            if sequences.contains(&sequence) {
                let told_now = state.tell(&event, sequence);
                told.insert((id.to_owned(), sequence), told_now);
            } else {
                state.move_on(&event, sequence);
            }
        }
        if self.kept.len() + started.len() > KEPT_STATES {
            self.kept.clear();
        }
        let states = started.into_iter().take(KEPT_STATES);
        self.kept
            .extend(states.map(|(id, state)| (id.to_owned(), state)));
        Ok(told)
    }
}

impl State {
    fn move_on(&mut self, event: &Event, sequence: u64) {
        self.resource = std::mem::take(&mut self.resource).evolve(event);
        self.sequence = sequence;
    }

    fn tell(&mut self, event: &Event, sequence: u64) -> Told {
        let is_first = self.sequence == 0;
        let before = if is_first {
            Value::Object(Map::new())
        } else {
            visible(&self.resource)
        };
        let generation_before = (!is_first).then_some(self.resource.generation);
        self.move_on(event, sequence);
        let after = visible(&self.resource);
        let mut changes = difference(&before, &after);
        changes.extend(referrer_change(event));
        let patch = json_patch::diff(&before, &after);
        Told {
            kind: self.resource.kind.clone(),
            name: self.resource.name.clone(),
            generation_before,
            generation: self.resource.generation,
            changes,
            // Operations are plain data; writing them cannot fail.
            patch: match serde_json::to_value(patch) {
                Ok(Value::Array(operations)) => operations,
                Ok(_) | Err(_) => Vec::new(),
            },
        }
    }
}

fn read_event(id: &str, row: &PgRow) -> Result<Event, Error> {
    let sequence = unsigned("sequence", row.try_get("sequence")?)?;
    let event_type: &str = row.try_get("event_type")?;
    let event_version: &str = row.try_get("event_version")?;
    upcast::read(event_type, event_version, row.try_get("payload")?).map_err(|source| {
        Error::UnreadableEvent {
            resource_id: id.to_owned(),
            sequence,
            source,
        }
    })
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

fn entry(event: Selected, told: Told) -> HistoryEntry {
    let trace_id = event.metadata.trace_id().map(str::to_owned);
    let metadata = event.metadata;
    HistoryEntry {
        resource_id: event.resource_id,
        kind: told.kind,
        name: told.name,
        sequence: event.sequence,
        position: event.position,
        time: event.recorded_at,
        event_type: event.event_type,
        actor: metadata.actor,
        source_address: metadata.source_address,
        cause: metadata.command,
        request_id: metadata.correlation_id,
        causation_id: metadata.causation_id,
        trace_id,
        generation_before: told.generation_before,
        generation: told.generation,
        changes: told.changes,
        patch: told.patch,
    }
}
