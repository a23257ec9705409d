//! Claiming due rows: by priority, in turns among tenants when there is a backlog.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::Priority;
use crate::error::Error;
use crate::resource_view::read_state;

/// Tenants that one claim takes rows of, in turns.
const TENANTS: usize = 32;

/// Which due rows to claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRequest {
    /// Kind of the resources.
    pub kind: String,
    /// Labels that the resources must have; none means all resources.
    pub labels: BTreeMap<String, String>,
    /// The share of the resources.
    pub shard: Shard,
    /// How many rows at most.
    pub limit: u32,
    /// How long the rows stay claimed when they are neither completed nor released.
    pub visibility: Duration,
}

/// A share of all resources, by the hash of their ids. The default is all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which share, from 0.
    pub index: u32,
    /// How many shares there are.
    pub count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Shard {
    /// As the database takes it.
    pub(super) fn stored(self) -> (i32, i32) {
        let number = |number| i32::try_from(number).unwrap_or(i32::MAX);
        (number(self.index), number(self.count))
    }
}

/// The right to complete or release one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub(super) resource_id: String,
    pub(super) token: Uuid,
    /// When others may claim the row.
    pub(super) until: DateTime<Utc>,
}

impl Claim {
    /// The claimed resource.
    pub fn resource_id(&self) -> &str {
        &self.resource_id
    }
}

/// A claimed resource, as it is now.
#[derive(Clone, Debug)]
pub struct DueResource {
    /// The resource.
    pub resource: Resource,
    /// Publications since the resource last made progress.
    pub attempt: i32,
    /// The generation that was last published, if any was.
    pub last_published_generation: Option<i32>,
    /// When it was last published, if it was.
    pub last_published_time: Option<DateTime<Utc>>,
    /// Since when the resource has been due.
    pub due_time: DateTime<Utc>,
    /// The database's time when the row was claimed.
    pub claimed_time: DateTime<Utc>,
    /// The trace of the change that made it due, if it is due because of one.
    pub traceparent: Option<String>,
    /// The right to complete or release the row.
    pub claim: Claim,
}

/// Claimed rows: `$1` kind, `$2` labels, `$3` limit, `$4` visibility, `$5` shard, `$6` number of shards.
///
/// Priorities are looked at one after the other, and the outer limit ends that as soon as it has enough, so
/// no row is locked that is not claimed.
pub(super) const CLAIM: &str = "
WITH due AS (
    SELECT first.resource_id
    FROM unnest('{0,1,2,3}'::smallint[]) AS class (priority)
    CROSS JOIN LATERAL (
        SELECT queue.resource_id FROM reconcile_queue queue
        WHERE queue.kind = $1 AND queue.priority = class.priority AND queue.due_time <= now()
          AND (queue.claimed_until IS NULL OR queue.claimed_until <= now())
          AND queue.labels @> $2 AND ($6 = 1 OR abs(hashtextextended(queue.resource_id, 0) % $6) = $5)
        ORDER BY queue.due_time
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    ) AS first
    LIMIT $3
)
UPDATE reconcile_queue queue
SET claimed_until = now() + make_interval(secs => $4), claim_token = gen_random_uuid()
FROM due
WHERE queue.resource_id = due.resource_id
RETURNING queue.resource_id, queue.attempt, queue.last_published_generation,
          queue.last_published_time, queue.due_time, queue.claim_token, queue.claimed_until,
          queue.priority, queue.traceparent, now() AS claimed_time";

