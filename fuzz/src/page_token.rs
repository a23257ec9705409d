//! Tokens of pages: what is read is written as the same token; damage is noticed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyperfleet_domain::resource::Resource;
use hyperfleet_projections::keyset::{self, ListIdentity, MAX_TOKEN_BYTES, Position, TokenError};
use hyperfleet_projections::resource_view::Order;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The written form: a version, eight bytes of a checksum, and the content as JSON.
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;

/// The input is an order and, after a line end, what is taken for a token, for a token's content, and
/// for the values in one.
pub fn check(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let Ok(order) = str::from_utf8(parts.next().unwrap_or_default()) else {
        return;
    };
    let rest = parts.next().unwrap_or_default();
    match Order::parse(order.split(',')) {
        Ok(order) => of_order(&order, rest),
        Err(error) => assert!(!error.to_string().is_empty(), "an error says nothing"),
    }
}

fn of_order(order: &Order, rest: &[u8]) {
    let list = ListIdentity::of("/clusters", &[]);
    let first = Position::of(&Resource::default(), order);
    // An order may name so many columns that no token can carry their values.
    let Ok(token) = keyset::encode(list, 2, &first) else {
        return;
    };
    assert_eq!(keyset::decode(&token, list, order), Ok((2, first)));
    if let Ok(text) = str::from_utf8(rest) {
        is_answered(text, list, order);
    }
    is_answered(&sealed(rest), list, order);
    if let Ok(Value::Array(values)) = serde_json::from_slice(rest) {
        holds_values(&token, &values, list, order);
        is_noticed_when_changed(&token, rest.len(), list, order);
    }
}

/// A token is read as a position that is written and read as the same, or refused with a reason.
fn is_answered(token: &str, list: ListIdentity, order: &Order) {
    match keyset::decode(token, list, order) {
        Ok((page, position)) => {
            assert!(page >= 1, "pages are counted from 1");
            // Written without blanks, and with numbers in their shortest form, it may differ once.
            if let Ok(again) = keyset::encode(list, page, &position) {
                assert_eq!(keyset::decode(&again, list, order), Ok((page, position)));
            }
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says nothing");
            let is_long = token.len() > MAX_TOKEN_BYTES;
            assert_eq!(error == TokenError::TooLong, is_long, "{error}");
        }
    }
}

/// A token with these values, written as this API writes them, is read and written as the same text.
fn holds_values(token: &str, values: &[Value], list: ListIdentity, order: &Order) {
    let mut content = content(token);
    content["after"] = Value::from(values);
    content["page"] = json!(3);
    let forged = sealed(&in_order(&content));
    is_answered(&forged, list, order);
    if let Ok((page, position)) = keyset::decode(&forged, list, order) {
        assert_eq!(page, 3);
        assert!(
            values.iter().all(is_storable),
            "a value that PostgreSQL refuses is accepted: {values:?}"
        );
        assert_eq!(keyset::encode(list, page, &position), Ok(forged));
    }
}

/// One changed character makes it no token.
fn is_noticed_when_changed(token: &str, at: usize, list: ListIdentity, order: &Order) {
    let at = at % token.len();
    let other = if token.as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    let mut changed = token.to_owned();
    changed.replace_range(at..=at, other);
    assert!(
        keyset::decode(&changed, list, order).is_err(),
        "{changed} is accepted"
    );
}

/// The content of a token.
fn content(token: &str) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token).expect("it is base64");
    serde_json::from_slice(&bytes[1 + CHECKSUM_BYTES..]).expect("it is JSON")
}

/// The content with its members in the order that they are written in.
fn in_order(content: &Value) -> Vec<u8> {
    let (list, page, after) = (&content["list"], &content["page"], &content["after"]);
    format!("{{\"list\":{list},\"page\":{page},\"after\":{after}}}").into_bytes()
}

/// A token with that content and the right checksum.
fn sealed(content: &[u8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(&Sha256::digest(content)[..CHECKSUM_BYTES]);
    bytes.extend(content);
    URL_SAFE_NO_PAD.encode(bytes)
}

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
