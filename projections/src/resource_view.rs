//! The resource view: reading resources and their lists.
//!
//! Invariants: a removed resource is never shown; a resource outside the caller's tenant scope is
//! never shown either, by the one condition `IN_SCOPE`; a list's items and its total come from one
//! statement, so they agree whatever is written meanwhile.

mod order;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyperfleet_domain::resource::Resource;
use hyperfleet_runtime::http::TenantScope;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgPool, Row};

pub use self::order::{Order, OrderError};
use crate::error::Error;
use crate::keyset::Position;
use crate::search::{self, keys};
use crate::statement::{Bind, Binds};

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

/// Which live resources a list holds: those that every part lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only what this resource owns.
    pub owner_id: Option<String>,
    /// Only this name.
    pub name: Option<String>,
    /// Only what refers to another resource.
    pub reference: Option<ReferenceFilter>,
    /// Only what a search finds.
    pub search: Option<search::Predicate>,
    /// Only what the caller can see.
    pub scope: TenantScope,
}

/// A reference that resources of a list have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceFilter {
    /// Its type.
    pub ref_type: String,
    /// Id of its target.
    pub target_id: String,
}

/// The condition on a row of `resources` that a tenant scope is: append the number of the parameter,
/// and bind [`scope_parameter`] to it. Index: `resources_of_tenant`.
pub(crate) const IN_SCOPE: &str = "resources.tenancy @> $";

/// The value of the parameter of [`IN_SCOPE`]. The empty scope holds for every row.
pub(crate) fn scope_parameter(scope: &TenantScope) -> Json<&BTreeMap<String, String>> {
    Json(scope.dimensions())
}

impl Filter {
    /// The condition on rows of `resources`.
    pub(crate) fn sql(&self, binds: &mut Binds) -> String {
        let mut condition = "removed_time IS NULL".to_owned();
        let columns = [
            ("kind", &self.kind),
            ("owner_id", &self.owner_id),
            ("name", &self.name),
        ];
        for (column, value) in columns {
            if let Some(value) = value {
                let _ = write!(condition, " AND {column} = {}", binds.text(value));
            }
        }
        // Left out when everything is seen, so that lists without tenants are planned as ever.
        if !self.scope.is_everything() {
            let dimensions = self.scope.dimensions();
            let dimensions = serde_json::json!(dimensions);
            let _ = write!(
                condition,
                " AND tenancy @> {}",
                binds.add(Bind::Json(dimensions))
            );
        }
        if let Some(reference) = &self.reference {
            let key = keys::reference(&reference.ref_type, &reference.target_id);
            let key = binds.add(Bind::Texts(vec![key]));
            let _ = write!(condition, " AND search_keys @> {key}");
        }
        if let Some(search) = &self.search {
            let searched = search.sql(&condition, binds);
            let _ = write!(condition, " AND {searched}");
        }
        condition
    }

    /// How many it lets through, as a query on the counts that are kept, when they tell.
    fn kept_total(&self, binds: &mut Binds) -> Option<String> {
        let Self {
            kind,
            owner_id: None,
            name: None,
            reference: None,
            search: None,
            scope,
        } = self
        else {
            return None;
        };
        if !scope.is_everything() {
            return None;
        }
        let of_kind = kind.as_ref().map_or(String::new(), |kind| {
            format!(" WHERE kind = {}", binds.text(kind))
        });
        Some(format!(
            "SELECT coalesce(sum(live), 0)::bigint AS total FROM resource_counts{of_kind}"
        ))
    }

