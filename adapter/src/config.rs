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
mod maestro_file;
mod overrides;
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
pub use overrides::{SETTINGS, Setting};
pub use types::{
    Action, AdapterSettings, ApiCall, ApiSettings, AuthSettings, Backoff, BrokerSettings, Build,
    Capture, CaptureSource, Condition, DeleteRule, DiscoverBy, Discovery, KubernetesSettings,
    Lifecycle, LogAction, LogSettings, MaestroSettings, MaestroTls, Manifest, Method,
    NestedDiscovery, Operator, Param, Payload, Post, Precondition, PropagationPolicy, Resource,
    Source, Task,
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

/// Where a configuration is read.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'i> {
    /// The `AdapterConfig` file.
    pub adapter: &'i Path,
    /// The `AdapterTaskConfig` file.
    pub task: &'i Path,
    /// The environment.
    pub environment: &'i BTreeMap<String, String>,
    /// Keys of [`SETTINGS`] and their values; they win over everything.
    pub flags: &'i [(String, String)],
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
    load_with_flags(Inputs {
        adapter: adapter_config,
        task: task_config,
        environment,
        flags: &[],
    })
}

/// Loads and checks both files under flags.
///
/// # Errors
/// As [`load`].
pub fn load_with_flags(inputs: Inputs<'_>) -> Result<Config, ConfigError> {
    let adapter_text = read(inputs.adapter)?;
    let mut warnings = Vec::new();
    let adapter = adapter_settings(&adapter_text, inputs, &mut warnings)?;
    let task_text = read(inputs.task)?;
    let (task, task_tree) = task(&task_text, inputs, &mut warnings)?;
    Ok(Config {
        adapter,
        task,
        environment: Arc::new(inputs.environment.clone()),
        warnings,
        task_tree,
    })
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
    let inputs = Inputs {
        adapter: adapter_path,
        task: task_path,
        environment,
        flags: &[],
    };
    let mut warnings = Vec::new();
    let adapter = adapter_settings(adapter_text, inputs, &mut warnings)?;
    let (task, task_tree) = task(task_text, inputs, &mut warnings)?;
    Ok(Config {
        adapter,
        task,
        environment: Arc::new(environment.clone()),
        warnings,
        task_tree,
    })
}

/// The settings in the text of an `AdapterConfig` file.
pub(crate) fn adapter_settings(
    text: &str,
    inputs: Inputs<'_>,
    warnings: &mut Vec<String>,
) -> Result<AdapterSettings, ConfigError> {
    let document = document(text, inputs.adapter)?;
    let mut reader = reader::Reader::new(inputs.adapter);
    let settings = adapter_file::read(
        &mut reader,
        &document,
        inputs.environment,
        inputs.flags,
        warnings,
    );
    reader.finish(settings)
}

/// The task in the text of an `AdapterTaskConfig` file, and the file as a tree.
pub(crate) fn task(
    text: &str,
    inputs: Inputs<'_>,
    warnings: &mut Vec<String>,
) -> Result<(Task, Value), ConfigError> {
    let document = document(text, inputs.task)?;
    let mut reader = reader::Reader::new(inputs.task);
    let base = inputs.task.parent().unwrap_or_else(|| Path::new(""));
    let references = references::References::new(base);
    let task = task_file::read(&mut reader, &document, &references);
    if let Some(task) = &task {
        check::check(&mut reader, task, &document, inputs.environment, warnings);
    }
    Ok((reader.finish(task)?, document.to_value()))
}

impl Config {
    /// The merged configuration that `config.` reads, with `snake_case` keys; `redacted` is what
    /// templates and dumps see.
    pub fn tree(&self, redacted: bool) -> Value {
        tree::merged(self, redacted)
    }
}

pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
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
