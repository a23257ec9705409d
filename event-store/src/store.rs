//! The event store as its users see it.

use std::sync::Arc;
use std::time::Duration;

use hyperfleet_runtime::planted::{NO_BATCH_LOCK, planted};
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::append::{Append, AppendError, Committed, StreamId};
use crate::chain::{self, ChainFault, VerifiedPage};
use crate::check;
use crate::committer::{Committer, EventText, QUEUE_LENGTH, Queued};
use crate::error::Error;
use crate::inline::InlineProjection;
use crate::metrics::StoreMetrics;
use crate::options::EventStoreOptions;
use crate::receipt::Receipt;
use crate::recorded::{self, Loaded, Part, RecordedEvent};
use crate::subscription::{self, Subscription};

/// Names of the connections, for whoever looks at the server's activity.
const READER_NAME: &str = "hyperfleet";
const WRITER_NAME: &str = "hyperfleet writer";

/// How long the server keeps an idle transaction: a stopped writer holds its locks no longer.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "2s";

/// How long a statement waits for a lock before its batch is tried again.
const LOCK_TIMEOUT: &str = "5s";

/// How long a reader waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The append-only log. Cheap to clone; clones share connections and the committer, which ends with the
/// last of them.
#[derive(Clone)]
pub struct EventStore {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    queue: mpsc::Sender<Queued>,
    committed: Arc<watch::Sender<u64>>,
    projection: Option<Arc<dyn InlineProjection>>,
    metrics: StoreMetrics,
    runner_name: String,
    _listener: DropGuard,
}

impl EventStore {
    /// Opens the store on a migrated database and starts its committer.
    ///
    /// # Errors
    /// When the URL is not one of PostgreSQL's, or the database cannot be reached.
    pub async fn open(options: EventStoreOptions) -> Result<Self, Error> {
        let connect: PgConnectOptions = options.database_url.parse()?;
        let connect = options
            .connections
            .apply(connect.application_name(READER_NAME));
        let mut reading = connect.clone();
        if let Some(timeout) = options.connections.statement_timeout {
            let milliseconds = timeout.as_millis().to_string();
            reading = reading.options([("statement_timeout", milliseconds)]);
        }
        let pool = PgPoolOptions::new()
            .max_connections(options.read_connections)
            .max_lifetime(options.connections.max_lifetime)
            .idle_timeout(options.connections.idle_timeout)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_with(reading)
            .await?;
        let committed = Arc::new(watch::Sender::new(0));
        let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
        let committer = Committer {
            connect: connect.clone().application_name(WRITER_NAME).options([
                (
                    "idle_in_transaction_session_timeout",
                    IDLE_IN_TRANSACTION_TIMEOUT,
                ),
                ("lock_timeout", LOCK_TIMEOUT),
                // The writer only looks up keys. A plan cached while tables were small, before the
                // first ANALYZE, must not read a grown table from end to end for every batch.
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                // Nor is any of its few statements worth planning anew for each batch, or compiling.
                ("plan_cache_mode", "force_generic_plan"),
                ("jit", "off"),
            ]),
            projection: options.projection.clone(),
            metrics: options.metrics.clone(),
            maximum_batch: options.maximum_batch.max(1),
            position_lock: !options.without_position_lock && !planted(NO_BATCH_LOCK),
            committed: Arc::clone(&committed),
            own: watch::Sender::new(0),
        };
        tokio::spawn(subscription::notify(
            connect.clone(),
            committer.own.subscribe(),
        ));
        tokio::spawn(committer.run(waiting));
        let stop_listening = CancellationToken::new();
        tokio::spawn(subscription::listen(
            connect,
            Arc::clone(&committed),
            stop_listening.clone(),
        ));
        Ok(Self {
            inner: Arc::new(Inner {
                pool,
                queue,
                committed,
                projection: options.projection,
                metrics: options.metrics,
                runner_name: options.runner_name,
                _listener: stop_listening.drop_guard(),
            }),
        })
    }

    /// The connections for reading.
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// What this store counts.
    pub fn metrics(&self) -> &StoreMetrics {
        &self.inner.metrics
    }

    pub(crate) fn runner_name(&self) -> &str {
        &self.inner.runner_name
    }

