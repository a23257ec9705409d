//! Resources as they were at a past time or version, by folding the log up to there.
//!
//! Invariants:
//! - a state at a time is the fold of a prefix of the log: see [`position`];
//! - what the log does not have, liveness, is as of the last change;
//! - of a list, only the streams of the page that is shown are folded.

pub mod position;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use hyperfleet_domain::resource::Resource;
use hyperfleet_domain::upcast;
use hyperfleet_runtime::http::TenantScope;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};

pub use self::position::Place;
use crate::error::Error;
use crate::resource_view::{Paged, unsigned};
use crate::statement::{Bind, Binds};

/// Which moment of a resource's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After everything up to that position.
    Position(u64),
    /// After its event of that number.
    Version(u64),
}

/// What there was of a resource at a moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Past {
    /// It lived.
    Lived {
        /// As it was.
        resource: Box<Resource>,
        /// Number of its last event until then.
        version: u64,
    },
    /// It did not exist yet.
    NotYet {
        /// When it came to be.
        created: DateTime<Utc>,
    },
    /// It was gone.
    Gone {
        /// When it went.
        removed: DateTime<Utc>,
        /// The last version at which it lived.
        last_version: u64,
    },
    /// It has no such version yet.
    NoVersion {
        /// The version that it has.
        latest: u64,
    },
    /// There never was such a resource.
    Unknown,
}

/// A resource at a moment. Who may see it is the caller's business.
///
/// # Errors
/// When the database cannot answer, or the log cannot be read.
pub async fn read(pool: &PgPool, id: &str, moment: Moment) -> Result<Past, Error> {
    let (position, version) = match moment {
        Moment::Position(position) => (signed(position), i64::MAX),
        Moment::Version(version) => (i64::MAX, signed(version)),
    };
    let wanted = Wanted {
        ids: vec![id.to_owned()],
        position,
        version,
    };
    let Some(folded) = fold(pool, wanted).await?.pop() else {
        return created(pool, id).await;
    };
    if let Moment::Version(version) = moment
        && folded.version < version
    {
        return Ok(Past::NoVersion {
            latest: folded.version,
        });
    }
    if folded.resource.exists() {
        return Ok(Past::Lived {
            resource: Box::new(folded.resource),
            version: folded.version,
        });
    }
    Ok(Past::Gone {
        removed: folded.ended_at,
        last_version: folded.last_alive,
    })
}

async fn created(pool: &PgPool, id: &str) -> Result<Past, Error> {
    let created: Option<DateTime<Utc>> = sqlx::query_scalar(
        "SELECT recorded_at FROM events
         WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = 1",
    )
    .bind(crate::AGGREGATE_TYPE)
    .bind(id)
    .fetch_optional(pool)
    .await?;
    Ok(created.map_or(Past::Unknown, |created| Past::NotYet { created }))
}

/// Which resources a list at a position holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only what this resource owned.
    pub owner_id: Option<String>,
    /// Only this name.
    pub name: Option<String>,
    /// Only what the caller can see.
    pub scope: TenantScope,
}

/// Which part of a list, in the order in which the resources were created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whether the latest comes first.
    pub descending: bool,
    /// Only those created after this position, in that order.
    pub after: Option<u64>,
    /// How many are left out first.
    pub offset: u64,
    /// How many, at most.
    pub size: u32,
}

/// The resources that lived at a position, and the position at which the last of the page was created
/// when more follow.
///
/// # Errors
/// When the database cannot answer, or the log cannot be read.
pub async fn list(
    pool: &PgPool,
    filter: &Filter,
    position: u64,
    part: Part,
) -> Result<(Paged<Resource>, Option<u64>), Error> {
    let mut binds = Binds::default();
    let lived = filter.sql(position, &mut binds);
    let total: i64 = {
        let sql = format!("SELECT count(*) AS total FROM resource_lifetimes WHERE {lived}");
        let query = binds.clone();
        query.query(&sql).fetch_one(pool).await?.try_get("total")?
    };
    let (order, operator) = if part.descending {
        ("DESC", "<")
    } else {
        ("ASC", ">")
    };
    let after = part.after.map_or("true".to_owned(), |after| {
        let after = binds.add(Bind::Integer(signed(after)));
        format!("created_position {operator} {after}")
    });
    // One more than shown tells whether more follow.
    let limit = binds.add(Bind::Integer(i64::from(part.size) + 1));
    let offset = binds.add(Bind::Integer(signed(part.offset)));
    let sql = format!(
        "SELECT resource_id, created_position FROM resource_lifetimes WHERE {lived} AND {after}
         ORDER BY created_position {order} LIMIT {limit} OFFSET {offset}"
    );
    let mut rows = binds.query(&sql).fetch_all(pool).await?;
    let size = part.size as usize;
    let more = rows.len() > size;
    rows.truncate(size);
    let ids: Vec<String> = rows
        .iter()
        .map(|row| row.try_get("resource_id"))
        .collect::<Result<_, _>>()?;
    let last = rows.last().filter(|_| more).map(created_position);
    let items = states(pool, &ids, position).await?;
    let total = unsigned("total", total)?;
    Ok((Paged { items, total }, last.transpose()?))
}

