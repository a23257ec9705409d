//! The cqrs-es store trait on top of the event store: the only file that knows cqrs-es.

use std::collections::HashMap;
use std::marker::PhantomData;

use cqrs_es::persist::PersistenceError;
use cqrs_es::{Aggregate, AggregateContext, AggregateError, DomainEvent as _, EventEnvelope};
use serde_json::Value;

use crate::append::{Append, AppendError, NewEvent, StreamId};
use crate::recorded::RecordedEvent;
use crate::store::EventStore;

/// Reads a stored event as the aggregate's present event type.
type Upcast<A> = fn(&RecordedEvent) -> Result<<A as Aggregate>::Event, serde_json::Error>;

/// An event store for one type of aggregate, by the cqrs-es trait.
///
/// Metadata are texts there; each is stored as a member of the event's metadata.
pub struct CqrsStore<A: Aggregate> {
    store: EventStore,
    upcast: Upcast<A>,
    aggregate: PhantomData<A>,
}

/// An aggregate as it was loaded.
#[derive(Debug)]
pub struct CqrsContext<A> {
    aggregate_id: String,
    aggregate: A,
    version: u64,
}

impl<A: Aggregate> CqrsStore<A> {
    /// A store whose payloads are the serde form of the aggregate's events.
    pub fn new(store: EventStore) -> Self {
        Self::with_upcast(store, |recorded| {
            serde_json::from_value(recorded.payload.clone())
        })
    }

    /// A store that reads older event versions through `upcast`.
    pub fn with_upcast(store: EventStore, upcast: Upcast<A>) -> Self {
        Self {
            store,
            upcast,
            aggregate: PhantomData,
        }
    }

    fn stream(aggregate_id: &str) -> StreamId {
        StreamId::new(A::TYPE, aggregate_id)
    }

    fn read(&self, recorded: &RecordedEvent) -> Result<A::Event, AggregateError<A::Error>> {
        (self.upcast)(recorded)
            .map_err(|error| AggregateError::DeserializationError(Box::new(error)))
    }
}

impl<A> AggregateContext<A> for CqrsContext<A>
where
    A: Aggregate,
{
    fn aggregate(&mut self) -> &mut A {
        &mut self.aggregate
    }
}

impl<A> cqrs_es::EventStore<A> for CqrsStore<A>
where
    A: Aggregate,
    A::Event: Send,
{
    type AC = CqrsContext<A>;

    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let events = self
            .store
            .read_stream(&Self::stream(aggregate_id), 0, usize::MAX)
            .await
            .map_err(database)?;
        events
            .iter()
            .map(|recorded| {
                Ok(EventEnvelope {
                    aggregate_id: aggregate_id.to_owned(),
                    sequence: usize::try_from(recorded.sequence).unwrap_or(usize::MAX),
                    payload: self.read(recorded)?,
                    metadata: texts(&recorded.metadata),
                })
            })
            .collect()
    }

    async fn load_aggregate(
        &self,
        aggregate_id: &str,
    ) -> Result<CqrsContext<A>, AggregateError<A::Error>> {
        let loaded = self
            .store
            .load(&Self::stream(aggregate_id))
            .await
            .map_err(database)?;
        let mut aggregate = match loaded.snapshot {
            Some(state) => serde_json::from_value(state)
                .map_err(|error| AggregateError::DeserializationError(Box::new(error)))?,
            None => A::default(),
        };
        for recorded in &loaded.events {
            aggregate.apply(self.read(recorded)?);
        }
        Ok(CqrsContext {
            aggregate_id: aggregate_id.to_owned(),
            aggregate,
            version: loaded.version,
        })
    }

    async fn commit(
        &self,
        events: Vec<A::Event>,
        context: CqrsContext<A>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let unwritable = |error| AggregateError::UnexpectedError(Box::new(error));
        let stored_metadata = serde_json::to_value(&metadata).map_err(unwritable)?;
        let new_events = events
            .iter()
            .map(|event| {
                Ok(NewEvent {
                    event_type: event.event_type(),
                    event_version: event.event_version(),
                    payload: serde_json::to_value(event).map_err(unwritable)?,
                    metadata: stored_metadata.clone(),
                })
            })
            .collect::<Result<Vec<_>, AggregateError<A::Error>>>()?;
        let append = Append {
            // `handle` has applied its events to the aggregate already.
            snapshot: Some(serde_json::to_value(&context.aggregate).map_err(unwritable)?),
            ..Append::events(
                Self::stream(&context.aggregate_id),
                context.version,
                new_events,
            )
        };
        self.store
            .append(vec![append])
            .await
            .map_err(|error| match error {
                AppendError::Conflict { .. }
                | AppendError::ClaimTaken { .. }
                | AppendError::ReceiptTaken { .. } => AggregateError::AggregateConflict,
                AppendError::Unavailable { .. } | AppendError::OutcomeUnknown { .. } => {
                    AggregateError::DatabaseConnectionError(Box::new(error))
                }
                AppendError::Invalid { .. } => AggregateError::UnexpectedError(Box::new(error)),
            })?;
        Ok(events
            .into_iter()
            .zip(context.version + 1..)
            .map(|(payload, sequence)| EventEnvelope {
                aggregate_id: context.aggregate_id.clone(),
                sequence: usize::try_from(sequence).unwrap_or(usize::MAX),
                payload,
                metadata: metadata.clone(),
            })
            .collect())
    }
}

fn database<E: std::error::Error>(error: crate::Error) -> AggregateError<E> {
    PersistenceError::ConnectionError(Box::new(error)).into()
}

/// Metadata members as texts, the only form that cqrs-es has.
fn texts(metadata: &Value) -> HashMap<String, String> {
    metadata
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            (
                name.clone(),
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            )
        })
        .collect()
}
