//! The written form of a position: opaque to clients, safe in URLs, with a version of its own.
//!
//! `base64url(version byte, 8 bytes of checksum, JSON)`. The checksum tells damage from a token of
//! another list; it is no signature, because a token gives no rights.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Position, SortValue};
use crate::resource_view::Order;

/// Longest token, in characters. Sort values are names, times and ids, of some hundred bytes; the
/// rest of a URL of 16 KiB stays for the filters. Only an order by `spec` can need more.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// Version of the written form.
const VERSION: u8 = 1;

const CHECKSUM_BYTES: usize = 8;

/// Why a token cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token looks like this.
    #[error("it is not a token of this API")]
    Unreadable,
    /// It is too long.
    #[error("it is longer than {MAX_TOKEN_BYTES} characters")]
    TooLong,
    /// Its version is not the one that this server writes.
    #[error("it was given by another version of this API")]
    UnknownVersion,
    /// It is not what was given.
    #[error("it was damaged on its way")]
    Damaged,
    /// It was given for another list.
    #[error(
        "it belongs to another list: path, order and filters must stay the same from page to page"
    )]
    OtherList,
    /// The values that the list is ordered by are too long to be carried.
    #[error(
        "the values that the list is ordered by are too long for a token; choose another order"
    )]
    ValuesTooLong,
}

/// Which list a token belongs to: its path, and every parameter that narrows or orders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListIdentity([u8; CHECKSUM_BYTES]);

impl ListIdentity {
    /// Parameters that may change from page to page.
    const FREE: [&'static str; 4] = ["page", "size", "page_token", "fields"];

    /// The list that a request asks for. A blank parameter is the same as none.
    pub fn of(path: &str, parameters: &[(String, String)]) -> Self {
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        };
        part(path);
        for (name, value) in parameters {
            let value = value.trim();
            if !value.is_empty() && !Self::FREE.contains(&name.as_str()) {
                part(name);
                part(value);
            }
        }
        Self(first_bytes(digest))
    }
}

/// What is in a token.
#[derive(Serialize, Deserialize)]
struct Content {
    /// The list.
    list: [u8; CHECKSUM_BYTES],
    /// Number of the page that follows.
    page: u32,
    /// The values of the last row, times in microseconds.
    after: Vec<Value>,
}

/// The token for going on after `position` with the page of that number.
///
/// # Errors
/// When the position is too long to be written.
pub fn encode(list: ListIdentity, page: u32, position: &Position) -> Result<String, TokenError> {
    seal(list, page, position.values.iter().map(written).collect())
}

/// The token for going on after some values with the page of that number.
///
/// # Errors
/// When the values are too long.
pub(crate) fn seal(list: ListIdentity, page: u32, after: Vec<Value>) -> Result<String, TokenError> {
    let content = Content {
        list: list.0,
        page,
        after,
    };
    let json = serde_json::to_vec(&content).map_err(|_| TokenError::ValuesTooLong)?;
    let mut bytes = vec![VERSION];
    bytes.extend(checksum(&json));
    bytes.extend(json);
    let token = URL_SAFE_NO_PAD.encode(bytes);
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::ValuesTooLong);
    }
    Ok(token)
}

/// The page number and the position of a token that was given for `list`, ordered by `order`.
///
/// # Errors
/// When it is not such a token.
pub fn decode(
    token: &str,
    list: ListIdentity,
    order: &Order,
) -> Result<(u32, Position), TokenError> {
    let (page, after) = open(token, list)?;
    let columns = order.directed_columns();
    if columns.len() != after.len() {
        return Err(TokenError::Damaged);
    }
    let values = columns
        .iter()
        .zip(after)
        .map(|((column, _), value)| read(column, value).ok_or(TokenError::Damaged))
        .collect::<Result<_, _>>()?;
    Ok((page, Position { values }))
}

/// The page number and the values of a token that was given for `list`.
///
/// # Errors
/// When it is not such a token.
pub(crate) fn open(token: &str, list: ListIdentity) -> Result<(u32, Vec<Value>), TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| TokenError::Unreadable)?;
    let (&version, rest) = bytes.split_first().ok_or(TokenError::Unreadable)?;
    if version != VERSION {
        return Err(TokenError::UnknownVersion);
    }
    let (sum, json) = rest
        .split_at_checked(CHECKSUM_BYTES)
        .ok_or(TokenError::Damaged)?;
    if sum != checksum(json) {
        return Err(TokenError::Damaged);
    }
    let content: Content = serde_json::from_slice(json).map_err(|_| TokenError::Damaged)?;
    if content.list != list.0 {
        return Err(TokenError::OtherList);
    }
    Ok((content.page.max(1), content.after))
}

fn written(value: &SortValue) -> Value {
    match value {
        SortValue::Null => Value::Null,
        SortValue::Text(text) => Value::from(text.as_str()),
        SortValue::Time(time) => Value::from(time.timestamp_micros()),
        SortValue::Integer(number) => Value::from(*number),
        SortValue::Json(json) => json.clone(),
    }
}

