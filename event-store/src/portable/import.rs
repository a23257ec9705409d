//! Reading a log from a file into an empty database, all or nothing.

use std::collections::BTreeMap;

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::io::AsyncBufRead;

use super::{Claim, Entry, Header, Lines, PortableError};
use crate::append::StreamId;
use crate::recorded::RecordedEvent;

/// Rows in one statement.
const BATCH: usize = 1000;

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The file's first line.
    pub header: Header,
}

/// Reads a whole log into an empty database in one transaction: positions, times and hashes as they were.
/// Every chain is recomputed on the way. `read` is told of every batch of events. The read models are not
/// written.
///
/// # Errors
/// When the database is not empty, a line is not what was exported, or the database refuses. Nothing is
/// written then.
pub async fn import<R: AsyncBufRead + Unpin>(
    pool: &PgPool,
    reader: R,
    mut read: impl FnMut(&Header, usize),
) -> Result<Imported, PortableError> {
    let mut lines = Lines::new(reader);
    let mut checker = lines.begin().await?;
    let header = checker.header().clone();
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    // Nobody else may write the first event meanwhile.
    sqlx::query("LOCK TABLE events, streams, claims IN EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    refuse_rows(&mut transaction).await?;
    let (mut events, mut claims) = (Vec::with_capacity(BATCH), Vec::new());
    while let Some(line) = lines.next().await? {
        match checker.check(line)? {
            Entry::Event(event) => events.push(*event),
            Entry::Claim(claim) => claims.push(claim),
        }
        if events.len() >= BATCH {
            insert_events(&mut transaction, &events).await?;
            read(&header, events.len());
            events.clear();
        }
    }
    let heads = checker.finish()?;
    insert_events(&mut transaction, &events).await?;
    read(&header, events.len());
    insert_heads(&mut transaction, &heads).await?;
    for some in claims.chunks(BATCH) {
        insert_claims(&mut transaction, some).await?;
    }
    if header.position > 0 {
        sqlx::query("SELECT setval('event_position', $1)")
            .bind(header.position.cast_signed())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(Imported { header })
}

async fn refuse_rows(connection: &mut PgConnection) -> Result<(), PortableError> {
    for table in ["events", "streams", "claims"] {
        let has_rows: bool = sqlx::query_scalar(&format!("SELECT EXISTS (SELECT FROM {table})"))
            .fetch_one(&mut *connection)
            .await?;
        if has_rows {
            return Err(PortableError::NotEmpty(table));
        }
    }
    Ok(())
}

async fn insert_events(
    connection: &mut PgConnection,
    events: &[RecordedEvent],
) -> Result<(), PortableError> {
    let texts = |read: fn(&RecordedEvent) -> String| events.iter().map(read).collect::<Vec<_>>();
    let numbers = |read: fn(&RecordedEvent) -> u64| {
        let signed = |event| read(event).cast_signed();
        events.iter().map(signed).collect::<Vec<i64>>()
    };
    sqlx::query(
        "INSERT INTO live_events (aggregate_type, aggregate_id, sequence, event_type, event_version,
             payload, metadata, position, recorded_at, hash)
         SELECT aggregate_type, aggregate_id, sequence, event_type, event_version,
             payload::jsonb, metadata::jsonb, position, recorded_at, hash
         FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
             $8::bigint[], $9::timestamptz[], $10::bytea[])
             AS read (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
                 position, recorded_at, hash)",
    )
    .bind(texts(|event| event.stream.aggregate_type.clone()))
    .bind(texts(|event| event.stream.aggregate_id.clone()))
    .bind(numbers(|event| event.sequence))
    .bind(texts(|event| event.event_type.clone()))
    .bind(texts(|event| event.event_version.clone()))
    .bind(texts(|event| event.payload.to_string()))
    .bind(texts(|event| event.metadata.to_string()))
    .bind(numbers(|event| event.position))
    .bind(events.iter().map(|event| event.recorded_at).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.hash.clone()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_heads(
    connection: &mut PgConnection,
    heads: &BTreeMap<StreamId, (u64, Vec<u8>)>,
) -> Result<(), PortableError> {
    let all: Vec<(&StreamId, &(u64, Vec<u8>))> = heads.iter().collect();
    for some in all.chunks(BATCH) {
        let types: Vec<&str> = some
            .iter()
            .map(|(stream, _)| stream.aggregate_type.as_str())
            .collect();
        let ids: Vec<&str> = some
            .iter()
            .map(|(stream, _)| stream.aggregate_id.as_str())
            .collect();
        let versions: Vec<i64> = some
            .iter()
            .map(|(_, (version, _))| version.cast_signed())
            .collect();
        let hashes: Vec<&[u8]> = some.iter().map(|(_, (_, hash))| hash.as_slice()).collect();
        sqlx::query(
            "INSERT INTO streams (aggregate_type, aggregate_id, version, hash)
             SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bytea[])",
        )
        .bind(types)
        .bind(ids)
        .bind(versions)
        .bind(hashes)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn insert_claims(
    connection: &mut PgConnection,
    claims: &[Claim],
) -> Result<(), PortableError> {
    let texts = |read: fn(&Claim) -> &str| claims.iter().map(read).collect::<Vec<&str>>();
    sqlx::query(
        "INSERT INTO claims (key, aggregate_type, aggregate_id)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[])",
    )
    .bind(texts(|claim| &claim.key))
    .bind(texts(|claim| &claim.stream.aggregate_type))
    .bind(texts(|claim| &claim.stream.aggregate_id))
    .execute(connection)
    .await?;
    Ok(())
}
