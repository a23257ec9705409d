//! Verifying many streams at a time: one pass over the events of a page of streams, in one snapshot.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::{ChainFault, ChainFaultKind, GENESIS, verify};
use crate::append::StreamId;
use crate::error::Error;
use crate::recorded::RecordedEvent;

/// What was found on a page of streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifiedPage {
    /// How many streams there were.
    pub streams: u64,
    /// The first fault of each stream that is not what was recorded.
    pub faults: Vec<ChainFault>,
    /// The stream to go on after; none when this was the last page.
    pub last: Option<StreamId>,
}

/// Version and hash.
type Head = (u64, Vec<u8>);

/// A stream whose events are coming by.
struct Current {
    stream: StreamId,
    reached: Head,
    is_broken: bool,
}

/// Verifies the streams after one, at most `limit` that have a head. Events between them that have none are
/// faults, too.
pub(crate) async fn verify_page(
    connection: &mut PgConnection,
    after: Option<&StreamId>,
    limit: usize,
) -> Result<VerifiedPage, Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let mut heads = heads(&mut transaction, after, limit).await?;
    let mut page = VerifiedPage {
        last: (heads.len() >= limit)
            .then(|| heads.keys().next_back().cloned())
            .flatten(),
        ..VerifiedPage::default()
    };
    let query = RecordedEvent::query(
        "(aggregate_type, aggregate_id) > ($1, $2)
             AND ($3::text IS NULL OR (aggregate_type, aggregate_id) <= ($3, $4))
         ORDER BY aggregate_type, aggregate_id, sequence",
    );
    let last = page.last.clone();
    let mut rows = sqlx::query(&query)
        .bind(after.map_or("", |stream| stream.aggregate_type.as_str()))
        .bind(after.map_or("", |stream| stream.aggregate_id.as_str()))
        .bind(last.as_ref().map(|stream| &stream.aggregate_type))
        .bind(last.as_ref().map(|stream| &stream.aggregate_id))
        .fetch(&mut *transaction);
    let mut current: Option<Current> = None;
    while let Some(row) = rows.try_next().await? {
        let event = RecordedEvent::from_row(&row)?;
        if current
            .as_ref()
            .is_none_or(|current| current.stream != event.stream)
        {
            let next = Current {
                stream: event.stream.clone(),
                reached: (0, GENESIS.to_vec()),
                is_broken: false,
            };
            page.close(current.replace(next), &mut heads);
        }
        if let Some(current) = current.as_mut().filter(|current| !current.is_broken) {
            let reached = std::mem::take(&mut current.reached);
            match verify(&current.stream, reached, std::slice::from_ref(&event)) {
                Ok(reached) => current.reached = reached,
                Err(fault) => {
                    page.faults.push(fault);
                    current.is_broken = true;
                }
            }
        }
    }
    drop(rows);
    page.close(current, &mut heads);
    for stream in heads.into_keys() {
        page.streams += 1;
        page.faults.push(ChainFault {
            stream,
            sequence: 1,
            kind: ChainFaultKind::Missing,
        });
    }
    transaction.rollback().await?;
    Ok(page)
}

impl VerifiedPage {
    /// Compares the end of a stream with its head.
    fn close(&mut self, current: Option<Current>, heads: &mut BTreeMap<StreamId, Head>) {
        let Some(Current {
            stream,
            reached,
            is_broken,
        }) = current
        else {
            return;
        };
        self.streams += 1;
        let head = heads.remove(&stream);
        if is_broken || head.as_ref() == Some(&reached) {
            return;
        }
        let (sequence, kind) = if head.is_some_and(|(version, _)| reached.0 < version) {
            (reached.0 + 1, ChainFaultKind::Missing)
        } else {
            (reached.0, ChainFaultKind::HeadDiffers)
        };
        self.faults.push(ChainFault {
            stream,
            sequence,
            kind,
        });
    }
}

async fn heads(
    connection: &mut PgConnection,
    after: Option<&StreamId>,
    limit: usize,
) -> Result<BTreeMap<StreamId, Head>, Error> {
    let rows = sqlx::query(
        "SELECT aggregate_type, aggregate_id, version, hash FROM streams
         WHERE (aggregate_type, aggregate_id) > ($1, $2) ORDER BY 1, 2 LIMIT $3",
    )
    .bind(after.map_or("", |stream| stream.aggregate_type.as_str()))
    .bind(after.map_or("", |stream| stream.aggregate_id.as_str()))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    let mut heads = BTreeMap::new();
    for row in rows {
        let stream = StreamId {
            aggregate_type: row.try_get(0)?,
            aggregate_id: row.try_get(1)?,
        };
        let version: i64 = row.try_get(2)?;
        heads.insert(stream, (version.unsigned_abs(), row.try_get(3)?));
    }
    Ok(heads)
}
