//! The CloudEvent on the wire, in structured JSON mode.
//!
//! Invariants:
//! - [`Envelope::to_bytes`] is a pure function of the value, and equal to the byte to what existing
//!   sentinels emit: attributes in a fixed order, `data`, then extensions alphabetically; `data` sorted at
//!   every level; no white space; HTML-safe escapes.
//! - [`Envelope::from_bytes`] accepts and refuses exactly what existing adapters do. In particular an
//!   event without id, source or type is accepted: those attributes are then empty.
//! - Ids and times are given by the caller; nothing here reads a clock.
//!
//! Writing is done by hand rather than by the CloudEvents SDK, because its key order is not the one on the
//! wire; [`cloudevents::Event`] conversions are offered for code that wants the SDK's type.

mod binary;
mod cloudevent;
mod decode;
mod encode;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use cloudevent::NotConvertible;
pub use decode::MalformedEnvelope;

/// Name of the extension that carries the W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// Content type of every event that HyperFleet emits.
const JSON_CONTENT_TYPE: &str = "application/json";

/// One CloudEvent.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Unique per publish, also when the same resource is published again. May be empty when received.
    pub id: String,
    /// Who published it. May be empty when received.
    pub source: String,
    /// What kind of event it is, for example `com.redhat.hyperfleet.cluster.reconcile`. May be empty when
    /// received.
    pub r#type: String,
    /// Content type of `data`; absent means JSON.
    pub datacontenttype: Option<String>,
    /// Attribute `subject`; HyperFleet never sets it.
    pub subject: Option<String>,
    /// Attribute `dataschema`; HyperFleet never sets it.
    pub dataschema: Option<String>,
    /// Attribute `time`; reconcile events do not carry it.
    pub time: Option<DateTime<Utc>>,
    /// The payload. `Null` means that there is none.
    pub data: Value,
    /// W3C trace context of the publish, `00-<trace id>-<span id>-<flags>`.
    pub traceparent: Option<String>,
    /// All other extension attributes.
    pub extensions: BTreeMap<String, ExtensionValue>,
}

/// Value of an extension attribute: a JSON scalar.
#[derive(Debug, Clone, PartialEq)]
pub enum ExtensionValue {
    /// A string.
    String(String),
    /// A boolean.
    Boolean(bool),
    /// A number, as it was written.
    Number(serde_json::Number),
}

impl Envelope {
    /// An event with JSON data and nothing optional.
    pub fn new(
        id: impl Into<String>,
        source: impl Into<String>,
        r#type: impl Into<String>,
        data: Value,
    ) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            r#type: r#type.into(),
            datacontenttype: Some(JSON_CONTENT_TYPE.to_owned()),
            subject: None,
            dataschema: None,
            time: None,
            data,
            traceparent: None,
            extensions: BTreeMap::new(),
        }
    }

    /// Sets the attribute `time`.
    pub fn with_time(mut self, time: DateTime<Utc>) -> Self {
        self.time = Some(time);
        self
    }

    /// Sets the trace context.
    pub fn with_traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// The message body.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode::encode(self).into_bytes()
    }

    /// Reads a message body.
    ///
    /// # Errors
    /// The body is not a CloudEvent in structured JSON mode, version 1.0 or 0.3.
    pub fn from_bytes(body: &[u8]) -> Result<Self, MalformedEnvelope> {
        decode::decode(body)
    }

    /// The body of a message in either mode as one in structured mode; what is no event stays as it is.
    pub(crate) fn structured<'a>(
        attributes: impl Iterator<Item = (&'a str, &'a str)>,
        body: Vec<u8>,
    ) -> Vec<u8> {
        match binary::structured(attributes, &body) {
            Some(structured) => structured.to_string().into_bytes(),
            None => body,
        }
    }

    /// Reads a message in either mode: its attributes tell which.
    ///
    /// # Errors
    /// As [`Envelope::from_bytes`].
    pub(crate) fn from_message<'a>(
        attributes: impl Iterator<Item = (&'a str, &'a str)>,
        body: &[u8],
    ) -> Result<Self, MalformedEnvelope> {
        match binary::structured(attributes, body) {
            Some(structured) => Self::from_bytes(structured.to_string().as_bytes()),
            None => Self::from_bytes(body),
        }
    }
}
