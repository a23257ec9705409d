//! From the log to changes: each with the state before and after it.
//!
//! States are folded from the log, so they are exactly those of the position; what is not known is read
//! for a whole batch at once. Only the times that are not in the log (liveness) are taken over from the
//! resource view, as they are when the change is read, so that a change never turns them back.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use hyperfleet_event_store::{EventStore, RecordedEvent, StreamId};
use sqlx::Row as _;

use super::change::Change;
use super::states::{Known, States};
use crate::error::Error;
use crate::fleet_summary::read_event;
use crate::inline::liveness;
use crate::resource_view::read_state;

/// Events read from the log at a time: some milliseconds of work.
const BATCH: usize = 500;

/// Events of unknown streams that are in memory at a time.
const FOLDED_AT_ONCE: u64 = 10_000;

/// Reads changes after a position.
pub(super) struct ChangeReader {
    store: EventStore,
    /// Position of the last change that was handed out, or of what came after it and was none.
    position: u64,
    /// Read from the log and not handed out.
    pending: Vec<RecordedEvent>,
    /// Whether the last read was full, so that the last append read may go on.
    is_cut: bool,
    states: States,
}

/// The events of one append to one resource.
struct Group<'a> {
    id: &'a str,
    events: Vec<&'a RecordedEvent>,
}

impl Group<'_> {
    /// Version of the stream before.
    fn base(&self) -> u64 {
        self.events
            .first()
            .map_or(0, |event| event.sequence.saturating_sub(1))
    }

    fn version(&self) -> u64 {
        self.events.last().map_or(0, |event| event.sequence)
    }

    fn position(&self) -> u64 {
        self.events.last().map_or(0, |event| event.position)
    }
}

impl ChangeReader {
    /// A reader of what comes after `position`, which remembers states of so many bytes.
    pub(super) fn new(store: EventStore, position: u64, state_bytes: usize) -> Self {
        Self {
            store,
            position,
            pending: Vec::new(),
            is_cut: false,
            states: States::new(state_bytes),
        }
    }

