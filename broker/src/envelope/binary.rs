//! Events whose attributes are attributes of the message, and whose data is its body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// What starts the names of event attributes: HTTP's way, and those of AMQP.
const PREFIXES: [&str; 3] = ["ce-", "cloudevents:", "cloudevents_"];

/// The attribute with the content type of the body.
const CONTENT_TYPE: &str = "content-type";

/// A binary event as a structured one, so that both are judged by the same rules; nothing when the message does
/// not claim to be one.
pub(super) fn structured<'a>(
    attributes: impl Iterator<Item = (&'a str, &'a str)>,
    body: &[u8],
) -> Option<Value> {
    let mut fields = Map::new();
    let mut content_type = None;
    for (name, value) in attributes {
        let name = name.to_ascii_lowercase();
        let attribute = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix));
        if let Some(attribute) = attribute {
            fields.insert(attribute.to_owned(), Value::from(value));
        } else if name == CONTENT_TYPE {
            content_type = Some(value);
        }
    }
    if !fields.contains_key("specversion") {
        return None;
    }
    if let Some(content_type) = content_type {
        fields.insert("datacontenttype".to_owned(), Value::from(content_type));
    }
    let is_json = content_type.is_none_or(|content_type| {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")
    });
    let data = serde_json::from_slice(body).ok().filter(|_| is_json);
    if let Some(data) = data {
        fields.insert("data".to_owned(), data);
    } else if !body.is_empty() {
        fields.insert("data_base64".to_owned(), Value::from(STANDARD.encode(body)));
    }
    Some(Value::Object(fields))
}
