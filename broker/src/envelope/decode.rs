//! Reading, as tolerant and as strict as the existing adapters.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Envelope, ExtensionValue, TRACEPARENT};

/// Why a message body is not an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedEnvelope {
    /// Empty, not JSON, or something around the JSON.
    #[error("the body is not one JSON document")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// `specversion` is missing or of an unknown version.
    #[error("specversion is {found}, but must be \"1.0\" or \"0.3\"")]
    UnknownVersion {
        /// The value found, as JSON.
        found: Value,
    },
    /// An attribute that must be a string is something else.
    #[error("attribute {attribute:?} is not a string")]
    NotAString {
        /// The attribute's name.
        attribute: String,
    },
    /// `time` cannot be read.
    #[error("attribute \"time\" is not an RFC 3339 time: {found:?}")]
    InvalidTime {
        /// The text found.
        found: String,
        /// What is wrong with it.
        #[source]
        source: chrono::ParseError,
    },
    /// An extension's name has a character outside `A-Z`, `a-z`, `0-9`.
    #[error("extension name {name:?} may only have letters and digits")]
    InvalidExtensionName {
        /// The name found.
        name: String,
    },
    /// An extension's value is an object or an array.
    #[error("extension {name:?} is not a string, number or boolean")]
    InvalidExtensionValue {
        /// The extension's name.
        name: String,
    },
    /// `data` is not text although its content type is not JSON.
    #[error("data of content type {content_type:?} is not a string")]
    DataNotText {
        /// The content type found.
        content_type: String,
    },
    /// Binary data cannot be read.
    #[error("binary data is not base64")]
    InvalidBase64(#[source] base64::DecodeError),
    /// `datacontentencoding` of version 0.3 is not known.
    #[error("datacontentencoding is {found:?}, but only \"base64\" exists")]
    UnknownEncoding {
        /// The value found.
        found: String,
    },
}

pub(super) fn decode(body: &[u8]) -> Result<Envelope, MalformedEnvelope> {
    let document: Value = serde_json::from_slice(body).map_err(MalformedEnvelope::NotJson)?;
    let Value::Object(mut fields) = document else {
        return Err(MalformedEnvelope::NotAnObject);
    };
    let is_version_1 = match fields.remove("specversion") {
        Some(Value::String(version)) if version == "1.0" => true,
        Some(Value::String(version)) if version == "0.3" => false,
        found => {
            return Err(MalformedEnvelope::UnknownVersion {
                found: found.unwrap_or_default(),
            });
        }
    };
    let datacontenttype = optional_text(&mut fields, "datacontenttype")?;
    let schema_attribute = if is_version_1 {
        "dataschema"
    } else {
        "schemaurl"
    };
    let dataschema = optional_text(&mut fields, schema_attribute)?;
    let data = take_data(&mut fields, is_version_1, datacontenttype.as_deref())?;
    let mut envelope = Envelope {
        id: text(&mut fields, "id")?,
        source: text(&mut fields, "source")?,
        r#type: text(&mut fields, "type")?,
        subject: optional_text(&mut fields, "subject")?,
        time: take_time(&mut fields)?,
        datacontenttype,
        dataschema,
        data,
        traceparent: None,
        extensions: BTreeMap::new(),
    };
    // Everything that is left is an extension.
    for (name, value) in fields {
        let Some(value) = extension(&name, value)? else {
            continue;
        };
        match value {
            ExtensionValue::String(text) if name == TRACEPARENT => {
                envelope.traceparent = Some(text);
            }
            other => {
                envelope.extensions.insert(name, other);
            }
        }
    }
    Ok(envelope)
}

/// A string attribute; absent and null read as empty.
fn text(fields: &mut Map<String, Value>, attribute: &str) -> Result<String, MalformedEnvelope> {
    match fields.remove(attribute) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(MalformedEnvelope::NotAString {
            attribute: attribute.to_owned(),
        }),
    }
}

