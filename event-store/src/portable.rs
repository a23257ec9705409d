//! The log as a file: newline-delimited JSON that carries its own proof.
//!
//! The first line says what follows: how many events, claims and streams, up to which position, and a digest
//! over the heads of all streams. Then every event in the order of the log, then every claim. Each line ends with
//! a digest over itself and everything before. Whoever reads it recomputes these and each stream's hash chain,
//! so a changed byte is found at its line, and a missing end by the first line.
//!
//! Claims are not in the chains: they follow from the events, but only the domain knows how. Receipts and
//! checkpoints stay behind: they belong to a running system.

mod check;
mod export;
mod heads;
mod import;

use std::io;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

use crate::append::StreamId;
use crate::canonical;
use crate::error::Error;

pub use self::check::{Entry, LogChecker};
pub use self::export::export;
pub use self::heads::{Head, HeadFault, Heads, HeadsChecker, compare_heads};
pub use self::import::{Imported, import};

/// What the first line's `format` says.
pub const FORMAT: &str = "hyperfleet-event-log";

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// Longest line, in bytes: far beyond the largest request that the API takes.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// When it was written, by the database's clock.
    pub exported_at: DateTime<Utc>,
    /// The last position.
    pub position: u64,
    /// Lines with events.
    pub events: u64,
    /// Lines with claims.
    pub claims: u64,
    /// Streams.
    pub streams: u64,
    /// SHA-256 over the heads of the streams, in hexadecimal digits.
    pub heads: String,
}

/// A line with an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventLine {
    position: u64,
    r#type: String,
    id: String,
    sequence: u64,
    event_type: String,
    event_version: String,
    recorded_at: DateTime<Utc>,
    payload: Value,
    metadata: Value,
    hash: String,
    log: String,
}

/// A line with a claim.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimLine {
    claim: String,
    r#type: String,
    id: String,
    log: String,
}

/// The digest over everything up to a line.
#[derive(Clone, Debug)]
struct Running([u8; 32]);

impl Running {
    fn of_header(line: &str) -> Self {
        Self(Sha256::digest(line).into())
    }

    /// Goes on with an event; its hash stands for the rest of it.
    fn event(&mut self, position: u64, hash: &[u8]) -> String {
        self.go_on(&[&position.to_be_bytes(), hash])
    }

    /// Goes on with a claim.
    fn claim(&mut self, claim: &Claim) -> String {
        let mut text = String::new();
        for part in [
            &claim.key,
            &claim.stream.aggregate_type,
            &claim.stream.aggregate_id,
        ] {
            canonical::write_text(part, &mut text);
        }
        self.go_on(&[text.as_bytes()])
    }

    fn go_on(&mut self, parts: &[&[u8]]) -> String {
        let mut digest = Sha256::new().chain_update(self.0);
        for part in parts {
            digest.update(part);
        }
        self.0 = digest.finalize().into();
        hex::encode(self.0)
    }
}

/// A key that a stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key.
    pub key: String,
    /// Who holds it.
    pub stream: StreamId,
}

/// Why a log could not be written to a file, or read from one.
#[derive(Debug, thiserror::Error)]
pub enum PortableError {
    /// A line is not what was exported.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// There is something in the database already.
    #[error("the database is not empty: {0} has rows; import into a new one")]
    NotEmpty(&'static str),
    /// The file could not be read or written.
    #[error("the file could not be read or written")]
    File(#[from] io::Error),
    /// The log could not be used.
    #[error(transparent)]
    Log(#[from] Error),
}

impl From<sqlx::Error> for PortableError {
    fn from(error: sqlx::Error) -> Self {
        Self::Log(error.into())
    }
}

/// The lines of a file, numbered.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// The lines of what is read.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            number: 0,
        }
    }

    /// The next line, without its end; none after the last.
    ///
    /// # Errors
    /// When it cannot be read, or is too long or no text.
    pub async fn next(&mut self) -> Result<Option<&str>, PortableError> {
        self.buffer.clear();
        self.number += 1;
        let mut limited = (&mut self.reader).take(LONGEST_LINE + 1);
        let read = limited.read_until(b'\n', &mut self.buffer).await?;
        if read == 0 {
            return Ok(None);
        }
        let fault = |reason: &str| PortableError::Line {
            line: self.number,
            reason: reason.to_owned(),
        };
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if read as u64 > LONGEST_LINE {
            return Err(fault("it is longer than 64 MiB"));
        }
        let text = std::str::from_utf8(&self.buffer).map_err(|_| fault("it is not UTF-8"))?;
        Ok(Some(text))
    }

    /// A checker that has read the first line.
    ///
    /// # Errors
    /// When there is none, or it is not one of this format.
    pub async fn begin(&mut self) -> Result<LogChecker, PortableError> {
        match self.next().await? {
            Some(line) => LogChecker::begin(line),
            None => Err(PortableError::Line {
                line: 1,
                reason: "the file is empty".to_owned(),
            }),
        }
    }
}
