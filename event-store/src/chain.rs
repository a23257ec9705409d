//! The hash chain of a stream: each event's hash covers the previous one, so no stored event can be
//! rewritten, removed or moved, not even to another stream, without the hashes failing.

mod pages;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};

use crate::append::StreamId;
use crate::canonical;
use crate::error::Error;
use crate::recorded::{self, RecordedEvent};

pub use self::pages::VerifiedPage;
pub(crate) use self::pages::verify_page;

/// The hash before the first event.
pub(crate) const GENESIS: [u8; 32] = [0; 32];

/// Events read at a time when a whole stream is verified.
const VERIFY_BATCH: usize = 1000;

/// What an event's hash covers, besides the previous hash and the time.
pub(crate) struct Link<'a> {
    pub(crate) stream: &'a StreamId,
    pub(crate) sequence: u64,
    pub(crate) event_type: &'a str,
    pub(crate) event_version: &'a str,
    pub(crate) payload: &'a Value,
    pub(crate) metadata: &'a Value,
}

/// A link as text, but for the time, which is known only within the transaction.
pub(crate) struct LinkText {
    before_time: String,
    after_time: String,
}

impl Link<'_> {
    /// The text of the link. It takes longer than hashing it, so it is made before the event is queued.
    pub(crate) fn text(&self) -> LinkText {
        let mut before_time = self.sequence.to_string();
        for part in [
            &self.stream.aggregate_type,
            &self.stream.aggregate_id,
            self.event_type,
            self.event_version,
        ] {
            before_time.push('\n');
            canonical::write_text(part, &mut before_time);
        }
        let mut after_time = String::new();
        for value in [self.payload, self.metadata] {
            after_time.push('\n');
            canonical::write(value, &mut after_time);
        }
        LinkText {
            before_time,
            after_time,
        }
    }
}

/// The hash of an event.
pub(crate) fn hash(previous: &[u8], link: &LinkText, recorded_at: DateTime<Utc>) -> [u8; 32] {
    let time = recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    Sha256::new()
        .chain_update(previous)
        .chain_update(&link.before_time)
        .chain_update(format!("\n\"{time}\""))
        .chain_update(&link.after_time)
        .finalize()
        .into()
}

/// The first event of a stream that is not what was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream {stream}, event {sequence}: {kind}")]
pub struct ChainFault {
    /// The stream.
    pub stream: StreamId,
    /// The sequence at which the chain breaks.
    pub sequence: u64,
    /// How it breaks.
    pub kind: ChainFaultKind,
}

/// How a chain breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFaultKind {
    /// An event is missing.
    #[error("missing")]
    Missing,
    /// The content does not match the hash.
    #[error("altered")]
    Altered,
    /// The stream's head is not the last event.
    #[error("not the head of its stream")]
    HeadDiffers,
}

/// Recomputes the chain of a stored stream, in one snapshot of the database, and compares its end with
/// the stream's head. Returns the version.
pub(crate) async fn verify_stored(
    connection: &mut PgConnection,
    stream: &StreamId,
) -> Result<Result<u64, ChainFault>, Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let head: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT version, hash FROM streams WHERE aggregate_type = $1 AND aggregate_id = $2",
    )
    .bind(&stream.aggregate_type)
    .bind(&stream.aggregate_id)
    .fetch_optional(&mut *transaction)
    .await?;
    let head = head.map_or((0, GENESIS.to_vec()), |(version, hash)| {
        (version.unsigned_abs(), hash)
    });
    let mut verified = (0, GENESIS.to_vec());
    loop {
        let events = recorded::read_stream(
            &mut transaction,
            recorded::Part::Whole,
            stream,
            verified.0,
            VERIFY_BATCH,
        )
        .await?;
        verified = match verify(stream, verified, &events) {
            Ok(verified) => verified,
            Err(fault) => return Ok(Err(fault)),
        };
        if events.len() < VERIFY_BATCH {
            break;
        }
    }
    transaction.rollback().await?;
    let fault = |sequence, kind| {
        Ok(Err(ChainFault {
            stream: stream.clone(),
            sequence,
            kind,
        }))
    };
    if verified == head {
        Ok(Ok(verified.0))
    } else if verified.0 < head.0 {
        fault(verified.0 + 1, ChainFaultKind::Missing)
    } else {
        fault(verified.0, ChainFaultKind::HeadDiffers)
    }
}

/// Checks events, in order, against a chain that begins after `version` with `previous`.
pub(crate) fn verify(
    stream: &StreamId,
    (mut version, mut previous): (u64, Vec<u8>),
    events: &[RecordedEvent],
) -> Result<(u64, Vec<u8>), ChainFault> {
    for event in events {
        let fault = |kind| ChainFault {
            stream: stream.clone(),
            sequence: version + 1,
            kind,
        };
        if event.sequence != version + 1 {
            return Err(fault(ChainFaultKind::Missing));
        }
        let link = Link {
            stream,
            sequence: event.sequence,
            event_type: &event.event_type,
            event_version: &event.event_version,
            payload: &event.payload,
            metadata: &event.metadata,
        };
        if hash(&previous, &link.text(), event.recorded_at).as_slice() != event.hash {
            return Err(fault(ChainFaultKind::Altered));
        }
        version = event.sequence;
        previous.clone_from(&event.hash);
    }
    Ok((version, previous))
}