fn read(column: &str, value: Value) -> Option<SortValue> {
    if value.is_null() {
        return super::is_nullable(column).then_some(SortValue::Null);
    }
    match column {
        "created_time" | "updated_time" | "deleted_time" => {
            DateTime::<Utc>::from_timestamp_micros(value.as_i64()?).map(SortValue::Time)
        }
        "generation" => i32::try_from(value.as_i64()?).ok().map(SortValue::Integer),
        "spec" | "tenancy" => {
            (value.is_object() && is_storable(&value)).then_some(SortValue::Json(value))
        }
        _ => {
            let text = value.as_str()?;
            (!text.contains('\0')).then(|| SortValue::Text(text.to_owned()))
        }
    }
}

/// PostgreSQL cannot be asked for a NUL character.
fn is_storable(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => items.iter().all(is_storable),
        Value::Object(members) => members
            .iter()
            .all(|(name, value)| !name.contains('\0') && is_storable(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    first_bytes(Sha256::new_with_prefix(bytes))
}

fn first_bytes(digest: Sha256) -> [u8; CHECKSUM_BYTES] {
    let mut first = [0; CHECKSUM_BYTES];
    first.copy_from_slice(&digest.finalize()[..CHECKSUM_BYTES]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyperfleet_domain::resource::Resource;
    use proptest::prelude::*;

    fn list(path: &str) -> ListIdentity {
        ListIdentity::of(path, &[("order".to_owned(), "name".to_owned())])
    }

    fn order(text: &str) -> Order {
        Order::parse(text.split(',')).expect("an order")
    }

    fn resource(name: &str) -> Resource {
        Resource {
            id: "0190".to_owned(),
            name: name.to_owned(),
            ..Resource::default()
        }
    }

    #[test]
    fn a_token_is_good_for_its_list_only() {
        let order = order("name");
        let position = Position::of(&resource("a"), &order);
        let token = encode(list("/clusters"), 2, &position).expect("short");
        assert_eq!(decode(&token, list("/clusters"), &order), Ok((2, position)));
        assert_eq!(
            decode(&token, list("/nodepools"), &order),
            Err(TokenError::OtherList)
        );
        let blank = ListIdentity::of("/clusters", &[("name".to_owned(), " ".to_owned())]);
        assert_eq!(blank, ListIdentity::of("/clusters", &[]));
        let sized = ListIdentity::of("/clusters", &[("size".to_owned(), "5".to_owned())]);
        assert_eq!(blank, sized);
    }

    #[test]
    fn what_is_no_token_is_told_why() {
        let order = order("name");
        let read = |token: &str| decode(token, list("/clusters"), &order);
        assert_eq!(read("!"), Err(TokenError::Unreadable));
        assert_eq!(read(""), Err(TokenError::Unreadable));
        assert_eq!(read("AA"), Err(TokenError::UnknownVersion));
        assert_eq!(read("AQ"), Err(TokenError::Damaged));
        assert_eq!(
            read(&"A".repeat(MAX_TOKEN_BYTES + 1)),
            Err(TokenError::TooLong)
        );
        let long = Position::of(&resource(&"x".repeat(MAX_TOKEN_BYTES)), &order);
        assert_eq!(
            encode(list("/clusters"), 1, &long),
            Err(TokenError::ValuesTooLong)
        );
    }

    proptest! {
        #[test]
        fn every_position_reads_back(name in "[^\\x00]{0,40}", micros in 0_i64..4_102_444_800_000_000, generation: i32, deleted: bool) {
            let time = DateTime::<Utc>::from_timestamp_micros(micros).expect("a time");
            let resource = Resource {
                generation,
                created_time: time,
                deleted_time: deleted.then_some(time),
                ..resource(&name)
            };
            let order = order("name desc,deleted_time,generation,created_time desc,spec,owner_id");
            let position = Position::of(&resource, &order);
            let token = encode(list("/x"), 7, &position).expect("short");
            prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert_eq!(decode(&token, list("/x"), &order), Ok((7, position)));
        }

        #[test]
        fn no_change_of_a_token_goes_unnoticed(at: prop::sample::Index, to in "[A-Za-z0-9_-]") {
            let order = order("name");
            let token = encode(list("/x"), 1, &Position::of(&resource("abc"), &order)).expect("short");
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assert!(changed == token || decode(&changed, list("/x"), &order).is_err());
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,200}", bytes: Vec<u8>) {
            let order = order("name");
            let _ = decode(&text, list("/x"), &order);
            let mut token = vec![VERSION];
            token.extend(checksum(&bytes));
            token.extend(bytes);
            let _ = decode(&URL_SAFE_NO_PAD.encode(token), list("/x"), &order);
        }
    }
}