    /// Whether what it lets through has to be looked up instead of being read in order.
    fn selects(&self) -> bool {
        self.reference.is_some() || self.search.is_some()
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

/// The live resource of that id that the scope sees, whatever its kind.
///
/// # Errors
/// When the database cannot answer, or the stored state cannot be read.
pub async fn get(pool: &PgPool, scope: &TenantScope, id: &str) -> Result<Option<Resource>, Error> {
    let found = get_versioned(pool, scope, id).await?;
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
pub async fn get_versioned(
    pool: &PgPool,
    scope: &TenantScope,
    id: &str,
) -> Result<Option<Versioned>, Error> {
    if !can_be_stored(id) {
        return Ok(None);
    }
    let sql = get_statement();
    let row = sqlx::query(&sql)
        .bind(id)
        .bind(scope_parameter(scope))
        .fetch_optional(pool)
        .await?;
    row.map(|row| {
        Ok(Versioned {
            resource: read_state(id, &row)?,
            version: unsigned("version", row.try_get("version")?)?,
        })
    })
    .transpose()
}

/// The statement of [`get_versioned`]: `$1` is the id, `$2` the dimensions of the scope as JSON.
pub fn get_statement() -> String {
    format!(
        "SELECT state, version FROM resources
         WHERE id = $1 AND removed_time IS NULL AND {IN_SCOPE}2"
    )
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

/// The position of the event that removed a resource; `None` while it is there.
///
/// # Errors
/// When the database cannot answer.
pub(crate) async fn removal(pool: &PgPool, id: &str) -> Result<Option<u64>, Error> {
    let position: Option<i64> = sqlx::query_scalar(
        "SELECT events.position FROM resources
         JOIN events ON aggregate_type = $2 AND aggregate_id = id AND sequence = version
         WHERE id = $1 AND removed_time IS NOT NULL",
    )
    .bind(id)
    .bind(crate::AGGREGATE_TYPE)
    .fetch_optional(pool)
    .await?;
    Ok(position.map(i64::unsigned_abs))
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
    read_list(pool, filter, order, Part::of(page)).await
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
    let part = Part {
        // One more than shown tells whether more follow.
        limit: i64::from(size) + 1,
        offset: 0,
        after: Some(position),
    };
    let mut found = read_list(pool, filter, order, part).await?;
    let limit = usize::try_from(size).unwrap_or(usize::MAX);
    let more = found.items.len() > limit;
    found.items.truncate(limit);
    Ok((found, more))
}

async fn read_list(
    pool: &PgPool,
    filter: &Filter,
    order: &Order,
    part: Part<'_>,
) -> Result<Paged<Resource>, Error> {
    let mut binds = Binds::default();
    let sql = list_sql(filter, order, part, &mut binds);
    // A search is planned with its values: how common they are decides between the indexes.
    let query = binds.query(&sql).persistent(!filter.selects());
    let rows = query.fetch_all(pool).await?;
    paged(&rows, |row| {
        let id: Option<String> = row.try_get("id")?;
        let Some(id) = id else { return Ok(None) };
        read_state(&id, row).map(Some)
    })
}

/// The statement of [`list`]. Of a list of one kind `$1` and `$4` are the kind, `$2` the size of the
/// page and `$3` how many items come before it.
pub fn list_statement(filter: &Filter, order: &Order, page: Page) -> String {
    list_sql(filter, order, Part::of(page), &mut Binds::default())
}

/// How the database would answer such a list, line by line as EXPLAIN says it; with `analyze` it
/// answers the list, and says how long each step took.
///
/// # Errors
/// When the database cannot answer.
pub async fn plan(
    pool: &PgPool,
    filter: &Filter,
    order: &Order,
    page: Page,
    analyze: bool,
) -> Result<Vec<String>, Error> {
    let mut binds = Binds::default();
    let sql = list_sql(filter, order, Part::of(page), &mut binds);
    let explain = if analyze {
        "EXPLAIN (ANALYZE, COSTS OFF)"
    } else {
        "EXPLAIN (COSTS OFF)"
    };
    let sql = format!("{explain} {sql}");
    let rows = binds.query(&sql).persistent(false).fetch_all(pool).await?;
    let lines = rows.iter().map(|row| row.try_get(0));
    Ok(lines.collect::<Result<_, _>>()?)
}

/// How many live resources a filter lets through.
///
/// # Errors
/// When the database cannot answer.
pub async fn count(pool: &PgPool, filter: &Filter) -> Result<u64, Error> {
    let mut binds = Binds::default();
    let condition = filter.sql(&mut binds);
    let sql = format!("SELECT count(*) AS total FROM resources WHERE {condition}");
    let row = binds.query(&sql).fetch_one(pool).await?;
    unsigned("total", row.try_get("total")?)
}

/// Makes the resources that a filter lets through due now, as if they had changed: whoever holds them loses
/// them, and their attempts begin again. Returns how many there were.
///
/// # Errors
/// When the database cannot answer.
pub async fn make_due(pool: &PgPool, filter: &Filter) -> Result<u64, Error> {
    let mut binds = Binds::default();
    let condition = filter.sql(&mut binds);
    // Rows are locked in the order of ids, as appends do.
    let sql = format!(
        "WITH locked AS (
             SELECT resource_id FROM reconcile_queue
             WHERE resource_id IN (SELECT id FROM resources WHERE {condition})
             ORDER BY resource_id FOR UPDATE
         )
         UPDATE reconcile_queue AS queue SET due_time = LEAST(due_time, now()), attempt = 0,
             priority = LEAST(priority, 1), claimed_until = NULL, claim_token = NULL
         FROM locked WHERE queue.resource_id = locked.resource_id"
    );
    let updated = binds.query(&sql).execute(pool).await?;
    Ok(updated.rows_affected())
}

/// Which rows of a list to read.
#[derive(Clone, Copy)]
struct Part<'a> {
    limit: i64,
    offset: i64,
    /// Only what comes after; the total counts the rest as well.
    after: Option<&'a Position>,
}

impl Part<'_> {
    /// A page by its number.
    fn of(page: Page) -> Self {
        Self {
            limit: page.size.into(),
            offset: page.offset(),
            after: None,
        }
    }
}

/// The total stands on every row; when the page is empty, on one row without an item. States are
/// read for the page only. What has to be looked up is looked up once, for both; how many there are
/// of a kind is not counted but kept.
fn list_sql(filter: &Filter, order: &Order, part: Part<'_>, binds: &mut Binds) -> String {
    let condition = filter.sql(binds);
    let limit = binds.add(Bind::Integer(part.limit));
    let offset = binds.add(Bind::Integer(part.offset));
    let after = part.after.map_or("true".to_owned(), |position| {
        position.condition(order, binds)
    });
    let columns = order.columns().join(", ");
    let (with, found, following) = if filter.selects() {
        (
            format!(
                "WITH found AS MATERIALIZED (SELECT {columns} FROM resources WHERE {condition}) "
            ),
            "found".to_owned(),
            format!("found WHERE {after}"),
        )
    } else {
        let found = format!("resources WHERE {condition}");
        let following = format!("{found} AND {after}");
        (String::new(), found, following)
    };
    let total = filter
        .kept_total(binds)
        .unwrap_or_else(|| format!("SELECT count(*) AS total FROM {found}"));
    format!(
        "{with}SELECT total.total, resources.id, resources.state
         FROM ({total}) AS total
         LEFT JOIN (
             SELECT {columns} FROM {following} ORDER BY {} LIMIT {limit} OFFSET {offset}
         ) AS page ON true
         LEFT JOIN resources ON resources.id = page.id
         ORDER BY {}",
        order.sql(""),
        order.sql("page.")
    )
}

/// Whether there can be such a text in the database: PostgreSQL cannot be asked for a NUL character.
pub(crate) fn can_be_stored(text: &str) -> bool {
    !text.contains('\0')
}

/// Reads rows that each carry `total` and perhaps an item.
pub(crate) fn paged<T>(
    rows: &[PgRow],
    mut item: impl FnMut(&PgRow) -> Result<Option<T>, Error>,
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

/// The column `state` of a row as the domain knows it.
pub(crate) fn read_state(resource_id: &str, row: &PgRow) -> Result<Resource, Error> {
    let (index, source) = match row.try_get("state") {
        Ok(Json(resource)) => return Ok(resource),
        Err(sqlx::Error::ColumnDecode { index, source }) => (index, source),
        Err(error) => return Err(error.into()),
    };
    match source.downcast() {
        Ok(source) => Err(Error::UnreadableState {
            resource_id: resource_id.to_owned(),
            source: *source,
        }),
        Err(source) => Err(sqlx::Error::ColumnDecode { index, source }.into()),
    }
}
