//! Finding the events of a page, in the order of positions.
//!
//! Events do not know their resource's kind, name, labels or tenant. When a filter on those leaves few
//! resources, the page is put together from their streams; otherwise the log is walked and each event's
//! resource looked up. The second is quick exactly where the first is not: when many resources match,
//! so do many events. A walk that meets few nevertheless ends after [`SCAN_LIMIT`] events.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use hyperfleet_domain::metadata::EventMetadata;
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgPool, Row as _};

use super::{Filter, Next, Part};
use crate::error::Error;
use crate::resource_view::unsigned;
use crate::statement::{Bind, Binds};

/// Up to how many resources are few. Each costs one look-up for a page; of a fleet of 100,000, more
/// than so many are one in 200, so that a page of 100 is met within 20,000 events.
const FEW_RESOURCES: u32 = 500;

/// Events that one page may look at: some tens of milliseconds.
const SCAN_LIMIT: i64 = 20_000;

/// An event, without what it says.
pub(super) struct Selected {
    pub(super) resource_id: String,
    pub(super) sequence: u64,
    pub(super) position: u64,
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) event_type: String,
    pub(super) metadata: EventMetadata,
}

/// What to select.
pub(super) struct Selection<'a> {
    filter: &'a Filter,
    part: Part,
    /// Only positions after the first and up to the second.
    bounds: (Option<u64>, Option<u64>),
    /// The resources, when they are few.
    resources: Option<Vec<String>>,
}

impl<'a> Selection<'a> {
    pub(super) async fn new(
        pool: &PgPool,
        filter: &'a Filter,
        part: Part,
        bounds: (Option<u64>, Option<u64>),
    ) -> Result<Self, Error> {
        let resources = match &filter.resource_id {
            Some(id) => Some(vec![id.clone()]),
            None if filter.chooses_resources() => few(pool, filter).await?,
            None => None,
        };
        Ok(Self {
            filter,
            part,
            bounds,
            resources,
        })
    }

    /// The events, and where to go on.
    pub(super) async fn read(&self, pool: &PgPool) -> Result<(Vec<Selected>, Option<Next>), Error> {
        let mut binds = Binds::default();
        let sql = self.sql(&mut binds);
        // The values decide between the indexes.
        let query = binds.query(&sql).persistent(false);
        let rows = query.fetch_all(pool).await?;
        let mut selected: Vec<Selected> = rows.iter().map(read_row).collect::<Result<_, _>>()?;
        let size = self.part.size as usize;
        if selected.len() > size {
            selected.truncate(size);
            let after = selected.last().map(|event| event.position);
            let next = after.map(|after| Next {
                after,
                searched_until: None,
            });
            return Ok((selected, next));
        }
        let next = if self.is_walk_of_some() {
            self.scanned(pool).await?
        } else {
            None
        };
        Ok((selected, next))
    }

    /// How the database would look for the page, line by line as EXPLAIN says it.
    pub(super) async fn plan(&self, pool: &PgPool) -> Result<Vec<String>, Error> {
        let mut binds = Binds::default();
        let sql = format!("EXPLAIN (COSTS OFF) {}", self.sql(&mut binds));
        let query = binds.query(&sql).persistent(false);
        let rows = query.fetch_all(pool).await?;
        let lines = rows.iter().map(|row| row.try_get(0));
        Ok(lines.collect::<Result<_, _>>()?)
    }

    /// How many events there are. For few resources.
    pub(super) async fn count(&self, pool: &PgPool) -> Result<u64, Error> {
        let mut binds = Binds::default();
        let ids = self.resources.clone().unwrap_or_default();
        let ids = binds.add(Bind::Texts(ids));
        let conditions = self.conditions(&mut binds).all();
        let sql = format!(
            "SELECT count(*) AS total FROM events AS event
             WHERE event.aggregate_type = 'resource' AND event.aggregate_id = ANY({ids}) AND {conditions}"
        );
        let row = binds.query(&sql).persistent(false).fetch_one(pool).await?;
        unsigned("total", row.try_get("total")?)
    }

    /// Whether the log is walked, and not every event that is met is shown.
    fn is_walk_of_some(&self) -> bool {
        let conditions = self.conditions(&mut Binds::default());
        self.resources.is_none()
            && (self.filter.chooses_resources() || !conditions.others.is_empty())
    }

