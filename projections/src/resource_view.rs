//! The resource view: reading resources and their lists.
//!
//! Invariants: a removed resource is never shown; a resource outside the caller's tenant scope is
//! never shown either, by the one condition [`IN_SCOPE`]; a list's items and its total come from one
//! statement, so they agree whatever is written meanwhile.

mod order;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyperfleet_domain::resource::Resource;
use hyperfleet_runtime::http::TenantScope;
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgPool, Row};

pub use self::order::{Order, OrderError};
use crate::error::Error;

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Number of the page, from 1.
    pub number: u32,
    /// Items per page.
    pub size: u32,
}

impl Page {
    pub(crate) fn offset(self) -> i64 {
        i64::from(self.number.saturating_sub(1)) * i64::from(self.size)
    }
}

/// Which live resources a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only what this resource owns.
    pub owner_id: Option<String>,
    /// Only this name.
    pub name: Option<String>,
    /// Only what the caller can see.
    pub scope: TenantScope,
}

/// The condition on a row of `resources` that a tenant scope is: append the number of the parameter,
/// and bind [`scope_parameter`] to it. Index: `resources_of_tenant`.
pub(crate) const IN_SCOPE: &str = "resources.tenancy @> $";

/// The value of the parameter of [`IN_SCOPE`]. The empty scope holds for every row.
pub(crate) fn scope_parameter(scope: &TenantScope) -> Json<&BTreeMap<String, String>> {
    Json(scope.dimensions())
}

/// One page of something, with the number of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Paged<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
}

/// The live resource of that id that the scope sees, whatever its kind.
///
/// # Errors
/// When the database cannot answer, or the stored state cannot be read.
pub async fn get(pool: &PgPool, scope: &TenantScope, id: &str) -> Result<Option<Resource>, Error> {
    if !can_be_stored(id) {
        return Ok(None);
    }
    let sql = format!(
        "SELECT state FROM resources WHERE id = $1 AND removed_time IS NULL AND {IN_SCOPE}2"
    );
    let state: Option<Value> = sqlx::query_scalar(&sql)
        .bind(id)
        .bind(scope_parameter(scope))
        .fetch_optional(pool)
        .await?;
    state.map(|state| read_state(id, &state)).transpose()
}

/// Whether a resource of that id that the scope sees was ever recorded, live or removed, and of which
/// kind and owner.
///
/// # Errors
/// When the database cannot answer.
pub async fn identify(
    pool: &PgPool,
    scope: &TenantScope,
    id: &str,
) -> Result<Option<Identity>, Error> {
    if !can_be_stored(id) {
        return Ok(None);
    }
    let sql = format!("SELECT id, kind, owner_id FROM resources WHERE id = $1 AND {IN_SCOPE}2");
    let row = sqlx::query(&sql)
        .bind(id)
        .bind(scope_parameter(scope))
        .fetch_optional(pool)
        .await?;
    row.map(|row| {
        Ok(Identity {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            owner_id: row.try_get("owner_id")?,
        })
    })
    .transpose()
}

/// What never changes about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The id of its owner, for a child kind.
    pub owner_id: Option<String>,
}

/// One page of the live resources that `filter` lets through.
///
/// # Errors
/// When the database cannot answer, or a stored state cannot be read.
pub async fn list(
    pool: &PgPool,
    filter: &Filter,
    order: &Order,
    page: Page,
) -> Result<Paged<Resource>, Error> {
    let sql = list_sql(filter, order);
    let mut query = sqlx::query(&sql)
        .bind(i64::from(page.size))
        .bind(page.offset());
    for value in [&filter.kind, &filter.owner_id, &filter.name]
        .into_iter()
        .flatten()
    {
        query = query.bind(value);
    }
    if !filter.scope.is_everything() {
        query = query.bind(scope_parameter(&filter.scope));
    }
    let rows = query.fetch_all(pool).await?;
    paged(&rows, |row| {
        let id: Option<String> = row.try_get("id")?;
        let Some(id) = id else { return Ok(None) };
        read_state(&id, &row.try_get("state")?).map(Some)
    })
}

/// The total stands on every row; when the page is empty, on one row without an item.
fn list_sql(filter: &Filter, order: &Order) -> String {
    let mut condition = "removed_time IS NULL".to_owned();
    let columns = [
        ("kind", filter.kind.is_some()),
        ("owner_id", filter.owner_id.is_some()),
        ("name", filter.name.is_some()),
    ];
    let mut number = 3;
    for (column, _) in columns.into_iter().filter(|(_, used)| *used) {
        // Writing to a String cannot fail.
        let _ = write!(condition, " AND {column} = ${number}");
        number += 1;
    }
    // Left out when everything is seen, so that lists without tenants are planned as ever.
    if !filter.scope.is_everything() {
        let _ = write!(condition, " AND {IN_SCOPE}{number}");
    }
    let order = order.sql();
    format!(
        "SELECT total.total, page.id, page.state
         FROM (SELECT count(*) AS total FROM resources WHERE {condition}) AS total
         LEFT JOIN (
             SELECT id, state, row_number() OVER (ORDER BY {order}) AS place
             FROM resources WHERE {condition}
             ORDER BY {order} LIMIT $1 OFFSET $2
         ) AS page ON true
         ORDER BY page.place"
    )
}

/// Whether there can be such a text in the database: PostgreSQL cannot be asked for a NUL character.
pub(crate) fn can_be_stored(text: &str) -> bool {
    !text.contains('\0')
}

/// Reads rows that each carry `total` and perhaps an item.
pub(crate) fn paged<T>(
    rows: &[sqlx::postgres::PgRow],
    mut item: impl FnMut(&sqlx::postgres::PgRow) -> Result<Option<T>, Error>,
) -> Result<Paged<T>, Error> {
    let total: i64 = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
    let items = rows
        .iter()
        .filter_map(|row| item(row).transpose())
        .collect::<Result<_, _>>()?;
    Ok(Paged {
        items,
        total: unsigned("total", total)?,
    })
}

/// A count or sequence of the database as the unsigned number that it is.
pub(crate) fn unsigned(column: &'static str, value: i64) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_| Error::OutOfRange { column, value })
}

/// The state of a resource as the domain knows it.
pub(crate) fn read_state(resource_id: &str, state: &Value) -> Result<Resource, Error> {
    Resource::deserialize(state).map_err(|source| Error::UnreadableState {
        resource_id: resource_id.to_owned(),
        source,
    })
}
