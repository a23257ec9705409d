//! How many events the sentinels of one name may publish together: a bucket of tokens in the database.

use sqlx::PgPool;

use crate::error::Error;

/// A limit of the rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Whose it is: sentinels of the same name share it.
    pub name: String,
    /// Tokens that are added in a second.
    pub per_second: f64,
    /// Tokens that the bucket holds.
    pub burst: u32,
}

/// The row is locked before time is read, so that no time is counted twice.
const TAKE: &str = "
WITH bucket AS (
    SELECT name, tokens, filled_time FROM sentinel_rates WHERE name = $1 FOR UPDATE
), filled AS (
    SELECT name, LEAST($3, tokens + $2 * GREATEST(
        EXTRACT(EPOCH FROM clock_timestamp() - filled_time)::float8, 0)) AS tokens
    FROM bucket
)
UPDATE sentinel_rates AS stored
SET tokens = filled.tokens - LEAST(floor(filled.tokens), $4), filled_time = clock_timestamp()
FROM filled WHERE stored.name = filled.name
RETURNING LEAST(floor(filled.tokens), $4)";

/// Takes at most so many tokens; how many there were.
///
/// # Errors
/// When the database cannot answer.
pub async fn take(pool: &PgPool, rate: &Rate, wanted: u32) -> Result<u32, Error> {
    let burst = f64::from(rate.burst);
    let take = async || {
        sqlx::query_scalar::<_, f64>(TAKE)
            .bind(&rate.name)
            .bind(rate.per_second)
            .bind(burst)
            .bind(f64::from(wanted))
            .fetch_optional(pool)
            .await
    };
    let taken = if let Some(taken) = take().await? {
        taken
    } else {
        sqlx::query(
            "INSERT INTO sentinel_rates (name, tokens, filled_time)
             VALUES ($1, $2, clock_timestamp()) ON CONFLICT (name) DO NOTHING",
        )
        .bind(&rate.name)
        .bind(burst)
        .execute(pool)
        .await?;
        take().await?.unwrap_or_default()
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number between 0 and what was wanted"
    )]
    Ok(taken as u32)
}
