//! The cqrs-es trait, and postgres-es as a reader of our table.

use std::collections::HashMap;

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository as _, PersistedEventStore};
use cqrs_es::{
    Aggregate, AggregateContext as _, AggregateError, CqrsFramework, DomainEvent,
    EventStore as CqrsEventStore,
};
use hyperfleet_event_store::CqrsStore;
use hyperfleet_test_support::database;
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};

use crate::fixture::{open, stream};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counter {
    value: i64,
}

enum Command {
    Add(i64),
    AddTwice(i64),
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Event {
    Added { amount: i64 },
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        "counter.added".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("it would be {0}")]
struct Negative(i64);

impl Aggregate for Counter {
    const TYPE: &'static str = "thing";
    type Command = Command;
    type Event = Event;
    type Error = Negative;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Negative> {
        let amounts: &[i64] = match command {
            Command::Add(amount) => &[amount],
            Command::AddTwice(amount) => &[amount, amount],
            Command::Nothing => &[],
        };
        for &amount in amounts {
            if self.value + amount < 0 {
                return Err(Negative(self.value + amount));
            }
            sink.write(Event::Added { amount }, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, Event::Added { amount }: Event) {
        self.value += amount;
    }
}

#[tokio::test]
async fn the_framework_runs_on_the_store() {
    let database = database().await;
    let store = open(&database).await;
    let framework = CqrsFramework::new(CqrsStore::<Counter>::new(store.clone()), Vec::new(), ());
    framework.execute("c", Command::Add(2)).await.unwrap();
    framework.execute("c", Command::AddTwice(3)).await.unwrap();
    framework.execute("c", Command::Nothing).await.unwrap();
    let refused = framework.execute("c", Command::Add(-9)).await;
    assert!(
        matches!(refused, Err(AggregateError::UserError(Negative(-1)))),
        "{refused:?}"
    );

    let reader = CqrsStore::<Counter>::new(store.clone());
    let mut loaded = reader.load_aggregate("c").await.unwrap();
    assert_eq!(*loaded.aggregate(), Counter { value: 8 });
    assert_eq!(store.load(&stream("c")).await.unwrap().version, 3);
}

#[tokio::test]
async fn a_context_that_was_overtaken_conflicts() {
    let database = database().await;
    let store = CqrsStore::<Counter>::new(open(&database).await);
    let overtaken = store.load_aggregate("c").await.unwrap();
    let first = store.load_aggregate("c").await.unwrap();
    let event = || vec![Event::Added { amount: 1 }];
    let committed = store.commit(event(), first, HashMap::new()).await.unwrap();
    assert_eq!(committed[0].sequence, 1);
    let lost = store.commit(event(), overtaken, HashMap::new()).await;
    assert!(
        matches!(lost, Err(AggregateError::AggregateConflict)),
        "{lost:?}"
    );
}

#[tokio::test]
async fn postgres_es_reads_our_table() {
    let database = database().await;
    let ours = CqrsStore::<Counter>::new(open(&database).await);
    let metadata = HashMap::from([("actor".to_owned(), "ü".to_owned())]);
    for amount in [1, 2] {
        let context = ours.load_aggregate("c").await.unwrap();
        ours.commit(vec![Event::Added { amount }], context, metadata.clone())
            .await
            .unwrap();
    }

    let repository = PostgresEventRepository::new(database.pool.clone());
    let serialized = repository.get_events::<Counter>("c").await.unwrap();
    assert_eq!(serialized[1].event_type, "counter.added");
    assert_eq!(serialized[1].event_version, "1");
    let theirs = PersistedEventStore::<_, Counter>::new_event_store(repository);
    let (read, expected) = (
        theirs.load_events("c").await.unwrap(),
        ours.load_events("c").await.unwrap(),
    );
    assert_eq!(read.len(), 2);
    for (read, expected) in read.iter().zip(&expected) {
        assert_eq!(read.aggregate_id, expected.aggregate_id);
        assert_eq!(read.sequence, expected.sequence);
        assert_eq!(read.payload, expected.payload);
        assert_eq!(read.metadata, metadata);
        assert_eq!(expected.metadata, metadata);
    }
    let mut folded = theirs.load_aggregate("c").await.unwrap();
    assert_eq!(*folded.aggregate(), Counter { value: 3 });
}
