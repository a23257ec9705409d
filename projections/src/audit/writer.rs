//! From the request to its row: a bounded queue and one writer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use hyperfleet_runtime::http::{AuditSink, AuditedRequest};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::budget::{self, Budget};
use super::metrics::AuditMetrics;
use super::row::Row;

/// Rows that wait: at some kilobytes each, the greatest part of the memory that the audit takes. The
/// writer empties it many times a second; it fills while the database is away.
const QUEUE_LENGTH: usize = 8192;

/// Rows written by one statement.
const BATCH: usize = 500;

/// Between two attempts to write a batch that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long the database's clock is taken to run like this process's.
const TIMES_LAST: Duration = Duration::from_mins(1);

/// How long writing what is left may take when the server stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes entries until it is closed.
#[derive(Debug)]
pub struct AuditLog {
    closing: CancellationToken,
    writer: JoinHandle<()>,
}

impl AuditLog {
    /// Starts the writer. What the sink is told is written.
    pub fn start(pool: PgPool, metrics: AuditMetrics) -> (AuditSink, Self) {
        let (queue, queued) = mpsc::channel(QUEUE_LENGTH);
        let teller = Teller {
            queue,
            known: Budget::new(budget::KNOWN),
            anonymous: Budget::new(budget::ANONYMOUS),
            metrics: metrics.clone(),
        };
        let teller = Arc::new(teller);
        let closing = CancellationToken::new();
        let writer = Writer {
            pool,
            queued,
            metrics,
            closing: closing.clone(),
            times: Times::default(),
        };
        let log = Self {
            closing,
            writer: tokio::spawn(writer.run()),
        };
        (AuditSink::new(move |request| teller.tell(request)), log)
    }

    /// Writes what is queued, and ends. What comes afterwards is counted as dropped.
    pub async fn close(self) {
        self.closing.cancel();
        if let Err(error) = self.writer.await {
            tracing::error!(error = %error, "the writer of the audit ended abnormally");
        }
    }
}

/// Queues entries.
struct Teller {
    queue: mpsc::Sender<Row>,
    known: Budget,
    anonymous: Budget,
    metrics: AuditMetrics,
}

impl Teller {
    fn tell(&self, request: AuditedRequest) {
        let budget = if request.actor.is_some() {
            &self.known
        } else {
            &self.anonymous
        };
        let Some(suppressed) = budget.take(request.answered_at) else {
            self.metrics.drop("rate", 1);
            return;
        };
        if let Err(error) = self.queue.try_send(Row::of(request, suppressed)) {
            let reason = match error {
                mpsc::error::TrySendError::Full(_) => "queue",
                mpsc::error::TrySendError::Closed(_) => "shutdown",
            };
            self.metrics.drop(reason, 1);
            budget.lost(suppressed.saturating_add(1));
        }
    }
}

struct Writer {
    pool: PgPool,
    queued: mpsc::Receiver<Row>,
    metrics: AuditMetrics,
    closing: CancellationToken,
    times: Times,
}

/// The database's clock, by which events are recorded too, at a moment of this process. Entries that
/// are told from one such moment keep their order, however long a batch takes.
#[derive(Debug, Default)]
struct Times {
    known: Option<(Instant, DateTime<Utc>)>,
}

impl Times {
    /// The database's time of a moment.
    async fn of(&mut self, pool: &PgPool) -> Result<(Instant, DateTime<Utc>), sqlx::Error> {
        let fresh = self.known.filter(|(at, _)| at.elapsed() < TIMES_LAST);
        if let Some(known) = fresh {
            return Ok(known);
        }
        // A connection first, so that waiting for one does not count.
        let mut connection = pool.acquire().await?;
        let asked = Instant::now();
        let time = sqlx::query_scalar("SELECT clock_timestamp()")
            .fetch_one(&mut *connection)
            .await?;
        let known = (asked + asked.elapsed() / 2, time);
        self.known = Some(known);
        Ok(known)
    }
}

