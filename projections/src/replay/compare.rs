//! Comparing read models with what the log tells.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use hyperfleet_domain::condition::Condition;
use hyperfleet_domain::resource::Resource;
use hyperfleet_event_store::catch_up;
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::Report;
use super::fold::Folded;
use crate::error::Error;
use crate::fleet_summary::{self, KindSummary};
use crate::search::keys;

/// By type: observed generation, last update and last transition.
type Conditions = BTreeMap<String, (i32, DateTime<Utc>, DateTime<Utc>)>;

/// The read models of some resources.
pub(super) struct Stored {
    rows: BTreeMap<String, PgRow>,
    statuses: BTreeMap<String, BTreeMap<String, Value>>,
    conditions: BTreeMap<String, Conditions>,
    queued: BTreeSet<String>,
}

impl Stored {
    pub(super) async fn read(connection: &mut PgConnection, ids: &[String]) -> Result<Self, Error> {
        let mut rows = BTreeMap::new();
        for row in sqlx::query(
            "SELECT id, kind, name, owner_id, generation, spec, labels, deleted_time,
                    removed_time, version, state, search_keys
             FROM resources WHERE id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(&mut *connection)
        .await?
        {
            rows.insert(row.try_get("id")?, row);
        }
        let mut statuses: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for row in sqlx::query(
            "SELECT resource_id, adapter, status FROM adapter_statuses
             WHERE resource_id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(&mut *connection)
        .await?
        {
            let of_resource = statuses.entry(row.try_get("resource_id")?).or_default();
            of_resource.insert(row.try_get("adapter")?, row.try_get("status")?);
        }
        let conditions = read_conditions(&mut *connection, ids).await?;
        let queued: Vec<String> = sqlx::query_scalar(
            "SELECT resource_id FROM reconcile_queue WHERE resource_id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(connection)
        .await?;
        Ok(Self {
            rows,
            statuses,
            conditions,
            queued: queued.into_iter().collect(),
        })
    }

    pub(super) fn compare(&mut self, folded: &Folded, report: &mut Report) {
        let id = folded.resource.id.as_str();
        match self.rows.remove(id) {
            None => report.add(id, "the resource view has no row"),
            Some(row) => self.compare_row(folded, &row, report),
        }
        let is_queued = self.queued.contains(id);
        match (folded.resource.exists(), is_queued) {
            (true, false) => report.add(id, "the reconcile queue has no row of this resource"),
            (false, true) => report.add(id, "the reconcile queue has a row of a removed resource"),
            (true, true) | (false, false) => {}
        }
    }

    fn compare_row(&self, folded: &Folded, row: &PgRow, report: &mut Report) {
        let id = folded.resource.id.as_str();
        let read = (|| Ok::<_, sqlx::Error>((row.try_get("version")?, row.try_get("state")?)))();
        let (version, state): (i64, Value) = match read {
            Ok(read) => read,
            Err(error) => return report.add(id, format!("the row is unreadable: {error}")),
        };
        if version != folded.version {
            let expected = folded.version;
            report.add(
                id,
                format!("the resource view is at version {version}, not {expected}"),
            );
        }
        let state = match Resource::deserialize(&state) {
            Ok(state) => state,
            Err(error) => {
                return report.add(id, format!("the stored state is unreadable: {error}"));
            }
        };
        if state.without_liveness() != folded.resource.without_liveness() {
            report.add(
                id,
                format!("the stored state differs in {}", differing(&state, folded)),
            );
        }
        for column in differing_columns(row, &state) {
            report.add(id, format!("column {column} differs from the stored state"));
        }
        let statuses = self.statuses.get(id).cloned().unwrap_or_default();
        let expected = if state.exists() {
            expected_statuses(&state)
        } else {
            BTreeMap::new()
        };
        if statuses != expected {
            report.add(id, "the adapter statuses differ from the stored state");
        }
        let conditions = self.conditions.get(id).cloned().unwrap_or_default();
        if conditions != expected_conditions(&state) {
            report.add(id, "the rows of conditions differ from the stored state");
        }
    }
}

async fn read_conditions(
    connection: &mut PgConnection,
    ids: &[String],
) -> Result<BTreeMap<String, Conditions>, Error> {
    let rows = sqlx::query(
        "SELECT resource_id, type, observed_generation, last_updated_time, last_transition_time
         FROM resource_conditions WHERE resource_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let mut conditions: BTreeMap<String, Conditions> = BTreeMap::new();
    for row in rows {
        let of_resource = conditions.entry(row.try_get("resource_id")?).or_default();
        let parts = (
            row.try_get("observed_generation")?,
            row.try_get("last_updated_time")?,
            row.try_get("last_transition_time")?,
        );
        of_resource.insert(row.try_get("type")?, parts);
    }
    Ok(conditions)
}

fn expected_conditions(state: &Resource) -> Conditions {
    if !state.exists() {
        return Conditions::new();
    }
    let parts = |condition: &Condition| {
        (
            condition.observed_generation,
            condition.last_updated_time,
            condition.last_transition_time,
        )
    };
    state
        .conditions
        .iter()
        .map(|condition| (condition.r#type.clone(), parts(condition)))
        .collect()
}

/// The members in which a state differs from the fold.
fn differing(state: &Resource, folded: &Folded) -> String {
    let as_value =
        |resource: &Resource| serde_json::to_value(resource.without_liveness()).unwrap_or_default();
    let changes = crate::history::difference(&as_value(&folded.resource), &as_value(state));
    let paths: Vec<String> = changes.into_iter().map(|change| change.path).collect();
    paths.join(", ")
}

fn differing_columns(row: &PgRow, state: &Resource) -> Vec<&'static str> {
    let text = |column| row.try_get::<Option<String>, _>(column).ok().flatten();
    let time = |column| {
        row.try_get::<Option<DateTime<Utc>>, _>(column)
            .ok()
            .flatten()
    };
    let json = |column| row.try_get::<Value, _>(column).unwrap_or_default();
    let owner = state.owner.as_ref().map(|owner| owner.id.clone());
    let labels = serde_json::to_value(&state.labels).unwrap_or_default();
    let equal = [
        ("kind", text("kind").as_deref() == Some(state.kind.as_str())),
        ("name", text("name").as_deref() == Some(state.name.as_str())),
        ("owner_id", text("owner_id") == owner),
        (
            "generation",
            row.try_get::<i32, _>("generation").ok() == Some(state.generation),
        ),
        ("spec", json("spec") == Value::Object(state.spec.clone())),
        ("labels", json("labels") == labels),
        (
            "search_keys",
            row.try_get::<Vec<String>, _>("search_keys").ok() == Some(keys::of(state)),
        ),
        ("deleted_time", time("deleted_time") == state.deleted_time),
        ("removed_time", time("removed_time") == state.removed_time),
    ];
    equal
        .into_iter()
        .filter(|(_, equal)| !equal)
        .map(|(column, _)| column)
        .collect()
}

fn expected_statuses(state: &Resource) -> BTreeMap<String, Value> {
    state
        .statuses
        .iter()
        .map(|(adapter, status)| {
            (
                adapter.clone(),
                serde_json::to_value(status).unwrap_or_default(),
            )
        })
        .collect()
}

/// Rows of resources that the log does not know.
pub(super) async fn strangers(
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), Error> {
    for (table, column) in [
        ("resources", "id"),
        ("adapter_statuses", "resource_id"),
        ("resource_conditions", "resource_id"),
        ("reconcile_queue", "resource_id"),
    ] {
        let sql = format!(
            "SELECT DISTINCT {column} FROM {table} WHERE NOT EXISTS (
                 SELECT FROM events WHERE aggregate_type = $1 AND aggregate_id = {column})"
        );
        let ids: Vec<String> = sqlx::query_scalar(&sql)
            .bind(crate::AGGREGATE_TYPE)
            .fetch_all(&mut *connection)
            .await?;
        for id in ids {
            report.add(
                &id,
                format!("{table} has a row of a resource that the log does not know"),
            );
        }
    }
    Ok(())
}

/// When which resource lived, which the database keeps by itself.
pub(super) async fn lifetimes(
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), Error> {
    let different: Vec<String> = sqlx::query_scalar(
        "WITH removed AS (
             SELECT aggregate_id, min(position) AS position FROM events
             WHERE aggregate_type = $1
                 AND event_type IN ('hyperfleet.resource.removed', 'hyperfleet.resource.force_removed')
             GROUP BY aggregate_id
         ), told AS (
             SELECT created.aggregate_id AS resource_id, created.payload ->> 'kind' AS kind,
                 created.payload ->> 'name' AS name, created.payload #>> '{owner,id}' AS owner_id,
                 coalesce(created.payload -> 'tenancy', '{}') AS tenancy,
                 created.position AS created_position, removed.position AS removed_position
             FROM events AS created LEFT JOIN removed USING (aggregate_id)
             WHERE created.aggregate_type = $1 AND created.event_type = 'hyperfleet.resource.created'
         ), kept AS (
             SELECT resource_id, kind, name, owner_id, tenancy, created_position, removed_position
             FROM resource_lifetimes
         )
         SELECT DISTINCT resource_id FROM (
             (TABLE told EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE told)
         ) AS different ORDER BY resource_id",
    )
    .bind(crate::AGGREGATE_TYPE)
    .fetch_all(connection)
    .await?;
    for id in different {
        report.add(&id, "its row of resource_lifetimes differs from the log");
    }
    Ok(())
}

/// The counts over the fleet as the log tells them.
#[derive(Default)]
pub(super) struct Counts {
    kinds: BTreeMap<String, KindSummary>,
}

impl Counts {
    pub(super) fn add(&mut self, resource: &Resource) {
        if !resource.exists() {
            return;
        }
        let kind = self.kinds.entry(resource.kind.clone()).or_default();
        kind.total += 1;
        let phase = if resource.is_finalizing() {
            &mut kind.finalizing
        } else {
            &mut kind.active
        };
        *phase += 1;
        for condition in &resource.conditions {
            let values = kind.conditions.entry(condition.r#type.clone()).or_default();
            *values.entry(condition.status.to_string()).or_default() += 1;
        }
    }

    /// Compares with the counts of live resources, and with the fleet summary, if its projection has
    /// caught up.
    pub(super) async fn compare(
        self,
        connection: &mut PgConnection,
        report: &mut Report,
    ) -> Result<(), Error> {
        let kept: Vec<(String, i64)> = sqlx::query_as(
            "SELECT kind, sum(live)::bigint FROM resource_counts
             GROUP BY kind HAVING sum(live) <> 0 ORDER BY kind",
        )
        .fetch_all(&mut *connection)
        .await?;
        let expected = self.kinds.iter();
        if !expected
            .map(|(kind, summary)| (kind, summary.total))
            .eq(kept.iter().map(|(kind, live)| (kind, *live)))
        {
            report.add(
                "resource_counts",
                "the counts of live resources differ from those of the log",
            );
        }
        let last: Option<i64> = sqlx::query_scalar("SELECT max(position) FROM live_events")
            .fetch_one(&mut *connection)
            .await?;
        let checkpoint = catch_up::checkpoint(&mut *connection, fleet_summary::PROJECTION).await?;
        if checkpoint != last.map_or(0, i64::unsigned_abs) {
            return Ok(());
        }
        let stored = fleet_summary::read_in(connection).await?;
        if stored.kinds != self.kinds {
            report.add("fleet_summary", "the counts differ from those of the log");
        }
        Ok(())
    }
}
