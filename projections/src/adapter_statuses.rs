//! Adapter statuses: reading what adapters last reported about a resource.

use serde_json::Value;
use sqlx::{PgPool, Row};

use crate::error::Error;
use crate::resource_view::{Page, Paged, paged};

/// One page of the statuses of a resource, by adapter name, each exactly as the API shows it.
///
/// # Errors
/// When the database cannot answer.
pub async fn list(pool: &PgPool, resource_id: &str, page: Page) -> Result<Paged<Value>, Error> {
    let rows = sqlx::query(
        "SELECT total.total, page.status
         FROM (SELECT count(*) AS total FROM adapter_statuses WHERE resource_id = $1) AS total
         LEFT JOIN (
             SELECT adapter, status FROM adapter_statuses WHERE resource_id = $1
             ORDER BY adapter LIMIT $2 OFFSET $3
         ) AS page ON true
         ORDER BY page.adapter",
    )
    .bind(resource_id)
    .bind(i64::from(page.size))
    .bind(page.offset())
    .fetch_all(pool)
    .await?;
    paged(&rows, |row| Ok(row.try_get("status")?))
}