    fn sql(&self, binds: &mut Binds) -> String {
        let direction = self.direction();
        // One more than shown tells whether more follow.
        let limit = i64::from(self.part.size) + 1 + signed(self.part.offset);
        let limit = binds.add(Bind::Integer(limit));
        let offset = binds.add(Bind::Integer(signed(self.part.offset)));
        let conditions = self.conditions(binds);
        let from = if let Some(ids) = &self.resources {
            let ids = binds.add(Bind::Texts(ids.clone()));
            let conditions = conditions.all();
            format!(
                "FROM UNNEST({ids}) AS resource (id) CROSS JOIN LATERAL (
                     SELECT * FROM events AS event
                     WHERE event.aggregate_type = 'resource' AND event.aggregate_id = resource.id
                         AND {conditions}
                     ORDER BY event.sequence {direction} LIMIT {limit}
                 ) AS event"
            )
        } else if self.filter.chooses_resources() || !conditions.others.is_empty() {
            let scanned = scan(&conditions.indexed, direction);
            let mut others = conditions.others;
            if self.filter.chooses_resources() {
                let lived = resources(self.filter, binds);
                others.push(format!(
                    "EXISTS (SELECT FROM {lived} AND lived.resource_id = event.aggregate_id)"
                ));
            }
            format!("FROM ({scanned}) AS event WHERE {}", others.join(" AND "))
        } else if self.filter.types.len() > 1 && !conditions.leads_by_text {
            let types = binds.add(Bind::Texts(self.filter.types.clone()));
            let conditions = conditions.all();
            format!(
                "FROM UNNEST({types}) AS wanted (event_type) CROSS JOIN LATERAL (
                     SELECT * FROM events AS event
                     WHERE event.aggregate_type = 'resource' AND event.event_type = wanted.event_type
                         AND {conditions}
                     ORDER BY event.position {direction} LIMIT {limit}
                 ) AS event"
            )
        } else {
            let conditions = conditions.all();
            format!("FROM events AS event WHERE event.aggregate_type = 'resource' AND {conditions}")
        };
        format!(
            "SELECT event.aggregate_id, event.sequence, event.position, event.recorded_at,
                 event.event_type, event.metadata
             {from} ORDER BY event.position {direction} LIMIT {limit} OFFSET {offset}"
        )
    }

    /// Where the walk ended, when it looked at as many events as it may.
    async fn scanned(&self, pool: &PgPool) -> Result<Option<Next>, Error> {
        let mut binds = Binds::default();
        // Values of conditions that are not asked here are bound too; they are not used.
        let conditions = self.conditions(&mut binds);
        let scanned = scan(&conditions.indexed, self.direction());
        let offset = binds.add(Bind::Integer(SCAN_LIMIT - 1));
        let sql = format!(
            "SELECT position, recorded_at FROM ({scanned}) AS event
             ORDER BY position {} OFFSET {offset}",
            self.direction()
        );
        let query = binds.query(&sql).persistent(false);
        let last = query.fetch_optional(pool).await?;
        last.map(|row| {
            Ok(Next {
                after: unsigned("position", row.try_get("position")?)?,
                searched_until: Some(row.try_get("recorded_at")?),
            })
        })
        .transpose()
    }

    fn direction(&self) -> &'static str {
        if self.part.descending { "DESC" } else { "ASC" }
    }

    /// What holds for the events themselves.
    fn conditions(&self, binds: &mut Binds) -> Conditions {
        let mut conditions = Conditions::default();
        let mut position = |operator: &str, position: Option<u64>| {
            if let Some(position) = position {
                let position = binds.add(Bind::Integer(signed(position)));
                let condition = format!("event.position {operator} {position}");
                conditions.indexed.push(condition);
            }
        };
        position("<=", Some(self.part.mark));
        let after = if self.part.descending { "<" } else { ">" };
        position(after, self.part.after);
        position(">", self.bounds.0);
        position("<=", self.bounds.1);
        let filter = self.filter;
        for (operator, time) in [(">=", filter.from), ("<", filter.to)] {
            if let Some(time) = time {
                let time = binds.add(Bind::Time(time));
                let condition = format!("event.recorded_at {operator} {time}");
                // Positions bound the walk already; times leave out some at its ends.
                conditions.indexed.push(condition);
            }
        }
        let texts = [
            ("event.metadata ->> 'correlation_id'", &filter.request_id),
            ("event.metadata ->> 'actor'", &filter.actor),
        ];
        for (column, value) in texts {
            if let Some(value) = value {
                let condition = format!("{column} = {}", binds.text(value));
                conditions.add(condition);
            }
        }
        match filter.types.as_slice() {
            [] => {}
            [one] => {
                let condition = format!("event.event_type = {}", binds.text(one));
                conditions.add(condition);
            }
            several
                if conditions.leads_by_text
                    || filter.chooses_resources()
                    || self.resources.is_some() =>
            {
                let types = binds.add(Bind::Texts(several.to_vec()));
                let condition = format!("event.event_type = ANY({types})");
                conditions.others.push(condition);
            }
            // Looked up one by one.
            _ => {}
        }
        if let Some(generation) = filter.generation {
            let generation = binds.add(Bind::Integer(generation.into()));
            let condition = format!("{GENERATION} = {generation}");
            conditions.others.push(condition);
        }
        conditions
    }
}

