//! The event that starts an execution.

use hyperfleet_broker::Envelope;
use serde_json::Value;

use crate::value::from_http;

/// A reconcile event: which resource to look at. Its current state is fetched, never trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event's own id, for logs.
    pub id: String,
    /// The event's own type, for logs.
    pub r#type: String,
    /// The `data` object, numbers as floats.
    pub data: Value,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// Which resource an event is about; executions for one resource never overlap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// `Cluster`, `NodePool` …
    pub kind: String,
    /// The resource's id.
    pub id: String,
}

/// The event's data is not a JSON object.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("event data is not a JSON object but {shape}")]
pub struct MalformedEvent {
    /// What it is instead.
    pub shape: &'static str,
}

impl Event {
    /// The event of a received envelope; absent data is an empty object.
    ///
    /// # Errors
    /// When the data is anything but an object.
    pub fn from_envelope(envelope: &Envelope) -> Result<Self, MalformedEvent> {
        let mut event = Self::from_data(envelope.data.clone())?;
        event.id.clone_from(&envelope.id);
        event.r#type.clone_from(&envelope.r#type);
        event.traceparent.clone_from(&envelope.traceparent);
        Ok(event)
    }

    /// An event of bare data.
    ///
    /// # Errors
    /// When the data is anything but an object or null.
    pub fn from_data(data: Value) -> Result<Self, MalformedEvent> {
        let data = match data {
            Value::Null => Value::Object(serde_json::Map::new()),
            object @ Value::Object(_) => from_http(object),
            Value::Bool(_) => return Err(MalformedEvent { shape: "a boolean" }),
            Value::Number(_) => return Err(MalformedEvent { shape: "a number" }),
            Value::String(_) => return Err(MalformedEvent { shape: "a string" }),
            Value::Array(_) => return Err(MalformedEvent { shape: "a list" }),
        };
        Ok(Self {
            id: String::new(),
            r#type: String::new(),
            data,
            traceparent: None,
        })
    }

    fn text(&self, key: &str) -> &str {
        self.data
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Which resource the event is about.
    pub fn resource_key(&self) -> ResourceKey {
        ResourceKey {
            kind: self.text("kind").to_owned(),
            id: self.text("id").to_owned(),
        }
    }

    /// The generation it was published for; zero when it has none.
    pub fn generation(&self) -> f64 {
        self.data
            .get("generation")
            .and_then(Value::as_f64)
            .unwrap_or_default()
    }
}
