//! Writing, to the byte as the existing sentinels do.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::SecondsFormat;
use serde_json::{Map, Number, Value};

use super::{Envelope, ExtensionValue, TRACEPARENT};

pub(super) fn encode(envelope: &Envelope) -> String {
    let mut out = String::with_capacity(512);
    out.push_str("{\"specversion\":\"1.0\"");
    attribute(&mut out, "id", &envelope.id);
    attribute(&mut out, "source", &envelope.source);
    attribute(&mut out, "type", &envelope.r#type);
    if let Some(subject) = &envelope.subject {
        attribute(&mut out, "subject", subject);
    }
    if let Some(content_type) = &envelope.datacontenttype {
        attribute(&mut out, "datacontenttype", content_type);
    }
    if let Some(schema) = &envelope.dataschema {
        attribute(&mut out, "dataschema", schema);
    }
    if let Some(time) = &envelope.time {
        attribute(
            &mut out,
            "time",
            &time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        );
    }
    if !envelope.data.is_null() {
        out.push_str(",\"data\":");
        value(&mut out, &envelope.data);
    }
    for (name, extension) in extensions(envelope) {
        match extension {
            Extension::Text(text) => attribute(&mut out, name, text),
            Extension::Boolean(flag) => {
                key(&mut out, name);
                out.push_str(if flag { "true" } else { "false" });
            }
            Extension::Number(figure) => {
                key(&mut out, name);
                number(&mut out, figure);
            }
        }
    }
    out.push('}');
    out
}

enum Extension<'a> {
    Text(&'a str),
    Boolean(bool),
    Number(&'a Number),
}

/// All extensions, the trace context among them, in alphabetical order.
fn extensions(envelope: &Envelope) -> BTreeMap<&str, Extension<'_>> {
    let mut all: BTreeMap<&str, Extension<'_>> = envelope
        .extensions
        .iter()
        .map(|(name, extension)| {
            let extension = match extension {
                ExtensionValue::String(text) => Extension::Text(text),
                ExtensionValue::Boolean(flag) => Extension::Boolean(*flag),
                ExtensionValue::Number(figure) => Extension::Number(figure),
            };
            (name.as_str(), extension)
        })
        .collect();
    if let Some(traceparent) = &envelope.traceparent {
        all.insert(TRACEPARENT, Extension::Text(traceparent));
    }
    all
}

fn attribute(out: &mut String, name: &str, text: &str) {
    key(out, name);
    string(out, text);
}

fn key(out: &mut String, name: &str) {
    out.push(',');
    string(out, name);
    out.push(':');
}

fn value(out: &mut String, json: &Value) {
    match json {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(figure) => number(out, figure),
        Value::String(text) => string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => object(out, fields),
    }
}

/// Sorts by itself: whether `serde_json` keeps insertion order depends on what else is in the build.
fn object(out: &mut String, fields: &Map<String, Value>) {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push('{');
    for (index, (name, field)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        value(out, field);
    }
    out.push('}');
}

/// Integers as they are; floating point as Go writes it: shortest form, exponent only when extreme.
fn number(out: &mut String, figure: &Number) {
    let float = match figure.as_f64() {
        Some(float) if figure.is_f64() => float,
        _ => {
            // Writing to a string cannot fail.
            let _ = write!(out, "{figure}");
            return;
        }
    };
    let magnitude = float.abs();
    let text: Cow<'_, str> = if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{float:e}");
        if text.contains("e-") {
            text.into()
        } else {
            text.replace('e', "e+").into()
        }
    } else {
        format!("{float}").into()
    };
    out.push_str(&text);
}

