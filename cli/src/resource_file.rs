//! Files that declare resources: one JSON or YAML document, several YAML documents, a JSON array, or a
//! list object with `items`. Errors name the file and the place in it.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Largest file accepted, in bytes; far above any real declaration, small enough to read whole.
const MAXIMUM_BYTES: u64 = 4 * 1024 * 1024;

/// Reads every resource declared in a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Value>> {
    let name = path.display();
    let mut content = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin()
            .take(MAXIMUM_BYTES + 1)
            .read_to_string(&mut content)
            .context("cannot read standard input")?;
    } else {
        std::fs::File::open(path)
            .with_context(|| format!("cannot open {name}"))?
            .take(MAXIMUM_BYTES + 1)
            .read_to_string(&mut content)
            .with_context(|| format!("cannot read {name} as text"))?;
    }
    if content.len() as u64 > MAXIMUM_BYTES {
        bail!("{name} is larger than {MAXIMUM_BYTES} bytes; split it into several files");
    }
    parse(&content).with_context(|| format!("cannot use {name}"))
}

/// Parses one value (an object) of JSON or YAML, such as a patch on the command line.
pub(crate) fn parse_object(content: &str) -> anyhow::Result<Value> {
    let value: Value = match serde_json::from_str(content) {
        Ok(value) => value,
        Err(json_error) if content.trim_start().starts_with(['{', '[']) => {
            return Err(json_error).context("not valid JSON");
        }
        Err(_) => serde_saphyr::from_str(content).context("neither valid JSON nor YAML")?,
    };
    if !value.is_object() {
        bail!("expected an object, found {}", kind_of(&value));
    }
    Ok(value)
}

fn parse(content: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = match serde_json::from_str::<Value>(content) {
        Ok(Value::Array(items)) => items,
        Ok(value) => vec![value],
        Err(json_error) if content.trim_start().starts_with(['{', '[']) => {
            return Err(json_error).context("not valid JSON");
        }
        Err(_) => serde_saphyr::from_multiple(content).context("not valid YAML")?,
    };
    let mut resources = Vec::new();
    for document in documents {
        match document {
            Value::Null => {}
            Value::Object(mut object)
                if object.contains_key("items") && !object.contains_key("spec") =>
            {
                match object.remove("items") {
                    Some(Value::Array(items)) => resources.extend(items),
                    _ => bail!("`items` must be a list of resources"),
                }
            }
            other => resources.push(other),
        }
    }
    if resources.is_empty() {
        bail!("it declares no resource");
    }
    for (index, resource) in resources.iter().enumerate() {
        if !resource.is_object() {
            bail!(
                "document {} is {}, expected a resource object",
                index + 1,
                kind_of(resource)
            );
        }
        if !resource["kind"].is_string() {
            bail!(
                "document {} has no `kind`; write for example `kind: Cluster`",
                index + 1
            );
        }
    }
    Ok(resources)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(content: &str) -> Vec<String> {
        parse(content)
            .unwrap()
            .iter()
            .map(|resource| resource["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn error(content: &str) -> String {
        format!("{:#}", parse(content).unwrap_err())
    }

    #[test]
    fn every_shape_of_file_is_read() {
        assert_eq!(names(r#"{"kind":"Cluster","name":"a","spec":{}}"#), ["a"]);
        assert_eq!(
            names(r#"[{"kind":"Cluster","name":"a"},{"kind":"NodePool","name":"b"}]"#),
            ["a", "b"]
        );
        assert_eq!(names(r#"{"items":[{"kind":"Cluster","name":"a"}]}"#), ["a"]);
        assert_eq!(
            names("kind: Cluster\nname: a\n---\nkind: NodePool\nname: b\n"),
            ["a", "b"]
        );
    }

    #[test]
    fn faults_are_named() {
        assert!(error("{\"kind\":").contains("not valid JSON"));
        assert!(error("").contains("declares no resource"));
        assert!(error("[1]").contains("document 1 is a number"));
        assert!(error("name: a").contains("has no `kind`"));
        assert!(error(r#"{"items":3}"#).contains("`items` must be a list"));
    }

    #[test]
    fn a_patch_must_be_an_object() {
        assert!(parse_object("[1]").is_err());
        assert_eq!(
            parse_object("labels: {a: b}").unwrap(),
            serde_json::json!({"labels": {"a": "b"}})
        );
    }
}
