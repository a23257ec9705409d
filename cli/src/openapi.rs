//! The OpenAPI document: each router describes its routes, and here they become one.

use hyperfleet_domain::Registry;
use utoipa::openapi::OpenApi;

/// The document of the API for the registered kinds.
pub(crate) fn document(registry: &Registry) -> OpenApi {
    let version = env!("CARGO_PKG_VERSION");
    let mut document = hyperfleet_command_api::openapi::document(registry, version);
    document.merge(hyperfleet_projections::openapi::document(registry, version));
    document
}

/// Prints the document of the built-in kinds.
pub(crate) fn print() -> anyhow::Result<()> {
    println!("{}", document(&Registry::builtin()).to_pretty_json()?);
    Ok(())
}
