//! The OpenAPI document: each router describes its routes, and here they become one.

use std::path::PathBuf;
use std::sync::Arc;

use hyperfleet_domain::Registry;
use utoipa::openapi::OpenApi;

use crate::configuration::Configuration;

/// The document of the API for the registered kinds.
pub(crate) fn document(registry: &Registry) -> OpenApi {
    let version = env!("CARGO_PKG_VERSION");
    let mut document = hyperfleet_command_api::openapi::document(registry, version);
    document.merge(hyperfleet_projections::openapi::document(registry, version));
    document
}

/// Prints the document of the built-in kinds, or of those of a configuration.
pub(crate) fn print(config: Option<PathBuf>) -> anyhow::Result<()> {
    let registry = match config {
        Some(file) => Configuration::of_file(file)?.registry,
        None => Arc::new(Registry::builtin()),
    };
    println!("{}", document(&registry).to_pretty_json()?);
    Ok(())
}
