//! Folding streams, within the caller's transaction.

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use hyperfleet_domain::resource::Resource;
use hyperfleet_domain::upcast;
use sqlx::{PgConnection, Row};

use super::past::Moment;
use crate::error::Error;
use crate::resource_view::unsigned;

/// A resource as its log tells it.
pub(super) struct Folded {
    pub(super) resource: Resource,
    pub(super) version: i64,
}

/// The ids of up to `limit` resources in the log after `after`, in order.
pub(super) async fn ids_after(
    connection: &mut PgConnection,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, Error> {
    ids_between(connection, after, None, limit).await
}

/// As [`ids_after`], up to and including `last` when there is one.
pub(super) async fn ids_between(
    connection: &mut PgConnection,
    after: &str,
    last: Option<&str>,
    limit: i64,
) -> Result<Vec<String>, Error> {
    let ids = sqlx::query_scalar(
        "SELECT aggregate_id FROM events
         WHERE aggregate_type = $1 AND aggregate_id > $2 AND sequence = 1
           AND ($4::text IS NULL OR aggregate_id <= $4)
         ORDER BY aggregate_id LIMIT $3",
    )
    .bind(crate::AGGREGATE_TYPE)
    .bind(after)
    .bind(limit)
    .bind(last)
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

/// Up to where streams are folded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Until {
    time: Option<DateTime<Utc>>,
    version: Option<i64>,
}

impl Until {
    pub(super) fn of(moment: Moment) -> Self {
        match moment {
            Moment::Time(time) => Self {
                time: Some(time),
                version: None,
            },
            Moment::Version(version) => Self {
                time: None,
                version: Some(i64::try_from(version).unwrap_or(i64::MAX)),
            },
        }
    }
}

/// Folds the streams of these resources to their ends.
pub(super) async fn fold(
    connection: &mut PgConnection,
    ids: &[String],
) -> Result<Vec<Folded>, Error> {
    fold_until(connection, ids, Until::default()).await
}

/// Folds the streams of these resources; those without an event until then are left out. Holds their states,
/// and one event at a time.
pub(super) async fn fold_until(
    connection: &mut PgConnection,
    ids: &[String],
    until: Until,
) -> Result<Vec<Folded>, Error> {
    let mut rows = sqlx::query(
        "SELECT aggregate_id, sequence, event_type, event_version, payload FROM events
         WHERE aggregate_type = $1 AND aggregate_id = ANY($2)
           AND ($3::timestamptz IS NULL OR recorded_at <= $3)
           AND ($4::bigint IS NULL OR sequence <= $4)
         ORDER BY aggregate_id, sequence",
    )
    .bind(crate::AGGREGATE_TYPE)
    .bind(ids)
    .bind(until.time)
    .bind(until.version)
    .fetch(connection);
    let mut all: Vec<Folded> = Vec::with_capacity(ids.len());
    while let Some(row) = rows.try_next().await? {
        let id: String = row.try_get("aggregate_id")?;
        let version: i64 = row.try_get("sequence")?;
        let sequence = unsigned("sequence", version)?;
        let event_type: &str = row.try_get("event_type")?;
        let event_version: &str = row.try_get("event_version")?;
        let event =
            upcast::read(event_type, event_version, row.try_get("payload")?).map_err(|source| {
                Error::UnreadableEvent {
                    resource_id: id.clone(),
                    sequence,
                    source,
                }
            })?;
        match all.last_mut() {
            Some(folded) if folded.resource.id == id => {
                folded.resource = std::mem::take(&mut folded.resource).evolve(&event);
                folded.version = version;
            }
            _ => all.push(Folded {
                resource: Resource::default().evolve(&event),
                version,
            }),
        }
    }
    Ok(all)
}
