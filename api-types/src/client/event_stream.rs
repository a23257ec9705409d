//! Reading server-sent events (WHATWG HTML, §9.2.6) from pieces of bytes, cut anywhere.
//!
//! Own code because it is a page long, and because what is read must be bounded.

use std::collections::VecDeque;

/// Greatest event that is read, in bytes. A resource has at most about one megabyte.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its id, when it has one of its own.
    pub id: Option<String>,
    /// Its type; `message` when it names none.
    pub event: String,
    /// Its data, lines separated by line feeds.
    pub data: String,
}

/// An event has more than [`MAX_EVENT_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream has more than {MAX_EVENT_BYTES} bytes")]
pub struct TooLarge;

/// Puts events together.
#[derive(Debug, Default)]
pub struct EventParser {
    line: Vec<u8>,
    /// The last byte was a carriage return, so a line feed belongs to it.
    after_return: bool,
    id: Option<String>,
    event: String,
    data: String,
    has_data: bool,
    is_begun: bool,
    complete: VecDeque<ServerEvent>,
}

impl EventParser {
    /// Reads the next bytes.
    ///
    /// # Errors
    /// When an event is too large.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let (line, after) = rest.split_at(end);
            let is_rest_of_break = self.after_return && end == 0 && after[0] == b'\n';
            self.after_return = after[0] == b'\r';
            if !is_rest_of_break {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.read_line(&line);
            }
            rest = &after[1..];
        }
        if !rest.is_empty() {
            self.after_return = false;
            self.line.extend_from_slice(rest);
        }
        if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
            return Err(TooLarge);
        }
        Ok(())
    }

    /// The next complete event.
    pub fn pop(&mut self) -> Option<ServerEvent> {
        self.complete.pop_front()
    }

    fn read_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let mut line = text.as_ref();
        if !self.is_begun {
            self.is_begun = true;
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch();
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            // Comments have no name; `retry` is for browsers.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let event = ServerEvent {
            id: self.id.take(),
            event: std::mem::take(&mut self.event),
            data: std::mem::take(&mut self.data),
        };
        // An event without data is none.
        if std::mem::take(&mut self.has_data) {
            let is_named = !event.event.is_empty();
            self.complete.push_back(ServerEvent {
                event: if is_named {
                    event.event
                } else {
                    "message".to_owned()
                },
                ..event
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}retry: 1000\n\n: a comment\n\nid: 7\nevent: ADDED\ndata: {\"a\":1}\n\n\
        data:x\r\ndata: y\r\n\r\nevent: NONE\n\nid: 8\rdata\r\r";

    fn all(pieces: &[&[u8]]) -> Vec<ServerEvent> {
        let mut parser = EventParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece).expect("small");
            events.extend(std::iter::from_fn(|| parser.pop()));
        }
        events
    }

    fn event(id: Option<&str>, event: &str, data: &str) -> ServerEvent {
        ServerEvent {
            id: id.map(str::to_owned),
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let expected = [
            event(Some("7"), "ADDED", "{\"a\":1}"),
            event(None, "message", "x\ny"),
            event(Some("8"), "message", ""),
        ];
        let bytes = STREAM.as_bytes();
        assert_eq!(all(&[bytes]), expected);
        for cut in 0..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(all(&[left, right]), expected, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&single), expected);
    }

    #[test]
    fn an_event_without_end_is_refused_and_not_collected() {
        let mut parser = EventParser::default();
        let piece = vec![b'x'; MAX_EVENT_BYTES / 2 + 1];
        assert_eq!(parser.push(&piece), Ok(()));
        assert_eq!(parser.push(&piece), Err(TooLarge));
    }
}
