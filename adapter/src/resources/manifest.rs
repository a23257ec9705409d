//! From a manifest's text to an object: template the whole text, then parse it.

use serde_json::Value;

use super::maestro;
use crate::cluster::ObjectId;
use crate::config::Manifest;
use crate::outcome::StepError;
use crate::state::State;
use crate::yaml;

/// A manifest ready to apply.
pub(super) struct Rendered {
    /// The whole object.
    pub(super) value: Value,
    /// Its identity.
    pub(super) object: ObjectId,
}

/// Renders the manifest; with a consumer it is the `ManifestWork` that goes there.
pub(super) fn render(
    manifest: &Manifest,
    consumer: Option<&str>,
    state: &State<'_>,
) -> Result<Rendered, StepError> {
    let text = manifest
        .template
        .render(state)
        .map_err(|error| StepError::terminal(format!("failed to render manifest: {error}")))?;
    let mut value = whole_numbers(parse(&text).map_err(StepError::terminal)?);
    if let Some(consumer) = consumer
        && let Some(Value::Object(metadata)) = value.get_mut("metadata")
    {
        metadata.insert("namespace".to_owned(), consumer.into());
    }
    let object = ObjectId::of(&value).ok_or_else(|| {
        StepError::terminal("the manifest lacks apiVersion, kind or metadata.name")
    })?;
    if object.name.is_empty() {
        return Err(StepError::terminal("the manifest's metadata.name is empty"));
    }
    if consumer.is_some() {
        maestro::check(&value, &object.kind)?;
    }
    Ok(Rendered { value, object })
}

/// Floats without a fraction as integers: `5.0` in a manifest goes on the wire as `5`, because API
/// servers refuse a float where they expect an integer.
fn whole_numbers(value: Value) -> Value {
    /// The largest magnitude below which every whole float is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0 && float.abs() < EXACT {
                #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
                let integer = float as i64;
                Value::from(integer)
            } else {
                Value::Number(number)
            }
        }
        Value::Array(items) => Value::Array(items.into_iter().map(whole_numbers).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, whole_numbers(value)))
                .collect(),
        ),
        other => other,
    }
}

/// The first document of a rendered text, which must be a mapping with content.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    const EMPTY: &str = "empty manifest: template rendered to an empty document";
    let node = yaml::parse(text)
        .map_err(|error| format!("the rendered manifest is not valid YAML: {error}"))?
        .ok_or(EMPTY)?;
    match node.to_value() {
        Value::Null => Err(EMPTY.to_owned()),
        Value::Object(map) if map.is_empty() => Err(EMPTY.to_owned()),
        object @ Value::Object(_) => Ok(object),
        _ => Err("the rendered manifest is not a mapping".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Renders the manifest of a task whose parameters are given.
    fn rendered(manifest: &str, params: &str) -> Result<Value, String> {
        let task = format!(
            "params: [{params}]\nresources:\n- name: r\n  discovery: {{by_name: x}}\n  manifest: {manifest}\n"
        );
        let path = std::path::Path::new("task.yaml");
        let config = crate::config::load_text(
            ("adapter: {name: a}", path),
            (&task, path),
            &std::collections::BTreeMap::new(),
        )
        .unwrap_or_else(|error| panic!("{error}"));
        let surroundings = crate::state::Surroundings::new(
            config,
            std::sync::Arc::new(hyperfleet_runtime::clock::SystemClock),
        );
        let event =
            crate::event::Event::from_data(json!({"on": false, "list": ["a", "b"]})).unwrap();
        let mut state = State::new(&surroundings, &event);
        for param in &surroundings.config.task.params {
            let value = param.default.clone().unwrap_or_default();
            state.set(&param.name, value);
        }
        let manifest = &surroundings.config.task.resources[0].manifest;
        render(manifest, None, &state)
            .map(|rendered| rendered.value)
            .map_err(|error| error.message)
    }

    const NAMED: &str = "apiVersion: v1, kind: X, metadata: {name: x}";

    #[test]
    fn inline_manifests_are_typed_after_substitution() {
        let cases = [
            ("'{{ .n }}'", "5", json!("5")),
            ("'1{{ .n }}'", "5", json!(15)),
            ("'v-{{ .n }}'", "5", json!("v-5")),
            ("'5'", "5", json!("5")),
            ("'true'", "5", json!("true")),
            ("5", "5", json!(5)),
            ("5.0", "5", json!(5)),
            ("5.5", "5", json!(5.5)),
            ("2024-01-02", "5", json!("2024-01-02T00:00:00Z")),
            ("\"{{ .n }}\\nline\"", "5", json!("5\nline")),
        ];
        for (value, n, expected) in cases {
            let manifest = format!("{{{NAMED}, v: {value}}}");
            let found = rendered(&manifest, &format!("{{name: n, source: x, default: {n}}}"));
            assert_eq!(
                found.map(|found| found["v"].clone()),
                Ok(expected),
                "{value}"
            );
        }
    }

    #[test]
    fn values_that_break_the_document_fail() {
        for (value, n) in [("'p-{{ .n }}'", "'a: b'"), ("'{{ .n }}'", "\"it's\"")] {
            let manifest = format!("{{{NAMED}, v: {value}}}");
            let params = format!("{{name: n, source: x, default: {n}}}");
            assert!(rendered(&manifest, &params).is_err(), "{value}");
        }
    }

    #[test]
    fn text_manifests_keep_quotes_and_control_flow() {
        let text = "|\n    apiVersion: v1\n    kind: X\n    metadata: {name: x}\n    n: {{ .n }}\n    q: \"{{ .n }}\"\n    list:\n    {{- range .event.list }}\n    - {{ . }}\n    {{- end }}\n    ---\n    ignored: true";
        let found = rendered(text, "{name: n, source: x, default: 5}").unwrap();
        assert_eq!(
            (&found["n"], &found["q"], &found["list"]),
            (&json!(5), &json!("5"), &json!(["a", "b"]))
        );
        let gated = "|\n    {{ if .event.on }}\n    apiVersion: v1\n    kind: X\n    {{ end }}";
        assert_eq!(
            rendered(gated, ""),
            Err("empty manifest: template rendered to an empty document".to_owned())
        );
    }

    #[test]
    fn only_a_mapping_with_content_is_a_manifest() {
        assert_eq!(parse("a: 1\n---\nb: 2\n"), Ok(json!({"a": 1})));
        for text in ["", "# nothing\n", "---\n", "{}"] {
            assert!(
                parse(text).unwrap_err().starts_with("empty manifest"),
                "{text:?}"
            );
        }
        assert!(parse("- a").unwrap_err().contains("not a mapping"));
        assert!(parse("a: b: c").unwrap_err().contains("not valid YAML"));
    }
}
