//! The resource view: reading resources and their lists.
//!
//! Invariants: a removed resource is never shown; a list's items and its total come from one
//! statement, so they agree whatever is written meanwhile.

mod order;

use std::fmt::Write as _;

use hyperfleet_domain::resource::Resource;
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::{PgPool, Row};

pub use self::order::{Order, OrderError};
use crate::error::Error;
use crate::keyset::{Position, SortValue};

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
}

impl Filter {
    /// The values to compare with, in the order of their places in the statement.
    fn values(&self) -> impl Iterator<Item = &String> {
        [&self.kind, &self.owner_id, &self.name]
            .into_iter()
            .flatten()
    }
}

/// One page of something, with the number of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Paged<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
}

/// The live resource of that id, whatever its kind.
///
/// # Errors
/// When the database cannot answer, or the stored state cannot be read.
pub async fn get(pool: &PgPool, id: &str) -> Result<Option<Resource>, Error> {
    let found = get_versioned(pool, id).await?;
    Ok(found.map(|found| found.resource))
}

/// A resource and the version of its stream that it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned {
    /// The resource.
    pub resource: Resource,
    /// Sequence of the last event in it.
    pub version: u64,
}

/// The live resource of that id with its version; see [`get`].
///
/// # Errors
/// When the database cannot answer, or the stored state cannot be read.
pub async fn get_versioned(pool: &PgPool, id: &str) -> Result<Option<Versioned>, Error> {
    if !can_be_stored(id) {
        return Ok(None);
    }
    let row =
        sqlx::query("SELECT state, version FROM resources WHERE id = $1 AND removed_time IS NULL")
            .bind(id)
            .fetch_optional(pool)
            .await?;
    row.map(|row| {
        Ok(Versioned {
            resource: read_state(id, &row.try_get("state")?)?,
            version: unsigned("version", row.try_get("version")?)?,
        })
    })
    .transpose()
}

/// Whether a resource of that id was ever recorded, live or removed, and of which kind and owner.
///
/// # Errors
/// When the database cannot answer.
pub async fn identify(pool: &PgPool, id: &str) -> Result<Option<Identity>, Error> {
    if !can_be_stored(id) {
        return Ok(None);
    }
    let row = sqlx::query("SELECT id, kind, owner_id FROM resources WHERE id = $1")
        .bind(id)
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
    let sql = list_sql(filter, order, "");
    let mut query = sqlx::query(&sql)
        .bind(i64::from(page.size))
        .bind(page.offset());
    for value in filter.values() {
        query = query.bind(value);
    }
    let rows = query.fetch_all(pool).await?;
    paged(&rows, listed)
}

/// The live resources that `filter` lets through, after a position in `order`: at most `size` of
/// them, and whether more follow.
///
/// # Errors
/// When the database cannot answer, or a stored state cannot be read.
pub async fn list_after(
    pool: &PgPool,
    filter: &Filter,
    order: &Order,
    position: &Position,
    size: u32,
) -> Result<(Paged<Resource>, bool), Error> {
    let (mut place, mut values) = (2 + filter.values().count(), Vec::new());
    let after = position.condition(order, |value| {
        place += 1;
        values.push(value.clone());
        format!("${place}")
    });
    let sql = list_sql(filter, order, &format!(" AND {after}"));
    // One more than shown tells whether more follow.
    let mut query = sqlx::query(&sql).bind(i64::from(size) + 1).bind(0_i64);
    for value in filter.values() {
        query = query.bind(value);
    }
    for value in values {
        query = match value {
            SortValue::Null => query,
            SortValue::Text(text) => query.bind(text),
            SortValue::Time(time) => query.bind(time),
            SortValue::Integer(number) => query.bind(number),
            SortValue::Json(json) => query.bind(json),
        };
    }
    let rows = query.fetch_all(pool).await?;
    let mut found = paged(&rows, listed)?;
    let limit = usize::try_from(size).unwrap_or(usize::MAX);
    let more = found.items.len() > limit;
    found.items.truncate(limit);
    Ok((found, more))
}

fn listed(row: &sqlx::postgres::PgRow) -> Result<Option<Resource>, Error> {
    let id: Option<String> = row.try_get("id")?;
    let Some(id) = id else { return Ok(None) };
    read_state(&id, &row.try_get("state")?).map(Some)
}

/// The total stands on every row; when the page is empty, on one row without an item. `after`
/// narrows the page but not the total.
fn list_sql(filter: &Filter, order: &Order, after: &str) -> String {
    let mut condition = "removed_time IS NULL".to_owned();
    let columns = [
        ("kind", filter.kind.is_some()),
        ("owner_id", filter.owner_id.is_some()),
        ("name", filter.name.is_some()),
    ];
    let used = columns.into_iter().filter(|(_, used)| *used);
    for (number, (column, _)) in (3..).zip(used) {
        // Writing to a String cannot fail.
        let _ = write!(condition, " AND {column} = ${number}");
    }
    let order = order.sql();
    format!(
        "SELECT total.total, page.id, page.state
         FROM (SELECT count(*) AS total FROM resources WHERE {condition}) AS total
         LEFT JOIN (
             SELECT id, state, row_number() OVER (ORDER BY {order}) AS place
             FROM resources WHERE {condition}{after}
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
