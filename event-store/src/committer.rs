//! The one task of a process that writes. Whatever is queued while a batch is in flight becomes the next
//! batch (natural batching): alone, a transaction waits for nobody; under load, many share one commit.

mod batch;
mod claims;
mod contest;
mod receipts;
mod rows;
mod text;
mod write;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{mpsc, oneshot, watch};

use self::contest::Standing;
pub(crate) use self::text::EventText;
use self::write::{BatchError, Outcome};
use crate::append::{Append, AppendError, Committed};
use crate::inline::InlineProjection;
use crate::metrics::StoreMetrics;
use crate::receipt::Receipt;

/// Most transactions in one batch: bounds the time that a batch holds its row locks.
pub(crate) const MAXIMUM_BATCH: usize = 512;

/// Transactions that may wait. Beyond it `append` itself waits, which slows callers down instead of
/// growing memory.
pub(crate) const QUEUE_LENGTH: usize = 4096;

/// How often a batch is tried again after a deadlock or a serialization failure.
const BATCH_ATTEMPTS: u32 = 5;

/// How long connecting may take before the waiting transactions are told.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks at a transaction whose commit got no answer.
const FIND_OUT_INTERVAL: Duration = Duration::from_millis(20);

/// A transaction that waits for its turn.
pub(crate) struct Queued {
    pub(crate) appends: Vec<Append>,
    /// The events of the appends as text.
    pub(crate) texts: Vec<Vec<EventText>>,
    /// What it leaves behind.
    pub(crate) receipt: Option<Receipt>,
    pub(crate) answer: oneshot::Sender<Result<Committed, AppendError>>,
}

/// Everything the task needs.
pub(crate) struct Committer {
    pub(crate) connect: PgConnectOptions,
    pub(crate) projection: Option<Arc<dyn InlineProjection>>,
    pub(crate) metrics: StoreMetrics,
    pub(crate) maximum_batch: usize,
    pub(crate) position_lock: bool,
    /// The newest position that this process knows.
    pub(crate) committed: Arc<watch::Sender<u64>>,
    /// The newest position of its own, which other processes are to hear of.
    pub(crate) own: watch::Sender<u64>,
}

