//! Receipts, written in the transaction that they are about. Keys are inserted in order, before any
//! claim: two processes that want the same ones wait for each other instead of deadlocking, and who
//! loses here has taken no claim that must be given back.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::PgConnection;

use super::Queued;
use super::contest::Standing;
use crate::append::AppendError;
use crate::receipt::Receipt;

/// Writes the receipts of those who are winning and marks who loses by them: a receipt of that key
/// lives, so what its transaction does was done before.
pub(super) async fn take(
    connection: &mut PgConnection,
    batch: &[Queued],
    standings: &mut [Standing],
) -> Result<(), sqlx::Error> {
    // In the order of keys. One batch has each key once; see `batch`.
    let wanted: BTreeMap<&str, (usize, &Receipt)> = winning(batch, standings)
        .map(|(index, receipt)| (receipt.key.as_str(), (index, receipt)))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = wanted.keys().copied().collect();
    let values: Vec<&Value> = wanted.values().map(|(_, receipt)| &receipt.value).collect();
    let seconds: Vec<f64> = wanted
        .values()
        .map(|(_, receipt)| receipt.lifetime.as_secs_f64())
        .collect();
    let written: Vec<String> = sqlx::query_scalar(
        r#"INSERT INTO receipts AS stored (key, value, recorded_at, expires_at)
         SELECT key, value, clock_timestamp(), clock_timestamp() + lifetime * interval '1 second'
         FROM UNNEST($1::text[], $2::jsonb[], $3::double precision[]) AS wanted (key, value, lifetime)
         ORDER BY wanted.key COLLATE "C"
         ON CONFLICT (key) DO UPDATE SET value = excluded.value,
             recorded_at = excluded.recorded_at, expires_at = excluded.expires_at
         WHERE stored.expires_at <= clock_timestamp()
         RETURNING key"#,
    )
    .bind(keys)
    .bind(values)
    .bind(seconds)
    .fetch_all(connection)
    .await?;
    for (key, (index, _)) in wanted {
        if !written.iter().any(|other| other == key) {
            standings[index] = Standing::Lost(AppendError::ReceiptTaken {
                key: key.to_owned(),
            });
        }
    }
    Ok(())
}

/// Takes back the receipts of those who were winning when they were written and then lost by a claim.
pub(super) async fn give_back(
    connection: &mut PgConnection,
    batch: &[Queued],
    standings: &[Standing],
) -> Result<(), sqlx::Error> {
    let lost_a_claim =
        |standing: &Standing| matches!(standing, Standing::Lost(AppendError::ClaimTaken { .. }));
    let keys: Vec<&str> = batch
        .iter()
        .zip(standings)
        .filter(|(_, standing)| lost_a_claim(standing))
        .filter_map(|(queued, _)| queued.receipt.as_ref())
        .map(|receipt| receipt.key.as_str())
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM receipts WHERE key = ANY($1)")
        .bind(keys)
        .execute(connection)
        .await?;
    Ok(())
}

fn winning<'a>(
    batch: &'a [Queued],
    standings: &[Standing],
) -> impl Iterator<Item = (usize, &'a Receipt)> {
    batch
        .iter()
        .enumerate()
        .filter(|(index, _)| standings[*index] == Standing::Winning)
        .filter_map(|(index, queued)| queued.receipt.as_ref().map(|receipt| (index, receipt)))
}
