//! Block-style YAML as Go's yaml.v3 writes an untyped value: sorted keys, four spaces, plain
//! scalars where YAML allows.
//!
//! Inline manifests are templated *after* this step, so which scalars end up quoted decides the
//! type that a substituted value gets. The quoting decisions are therefore part of the contract.

use hyperfleet_runtime::yaml::resolve_plain;
use serde_json::{Map, Value};

/// The document text of `value`.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        other => {
            flat(other, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn indent(width: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', width));
}

fn mapping(map: &Map<String, Value>, width: usize, out: &mut String) {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort();
    for (index, key) in keys.into_iter().enumerate() {
        if index > 0 {
            indent(width, out);
        }
        entry(key, &map[key], width, out);
    }
}

fn entry(key: &str, value: &Value, width: usize, out: &mut String) {
    out.push_str(&quoted(key, true));
    out.push(':');
    nested(value, width, out);
}

/// Writes a value after `key:`; nested collections start on the next line.
fn nested(value: &Value, width: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            indent(width + 4, out);
            mapping(map, width + 4, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            indent(width + 4, out);
            sequence(items, width + 4, out);
        }
        other => {
            out.push(' ');
            flat(other, width, out);
            out.push('\n');
        }
    }
}

fn sequence(items: &[Value], width: usize, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            indent(width, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => mapping(map, width + 2, out),
            Value::Array(inner) if !inner.is_empty() => sequence(inner, width + 2, out),
            other => {
                flat(other, width, out);
                out.push('\n');
            }
        }
    }
}

/// A scalar or an empty collection, without the final line break.
fn flat(value: &Value, width: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&crate::value::print_number(number)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        Value::String(text) if text.contains('\n') && block_allowed(text) => {
            literal(text, width, out);
        }
        Value::String(text) => out.push_str(&quoted(text, false)),
    }
}

fn block_allowed(text: &str) -> bool {
    !text.ends_with(' ')
        && !text.contains(" \n")
        && !text.contains('\t')
        && text.chars().all(|c| c == '\n' || !c.is_control())
}

fn literal(text: &str, width: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('4');
    }
    let trimmed = text.trim_end_matches('\n');
    match text.len() - trimmed.len() {
        0 => out.push('-'),
        1 if !trimmed.is_empty() => {}
        _ => out.push('+'),
    }
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(width + 4, out);
            out.push_str(line);
        }
    }
}

/// The scalar with the least quoting that keeps it a string.
fn quoted(text: &str, key: bool) -> String {
    let special = text.chars().any(|c| c.is_control() || c == '\u{feff}');
    if special || (key && text.contains('\n')) {
        return double_quoted(text);
    }
    let stays_string = matches!(resolve_plain(text), Value::String(same) if same == text)
        && !is_old_boolean(text)
        // A plain `<<` would be a merge key.
        && text != "<<";
    if !stays_string {
        return double_quoted(text);
    }
    if plain_allowed(text) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// YAML 1.1 booleans, which yaml.v3 still quotes for the sake of older readers.
fn is_old_boolean(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off"
    )
}

fn plain_allowed(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return false;
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return false;
    }
    let characters: Vec<char> = text.chars().collect();
    for (index, character) in characters.iter().enumerate() {
        let blank_next = characters.get(index + 1).is_none_or(|next| *next == ' ');
        let blank_before = index == 0 || characters[index - 1] == ' ';
        let first = index == 0;
        let indicator = match character {
            '#' => first || blank_before,
            ':' => blank_next,
            '-' | '?' => first && blank_next,
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => first,
            _ => false,
        };
        if indicator {
            return false;
        }
    }
    true
}

fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => crate::value::escape_unicode(c, &mut out),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;
    use serde_json::json;

    #[test]
    fn quoting_follows_yaml_v3() {
        let cases = [
            ("{{ .n }}", "'{{ .n }}'"),
            ("1{{ .n }}", "1{{ .n }}"),
            ("v-{{ .n }}", "v-{{ .n }}"),
            ("5", "\"5\""),
            ("true", "\"true\""),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("a:b", "a:b"),
            ("-x", "-x"),
            ("- x", "'- x'"),
            ("it's", "it's"),
            ("'q'", "'''q'''"),
            ("null", "\"null\""),
            ("<<", "\"<<\""),
            (" lead", "' lead'"),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text, false), expected, "{text}");
        }
    }

    #[test]
    fn nested_values_are_written_and_read_back() {
        let value = json!({
            "b": [{"x": 1, "y": ["p", {"q": 2}]}, "plain", []],
            "a": {"text": "line one\n  line two\n", "kept": "no end", "more": "x\n\n"},
            "empty": {}, "float": 5.0, "lead": "  spaced\nnext\n",
            "labels": {"app.kubernetes.io/name": "x", "{{ .k }}": "v"}
        });
        let text = to_string(&value);
        assert_eq!(parse(&text).unwrap().unwrap().to_value(), {
            let mut expected = value;
            expected["float"] = json!(5);
            expected
        });
        assert!(text.contains("b:\n    - x: 1\n      \"y\":\n"), "{text}");
    }

    fn any_value() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;

        let text = prop_oneof![
            "[ -~]{0,12}",
            "[a-c:#\\-\\[\\]{}'\"|>&*!%@`,? ]{0,8}",
            "[a\\n ]{0,8}",
            "(y|no|On|null|~|true|0x1f|1e3|010|-5|1_0|2024-01-02|\\.5|<<|=)",
            any::<String>(),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1000_i32..1000).prop_map(|n| Value::from(f64::from(n) + 0.5)),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z.<~ -]{1,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_written_is_read_back(value in any_value()) {
            let document = json!({ "root": value });
            let text = to_string(&document);
            let read = parse(&text).map(|node| node.map(|node| node.to_value()));
            proptest::prop_assert_eq!(read, Ok(Some(document)), "{}", text);
        }
    }
}
