//! The file with the schemas of specs.

use std::path::Path;

use anyhow::{Context as _, bail};
use hyperfleet_command_api::SpecSchemas;
use hyperfleet_domain::Registry;
use hyperfleet_runtime::yaml;

/// Reads and compiles the schemas that the kinds name; without a file, specs are free-form, as in the
/// built-in document. Also returns what the operator should know.
pub(super) fn load(
    file: Option<&Path>,
    registry: &Registry,
) -> anyhow::Result<(SpecSchemas, Vec<String>)> {
    let Some(file) = file else {
        return Ok((SpecSchemas::default(), Vec::new()));
    };
    let text = std::fs::read_to_string(file).with_context(|| {
        format!(
            "cannot read {}, which server.openapi_schema_path names",
            file.display()
        )
    })?;
    let node = yaml::parse(&text)
        .with_context(|| format!("{} is neither YAML nor JSON", file.display()))?;
    let Some(node) = node else {
        bail!(
            "{} is empty; it must be an OpenAPI 3 document",
            file.display()
        );
    };
    SpecSchemas::compile(&node.to_value(), registry).with_context(|| file.display().to_string())
}
