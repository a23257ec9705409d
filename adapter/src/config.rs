//! Adapter configuration: two YAML files, checked in full before anything is connected to.
//!
//! Invariants:
//! - a [`Config`] that exists passed every rule: expressions and templates are parsed, referenced
//!   files are read, and an unknown key anywhere is refused;
//! - every violation names its path (`preconditions[2].conditions[0].value`) and, where the text
//!   has one, its file, line and column; all violations are reported, not only the first;
//! - the environment is an argument: nothing here reads the process.

mod adapter_file;
mod check;
mod duration;
mod environment;
mod error;
mod lookup;
mod reader;
mod references;
mod task_file;
mod task_parts;
mod task_resources;
mod tree;
mod types;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::yaml;

pub use duration::parse_duration;
pub use error::{ConfigError, Problem};
pub use lookup::{
    ADAPTER_CONFIG_VARIABLE, TASK_CONFIG_VARIABLE, adapter_config_path, task_config_path,
};
pub use types::{
    Action, AdapterSettings, ApiCall, ApiSettings, AuthSettings, Backoff, BrokerSettings, Build,
    Capture, CaptureSource, Condition, DeleteRule, DiscoverBy, Discovery, KubernetesSettings,
    Lifecycle, LogAction, LogSettings, Manifest, Method, Operator, Param, Payload, Post,
    Precondition, PropagationPolicy, Resource, Source, Task,
};

/// The largest configuration file accepted, in bytes; `ConfigMaps` end at 1 MiB.
pub(crate) const FILE_LIMIT: u64 = 1024 * 1024;

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who the adapter is and how it reaches things. Fields may be overridden after loading,
    /// for example the API's base URL by `hyperfleet dev`.
    pub adapter: AdapterSettings,
    /// What to do for each event.
    pub task: Task,
    /// The environment that `env.` reads.
    pub environment: Arc<BTreeMap<String, String>>,
    /// What is accepted but probably not meant.
    pub warnings: Vec<String>,
    /// The task file as written, for the `config.` tree.
    pub(crate) task_tree: Value,
}

/// Loads and checks both files.
///
/// # Errors
/// [`ConfigError`] names every violation found in the first stage that fails.
pub fn load(
    adapter_config: &Path,
    task_config: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    let adapter_text = read(adapter_config)?;
    let task_text = read(task_config)?;
    load_text(
        (&adapter_text, adapter_config),
        (&task_text, task_config),
        environment,
    )
}

/// Loads from texts; the paths serve messages and the base of file references.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    (adapter_text, adapter_path): (&str, &Path),
    (task_text, task_path): (&str, &Path),
    environment: &BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    let mut warnings = Vec::new();
    let adapter_document = document(adapter_text, adapter_path)?;
    let mut reader = reader::Reader::new(adapter_path);
    let adapter = adapter_file::read(&mut reader, &adapter_document, environment, &mut warnings);
    let adapter = reader.finish(adapter)?;

    let task_document = document(task_text, task_path)?;
    let mut reader = reader::Reader::new(task_path);
    let base = task_path.parent().unwrap_or_else(|| Path::new(""));
    let references = references::References::new(base);
    let task = task_file::read(&mut reader, &task_document, &references);
    if let Some(task) = &task {
        check::check(
            &mut reader,
            task,
            &task_document,
            environment,
            &mut warnings,
        );
    }
    let task = reader.finish(task)?;
    Ok(Config {
        adapter,
        task,
        environment: Arc::new(environment.clone()),
        warnings,
        task_tree: task_document.to_value(),
    })
}

impl Config {
    /// The merged configuration that `config.` reads, with `snake_case` keys; `redacted` is what
    /// templates and dumps see.
    pub fn tree(&self, redacted: bool) -> Value {
        tree::merged(self, redacted)
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_path_buf(),
        source,
    };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_LIMIT {
        return Err(ConfigError::TooLarge {
            path: path.to_path_buf(),
            limit: FILE_LIMIT,
        });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn document(text: &str, path: &Path) -> Result<yaml::Node, ConfigError> {
    match yaml::parse(text) {
        Ok(Some(node)) => Ok(node),
        Ok(None) => Err(ConfigError::Empty {
            path: path.to_path_buf(),
        }),
        Err(source) => Err(ConfigError::Yaml {
            path: path.to_path_buf(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests;
