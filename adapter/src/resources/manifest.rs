//! From a manifest's text to an object: template the whole text, then parse it.

use serde_json::Value;

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

pub(super) fn render(manifest: &Manifest, state: &State<'_>) -> Result<Rendered, StepError> {
    let text = manifest
        .template
        .render(state)
        .map_err(|error| StepError::terminal(format!("failed to render manifest: {error}")))?;
    let value = parse(&text).map_err(StepError::terminal)?;
    let object = ObjectId::of(&value).ok_or_else(|| {
        StepError::terminal("the manifest lacks apiVersion, kind or metadata.name")
    })?;
    if object.name.is_empty() {
        return Err(StepError::terminal("the manifest's metadata.name is empty"));
    }
    Ok(Rendered { value, object })
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
