//! The hash chain of a stream: each event's hash covers the previous one, so no stored event can be
//! rewritten, removed or moved without every later hash failing.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::append::StreamId;
use crate::canonical;
use crate::recorded::RecordedEvent;

/// The hash before the first event.
pub(crate) const GENESIS: [u8; 32] = [0; 32];

/// What an event's hash covers, besides the previous hash.
pub(crate) struct Link<'a> {
    pub(crate) sequence: u64,
    pub(crate) event_type: &'a str,
    pub(crate) event_version: &'a str,
    pub(crate) payload: &'a Value,
    pub(crate) metadata: &'a Value,
    pub(crate) recorded_at: DateTime<Utc>,
}

/// The hash of an event.
pub(crate) fn hash(previous: &[u8], link: &Link<'_>) -> [u8; 32] {
    let mut text = format!(
        "{}\n{}\n{}\n{}\n",
        link.sequence,
        link.event_type,
        link.event_version,
        link.recorded_at
            .to_rfc3339_opts(SecondsFormat::Micros, true),
    );
    canonical::write(link.payload, &mut text);
    text.push('\n');
    canonical::write(link.metadata, &mut text);
    Sha256::new()
        .chain_update(previous)
        .chain_update(text.as_bytes())
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
            sequence: event.sequence,
            event_type: &event.event_type,
            event_version: &event.event_version,
            payload: &event.payload,
            metadata: &event.metadata,
            recorded_at: event.recorded_at,
        };
        if hash(&previous, &link).as_slice() != event.hash {
            return Err(fault(ChainFaultKind::Altered));
        }
        version = event.sequence;
        previous.clone_from(&event.hash);
    }
    Ok((version, previous))
}
