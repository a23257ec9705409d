//! Counts over the fleet: how many resources of each kind are active or being deleted, and how many
//! have each condition True or False.
//!
//! A catch-up projection: rows and checkpoint move in one transaction, so every event counts exactly
//! once. The counts lag behind the log by as much as the projection does. A resource contributes to
//! one value of each measure; the members table remembers which, so that a change can take it back.

use std::collections::BTreeMap;

use hyperfleet_domain::condition::Condition;
use hyperfleet_domain::resource::Event;
use hyperfleet_domain::upcast;
use hyperfleet_event_store::RecordedEvent;
use hyperfleet_runtime::http::TenantScope;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};

use crate::error::Error;
use crate::resource_view::{IN_SCOPE, scope_parameter};

/// Name of the projection, under which its checkpoint is kept.
pub const PROJECTION: &str = "fleet_summary";

/// The measure that says where resources are in their life.
const LIFECYCLE: &str = "lifecycle";
const ACTIVE: &str = "active";
const FINALIZING: &str = "finalizing";

/// The counts over the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FleetSummary {
    /// The counts of each kind that has resources, by kind.
    pub kinds: BTreeMap<String, KindSummary>,
}

/// The counts of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindSummary {
    /// Live resources.
    pub total: i64,
    /// Live resources whose deletion was not requested.
    pub active: i64,
    /// Live resources whose deletion was requested.
    pub finalizing: i64,
    /// By condition type and status, how many have it.
    pub conditions: BTreeMap<String, BTreeMap<String, i64>>,
}

/// What one resource contributes: a value per measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Member {
    kind: String,
    measures: BTreeMap<String, String>,
}

type Members = BTreeMap<String, Member>;
type Counts = BTreeMap<(String, String, String), i64>;

/// The counts as of the projection's checkpoint, over what the scope sees.
///
/// The counts of the whole fleet are kept; those of a tenant are counted now, over the tenant's
/// resources alone.
///
/// # Errors
/// When the database cannot answer.
pub async fn read(pool: &PgPool, scope: &TenantScope) -> Result<FleetSummary, Error> {
    if scope.is_everything() {
        return read_in(&mut *pool.acquire().await?).await;
    }
    let sql = format!(
        "SELECT members.kind, measure.key AS measure, measure.value, count(*) AS count
         FROM resources
         JOIN fleet_summary_members AS members ON members.resource_id = resources.id
         CROSS JOIN LATERAL jsonb_each_text(members.measures) AS measure
         WHERE resources.removed_time IS NULL AND {IN_SCOPE}1
         GROUP BY members.kind, measure.key, measure.value"
    );
    let rows = sqlx::query(&sql)
        .bind(scope_parameter(scope))
        .fetch_all(pool)
        .await?;
    summary_of(&rows)
}

/// The counts as the connection's transaction sees them.
pub(crate) async fn read_in(connection: &mut PgConnection) -> Result<FleetSummary, Error> {
    let rows =
        sqlx::query("SELECT kind, measure, value, count FROM fleet_summary WHERE count <> 0")
            .fetch_all(connection)
            .await?;
    summary_of(&rows)
}

fn summary_of(rows: &[PgRow]) -> Result<FleetSummary, Error> {
    let mut summary = FleetSummary::default();
    for row in rows {
        let kind = summary.kinds.entry(row.try_get("kind")?).or_default();
        let measure: String = row.try_get("measure")?;
        let value: String = row.try_get("value")?;
        let count: i64 = row.try_get("count")?;
        match (measure.as_str(), value.as_str()) {
            (LIFECYCLE, ACTIVE) => kind.active = count,
            (LIFECYCLE, _) => kind.finalizing = count,
            _ => {
                kind.conditions
                    .entry(measure)
                    .or_default()
                    .insert(value, count);
            }
        }
        kind.total = kind.active + kind.finalizing;
    }
    Ok(summary)
}