    /// Up to where the log was read and handed out.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Waits until there are events to be handed out. Cancelling loses nothing.
    pub(super) async fn wait(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            let mut subscription = self.store.subscribe(self.position);
            let events = subscription.next(BATCH).await?;
            self.add(events);
        }
        Ok(())
    }

    /// The next changes, in the order of the log; none when there are none yet. When it fails, nothing is
    /// lost: the next call tries the same again.
    pub(super) async fn next(&mut self) -> Result<Vec<Change>, Error> {
        if self.pending.is_empty() {
            self.read_more().await?;
        }
        let count = self.complete().await?;
        let Some(last) = count.checked_sub(1).and_then(|at| self.pending.get(at)) else {
            return Ok(Vec::new());
        };
        let position = last.position;
        let pending = std::mem::take(&mut self.pending);
        let changes = self.changes(&pending[..count]).await;
        self.pending = pending;
        let changes = changes?;
        self.pending.drain(..count);
        self.position = position;
        Ok(changes)
    }

    async fn read_more(&mut self) -> Result<(), Error> {
        let after = self
            .pending
            .last()
            .map_or(self.position, |event| event.position);
        let events = self.store.read_all(after, BATCH).await?;
        self.add(events);
        Ok(())
    }

    fn add(&mut self, events: Vec<RecordedEvent>) {
        self.is_cut = events.len() == BATCH;
        self.pending.extend(events);
    }

    /// How many of the pending events are whole transactions; reads on when none is whole yet.
    async fn complete(&mut self) -> Result<usize, Error> {
        loop {
            if !self.is_cut {
                return Ok(self.pending.len());
            }
            let last = self.pending.last().map(|event| event.recorded_at);
            let other = |event: &RecordedEvent| Some(event.recorded_at) != last;
            if let Some(at) = self.pending.iter().rposition(other) {
                return Ok(at + 1);
            }
            self.read_more().await?;
        }
    }

    async fn changes(&mut self, events: &[RecordedEvent]) -> Result<Vec<Change>, Error> {
        let groups = grouped(events);
        let mut states = self.bases(&groups).await?;
        let live = self.live(&states).await?;
        let mut changes = Vec::with_capacity(groups.len());
        for group in groups {
            let before = states.get(group.id).cloned().unwrap_or_default();
            let mut after = Resource::clone(&before);
            for event in &group.events {
                after = after.evolve(&read_event(event)?);
            }
            if let Some(live) = live.get(group.id) {
                liveness::adopt(&mut after, live);
            }
            let after = Arc::new(after);
            states.insert(group.id.to_owned(), Arc::clone(&after));
            let change = Change::new(group.position(), before, Arc::clone(&after));
            let known = Known {
                version: group.version(),
                resource: after,
                weight: change.document().len(),
            };
            self.states.keep(group.id.to_owned(), known);
            changes.push(change);
        }
        Ok(changes)
    }

    /// The state of each resource before its first event of these.
    async fn bases(&self, groups: &[Group<'_>]) -> Result<HashMap<String, Arc<Resource>>, Error> {
        let mut states = HashMap::new();
        let mut unknown = Vec::new();
        for group in groups {
            if states.contains_key(group.id) {
                continue;
            }
            let base = group.base();
            let state = self.states.at(group.id, base);
            if state.is_none() && base > 0 {
                unknown.push((StreamId::new(crate::AGGREGATE_TYPE, group.id), base));
            }
            states.insert(group.id.to_owned(), state.unwrap_or_default());
        }
        let mut rest = unknown.as_slice();
        while !rest.is_empty() {
            let (wanted, later) = rest.split_at(fitting(rest));
            rest = later;
            for (id, resource) in self.folded(wanted).await? {
                states.insert(id, Arc::new(resource));
            }
        }
        Ok(states)
    }

    /// The states of these streams at these versions.
    async fn folded(&self, wanted: &[(StreamId, u64)]) -> Result<HashMap<String, Resource>, Error> {
        let mut states: HashMap<String, Resource> = HashMap::new();
        let mut fold = |event: &RecordedEvent| -> Result<(), Error> {
            let state = states.entry(event.stream.aggregate_id.clone()).or_default();
            *state = std::mem::take(state).evolve(&read_event(event)?);
            Ok(())
        };
        match wanted {
            [(stream, up_to)] if *up_to > FOLDED_AT_ONCE => {
                let mut after = 0;
                while after < *up_to {
                    let limit = (*up_to - after).min(FOLDED_AT_ONCE);
                    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                    let events = self.store.read_stream(stream, after, limit).await?;
                    let Some(last) = events.last() else { break };
                    after = last.sequence;
                    events.iter().try_for_each(&mut fold)?;
                }
            }
            _ => {
                let events = self.store.read_streams(wanted).await?;
                events.iter().try_for_each(&mut fold)?;
            }
        }
        Ok(states)
    }

    /// The resources as the resource view has them now.
    async fn live(
        &self,
        states: &HashMap<String, Arc<Resource>>,
    ) -> Result<HashMap<String, Resource>, Error> {
        if states.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<&str> = states.keys().map(String::as_str).collect();
        let rows = sqlx::query("SELECT id, state FROM resources WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(self.store.pool())
            .await?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("id")?;
                let state = read_state(&id, row)?;
                Ok((id, state))
            })
            .collect()
    }
}

/// What each append did to each resource, in the order in which that was complete. Within a stream one
/// append has one time, and no two appends have the same: the later is decided from the earlier.
fn grouped(events: &[RecordedEvent]) -> Vec<Group<'_>> {
    let mut places: HashMap<(&str, DateTime<Utc>), usize> = HashMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for event in events {
        // The log has other streams than those of resources.
        if event.stream.aggregate_type != crate::AGGREGATE_TYPE {
            continue;
        }
        let id = event.stream.aggregate_id.as_str();
        let place = *places.entry((id, event.recorded_at)).or_insert_with(|| {
            groups.push(Group {
                id,
                events: Vec::new(),
            });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            group.events.push(event);
        }
    }
    groups.sort_by_key(Group::position);
    groups
}

/// How many of the streams fit into one read, at least one.
fn fitting(wanted: &[(StreamId, u64)]) -> usize {
    let mut events = 0;
    let fits = wanted.iter().take_while(|(_, up_to)| {
        events += up_to;
        events <= FOLDED_AT_ONCE
    });
    fits.count().max(1)
}
