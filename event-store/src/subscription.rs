//! Following the log. Wake-ups only wake: an in-process signal after each commit, and a NOTIFY from
//! other processes. Polling is the guarantee.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::recorded::RecordedEvent;
use crate::store::EventStore;

/// The longest that a new event stays unseen when every wake-up is lost.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Channel that tells other processes about new positions.
const CHANNEL: &str = "hyperfleet_events";

/// The shortest time between two notifications. Each wakes every process, this one too, so one for
/// each of thousands of commits a second would cost more than the polls that it saves.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(5);

/// Between two tries to listen while the database is away.
const RELISTEN_INTERVAL: Duration = Duration::from_secs(1);

/// Follows the log in commit order. Sees every event after its start exactly once.
#[derive(Debug)]
pub struct Subscription {
    store: EventStore,
    wake_ups: watch::Receiver<u64>,
    position: u64,
}

impl Subscription {
    pub(crate) fn new(store: EventStore, wake_ups: watch::Receiver<u64>, position: u64) -> Self {
        Self {
            store,
            wake_ups,
            position,
        }
    }

    /// The position of the last event that was handed out.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next events, at least one and at most `limit`; waits for them. Cancelling loses nothing.
    ///
    /// # Errors
    /// When the log cannot be read; the subscription stays where it was and can be asked again.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<RecordedEvent>, Error> {
        loop {
            self.wake_ups.mark_unchanged();
            let events = self.store.read_all(self.position, limit).await?;
            if let Some(last) = events.last() {
                self.position = last.position;
                return Ok(events);
            }
            wait(&mut self.wake_ups).await;
        }
    }
}

/// Waits for a wake-up or the polling interval.
pub(crate) async fn wait(wake_ups: &mut watch::Receiver<u64>) {
    // An error means that the store is gone; the interval then bounds the loop.
    let woken = tokio::time::timeout(POLL_INTERVAL, wake_ups.changed()).await;
    if let Ok(Err(_)) = woken {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Tells other processes about the commits of this one, until there can be no more. Not part of the
/// commits: PostgreSQL would let only one transaction at a time commit on its whole server.
pub(crate) async fn notify(connect: PgConnectOptions, mut own: watch::Receiver<u64>) {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(connect);
    while own.changed().await.is_ok() {
        let position = own.borrow_and_update().to_string();
        let notified = sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(position)
            .execute(&pool)
            .await;
        if let Err(error) = notified {
            tracing::debug!(error = %error, "other processes are not notified of events, they poll meanwhile");
        }
        tokio::time::sleep(NOTIFY_INTERVAL).await;
    }
}

/// Turns notifications of other processes into wake-ups, until told to stop.
pub(crate) async fn listen(
    connect: PgConnectOptions,
    committed: Arc<watch::Sender<u64>>,
    stop: CancellationToken,
) {
    // A listener keeps its connection, so it must not be one of the readers'.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(connect);
    let listening = async {
        loop {
            if let Err(error) = forward(&pool, &committed).await {
                tracing::debug!(error = %error, "not listening for events of other processes, polling meanwhile");
            }
            tokio::time::sleep(RELISTEN_INTERVAL).await;
        }
    };
    stop.run_until_cancelled(listening).await;
}

async fn forward(pool: &sqlx::PgPool, committed: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        let notification = listener.recv().await?;
        let position: u64 = notification.payload().parse().unwrap_or(0);
        committed.send_if_modified(|known| {
            let newer = position > *known;
            *known = position.max(*known);
            newer
        });
    }
}
