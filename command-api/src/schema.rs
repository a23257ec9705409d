//! Schemas of specs, from the component schemas of an `OpenAPI` 3 document.
//!
//! Invariants:
//! - a schema is compiled at start-up or the process does not start; nothing is loaded later, and
//!   references never leave the document;
//! - all violations of a spec are answered, in order of their path, up to [`MAX_VIOLATIONS`];
//! - a message never repeats the value that was sent, which may be secret or large.

mod translate;
mod violation;

use std::collections::BTreeMap;

use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::registry::Registry;
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

pub use self::violation::MAX_VIOLATIONS;

/// Why a document cannot give the schemas.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The document is not `OpenAPI` 3.
    #[error("not an OpenAPI 3 document: {problem}")]
    NotOpenApi {
        /// What is missing or wrong.
        problem: String,
    },
    /// A kind requires a schema that the document does not have.
    #[error(
        "components.schemas has no `{schema}`, which kind {kind} requires; it has {known}; add it, or set require_spec_schema: false"
    )]
    Missing {
        /// The kind.
        kind: String,
        /// The schema that it names.
        schema: String,
        /// What there is.
        known: String,
    },
    /// A reference leaves the document, or leads nowhere.
    #[error(
        "components.schemas: the reference {reference:?} at {at} does not lead to a schema of this document"
    )]
    Reference {
        /// The reference.
        reference: String,
        /// JSON pointer to it.
        at: String,
    },
    /// A schema is not one.
    #[error("the schema `{schema}` of kind {kind} cannot be used: {problem}")]
    Unusable {
        /// The kind.
        kind: String,
        /// The schema.
        schema: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The compiled schema of one kind.
#[derive(Debug)]
struct SpecSchema {
    name: String,
    validator: Validator,
}

/// The schemas that specs must satisfy, by kind. A kind without one takes any object.
#[derive(Debug, Default)]
pub struct SpecSchemas {
    by_kind: BTreeMap<String, SpecSchema>,
}

impl SpecSchemas {
    /// Compiles the schemas that the kinds of a registry name. Also returns a sentence for each kind
    /// whose schema is missing and not required: specs of that kind are not validated.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn compile(
        document: &Value,
        registry: &Registry,
    ) -> Result<(Self, Vec<String>), SchemaError> {
        let (draft, schemas) = translate::component_schemas(document)?;
        let mut by_kind = BTreeMap::new();
        let mut warnings = Vec::new();
        for descriptor in registry.iter() {
            let (kind, Some(name)) = (&descriptor.kind, &descriptor.spec_schema_name) else {
                continue;
            };
            if schemas.contains_key(name) {
                let validator = compile(draft, &schemas, kind, name)?;
                let name = name.clone();
                by_kind.insert(kind.clone(), SpecSchema { name, validator });
            } else if descriptor.require_spec_schema {
                let known: Vec<&str> = schemas.keys().map(String::as_str).collect();
                return Err(SchemaError::Missing {
                    kind: kind.clone(),
                    schema: name.clone(),
                    known: if known.is_empty() {
                        "none".to_owned()
                    } else {
                        known.join(", ")
                    },
                });
            } else {
                warnings.push(format!(
                    "components.schemas has no `{name}`: specs of kind {kind} are not validated"
                ));
            }
        }
        Ok((Self { by_kind }, warnings))
    }

    /// Checks a spec as it was sent.
    ///
    /// # Errors
    /// The fault that names every member at fault.
    pub fn check(&self, kind: &str, spec: &Map<String, Value>) -> Result<(), Fault> {
        let Some(schema) = self.by_kind.get(kind) else {
            return Ok(());
        };
        let spec = Value::Object(spec.clone());
        let violations = violation::all(&schema.validator, &spec);
        if violations.is_empty() {
            return Ok(());
        }
        let detail = format!("Invalid {}", schema.name);
        Err(Fault::new(codes::VALIDATION, detail).with_errors(violations))
    }
}

fn compile(
    draft: Draft,
    schemas: &Map<String, Value>,
    kind: &str,
    name: &str,
) -> Result<Validator, SchemaError> {
    // The document's schemas stand where its references look for them.
    let root = json!({
        "allOf": [{"$ref": format!("#/components/schemas/{}", translate::escaped(name))}],
        "components": {"schemas": schemas},
    });
    jsonschema::options()
        .with_draft(draft)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .build(&root)
        .map_err(|error| SchemaError::Unusable {
            kind: kind.to_owned(),
            schema: name.to_owned(),
            problem: format!("{error} (at {})", error.instance_path()),
        })
}

#[cfg(test)]
mod tests;
