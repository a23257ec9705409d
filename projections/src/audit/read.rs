//! Reading entries, in the order in which they were written.

use chrono::{DateTime, Utc};
use hyperfleet_api_types::{AuditEntry, AuditOutcome};
use hyperfleet_runtime::http::TenantScope;
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};

use crate::error::Error;
use crate::resource_view::unsigned;
use crate::statement::{Bind, Binds};

/// Which entries: those that every part lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those that ended so.
    pub outcomes: Vec<AuditOutcome>,
    /// Only those about this resource.
    pub resource_id: Option<String>,
    /// Only those of this actor.
    pub actor: Option<String>,
    /// Only that of this request.
    pub request_id: Option<String>,
    /// Only those of that time or later.
    pub from: Option<DateTime<Utc>>,
    /// Only those before that time.
    pub to: Option<DateTime<Utc>>,
    /// Only those of callers of a tenant that the caller can see.
    pub scope: TenantScope,
}

/// Which part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whether the newest comes first.
    pub descending: bool,
    /// Only those after this one, by its number, in that order.
    pub after: Option<u64>,
    /// How many, at most.
    pub size: u32,
}

/// Entries with their numbers, and whether more follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries {
    /// Number, outcome and entry.
    pub items: Vec<(u64, AuditOutcome, AuditEntry)>,
    /// Whether more follow.
    pub more: bool,
}

/// One page of entries.
///
/// # Errors
/// When the database cannot answer.
pub async fn page(pool: &PgPool, filter: &Filter, part: Part) -> Result<Entries, Error> {
    let mut binds = Binds::default();
    let mut conditions = vec!["true".to_owned()];
    let texts = [
        ("resource_id", &filter.resource_id),
        ("actor", &filter.actor),
        ("request_id", &filter.request_id),
    ];
    for (column, value) in texts {
        if let Some(value) = value {
            conditions.push(format!("{column} = {}", binds.text(value)));
        }
    }
    for (operator, time) in [(">=", filter.from), ("<", filter.to)] {
        if let Some(time) = time {
            let time = binds.add(Bind::Time(time));
            conditions.push(format!("recorded_at {operator} {time}"));
        }
    }
    if filter.outcomes.len() < AuditOutcome::ALL.len() {
        let names = filter.outcomes.iter().map(|outcome| outcome.name());
        let names = names.map(|name| binds.text(name)).collect::<Vec<_>>();
        conditions.push(format!("outcome IN ({})", names.join(", ")));
    }
    if !filter.scope.is_everything() {
        let dimensions = binds.add(Bind::Json(json!(filter.scope.dimensions())));
        conditions.push(format!("tenancy @> {dimensions}"));
    }
    let (order, operator) = if part.descending {
        ("DESC", "<")
    } else {
        ("ASC", ">")
    };
    if let Some(after) = part.after {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let after = binds.add(Bind::Integer(after));
        conditions.push(format!("id {operator} {after}"));
    }
    // One more than shown tells whether more follow.
    let limit = binds.add(Bind::Integer(i64::from(part.size) + 1));
    let sql = format!(
        "SELECT * FROM audit_requests WHERE {} ORDER BY id {order} LIMIT {limit}",
        conditions.join(" AND ")
    );
    let query = binds.query(&sql).persistent(false);
    let rows = query.fetch_all(pool).await?;
    let size = part.size as usize;
    let items = rows.iter().take(size).map(read).collect::<Result<_, _>>()?;
    Ok(Entries {
        items,
        more: rows.len() > size,
    })
}

fn read(row: &PgRow) -> Result<(u64, AuditOutcome, AuditEntry), Error> {
    let status: i32 = row.try_get("status")?;
    let entry = AuditEntry {
        time: row.try_get("recorded_at")?,
        actor: row.try_get("actor")?,
        source_address: row.try_get("source_address")?,
        method: row.try_get("method")?,
        route: row.try_get("route")?,
        path: row.try_get("path")?,
        resource_id: row.try_get("resource_id")?,
        status: u16::try_from(status).unwrap_or_default(),
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        request_id: row.try_get("request_id")?,
        trace_id: row.try_get("trace_id")?,
        suppressed: unsigned("suppressed", row.try_get("suppressed")?)?,
    };
    let outcome: String = row.try_get("outcome")?;
    // A later version may know more; what it wrote was no change either.
    let outcome = AuditOutcome::of(&outcome).unwrap_or(AuditOutcome::Unchanged);
    Ok((unsigned("id", row.try_get("id")?)?, outcome, entry))
}