impl Writer {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while !self.closing.is_cancelled() {
            let received = self.queued.recv_many(&mut batch, BATCH);
            let received = self.closing.run_until_cancelled(received).await;
            if received == Some(0) {
                return;
            }
            self.write(&mut batch).await;
        }
        self.flush(batch).await;
    }

    /// Writes what there is; what cannot be written in time is counted.
    async fn flush(mut self, mut batch: Vec<Row>) {
        self.queued.close();
        let all = async {
            loop {
                self.write(&mut batch).await;
                if !batch.is_empty() {
                    tokio::time::sleep(RETRY_AFTER).await;
                } else if self.queued.recv_many(&mut batch, BATCH).await == 0 {
                    return;
                }
            }
        };
        if tokio::time::timeout(FLUSH_TIMEOUT, all).await.is_err() {
            let lost = batch.len() + self.queued.len();
            self.metrics.drop("shutdown", lost);
            tracing::error!(
                lost,
                "entries are missing in the audit: the database is away"
            );
        }
    }

    /// Writes a batch and empties it, however long that takes; when the log is closed, at most once.
    async fn write(&mut self, batch: &mut Vec<Row>) {
        while !batch.is_empty() {
            let Err(error) = self.insert(batch).await else {
                self.metrics.recorded.inc_by(batch.len() as u64);
                batch.clear();
                return;
            };
            self.metrics.failed.inc();
            let entries = batch.len();
            tracing::warn!(error = %error, entries, "the audit cannot be written now");
            let pause = tokio::time::sleep(RETRY_AFTER);
            if self.closing.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }
}

impl Writer {
    async fn insert(&mut self, rows: &[Row]) -> Result<(), sqlx::Error> {
        let known = self.times.of(&self.pool).await?;
        insert(&self.pool, rows, known).await
    }
}

const INSERT: &str = "
INSERT INTO audit_requests (recorded_at, is_anonymous, actor, source_address, tenancy, method, route,
    path, resource_id, status, code, detail, request_id, trace_id, suppressed, outcome)
SELECT recorded_at, is_anonymous, actor, source_address, tenancy,
    method, route, path, resource_id, status, code, detail, request_id, trace_id, suppressed, outcome
FROM UNNEST($1::timestamptz[], $2::boolean[], $3::text[], $4::text[], $5::jsonb[], $6::text[],
    $7::text[], $8::text[], $9::text[], $10::integer[], $11::text[], $12::text[], $13::text[],
    $14::text[], $15::bigint[], $16::text[]) WITH ORDINALITY
    AS told (recorded_at, is_anonymous, actor, source_address, tenancy, method, route, path, resource_id,
        status, code, detail, request_id, trace_id, suppressed, outcome, place)
ORDER BY place";

async fn insert(
    pool: &PgPool,
    rows: &[Row],
    (known, time): (Instant, DateTime<Utc>),
) -> Result<(), sqlx::Error> {
    let texts = |read: fn(&Row) -> &str| rows.iter().map(read).collect::<Vec<_>>();
    let optional = |read: fn(&Row) -> Option<&str>| rows.iter().map(read).collect::<Vec<_>>();
    let times: Vec<DateTime<Utc>> = rows
        .iter()
        .map(|row| {
            let later = row.answered_at.saturating_duration_since(known);
            let earlier = known.saturating_duration_since(row.answered_at);
            time + later - earlier
        })
        .collect();
    sqlx::query(INSERT)
        .bind(times)
        .bind(rows.iter().map(|row| row.is_anonymous).collect::<Vec<_>>())
        .bind(texts(|row| &row.actor))
        .bind(optional(|row| row.source_address.as_deref()))
        .bind(rows.iter().map(|row| &row.tenancy).collect::<Vec<_>>())
        .bind(texts(|row| &row.method))
        .bind(optional(|row| row.route.as_deref()))
        .bind(texts(|row| &row.path))
        .bind(optional(|row| row.resource_id.as_deref()))
        .bind(rows.iter().map(|row| row.status).collect::<Vec<_>>())
        .bind(optional(|row| row.code))
        .bind(texts(|row| &row.detail))
        .bind(texts(|row| &row.request_id))
        .bind(optional(|row| row.trace_id.as_deref()))
        .bind(rows.iter().map(|row| row.suppressed).collect::<Vec<_>>())
        .bind(texts(|row| row.outcome.name()))
        .execute(pool)
        .await?;
    Ok(())
}