/// Conditions on an event.
#[derive(Default)]
struct Conditions {
    /// Those that one index serves, which gives the events in order.
    indexed: Vec<String>,
    /// Those that are left to be checked on each event that it gives.
    others: Vec<String>,
    /// Whether that index is one of requests, actors or types.
    leads_by_text: bool,
}

impl Conditions {
    /// Adds a condition that an index serves: the first of its kind leads, the others are checked.
    fn add(&mut self, condition: String) {
        if self.leads_by_text {
            self.others.push(condition);
        } else {
            self.indexed.push(condition);
            self.leads_by_text = true;
        }
    }

    fn all(&self) -> String {
        let all = self.indexed.iter().chain(&self.others);
        all.map(String::as_str).collect::<Vec<_>>().join(" AND ")
    }
}

/// The resource's generation after an event: the events that move it say so, and it only grows.
const GENERATION: &str = "(
    SELECT coalesce(max((moved.payload ->> 'generation')::bigint), 1) FROM events AS moved
    WHERE moved.aggregate_type = event.aggregate_type AND moved.aggregate_id = event.aggregate_id
        AND moved.sequence <= event.sequence AND moved.payload ? 'generation'
)";

fn scan(conditions: &[String], direction: &str) -> String {
    let conditions = conditions.join(" AND ");
    format!(
        "SELECT * FROM events AS event
         WHERE event.aggregate_type = 'resource' AND {conditions}
         ORDER BY event.position {direction} LIMIT {SCAN_LIMIT}"
    )
}

/// The tables and the condition of the resources that a filter chooses; more conditions may follow.
fn resources(filter: &Filter, binds: &mut Binds) -> String {
    let mut sql = "resource_lifetimes AS lived".to_owned();
    if !filter.labels.is_empty() {
        let labels = filter.labels.iter().cloned();
        let labels: serde_json::Map<_, _> =
            labels.map(|(key, value)| (key, json!(value))).collect();
        let labels = binds.add(Bind::Json(labels.into()));
        let _ = write!(
            sql,
            " JOIN resources ON resources.id = lived.resource_id AND resources.labels @> {labels}"
        );
    }
    sql.push_str(" WHERE true");
    let columns = [("kind", &filter.kind), ("name", &filter.name)];
    for (column, value) in columns {
        if let Some(value) = value {
            let _ = write!(sql, " AND lived.{column} = {}", binds.text(value));
        }
    }
    if !filter.scope.is_everything() {
        let dimensions = binds.add(Bind::Json(json!(filter.scope.dimensions())));
        let _ = write!(sql, " AND lived.tenancy @> {dimensions}");
    }
    sql
}

/// The resources that a filter chooses, when they are few.
async fn few(pool: &PgPool, filter: &Filter) -> Result<Option<Vec<String>>, Error> {
    let mut binds = Binds::default();
    let lived = resources(filter, &mut binds);
    let limit = binds.add(Bind::Integer(i64::from(FEW_RESOURCES) + 1));
    let sql = format!("SELECT lived.resource_id FROM {lived} LIMIT {limit}");
    let query = binds.query(&sql).persistent(false);
    let rows = query.fetch_all(pool).await?;
    if rows.len() > FEW_RESOURCES as usize {
        return Ok(None);
    }
    let ids = rows.iter().map(|row| row.try_get("resource_id"));
    Ok(Some(ids.collect::<Result<_, _>>()?))
}

fn read_row(row: &PgRow) -> Result<Selected, Error> {
    let Json(metadata) = row
        .try_get("metadata")
        .unwrap_or(Json(EventMetadata::default()));
    Ok(Selected {
        resource_id: row.try_get("aggregate_id")?,
        sequence: unsigned("sequence", row.try_get("sequence")?)?,
        position: unsigned("position", row.try_get("position")?)?,
        recorded_at: row.try_get("recorded_at")?,
        event_type: row.try_get("event_type")?,
        metadata,
    })
}

/// A number for the database. One beyond its range has nothing after it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
