//! Writing the log to a file, as of one moment.

use futures::TryStreamExt as _;
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, PgPool, Row as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{Claim, ClaimLine, EventLine, FORMAT, Header, PortableError, Running, VERSION, heads};
use crate::append::StreamId;
use crate::recorded::RecordedEvent;

/// Writes the whole log, in one snapshot of the database. Writers go on meanwhile. `written` is told of every
/// event.
///
/// # Errors
/// When the log cannot be read, or the file not written.
pub async fn export<W: AsyncWrite + Unpin>(
    pool: &PgPool,
    writer: &mut W,
    mut written: impl FnMut(&Header),
) -> Result<Header, PortableError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let header = header(&mut transaction).await?;
    let first = serde_json::to_string(&header).map_err(std::io::Error::from)?;
    let mut running = Running::of_header(&first);
    writer.write_all(format!("{first}\n").as_bytes()).await?;
    let query = RecordedEvent::query("position > 0 ORDER BY position");
    let mut rows = sqlx::query(&query).fetch(&mut *transaction);
    while let Some(row) = rows.try_next().await? {
        let event = RecordedEvent::from_row(&row)?;
        let log = running.event(event.position, &event.hash);
        let line = EventLine {
            log,
            position: event.position,
            r#type: event.stream.aggregate_type,
            id: event.stream.aggregate_id,
            sequence: event.sequence,
            event_type: event.event_type,
            event_version: event.event_version,
            recorded_at: event.recorded_at,
            payload: event.payload,
            metadata: event.metadata,
            hash: hex::encode(event.hash),
        };
        write_line(writer, &line).await?;
        written(&header);
    }
    drop(rows);
    let claims = "SELECT key, aggregate_type, aggregate_id FROM claims ORDER BY key";
    let mut rows = sqlx::query(claims).fetch(&mut *transaction);
    while let Some(row) = rows.try_next().await? {
        let claim = Claim {
            key: row.try_get(0)?,
            stream: StreamId::new(row.try_get::<String, _>(1)?, row.try_get::<String, _>(2)?),
        };
        let line = ClaimLine {
            log: running.claim(&claim),
            claim: claim.key,
            r#type: claim.stream.aggregate_type,
            id: claim.stream.aggregate_id,
        };
        write_line(writer, &line).await?;
    }
    drop(rows);
    writer.flush().await?;
    transaction.rollback().await?;
    Ok(header)
}

async fn header(connection: &mut PgConnection) -> Result<Header, PortableError> {
    let row = sqlx::query(
        "SELECT now() AS exported_at,
             (SELECT coalesce(max(position), 0) FROM live_events) AS position,
             (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM claims) AS claims",
    )
    .fetch_one(&mut *connection)
    .await?;
    let unsigned = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    let all = heads::read(connection).await?;
    let streams: Vec<(StreamId, u64, Vec<u8>)> = all;
    Ok(Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        exported_at: row.try_get("exported_at")?,
        position: unsigned("position")?,
        events: unsigned("events")?,
        claims: unsigned("claims")?,
        streams: streams.len() as u64,
        heads: heads::digest(
            streams
                .iter()
                .map(|(stream, version, hash)| (stream, *version, hash.as_slice())),
        ),
    })
}

async fn write_line<W: AsyncWrite + Unpin>(
    writer: &mut W,
    line: &impl Serialize,
) -> Result<(), PortableError> {
    let mut text = serde_json::to_vec(line).map_err(std::io::Error::from)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    Ok(())
}