    /// Appends to one or more streams, all or nothing. When it returns `Ok`, everything is durable and
    /// visible to every reader, the inline read models included. A caller that stops waiting does not
    /// stop the append.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, appends: Vec<Append>) -> Result<Committed, AppendError> {
        self.append_with_receipt(appends, None).await
    }

    /// As [`Self::append`], and leaves a receipt in the same transaction. Nothing is appended when a
    /// receipt of that key lives.
    ///
    /// # Errors
    /// See [`AppendError`].
    #[tracing::instrument(level = "debug", name = "append", skip_all)]
    pub async fn append_with_receipt(
        &self,
        appends: Vec<Append>,
        receipt: Option<Receipt>,
    ) -> Result<Committed, AppendError> {
        check::check(&appends)?;
        receipt.as_ref().map_or(Ok(()), check::receipt)?;
        let (answer, answered) = oneshot::channel();
        let queued = Queued {
            texts: appends.iter().map(EventText::of).collect(),
            appends,
            receipt,
            answer,
        };
        if self.inner.queue.send(queued).await.is_err() {
            return Err(AppendError::Unavailable {
                reason: "the event store has stopped".to_owned(),
            });
        }
        answered.await.unwrap_or_else(|_| {
            Err(AppendError::OutcomeUnknown {
                reason: "the event store stopped meanwhile".to_owned(),
            })
        })
    }

    /// Loads a stream: the inline projection's snapshot and the events after it, or all events.
    ///
    /// # Errors
    /// When the database cannot answer, or what is stored is damaged.
    pub async fn load(&self, stream: &StreamId) -> Result<Loaded, Error> {
        let mut snapshot = None;
        if let Some(projection) = &self.inner.projection {
            let mut connection = self.inner.pool.acquire().await?;
            snapshot = projection
                .snapshots(&mut connection, std::slice::from_ref(stream))
                .await?
                .pop();
        }
        // The snapshot is written in the append transaction, so events after it can only come from an
        // append that committed in between; they are read here and complete the state.
        let after = snapshot.as_ref().map_or(0, |snapshot| snapshot.version);
        let part = if snapshot.is_some() {
            Part::Live
        } else {
            Part::Whole
        };
        let mut connection = self.inner.pool.acquire().await?;
        let events =
            recorded::read_stream(&mut connection, part, stream, after, usize::MAX).await?;
        Ok(Loaded::new(snapshot, events))
    }

    /// The events of a stream after a sequence, at most `limit` of them.
    ///
    /// # Errors
    /// When the database cannot answer, or what is stored is damaged.
    pub async fn read_stream(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let mut connection = self.inner.pool.acquire().await?;
        recorded::read_stream(&mut connection, Part::Whole, stream, after, limit).await
    }

    /// The events of the log after a position, in commit order, at most `limit` of them.
    ///
    /// # Errors
    /// When the database cannot answer, or what is stored is damaged.
    pub async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RecordedEvent>, Error> {
        let mut connection = self.inner.pool.acquire().await?;
        recorded::read_all(&mut connection, after, limit).await
    }

    /// The events of several streams, each up to and including a sequence, stream by stream in order.
    /// All of them are in memory at once, so the caller bounds how many it asks for.
    ///
    /// # Errors
    /// When the database cannot answer, or what is stored is damaged.
    pub async fn read_streams(
        &self,
        wanted: &[(StreamId, u64)],
    ) -> Result<Vec<RecordedEvent>, Error> {
        let mut connection = self.inner.pool.acquire().await?;
        recorded::read_streams(&mut connection, wanted).await
    }

    /// The position of the last event of the log; 0 when there is none.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn head(&self) -> Result<u64, Error> {
        let mut connection = self.inner.pool.acquire().await?;
        recorded::head(&mut connection).await
    }

    /// Follows the log in commit order, from after a position.
    pub fn subscribe(&self, after: u64) -> Subscription {
        Subscription::new(self.clone(), self.inner.committed.subscribe(), after)
    }

    /// Moves whenever events were committed, here or, within milliseconds, in another process: for whoever
    /// looks at what commits write. Only wakes: a notification may be lost, so that its user must also look
    /// from time to time.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.inner.committed.subscribe()
    }

    /// Every stream's id after `after`, in order, at most `limit` of them.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn streams(
        &self,
        after: Option<&StreamId>,
        limit: usize,
    ) -> Result<Vec<StreamId>, Error> {
        let rows = sqlx::query(
            "SELECT aggregate_type, aggregate_id FROM streams
             WHERE (aggregate_type, aggregate_id) > ($1, $2) ORDER BY 1, 2 LIMIT $3",
        )
        .bind(after.map_or("", |stream| stream.aggregate_type.as_str()))
        .bind(after.map_or("", |stream| stream.aggregate_id.as_str()))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.inner.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(StreamId {
                    aggregate_type: row.try_get(0)?,
                    aggregate_id: row.try_get(1)?,
                })
            })
            .collect()
    }

    /// Recomputes the hash chain of a stream. The inner result names the first event that is not what
    /// was recorded.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn verify_stream(&self, stream: &StreamId) -> Result<Result<u64, ChainFault>, Error> {
        let mut connection = self.inner.pool.acquire().await?;
        chain::verify_stored(&mut connection, stream).await
    }

    /// Recomputes the hash chains of the streams after `after`, at most `limit` of them, in one pass over
    /// their events.
    ///
    /// # Errors
    /// When the database cannot answer, or a column holds what no version of this store writes.
    pub async fn verify_page(
        &self,
        after: Option<&StreamId>,
        limit: usize,
    ) -> Result<VerifiedPage, Error> {
        let mut connection = self.inner.pool.acquire().await?;
        chain::verify_page(&mut connection, after, limit.max(1)).await
    }
}

impl std::fmt::Debug for EventStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EventStore").finish_non_exhaustive()
    }
}
