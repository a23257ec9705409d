//! Unique keys: taken and given up in the transaction that appends.
//!
//! Keys are inserted in order, so that two processes that want the same ones wait for each other instead
//! of deadlocking. A key that its stream already holds is found by a second look and not inserted again;
//! the stream's head is locked, so nobody gives it up meanwhile.

use std::collections::{BTreeMap, HashSet};

use sqlx::PgConnection;

use super::Queued;
use super::contest::Standing;
use crate::append::{Append, AppendError, StreamId};

/// A key and the transaction and stream that want it.
type Wanted<'a> = BTreeMap<&'a str, (usize, &'a StreamId)>;

/// Takes the claims of those who are winning and marks who loses by them; then gives up the releases of
/// those who still are.
pub(super) async fn settle(
    connection: &mut PgConnection,
    batch: &[Queued],
    standings: &mut [Standing],
) -> Result<(), sqlx::Error> {
    let wanted: Wanted<'_> = of(batch, standings, |append| &append.claims).collect();
    if !wanted.is_empty() {
        take(connection, &wanted, standings).await?;
    }
    let released: Vec<_> = of(batch, standings, |append| &append.releases)
        .map(|(key, (_, stream))| (key, stream))
        .collect();
    if !released.is_empty() {
        release(connection, &released).await?;
    }
    Ok(())
}

fn of<'a>(
    batch: &'a [Queued],
    standings: &[Standing],
    member: impl Fn(&Append) -> &Vec<String>,
) -> impl Iterator<Item = (&'a str, (usize, &'a StreamId))> {
    batch
        .iter()
        .enumerate()
        .filter(|(index, _)| standings[*index] == Standing::Winning)
        .flat_map(|(index, queued)| queued.appends.iter().map(move |append| (index, append)))
        .flat_map(move |(index, append)| {
            member(append)
                .iter()
                .map(move |key| (key.as_str(), (index, &append.stream)))
        })
}

async fn take(
    connection: &mut PgConnection,
    wanted: &Wanted<'_>,
    standings: &mut [Standing],
) -> Result<(), sqlx::Error> {
    let inserted = insert(connection, wanted).await?;
    if inserted.len() == wanted.len() {
        return Ok(());
    }
    let others: Vec<_> = wanted
        .iter()
        .filter(|(key, _)| !inserted.contains(**key))
        .map(|(key, (_, stream))| (*key, *stream))
        .collect();
    let held = held(connection, &others).await?;
    for (key, _) in others {
        if !held.contains(key) {
            let (index, _) = wanted[key];
            standings[index] = Standing::Lost(AppendError::ClaimTaken {
                key: key.to_owned(),
            });
        }
    }
    // A transaction that lost one of its claims must not keep the others. Those that its streams held
    // before are not among the inserted ones.
    let returned: Vec<&String> = inserted
        .iter()
        .filter(|key| standings[wanted[key.as_str()].0] != Standing::Winning)
        .collect();
    if !returned.is_empty() {
        sqlx::query("DELETE FROM claims WHERE key = ANY($1)")
            .bind(returned)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Inserts the keys that are free and returns them.
async fn insert(
    connection: &mut PgConnection,
    wanted: &Wanted<'_>,
) -> Result<HashSet<String>, sqlx::Error> {
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(key, (_, stream))| (*key, *stream))
        .collect();
    let (keys, types, ids) = columns(&wanted);
    let inserted: Vec<String> = sqlx::query_scalar(
        r#"INSERT INTO claims (key, aggregate_type, aggregate_id)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[]) AS wanted (key, type, id)
         ORDER BY wanted.key COLLATE "C"
         ON CONFLICT (key) DO NOTHING RETURNING key"#,
    )
    .bind(keys)
    .bind(types)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// Those of the keys that the stream beside them holds.
async fn held(
    connection: &mut PgConnection,
    keys: &[(&str, &StreamId)],
) -> Result<HashSet<String>, sqlx::Error> {
    let (keys, types, ids) = columns(keys);
    let held: Vec<String> = sqlx::query_scalar(
        "SELECT key FROM claims WHERE (key, aggregate_type, aggregate_id)
             IN (SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[]))",
    )
    .bind(keys)
    .bind(types)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(held.into_iter().collect())
}

async fn release(
    connection: &mut PgConnection,
    keys: &[(&str, &StreamId)],
) -> Result<(), sqlx::Error> {
    let (keys, types, ids) = columns(keys);
    sqlx::query(
        "DELETE FROM claims WHERE (key, aggregate_type, aggregate_id)
             IN (SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[]))",
    )
    .bind(keys)
    .bind(types)
    .bind(ids)
    .execute(connection)
    .await?;
    Ok(())
}

fn columns<'a>(keys: &[(&'a str, &'a StreamId)]) -> (Vec<&'a str>, Vec<&'a str>, Vec<&'a str>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (key, stream) in keys {
        columns.0.push(*key);
        columns.1.push(stream.aggregate_type.as_str());
        columns.2.push(stream.aggregate_id.as_str());
    }
    columns
}
