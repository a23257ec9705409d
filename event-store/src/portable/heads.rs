//! The heads of all streams at one position: what must be there in any later copy of the log. Signed by
//! whoever takes them, they let somebody else find out that a copy is short, or tells another history.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection, PgPool, Row as _};

use super::PortableError;
use crate::append::StreamId;
use crate::canonical;
use crate::recorded::RecordedEvent;

/// What `format` says.
const FORMAT: &str = "hyperfleet-heads";
const VERSION: u32 = 1;

/// Faults that are named one by one; more are only counted.
const NAMED_FAULTS: usize = 100;

/// The heads of all streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heads {
    format: String,
    version: u32,
    /// When they were taken, by the database's clock.
    pub taken_at: DateTime<Utc>,
    /// The last position then.
    pub position: u64,
    /// The streams, in the order of type and id.
    pub streams: Vec<Head>,
}

/// The head of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Type of the aggregate.
    pub r#type: String,
    /// Its id.
    pub id: String,
    /// How many events it has.
    pub version: u64,
    /// Hash of the last of them, in hexadecimal digits.
    pub hash: String,
}

/// Where a log is not the one whose heads were taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream {stream}, event {sequence}: {what}")]
pub struct HeadFault {
    /// The stream.
    pub stream: StreamId,
    /// The event.
    pub sequence: u64,
    /// How it differs.
    pub what: &'static str,
}

const REPLACED: &str = "another history was put in its place";
const MISSING: &str = "missing";
const ADDED: &str = "was not there when the heads were taken";

impl Heads {
    /// Takes the heads of a log, as of one moment.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn take(pool: &PgPool) -> Result<Self, PortableError> {
        let mut connection = pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *transaction)
            .await?;
        let (taken_at, position): (DateTime<Utc>, i64) =
            sqlx::query_as("SELECT now(), (SELECT coalesce(max(position), 0) FROM live_events)")
                .fetch_one(&mut *transaction)
                .await?;
        let streams = read(&mut transaction).await?;
        transaction.rollback().await?;
        let streams = streams.into_iter().map(|(stream, version, hash)| Head {
            r#type: stream.aggregate_type,
            id: stream.aggregate_id,
            version,
            hash: hex::encode(hash),
        });
        Ok(Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            taken_at,
            position: position.unsigned_abs(),
            streams: streams.collect(),
        })
    }

    /// Whether this version can read them.
    pub fn is_known(&self) -> bool {
        self.format == FORMAT && self.version == VERSION
    }

    /// The text that is signed: it covers every member.
    pub fn statement(&self) -> String {
        let time = self.taken_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut text = format!(
            "{}\n{}\n{time}\n{}\n{}\n",
            self.format,
            self.version,
            self.position,
            self.streams.len()
        );
        for head in &self.streams {
            line(&mut text, &head.r#type, &head.id, head.version, &head.hash);
        }
        text
    }
}

/// Compares the events of a log, in any order, with heads that were taken of it before.
#[derive(Debug)]
pub struct HeadsChecker {
    position: u64,
    /// Version and hash; whether the event at that version came by.
    heads: BTreeMap<StreamId, (u64, String, bool)>,
    faults: Vec<HeadFault>,
    count: u64,
}

impl HeadsChecker {
    /// A checker by these heads.
    pub fn new(heads: &Heads) -> Self {
        let streams = heads.streams.iter().map(|head| {
            let stream = StreamId::new(&head.r#type, &head.id);
            (stream, (head.version, head.hash.to_lowercase(), false))
        });
        Self {
            position: heads.position,
            heads: streams.collect(),
            faults: Vec::new(),
            count: 0,
        }
    }

    /// Looks at an event.
    pub fn check(&mut self, event: &RecordedEvent) {
        self.look(&event.stream, event.sequence, event.position, &event.hash);
    }

    fn look(&mut self, stream: &StreamId, sequence: u64, position: u64, hash: &[u8]) {
        let what = match self.heads.get_mut(stream) {
            Some((version, expected, seen)) if *version == sequence => {
                *seen = true;
                (*expected != hex::encode(hash)).then_some(REPLACED)
            }
            Some((version, ..)) if *version > sequence => None,
            _ => (position <= self.position).then_some(ADDED),
        };
        if let Some(what) = what {
            self.fault(stream.clone(), sequence, what);
        }
    }

    fn fault(&mut self, stream: StreamId, sequence: u64, what: &'static str) {
        self.count += 1;
        if self.faults.len() < NAMED_FAULTS {
            self.faults.push(HeadFault {
                stream,
                sequence,
                what,
            });
        }
    }

    /// How many faults there are, and the first of them, after the last event.
    pub fn finish(mut self) -> (u64, Vec<HeadFault>) {
        let unseen: Vec<(StreamId, u64)> = self
            .heads
            .iter()
            .filter(|(_, (_, _, seen))| !seen)
            .map(|(stream, (version, ..))| (stream.clone(), *version))
            .collect();
        for (stream, version) in unseen {
            self.fault(stream, version, MISSING);
        }
        (self.count, self.faults)
    }
}

/// Compares a stored log with heads that were taken of it before: how many faults there are, and the first
/// of them. What lies before a head is proven by the stream's chain, which is to be verified too.
///
/// # Errors
/// When the log cannot be read.
pub async fn compare_heads(
    pool: &PgPool,
    heads: &Heads,
) -> Result<(u64, Vec<HeadFault>), PortableError> {
    let mut checker = HeadsChecker::new(heads);
    // Beside each stream's last event of that time, any event at the version of its head.
    let mut rows = sqlx::query(
        "SELECT aggregate_type, aggregate_id, sequence, position, hash FROM events
         WHERE position <= $1 ORDER BY aggregate_type, aggregate_id, sequence",
    )
    .bind(heads.position.cast_signed())
    .fetch(pool);
    while let Some(row) = rows.try_next().await? {
        let stream = StreamId {
            aggregate_type: row.try_get(0)?,
            aggregate_id: row.try_get(1)?,
        };
        let (sequence, position): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        checker.look(
            &stream,
            sequence.unsigned_abs(),
            position.unsigned_abs(),
            row.try_get(4)?,
        );
    }
    Ok(checker.finish())
}

/// The heads as they are stored, in the order of type and id.
pub(super) async fn read(
    connection: &mut PgConnection,
) -> Result<Vec<(StreamId, u64, Vec<u8>)>, sqlx::Error> {
    let rows: Vec<(String, String, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT aggregate_type, aggregate_id, version, hash FROM streams
         ORDER BY aggregate_type, aggregate_id",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(aggregate_type, aggregate_id, version, hash)| {
            let stream = StreamId {
                aggregate_type,
                aggregate_id,
            };
            (stream, version.unsigned_abs(), hash)
        })
        .collect())
}

/// SHA-256 over heads in the order of type and id, in hexadecimal digits.
pub(super) fn digest<'a>(heads: impl Iterator<Item = (&'a StreamId, u64, &'a [u8])>) -> String {
    let mut digest = Sha256::new();
    let mut text = String::new();
    for (stream, version, hash) in heads {
        text.clear();
        let hash = hex::encode(hash);
        line(
            &mut text,
            &stream.aggregate_type,
            &stream.aggregate_id,
            version,
            &hash,
        );
        digest.update(&text);
    }
    hex::encode(digest.finalize())
}

fn line(text: &mut String, aggregate_type: &str, id: &str, version: u64, hash: &str) {
    canonical::write_text(aggregate_type, text);
    text.push(' ');
    canonical::write_text(id, text);
    // Writing to a string cannot fail.
    let _ = writeln!(text, " {version} {hash}");
}