/// Applies events to the counts, within the transaction that moves the checkpoint.
///
/// # Errors
/// When an event cannot be read or the database refuses.
pub async fn apply(connection: &mut PgConnection, events: &[RecordedEvent]) -> Result<(), Error> {
    let mut ids: Vec<&str> = events
        .iter()
        .map(|event| event.stream.aggregate_id.as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let before = read_members(&mut *connection, &ids).await?;
    let mut after = before.clone();
    for event in events {
        let id = &event.stream.aggregate_id;
        if event.stream.aggregate_type == crate::AGGREGATE_TYPE {
            evolve(&mut after, id, read_event(event)?);
        }
    }
    write_counts(&mut *connection, &difference(&before, &after)).await?;
    write_members(connection, &ids, &after).await
}

/// The domain event of a recorded one, upcast to its current version.
pub(crate) fn read_event(event: &RecordedEvent) -> Result<Event, Error> {
    upcast::read(
        &event.event_type,
        &event.event_version,
        event.payload.clone(),
    )
    .map_err(|source| Error::UnreadableEvent {
        resource_id: event.stream.aggregate_id.clone(),
        sequence: event.sequence,
        source,
    })
}

fn evolve(members: &mut Members, id: &str, event: Event) {
    match event {
        Event::ResourceCreated(created) => {
            let measures = BTreeMap::from([(LIFECYCLE.to_owned(), ACTIVE.to_owned())]);
            members.insert(
                id.to_owned(),
                Member {
                    kind: created.kind,
                    measures,
                },
            );
        }
        Event::DeletionRequested(_) => {
            if let Some(member) = members.get_mut(id) {
                member
                    .measures
                    .insert(LIFECYCLE.to_owned(), FINALIZING.to_owned());
            }
        }
        Event::ConditionsChanged(changed) => {
            if let Some(member) = members.get_mut(id) {
                set_conditions(member, &changed.conditions);
            }
        }
        Event::ResourceRemoved(_) | Event::ResourceForceRemoved(_) => {
            members.remove(id);
        }
        Event::SpecChanged(_)
        | Event::LabelsChanged(_)
        | Event::ReferencesChanged(_)
        | Event::AdapterStatusReported(_)
        | Event::ChildAttached(_)
        | Event::ChildDeletionRequested(_)
        | Event::ChildDetached(_)
        | Event::ReferenceAttached(_)
        | Event::ReferenceDetached(_)
        | Event::ReferenceDropped(_) => {}
    }
}

fn set_conditions(member: &mut Member, conditions: &[Condition]) {
    member.measures.retain(|measure, _| measure == LIFECYCLE);
    let values = conditions
        .iter()
        .map(|condition| (condition.r#type.clone(), condition.status.to_string()));
    member.measures.extend(values);
}

/// By how much each count moves.
fn difference(before: &Members, after: &Members) -> Counts {
    let mut counts = Counts::new();
    for (members, step) in [(before, -1), (after, 1)] {
        for member in members.values() {
            for (measure, value) in &member.measures {
                let key = (member.kind.clone(), measure.clone(), value.clone());
                *counts.entry(key).or_default() += step;
            }
        }
    }
    counts.retain(|_, step| *step != 0);
    counts
}

async fn read_members(connection: &mut PgConnection, ids: &[&str]) -> Result<Members, Error> {
    let rows = sqlx::query(
        "SELECT resource_id, kind, measures FROM fleet_summary_members
         WHERE resource_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let mut members = Members::new();
    for row in rows {
        let Json(measures) = row.try_get("measures")?;
        members.insert(
            row.try_get("resource_id")?,
            Member {
                kind: row.try_get("kind")?,
                measures,
            },
        );
    }
    Ok(members)
}

async fn write_counts(connection: &mut PgConnection, counts: &Counts) -> Result<(), Error> {
    let kinds: Vec<&str> = counts.keys().map(|(kind, _, _)| kind.as_str()).collect();
    let measures: Vec<&str> = counts
        .keys()
        .map(|(_, measure, _)| measure.as_str())
        .collect();
    let values: Vec<&str> = counts.keys().map(|(_, _, value)| value.as_str()).collect();
    let steps: Vec<i64> = counts.values().copied().collect();
    sqlx::query(
        "INSERT INTO fleet_summary AS stored (kind, measure, value, count)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[])
         ON CONFLICT (kind, measure, value) DO UPDATE SET count = stored.count + excluded.count",
    )
    .bind(kinds)
    .bind(measures)
    .bind(values)
    .bind(steps)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_members(
    connection: &mut PgConnection,
    ids: &[&str],
    members: &Members,
) -> Result<(), Error> {
    let gone: Vec<&str> = ids
        .iter()
        .copied()
        .filter(|id| !members.contains_key(*id))
        .collect();
    sqlx::query("DELETE FROM fleet_summary_members WHERE resource_id = ANY($1)")
        .bind(gone)
        .execute(&mut *connection)
        .await?;
    let kept: Vec<&str> = members.keys().map(String::as_str).collect();
    let kinds: Vec<&str> = members
        .values()
        .map(|member| member.kind.as_str())
        .collect();
    let measures: Vec<Json<&BTreeMap<String, String>>> = members
        .values()
        .map(|member| Json(&member.measures))
        .collect();
    sqlx::query(
        "INSERT INTO fleet_summary_members (resource_id, kind, measures)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::jsonb[])
         ON CONFLICT (resource_id) DO UPDATE SET measures = excluded.measures",
    )
    .bind(kept)
    .bind(kinds)
    .bind(measures)
    .execute(connection)
    .await?;
    Ok(())
}