/// Escapes what JSON requires and, like Go, what HTML and JavaScript could misread.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn cluster_event(data: Value) -> Envelope {
        Envelope::new(
            "01a206be-4497-76f4-a843-66c22fed4d4e",
            "hyperfleet-sentinel",
            "com.redhat.hyperfleet.cluster.reconcile",
            data,
        )
    }

    fn data_text(data: Value) -> String {
        let text = encode(&cluster_event(data));
        let (_, rest) = text.split_once("\"data\":").unwrap();
        rest.strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn a_cluster_event_is_the_captured_body() {
        let event = cluster_event(json!({
            "kind": "Cluster", "id": "cls-1", "href": "/api/hyperfleet/v1/clusters/cls-1", "generation": 1,
        }));
        let expected = concat!(
            r#"{"specversion":"1.0","id":"01a206be-4497-76f4-a843-66c22fed4d4e","#,
            r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.cluster.reconcile","#,
            r#""datacontenttype":"application/json","data":{"generation":1,"#,
            r#""href":"/api/hyperfleet/v1/clusters/cls-1","id":"cls-1","kind":"Cluster"}}"#,
        );
        assert_eq!(encode(&event), expected);
        assert_eq!(event.to_bytes().len(), 279);
    }

    #[test]
    fn a_traced_cluster_event_is_the_captured_body() {
        let event = cluster_event(json!({
            "id": "019234ab-0000-7000-8000-000000000001", "kind": "Cluster", "generation": 3,
            "href": "/api/hyperfleet/v1/clusters/019234ab-0000-7000-8000-000000000001",
        }))
        .with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let expected = concat!(
            r#"{"specversion":"1.0","id":"01a206be-4497-76f4-a843-66c22fed4d4e","#,
            r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.cluster.reconcile","#,
            r#""datacontenttype":"application/json","data":{"generation":3,"#,
            r#""href":"/api/hyperfleet/v1/clusters/019234ab-0000-7000-8000-000000000001","#,
            r#""id":"019234ab-0000-7000-8000-000000000001","kind":"Cluster"},"#,
            r#""traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#,
        );
        assert_eq!(encode(&event), expected);
    }

    #[test]
    fn a_node_pool_event_is_the_captured_body() {
        let event = Envelope::new(
            "01a206be-4497-7dd3-aa8e-c72cb6cf7d2c",
            "hyperfleet-sentinel",
            "com.redhat.hyperfleet.nodepool.reconcile",
            json!({
                "id": "np-1", "kind": "NodePool", "generation": 1,
                "href": "/api/hyperfleet/v1/clusters/cls-1/nodepools/np-1",
                "owner_references":
                    {"id": "cls-1", "kind": "Cluster", "href": "/api/hyperfleet/v1/clusters/cls-1"},
            }),
        );
        let expected = concat!(
            r#"{"specversion":"1.0","id":"01a206be-4497-7dd3-aa8e-c72cb6cf7d2c","#,
            r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.nodepool.reconcile","#,
            r#""datacontenttype":"application/json","data":{"generation":1,"#,
            r#""href":"/api/hyperfleet/v1/clusters/cls-1/nodepools/np-1","id":"np-1","kind":"NodePool","#,
            r#""owner_references":{"href":"/api/hyperfleet/v1/clusters/cls-1","id":"cls-1","#,
            r#""kind":"Cluster"}}}"#,
        );
        assert_eq!(encode(&event), expected);
    }

    #[test]
    fn text_is_escaped_as_go_does() {
        assert_eq!(
            data_text(json!(
                "<a href=\"x&y\">\u{2028}\u{2029}\u{1}\t\u{8}\u{7f}é\\"
            )),
            r#""\u003ca href=\"x\u0026y\"\u003e\u2028\u2029\u0001\t\b"#.to_owned()
                + "\u{7f}é"
                + r#"\\""#
        );
    }

    #[test]
    fn keys_are_sorted_at_every_level_and_escaped() {
        assert_eq!(
            data_text(json!({"b": [{"d": 1, "c": {"z": null, "a": true}}], "a&": {}, "B": []})),
            r#"{"B":[],"a\u0026":{},"b":[{"c":{"a":true,"z":null},"d":1}]}"#
        );
    }

    #[test]
    fn numbers_are_written_as_go_does() {
        for (number, text) in [
            (json!(3.0), "3"),
            (json!(-0.5), "-0.5"),
            (json!(1e20), "100000000000000000000"),
            (json!(1e21), "1e+21"),
            (json!(1.5e-7), "1.5e-7"),
            (json!(0.000_001), "0.000001"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!(i64::MIN), "-9223372036854775808"),
        ] {
            assert_eq!(data_text(number), text);
        }
    }

    #[test]
    fn optional_parts_have_their_place_and_absent_data_is_left_out() {
        let mut event = cluster_event(Value::Null).with_traceparent("00-t-s-01");
        event.subject = Some("s".into());
        event.time = Some("2026-01-02T03:04:05Z".parse().unwrap());
        event
            .extensions
            .insert("zone".into(), ExtensionValue::Number(7.into()));
        event
            .extensions
            .insert("audit".into(), ExtensionValue::Boolean(true));
        assert_eq!(
            encode(&event),
            concat!(
                r#"{"specversion":"1.0","id":"01a206be-4497-76f4-a843-66c22fed4d4e","#,
                r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.cluster.reconcile","#,
                r#""subject":"s","datacontenttype":"application/json","time":"2026-01-02T03:04:05Z","#,
                r#""audit":true,"traceparent":"00-t-s-01","zone":7}"#,
            )
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_equal(id in any::<String>(), data in any_json()) {
            let event = Envelope::new(id, "source", "type", data).with_traceparent("00-a-b-01");
            prop_assert_eq!(Envelope::from_bytes(&event.to_bytes()).unwrap(), event);
        }
    }
}