/// The same for one priority, `$7`, and for the tenants `$8`, who take turns. What others claim meanwhile is
/// left out, so that fewer than the limit may come of it.
pub(super) const CLAIM_IN_TURNS: &str = "
WITH chosen AS (
    SELECT first.resource_id
    FROM unnest($8::text[]) AS owner (tenant)
    CROSS JOIN LATERAL (
        SELECT waiting.resource_id, waiting.due_time, row_number() OVER (ORDER BY waiting.due_time) AS turn
        FROM (
            SELECT queue.resource_id, queue.due_time FROM reconcile_queue queue
            WHERE queue.kind = $1 AND queue.priority = $7 AND queue.tenant = owner.tenant
              AND queue.due_time <= now()
              AND (queue.claimed_until IS NULL OR queue.claimed_until <= now())
              AND queue.labels @> $2 AND ($6 = 1 OR abs(hashtextextended(queue.resource_id, 0) % $6) = $5)
            ORDER BY queue.due_time
            LIMIT $3
        ) AS waiting
    ) AS first
    ORDER BY first.turn, first.due_time
    LIMIT $3
), due AS (
    SELECT queue.resource_id FROM reconcile_queue queue
    WHERE queue.resource_id IN (SELECT resource_id FROM chosen) AND queue.due_time <= now()
      AND (queue.claimed_until IS NULL OR queue.claimed_until <= now())
    FOR UPDATE SKIP LOCKED
)
UPDATE reconcile_queue queue
SET claimed_until = now() + make_interval(secs => $4), claim_token = gen_random_uuid()
FROM due
WHERE queue.resource_id = due.resource_id
RETURNING queue.resource_id, queue.attempt, queue.last_published_generation,
          queue.last_published_time, queue.due_time, queue.claim_token, queue.claimed_until,
          queue.priority, queue.traceparent, now() AS claimed_time";

/// Tenants that have rows of a kind `$1` and priority `$2`, due or not, from `$3` on, at most `$4`. Each costs
/// one look-up in the index.
pub(super) const NEXT_TENANTS: &str = "
WITH RECURSIVE found (tenant, number) AS (
    (SELECT queue.tenant, 1 FROM reconcile_queue queue
     WHERE queue.kind = $1 AND queue.priority = $2 AND queue.tenant >= $3
     ORDER BY queue.tenant LIMIT 1)
    UNION ALL
    SELECT next.tenant, found.number + 1
    FROM found CROSS JOIN LATERAL (
        SELECT queue.tenant FROM reconcile_queue queue
        WHERE queue.kind = $1 AND queue.priority = $2 AND queue.tenant > found.tenant
        ORDER BY queue.tenant LIMIT 1
    ) AS next
    WHERE found.number < $4
)
SELECT tenant FROM found ORDER BY number";

/// Claims due rows, the most urgent first, and of these the longest waiting.
///
/// # Errors
/// When the database cannot answer, or a row's resource cannot be read.
pub async fn claim(pool: &PgPool, request: &ClaimRequest) -> Result<Vec<DueResource>, Error> {
    let (shard, shards) = request.shard.stored();
    let rows = sqlx::query(CLAIM)
        .bind(&request.kind)
        .bind(Json(&request.labels))
        .bind(i64::from(request.limit))
        .bind(request.visibility.as_secs_f64())
        .bind(shard)
        .bind(shards)
        .fetch_all(pool)
        .await?;
    with_resources(pool, rows).await
}

/// Claims for one sentinel, batch after batch. When a batch was full, so that more may wait than can be
/// claimed at once, tenants take turns within each priority: what waits of one of them does not hold up the
/// others.
#[derive(Debug)]
pub struct Claimer {
    request: ClaimRequest,
    has_backlog: bool,
    /// Of each priority, the tenant to go on with.
    next: [String; Priority::ALL.len()],
}

impl Claimer {
    /// Claims what a request asks for.
    pub fn new(request: ClaimRequest) -> Self {
        Self {
            request,
            has_backlog: false,
            next: Default::default(),
        }
    }

    /// What is asked for.
    pub fn request(&self) -> &ClaimRequest {
        &self.request
    }

    /// Claims at most so many rows.
    ///
    /// # Errors
    /// When the database cannot answer, or a row's resource cannot be read.
    pub async fn claim(&mut self, pool: &PgPool, limit: u32) -> Result<Vec<DueResource>, Error> {
        let due = if self.has_backlog {
            self.claim_in_turns(pool, limit).await?
        } else {
            let request = ClaimRequest {
                limit,
                ..self.request.clone()
            };
            claim(pool, &request).await?
        };
        self.has_backlog = due.len() >= limit as usize;
        Ok(due)
    }

