//! Go text templates, strict about missing keys, printing as Go prints.
//!
//! The engine is `gotmpl`; what it does differently from Go in ways configurations can see is
//! corrected by rewriting the parsed tree once, at load (see `rewrite`): field access is strict
//! through nulls and names the missing key, and values print by Go's rules (`1e+06`,
//! `<no value>`). Text without `{{` is never parsed and is returned as it is.

mod functions;
mod layout;
mod rewrite;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use gotmpl::Value as TemplateValue;
use serde_json::Value;

pub use layout::format_go;

/// A template as configured, parsed at load.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    parsed: Option<Arc<rewrite::Parsed>>,
}

/// Parsing or rendering failed.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// The text is not a template.
    #[error("template parse error: {0}")]
    Parse(String),
    /// Rendering failed, for example on a missing key.
    #[error("template render error: {0}")]
    Render(String),
}

/// What templates can see: the roots by name.
pub trait Scope {
    /// The value of a root name.
    fn root(&self, name: &str) -> Option<TemplateValue>;
    /// Every root name, for templates that use the bare dot.
    fn names(&self) -> Vec<String>;
    /// The time that `now` answers.
    fn now(&self) -> DateTime<Utc>;
}

impl Template {
    /// Parses `source`.
    ///
    /// # Errors
    /// On a syntax error. An unknown function is not one: it fails when rendered.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let parsed = if source.contains("{{") {
            Some(Arc::new(rewrite::parse(source)?))
        } else {
            None
        };
        Ok(Self {
            source: Arc::from(source),
            parsed,
        })
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the text has actions at all.
    pub fn is_dynamic(&self) -> bool {
        self.parsed.is_some()
    }

    /// Renders with the given scope.
    ///
    /// # Errors
    /// On a missing key, an unknown function or a function's own failure.
    pub fn render(&self, scope: &dyn Scope) -> Result<String, TemplateError> {
        match &self.parsed {
            None => Ok(self.source.to_string()),
            Some(parsed) => parsed.render(scope),
        }
    }

    /// Root names met in the simple shapes `{{ .a.b }}` and `{{ .a | f }}`.
    pub fn simple_roots(&self) -> BTreeSet<String> {
        self.parsed
            .as_ref()
            .map(|parsed| parsed.simple_roots.clone())
            .unwrap_or_default()
    }

    /// Every root name that a field access may reach.
    pub fn roots(&self) -> BTreeSet<String> {
        self.parsed
            .as_ref()
            .map(|parsed| parsed.roots.clone())
            .unwrap_or_default()
    }

    /// Every field chain that begins at the root, such as `["adapter", "name"]`; those inside `range`
    /// and `with` begin elsewhere, unless they begin with `$`.
    pub fn paths(&self) -> BTreeSet<Vec<String>> {
        self.parsed
            .as_ref()
            .map(|parsed| parsed.paths.clone())
            .unwrap_or_default()
    }

    /// Whether any action calls a function.
    pub fn calls_functions(&self) -> bool {
        self.parsed
            .as_ref()
            .is_some_and(|parsed| !parsed.functions.is_empty())
    }

    /// Functions called that do not exist.
    pub fn unknown_functions(&self) -> Vec<String> {
        self.parsed
            .as_ref()
            .map(|parsed| {
                parsed
                    .functions
                    .iter()
                    .filter(|name| !functions::is_known(name))
                    .cloned()
                    .collect()
            })
            .unwrap_or_default()
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Template")
            .field(&self.source)
            .finish()
    }
}

/// A native value as the engine's.
pub fn to_template_value(value: &Value) -> TemplateValue {
    match value {
        Value::Null => TemplateValue::Nil,
        Value::Bool(flag) => TemplateValue::Bool(*flag),
        Value::Number(number) => {
            if let Some(integer) = number.as_i64() {
                TemplateValue::Int(integer)
            } else if let Some(integer) = number.as_u64() {
                TemplateValue::Uint(integer)
            } else {
                TemplateValue::Float(number.as_f64().unwrap_or_default())
            }
        }
        Value::String(text) => TemplateValue::String(Arc::from(text.as_str())),
        Value::Array(items) => TemplateValue::List(items.iter().map(to_template_value).collect()),
        Value::Object(map) => TemplateValue::Map(Arc::new(
            map.iter()
                .map(|(key, value)| (Arc::from(key.as_str()), to_template_value(value)))
                .collect(),
        )),
    }
}

#[cfg(test)]
mod tests;
