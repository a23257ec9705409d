//! The state of resources at a past moment, folded from the log alone: no read model is asked, except for
//! finding a resource by its name.

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use hyperfleet_domain::upcast;
use sqlx::{PgPool, Row as _};

use super::fold::{self, Until};
use crate::error::Error;
use crate::inline::queue_rows;
use crate::resource_view::unsigned;

/// A moment of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After everything that was recorded up to and including this time.
    Time(DateTime<Utc>),
    /// After so many events.
    Version(u64),
}

/// A resource that is or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it is gone.
    pub is_removed: bool,
}

/// What a resource was like at each of its changes.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Its id.
    pub id: String,
    /// Its states, oldest first.
    pub states: Vec<PastState>,
}

/// A resource after one event.
#[derive(Clone, Debug)]
pub struct PastState {
    /// When the event was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The resource after it.
    pub resource: Resource,
    /// Whether sentinels hear of it at once.
    pub makes_due: bool,
}

/// The resources of that id or name, removed ones included, newest first.
///
/// # Errors
/// When the database cannot answer.
pub async fn find(pool: &PgPool, name: &str, kind: Option<&str>) -> Result<Vec<Known>, Error> {
    let rows = sqlx::query(
        "SELECT id, kind, name, removed_time IS NOT NULL AS is_removed FROM resources
         WHERE (id = $1 OR name = $1) AND ($2::text IS NULL OR lower(kind) = lower($2))
         ORDER BY removed_time IS NULL DESC, created_time DESC, id DESC LIMIT 20",
    )
    .bind(name)
    .bind(kind)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Known {
                id: row.try_get("id")?,
                kind: row.try_get("kind")?,
                name: row.try_get("name")?,
                is_removed: row.try_get("is_removed")?,
            })
        })
        .collect()
}

/// A resource at a moment, and how many events it had then; none when it had not been created.
///
/// # Errors
/// When the log cannot be read.
pub async fn resource_at(
    pool: &PgPool,
    id: &str,
    moment: Moment,
) -> Result<Option<(Resource, u64)>, Error> {
    let mut connection = pool.acquire().await?;
    let ids = [id.to_owned()];
    let folded = fold::fold_until(&mut connection, &ids, Until::of(moment)).await?;
    folded
        .into_iter()
        .next()
        .map(|folded| Ok((folded.resource, unsigned("sequence", folded.version)?)))
        .transpose()
}

/// Resources as they were at a time, in the order of ids, those that did not exist then left out: the next
/// after an id, and the id to go on from, if there is more.
///
/// # Errors
/// When the log cannot be read.
pub async fn fleet_at(
    pool: &PgPool,
    time: DateTime<Utc>,
    after: &str,
) -> Result<(Vec<Resource>, Option<String>), Error> {
    let mut connection = pool.acquire().await?;
    let ids = fold::ids_after(&mut connection, after, super::BATCH).await?;
    let until = Until::of(Moment::Time(time));
    let folded = fold::fold_until(&mut connection, &ids, until).await?;
    let resources = folded.into_iter().map(|folded| folded.resource);
    Ok((
        resources.filter(Resource::exists).collect(),
        ids.last().cloned(),
    ))
}

/// What resources of a kind were like, in the order of ids: the next after an id, and the id to go on from, if
/// there is more.
///
/// # Errors
/// When the log cannot be read.
pub async fn timelines(
    pool: &PgPool,
    kind: &str,
    after: &str,
) -> Result<(Vec<Timeline>, Option<String>), Error> {
    let mut connection = pool.acquire().await?;
    let ids = fold::ids_after(&mut connection, after, super::BATCH).await?;
    let rows = sqlx::query(
        "SELECT aggregate_id, sequence, event_type, event_version, payload, recorded_at FROM events
         WHERE aggregate_type = $1 AND aggregate_id = ANY($2)
         ORDER BY aggregate_id, sequence",
    )
    .bind(crate::AGGREGATE_TYPE)
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    let mut timelines: Vec<Timeline> = Vec::with_capacity(ids.len());
    for row in rows {
        let id: String = row.try_get("aggregate_id")?;
        let sequence = unsigned("sequence", row.try_get("sequence")?)?;
        let event_type: &str = row.try_get("event_type")?;
        let version: &str = row.try_get("event_version")?;
        let event = upcast::read(event_type, version, row.try_get("payload")?);
        let event = event.map_err(|source| Error::UnreadableEvent {
            resource_id: id.clone(),
            sequence,
            source,
        })?;
        let is_new = timelines.last().is_none_or(|timeline| timeline.id != id);
        if is_new {
            let states = Vec::new();
            timelines.push(Timeline { id, states });
        }
        let Some(timeline) = timelines.last_mut() else {
            continue;
        };
        let before = timeline.states.last().map(|state| state.resource.clone());
        timeline.states.push(PastState {
            recorded_at: row.try_get("recorded_at")?,
            resource: before.unwrap_or_default().evolve(&event),
            makes_due: queue_rows::priority(event_type).is_some(),
        });
    }
    timelines.retain(|timeline| {
        let first = timeline.states.first();
        first.is_some_and(|state| state.resource.kind == kind)
    });
    Ok((timelines, ids.last().cloned()))
}