    async fn claim_in_turns(
        &mut self,
        pool: &PgPool,
        limit: u32,
    ) -> Result<Vec<DueResource>, Error> {
        let (shard, shards) = self.request.shard.stored();
        let mut rows: Vec<PgRow> = Vec::new();
        for (priority, next) in Priority::ALL.into_iter().zip(&mut self.next) {
            let rest = i64::from(limit) - i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if rest <= 0 {
                break;
            }
            let tenants = tenants(pool, &self.request.kind, priority, next).await?;
            let claimed = sqlx::query(CLAIM_IN_TURNS)
                .bind(&self.request.kind)
                .bind(Json(&self.request.labels))
                .bind(rest)
                .bind(self.request.visibility.as_secs_f64())
                .bind(shard)
                .bind(shards)
                .bind(priority.stored())
                .bind(tenants)
                .fetch_all(pool)
                .await?;
            rows.extend(claimed);
        }
        with_resources(pool, rows).await
    }
}

/// The tenants whose turn it is; `next` is moved on.
async fn tenants(
    pool: &PgPool,
    kind: &str,
    priority: Priority,
    next: &mut String,
) -> Result<Vec<String>, Error> {
    let from = async |first: &str, limit: usize| -> Result<Vec<String>, Error> {
        let tenants = sqlx::query_scalar(NEXT_TENANTS)
            .bind(kind)
            .bind(priority.stored())
            .bind(first)
            .bind(i32::try_from(limit).unwrap_or(i32::MAX))
            .fetch_all(pool)
            .await?;
        Ok(tenants)
    };
    let mut tenants = from(next, TENANTS).await?;
    if tenants.len() < TENANTS && !next.is_empty() {
        let others = from("", TENANTS - tenants.len()).await?;
        tenants.extend(others.into_iter().filter(|tenant| tenant < next));
    }
    // The least text after the last one's.
    *next = match tenants.last() {
        Some(last) if tenants.len() == TENANTS => format!("{last}\u{1}"),
        _ => String::new(),
    };
    Ok(tenants)
}

/// The claimed rows with their resources, in the order in which they were to be claimed.
async fn with_resources(pool: &PgPool, rows: Vec<PgRow>) -> Result<Vec<DueResource>, Error> {
    let ids: Vec<String> = rows
        .iter()
        .map(|row| row.try_get("resource_id"))
        .collect::<Result<_, _>>()?;
    // A statement of its own, so that what it sees is not older than the claims: a change that the
    // claiming statement's snapshot missed is seen here, and a later one ends the claim.
    let rows_of_resources = sqlx::query("SELECT id, state FROM resources WHERE id = ANY($1)")
        .bind(&ids)
        .fetch_all(pool)
        .await?;
    let mut states: BTreeMap<String, Resource> = BTreeMap::new();
    for row in rows_of_resources {
        let id: String = row.try_get("id")?;
        let state = read_state(&id, &row)?;
        states.insert(id, state);
    }
    let mut due: Vec<(i16, DueResource)> = Vec::with_capacity(rows.len());
    for row in rows {
        let resource_id: String = row.try_get("resource_id")?;
        // Removed since it was claimed, and its row with it.
        let Some(resource) = states.remove(&resource_id) else {
            continue;
        };
        let priority = row.try_get("priority")?;
        let due_resource = DueResource {
            resource,
            attempt: row.try_get("attempt")?,
            last_published_generation: row.try_get("last_published_generation")?,
            last_published_time: row.try_get("last_published_time")?,
            due_time: row.try_get("due_time")?,
            claimed_time: row.try_get("claimed_time")?,
            traceparent: row.try_get("traceparent")?,
            claim: Claim {
                resource_id,
                token: row.try_get("claim_token")?,
                until: row.try_get("claimed_until")?,
            },
        };
        due.push((priority, due_resource));
    }
    due.sort_by_key(|(priority, row)| (*priority, row.due_time));
    Ok(due.into_iter().map(|(_, row)| row).collect())
}