fn optional_text(
    fields: &mut Map<String, Value>,
    attribute: &str,
) -> Result<Option<String>, MalformedEnvelope> {
    let text = text(fields, attribute)?;
    Ok(if text.is_empty() { None } else { Some(text) })
}

fn take_time(fields: &mut Map<String, Value>) -> Result<Option<DateTime<Utc>>, MalformedEnvelope> {
    let Some(found) = optional_text(fields, "time")? else {
        return Ok(None);
    };
    match DateTime::parse_from_rfc3339(&found) {
        Ok(time) => Ok(Some(time.with_timezone(&Utc))),
        Err(source) => Err(MalformedEnvelope::InvalidTime { found, source }),
    }
}

/// The payload, from whichever of the fields that may carry it.
fn take_data(
    fields: &mut Map<String, Value>,
    is_version_1: bool,
    content_type: Option<&str>,
) -> Result<Value, MalformedEnvelope> {
    if is_version_1 {
        if let Some(encoded) = fields.remove("data_base64") {
            fields.remove("data");
            return binary_data(encoded, "data_base64", content_type);
        }
    } else if let Some(encoding) = optional_text(fields, "datacontentencoding")? {
        if encoding != "base64" {
            return Err(MalformedEnvelope::UnknownEncoding { found: encoding });
        }
        let encoded = fields.remove("data").unwrap_or_default();
        return binary_data(encoded, "data", content_type);
    }
    let data = fields.remove("data").unwrap_or_default();
    match content_type {
        Some(content_type) if !is_json(content_type) && !data.is_string() && !data.is_null() => {
            Err(MalformedEnvelope::DataNotText {
                content_type: content_type.to_owned(),
            })
        }
        _ => Ok(data),
    }
}

/// Decodes binary data. What turns out not to be JSON stays base64 text: it is for the handler to judge.
fn binary_data(
    encoded: Value,
    attribute: &str,
    content_type: Option<&str>,
) -> Result<Value, MalformedEnvelope> {
    let text = match encoded {
        Value::Null => return Ok(Value::Null),
        Value::String(text) => text,
        _ => {
            return Err(MalformedEnvelope::NotAString {
                attribute: attribute.to_owned(),
            });
        }
    };
    let bytes = STANDARD
        .decode(&text)
        .map_err(MalformedEnvelope::InvalidBase64)?;
    if content_type.is_none_or(is_json)
        && let Ok(json) = serde_json::from_slice(&bytes)
    {
        return Ok(json);
    }
    Ok(Value::String(text))
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    matches!(media_type.as_str(), "" | "application/json" | "text/json")
        || media_type.ends_with("+json")
}

