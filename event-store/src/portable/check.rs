//! Checking a log line by line. Needs no database.

use std::collections::BTreeMap;

use super::{Claim, ClaimLine, EventLine, FORMAT, Header, PortableError, Running, VERSION, heads};
use crate::append::StreamId;
use crate::chain::{self, GENESIS};
use crate::recorded::RecordedEvent;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An event.
    Event(Box<RecordedEvent>),
    /// A claim.
    Claim(Claim),
}

/// Checks the lines of a log in their order.
#[derive(Debug)]
pub struct LogChecker {
    header: Header,
    line: u64,
    events: u64,
    claims: u64,
    position: u64,
    heads: BTreeMap<StreamId, (u64, Vec<u8>)>,
    running: Running,
}

impl LogChecker {
    /// Begins with the first line.
    ///
    /// # Errors
    /// When it is not the first line of such a file.
    pub fn begin(line: &str) -> Result<Self, PortableError> {
        let fault = |reason: String| PortableError::Line { line: 1, reason };
        let header: Header = serde_json::from_str(line)
            .map_err(|error| fault(format!("it is not the head of an exported log: {error}")))?;
        if header.format != FORMAT || header.version != VERSION {
            let Header {
                format, version, ..
            } = header;
            return Err(fault(format!(
                "the format is {format:?} {version}; this version reads {FORMAT:?} {VERSION}"
            )));
        }
        Ok(Self {
            header,
            line: 1,
            events: 0,
            claims: 0,
            position: 0,
            heads: BTreeMap::new(),
            running: Running::of_header(line),
        })
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The heads of the streams so far: version and hash.
    pub fn heads(&self) -> &BTreeMap<StreamId, (u64, Vec<u8>)> {
        &self.heads
    }

    /// Checks the next line.
    ///
    /// # Errors
    /// When it is not what was exported.
    pub fn check(&mut self, line: &str) -> Result<Entry, PortableError> {
        self.line += 1;
        if self.events < self.header.events {
            return self.check_event(line);
        }
        if self.claims < self.header.claims {
            return self.check_claim(line);
        }
        Err(self.fault("there is more than the first line says".to_owned()))
    }

    /// Checks that nothing is missing, after the last line.
    ///
    /// # Errors
    /// When something is missing, or the heads are not those of the first line.
    pub fn finish(mut self) -> Result<BTreeMap<StreamId, (u64, Vec<u8>)>, PortableError> {
        self.line += 1;
        let Header {
            events,
            claims,
            position,
            streams,
            ref heads,
            ..
        } = self.header;
        let missing = [
            (events - self.events, "events"),
            (claims - self.claims, "claims"),
        ];
        if let Some((count, what)) = missing.into_iter().find(|(count, _)| *count > 0) {
            return Err(self.fault(format!(
                "the file ends here, and {count} {what} are missing"
            )));
        }
        let found = heads::digest(
            self.heads
                .iter()
                .map(|(stream, (version, hash))| (stream, *version, hash.as_slice())),
        );
        if self.position != position || self.heads.len() as u64 != streams || found != *heads {
            return Err(self.fault(
                "the streams do not end where the first line says: events are missing or were put in"
                    .to_owned(),
            ));
        }
        Ok(self.heads)
    }

    fn check_event(&mut self, line: &str) -> Result<Entry, PortableError> {
        let read: EventLine = serde_json::from_str(line)
            .map_err(|error| self.fault(format!("it is not an event: {error}")))?;
        let hash = hex::decode(&read.hash)
            .map_err(|_| self.fault("its hash is not hexadecimal".to_owned()))?;
        let event = RecordedEvent {
            stream: StreamId::new(read.r#type, read.id),
            sequence: read.sequence,
            position: read.position,
            event_type: read.event_type,
            event_version: read.event_version,
            payload: read.payload,
            metadata: read.metadata,
            recorded_at: read.recorded_at,
            hash,
        };
        if event.position <= self.position {
            return Err(self.fault(format!(
                "position {} does not come after {}",
                event.position, self.position
            )));
        }
        let head = self.heads.get(&event.stream).cloned();
        let head = head.unwrap_or_else(|| (0, GENESIS.to_vec()));
        let head = chain::verify(&event.stream, head, std::slice::from_ref(&event))
            .map_err(|fault| self.fault(format!("{fault} (position {})", event.position)))?;
        if self.running.event(event.position, &event.hash) != read.log {
            return Err(self.fault(self.out_of_place(&event.stream)));
        }
        self.heads.insert(event.stream.clone(), head);
        self.position = event.position;
        self.events += 1;
        Ok(Entry::Event(Box::new(event)))
    }

    fn check_claim(&mut self, line: &str) -> Result<Entry, PortableError> {
        let ClaimLine {
            claim,
            r#type,
            id,
            log,
        } = serde_json::from_str(line)
            .map_err(|error| self.fault(format!("it is not a claim: {error}")))?;
        let stream = StreamId::new(r#type, id);
        if !self.heads.contains_key(&stream) {
            return Err(self.fault(format!(
                "the claim is held by {stream}, which has no events"
            )));
        }
        let claim = Claim { key: claim, stream };
        if self.running.claim(&claim) != log {
            return Err(self.fault(self.out_of_place(&claim.stream)));
        }
        self.claims += 1;
        Ok(Entry::Claim(claim))
    }

    fn out_of_place(&self, stream: &StreamId) -> String {
        let before = self.line - 1;
        format!("of stream {stream}: it was altered, or does not belong behind line {before}")
    }

    fn fault(&self, reason: String) -> PortableError {
        PortableError::Line {
            line: self.line,
            reason,
        }
    }
}