impl Committer {
    /// Runs until every sender is gone and the queue is empty.
    pub(crate) async fn run(self, mut queue: mpsc::Receiver<Queued>) {
        let mut connection: Option<PgConnection> = None;
        let mut waiting: VecDeque<Queued> = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match queue.recv().await {
                    Some(first) => waiting.push_back(first),
                    None => break,
                }
            }
            self.gather(&queue).await;
            while waiting.len() < self.maximum_batch {
                match queue.try_recv() {
                    Ok(next) => waiting.push_back(next),
                    Err(_) => break,
                }
            }
            let batch = batch::take(&mut waiting, self.maximum_batch);
            let left = queue.len() + waiting.len();
            self.metrics
                .queue_length
                .set(i64::try_from(left).unwrap_or(i64::MAX));
            let commit = AssertUnwindSafe(self.commit(&mut connection, batch));
            if let Ok(deferred) = commit.catch_unwind().await {
                deferred
                    .into_iter()
                    .rev()
                    .for_each(|queued| waiting.push_front(queued));
            } else {
                // The projection panicked. Its batch is gone unanswered, which says that the outcome is
                // not known; the writer of this process must outlive it.
                self.metrics.failures.inc();
                connection = None;
                tracing::error!("the inline projection panicked, its batch was undone");
            }
        }
        if let Some(connection) = connection {
            // The server notices a closed socket anyway; a failure here loses nothing.
            let _ = connection.close().await;
        }
    }

    /// Lets those whom the last batch has answered run, who often append again at once, for as long as the
    /// queue grows by it. Waits for nobody: each round takes what is ready to run anyway.
    async fn gather(&self, queue: &mpsc::Receiver<Queued>) {
        let mut known = None;
        while known != Some(queue.len()) && queue.len() < self.maximum_batch {
            known = Some(queue.len());
            tokio::task::yield_now().await;
        }
    }

    /// Commits and answers a batch. Returns the transactions that wait for the next one.
    async fn commit(
        &self,
        connection: &mut Option<PgConnection>,
        mut batch: Vec<Queued>,
    ) -> Vec<Queued> {
        let started = Instant::now();
        match self.try_commit(connection, &batch).await {
            Ok(outcome) => self.answer(batch, outcome, started),
            Err(BatchError::Rejected(error)) if batch.len() > 1 => {
                // One of them is at fault. Halving finds it in few tries; its neighbours succeed.
                tracing::warn!(error = %error, transactions = batch.len(), "a batch was rejected, trying its halves");
                let second = batch.split_off(batch.len() / 2);
                let mut deferred = Box::pin(self.commit(connection, batch)).await;
                deferred.extend(Box::pin(self.commit(connection, second)).await);
                deferred
            }
            Err(error) => {
                self.metrics.failures.inc();
                hyperfleet_runtime::telemetry::database_failed("commit", error.cause());
                tracing::error!(error = %error, transactions = batch.len(), "a batch was not committed");
                let error = AppendError::from(error);
                for queued in batch {
                    // Whoever stopped waiting needs no answer.
                    let _ = queued.answer.send(Err(error.clone()));
                }
                Vec::new()
            }
        }
    }

    async fn try_commit(
        &self,
        connection: &mut Option<PgConnection>,
        batch: &[Queued],
    ) -> Result<Outcome, BatchError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let connected = match connection.take() {
                Some(connected) => connected,
                None => self.connect().await?,
            };
            let connected = connection.insert(connected);
            let written = write::write(
                connected,
                batch,
                self.projection.as_deref(),
                self.position_lock,
            )
            .await;
            let written = match written {
                Err(BatchError::OutcomeUnknown {
                    error,
                    outcome,
                    transaction: Some(transaction),
                }) => {
                    *connection = None;
                    self.find_out(connection, error, outcome, transaction).await
                }
                other => other,
            };
            match written {
                Err(BatchError::Unavailable(error)) if attempt == 1 => {
                    // The server closed the connection, which may have been idle: nothing was written,
                    // try once more.
                    tracing::info!(error = %error, "reconnecting to the database");
                    *connection = None;
                }
                Err(BatchError::Collided(error)) if attempt < BATCH_ATTEMPTS => {
                    tracing::debug!(error = %error, "a batch collided with another process, trying again");
                }
                other => {
                    if matches!(
                        other,
                        Err(BatchError::Unavailable(_) | BatchError::OutcomeUnknown { .. })
                    ) {
                        *connection = None;
                    }
                    return other;
                }
            }
        }
    }

    /// Asks the database what became of a transaction whose commit got no answer.
    async fn find_out(
        &self,
        connection: &mut Option<PgConnection>,
        error: sqlx::Error,
        outcome: Outcome,
        transaction: String,
    ) -> Result<Outcome, BatchError> {
        let started = Instant::now();
        while started.elapsed() < CONNECT_TIMEOUT {
            let status = match self.connect().await {
                Ok(mut connected) => {
                    let status = write::status(&mut connected, &transaction).await;
                    *connection = Some(connected);
                    status
                }
                Err(_) => break,
            };
            match status.as_deref() {
                Ok("committed") => return Ok(outcome),
                Ok("aborted") => return Err(BatchError::Unavailable(error)),
                // Its server process has not noticed the loss yet.
                Ok("in progress") => tokio::time::sleep(FIND_OUT_INTERVAL).await,
                _ => break,
            }
        }
        Err(BatchError::OutcomeUnknown {
            error,
            outcome,
            transaction: Some(transaction),
        })
    }

    async fn connect(&self) -> Result<PgConnection, BatchError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.connect)).await
        {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(BatchError::Unavailable(error)),
            Err(_) => Err(BatchError::Unavailable(sqlx::Error::PoolTimedOut)),
        }
    }

    fn answer(&self, batch: Vec<Queued>, outcome: Outcome, started: Instant) -> Vec<Queued> {
        self.metrics
            .batch_seconds
            .observe(started.elapsed().as_secs_f64());
        let transactions = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        self.metrics
            .batch_transactions
            .observe(f64::from(transactions));
        if outcome.events > 0 {
            self.metrics.batch_events.observe(f64::from(outcome.events));
            self.committed.send_if_modified(|position| {
                let newer = outcome.position > *position;
                *position = outcome.position.max(*position);
                newer
            });
            self.own.send_replace(outcome.position);
        }
        let mut deferred = Vec::new();
        for (queued, standing) in batch.into_iter().zip(outcome.standings) {
            let answer = match standing {
                Standing::Winning => Ok(Committed {
                    position: outcome.position,
                    versions: queued.appends.iter().map(Append::version).collect(),
                }),
                Standing::Lost(error) => {
                    let reason = match error {
                        AppendError::ClaimTaken { .. } => "claim",
                        AppendError::ReceiptTaken { .. } => "receipt",
                        _ => "version",
                    };
                    self.metrics.conflicts.with_label_values(&[reason]).inc();
                    Err(error)
                }
                Standing::Rival => {
                    deferred.push(queued);
                    continue;
                }
            };
            // Whoever stopped waiting needs no answer.
            let _ = queued.answer.send(answer);
        }
        deferred
    }
}

impl From<BatchError> for AppendError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Unavailable(source) | BatchError::Collided(source) => Self::Unavailable {
                reason: source.to_string(),
            },
            BatchError::Rejected(source) => Self::Invalid {
                reason: source.to_string(),
            },
            BatchError::OutcomeUnknown { error, .. } => Self::OutcomeUnknown {
                reason: error.to_string(),
            },
        }
    }
}