/// Checks one extension; null means absent.
fn extension(name: &str, value: Value) -> Result<Option<ExtensionValue>, MalformedEnvelope> {
    if name.is_empty()
        || !name
            .chars()
            .all(|character| character.is_ascii_alphanumeric())
    {
        return Err(MalformedEnvelope::InvalidExtensionName {
            name: name.to_owned(),
        });
    }
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(ExtensionValue::String(text))),
        Value::Bool(flag) => Ok(Some(ExtensionValue::Boolean(flag))),
        Value::Number(number) => Ok(Some(ExtensionValue::Number(number))),
        Value::Array(_) | Value::Object(_) => Err(MalformedEnvelope::InvalidExtensionValue {
            name: name.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &str) -> Envelope {
        decode(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    #[test]
    fn tolerated_bodies() {
        // Keys in any order and unknown scalar extensions
        let event = read(
            r#"{"data":{"id":"x"},"zone":1,"flag":true,"none":null,"type":"t","traceparent":"00-1-2-01",
               "source":"s","specversion":"1.0","id":"i"}"#,
        );
        assert_eq!(
            (
                event.id.as_str(),
                event.source.as_str(),
                event.r#type.as_str()
            ),
            ("i", "s", "t")
        );
        assert_eq!(event.traceparent.as_deref(), Some("00-1-2-01"));
        assert_eq!(
            event.extensions.into_iter().collect::<Vec<_>>(),
            [
                ("flag".to_owned(), ExtensionValue::Boolean(true)),
                ("zone".to_owned(), ExtensionValue::Number(1.into())),
            ]
        );
        // Required attributes absent
        let event = read(r#"{"specversion":"1.0"}"#);
        assert_eq!((event.id.as_str(), event.data), ("", Value::Null));
        // Null data, and the older version
        assert_eq!(
            read(r#"{"specversion":"1.0","data":null}"#).data,
            Value::Null
        );
        assert_eq!(
            read(r#"{"specversion":"0.3","id":"i","data":{"a":1}}"#).data,
            json!({"a": 1})
        );
        // Binary data that is JSON, and that is not
        assert_eq!(
            read(r#"{"specversion":"1.0","data_base64":"eyJhIjoxfQ=="}"#).data,
            json!({"a": 1})
        );
        assert_eq!(
            read(r#"{"specversion":"1.0","data_base64":"AAAA"}"#).data,
            json!("AAAA")
        );
        // Text data of another content type, and JSON data with parameters on its type
        let body = r#"{"specversion":"1.0","datacontenttype":"text/plain","data":"hello"}"#;
        assert_eq!(read(body).data, json!("hello"));
        let body = r#"{"specversion":"1.0","datacontenttype":"Application/JSON; charset=utf-8","data":{}}"#;
        assert_eq!(read(body).data, json!({}));
        // A time in another zone
        let body = r#"{"specversion":"1.0","time":"2026-01-02T03:04:05.5+02:00"}"#;
        assert_eq!(
            read(body).time,
            Some("2026-01-02T01:04:05.5Z".parse().unwrap())
        );
    }

    #[test]
    fn refused_bodies() {
        for (body, expected) in [
            ("", "the body is not one JSON document"),
            ("garbage", "the body is not one JSON document"),
            (
                "\u{feff}{\"specversion\":\"1.0\"}",
                "the body is not one JSON document",
            ),
            (
                r#"{"specversion":"1.0"} x"#,
                "the body is not one JSON document",
            ),
            ("[]", "the body is not a JSON object"),
            (
                r#"{"id":"i"}"#,
                r#"specversion is null, but must be "1.0" or "0.3""#,
            ),
            (
                r#"{"specversion":"2.0"}"#,
                r#"specversion is "2.0", but must be "1.0" or "0.3""#,
            ),
            (
                r#"{"specversion":1.0}"#,
                r#"specversion is 1.0, but must be "1.0" or "0.3""#,
            ),
            (
                r#"{"specversion":"1.0","id":5}"#,
                r#"attribute "id" is not a string"#,
            ),
            (
                r#"{"specversion":"1.0","time":"x"}"#,
                r#"attribute "time" is not an RFC 3339 time: "x""#,
            ),
            (
                r#"{"specversion":"1.0","my-extension":"x"}"#,
                r#"extension name "my-extension" may only have letters and digits"#,
            ),
            (
                r#"{"specversion":"1.0","nested":{}}"#,
                r#"extension "nested" is not a string, number or boolean"#,
            ),
            (
                r#"{"specversion":"1.0","list":[1]}"#,
                r#"extension "list" is not a string, number or boolean"#,
            ),
            (
                r#"{"specversion":"1.0","datacontenttype":"text/plain","data":{"a":1}}"#,
                r#"data of content type "text/plain" is not a string"#,
            ),
            (
                r#"{"specversion":"1.0","data_base64":"!"}"#,
                "binary data is not base64",
            ),
            (
                r#"{"specversion":"0.3","datacontentencoding":"hex","data":"00"}"#,
                r#"datacontentencoding is "hex", but only "base64" exists"#,
            ),
        ] {
            let error = decode(body.as_bytes()).expect_err(body);
            assert_eq!(error.to_string(), expected, "{body}");
        }
    }
}