fn created_position(row: &PgRow) -> Result<u64, Error> {
    unsigned("created_position", row.try_get("created_position")?)
}

impl Filter {
    /// The condition on rows of `resource_lifetimes`.
    fn sql(&self, position: u64, binds: &mut Binds) -> String {
        let position = binds.add(Bind::Integer(signed(position)));
        let mut conditions = vec![
            format!("created_position <= {position}"),
            format!("(removed_position IS NULL OR removed_position > {position})"),
        ];
        let columns = [
            ("kind", &self.kind),
            ("owner_id", &self.owner_id),
            ("name", &self.name),
        ];
        for (column, value) in columns {
            if let Some(value) = value {
                conditions.push(format!("{column} = {}", binds.text(value)));
            }
        }
        if !self.scope.is_everything() {
            let dimensions = binds.add(Bind::Json(json!(self.scope.dimensions())));
            conditions.push(format!("tenancy @> {dimensions}"));
        }
        conditions.join(" AND ")
    }
}

/// The states of these resources at a position, in that order.
async fn states(pool: &PgPool, ids: &[String], position: u64) -> Result<Vec<Resource>, Error> {
    let wanted = Wanted {
        ids: ids.to_vec(),
        position: signed(position),
        version: i64::MAX,
    };
    let mut folded = fold(pool, wanted).await?;
    let place = |resource: &Resource| ids.iter().position(|id| *id == resource.id);
    folded.sort_by_key(|folded| place(&folded.resource));
    Ok(folded.into_iter().map(|folded| folded.resource).collect())
}

/// Whose events, and up to where.
struct Wanted {
    ids: Vec<String>,
    position: i64,
    version: i64,
}

/// A resource as part of its log tells it.
#[derive(Default)]
struct Folded {
    resource: Resource,
    version: u64,
    /// The last version at which it lived.
    last_alive: u64,
    /// When its life ended, if it did.
    ended_at: DateTime<Utc>,
}

/// One look-up in the primary key for each stream, whatever the statistics say.
const EVENTS: &str = "
SELECT wanted.id, event.*
FROM UNNEST($2::text[]) AS wanted (id) CROSS JOIN LATERAL (
    SELECT sequence, event_type, event_version, payload, recorded_at FROM events
    WHERE aggregate_type = $1 AND aggregate_id = wanted.id AND sequence <= $4 AND position <= $3
    ORDER BY sequence
) AS event";

/// Folds streams, event by event, so that only their states are in memory.
async fn fold(pool: &PgPool, wanted: Wanted) -> Result<Vec<Folded>, Error> {
    let mut rows = sqlx::query(EVENTS)
        .bind(crate::AGGREGATE_TYPE)
        .bind(wanted.ids)
        .bind(wanted.position)
        .bind(wanted.version)
        .fetch(pool);
    let mut all: Vec<Folded> = Vec::new();
    let mut current = String::new();
    while let Some(row) = rows.try_next().await? {
        let id: &str = row.try_get("id")?;
        if current != id {
            id.clone_into(&mut current);
            all.push(Folded::default());
        }
        let Some(folded) = all.last_mut() else {
            continue;
        };
        folded.apply(&current, &row)?;
    }
    Ok(all)
}

impl Folded {
    fn apply(&mut self, id: &str, row: &PgRow) -> Result<(), Error> {
        let sequence = unsigned("sequence", row.try_get("sequence")?)?;
        let event_type: &str = row.try_get("event_type")?;
        let event_version: &str = row.try_get("event_version")?;
        let payload: Value = row.try_get("payload")?;
        let event = upcast::read(event_type, event_version, payload).map_err(|source| {
            Error::UnreadableEvent {
                resource_id: id.to_owned(),
                sequence,
                source,
            }
        })?;
        self.resource = std::mem::take(&mut self.resource).evolve(&event);
        self.version = sequence;
        if self.resource.exists() {
            self.last_alive = sequence;
        } else if self.last_alive + 1 == sequence {
            self.ended_at = row.try_get("recorded_at")?;
        }
        Ok(())
    }
}

/// A number for the database. One beyond its range has nothing after it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
