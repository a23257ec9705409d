//! A consumer of the log: reads on from what it wrote down last.

use std::time::Duration;

use anyhow::Result;
use hyperfleet_event_store::{EventStore, EventStoreOptions};

use crate::Child;
use crate::journal::{self, Journal};

/// Between attempts while the database is away.
const PAUSE: Duration = Duration::from_millis(50);

/// Events read at a time.
const BATCH: usize = 100;

pub(crate) async fn run(child: &Child) -> Result<()> {
    let seen: Vec<u64> = journal::read(&child.journal)?;
    let mut journal = Journal::open(&child.journal)?;
    let mut after = seen.last().copied().unwrap_or(0);
    loop {
        let Ok(store) = EventStore::open(EventStoreOptions::new(&child.database_url)).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut subscription = store.subscribe(after);
        while let Ok(events) = subscription.next(BATCH).await {
            let positions: Vec<u64> = events.iter().map(|event| event.position).collect();
            journal.write(&positions)?;
            after = subscription.position();
        }
        tokio::time::sleep(PAUSE).await;
    }
}
