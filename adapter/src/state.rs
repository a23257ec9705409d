//! The state of one execution: what templates, expressions and paths can see.
//!
//! Every event starts with a fresh state; nothing is kept between executions.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use gotmpl::Value as TemplateValue;
use hyperfleet_runtime::clock::Clock;
use serde_json::{Map, Value};

use crate::config::{Config, LogAction};
use crate::event::Event;
use crate::expression::Variables;
use crate::metrics::AdapterMetrics;
use crate::outcome::Metadata;
use crate::template::{Scope, to_template_value};

/// Trees that are the same for every execution of an adapter.
pub struct Surroundings {
    /// The checked configuration.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// In a dry run, the objects that nested discoveries find, by name; generations then decide
    /// nothing.
    pub(crate) dry_run: Option<Map<String, Value>>,
    /// Where deletions are counted.
    pub(crate) metrics: AdapterMetrics,
    environment: Value,
    tree: Value,
    redacted: Value,
    adapter: Value,
    template_environment: TemplateValue,
    template_config: TemplateValue,
    template_adapter: TemplateValue,
}

impl Surroundings {
    /// Prepares the trees of a configuration.
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Self {
        let environment = Value::Object(
            config
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), Value::String(value.clone())))
                .collect(),
        );
        let adapter = serde_json::json!({
            "name": config.adapter.name,
            "version": config.adapter.version,
        });
        let redacted = config.tree(true);
        Self {
            template_environment: to_template_value(&environment),
            template_config: to_template_value(&redacted),
            template_adapter: to_template_value(&adapter),
            tree: config.tree(false),
            adapter,
            environment,
            redacted,
            config,
            clock,
            dry_run: None,
            metrics: AdapterMetrics::default(),
        }
    }

    /// The environment as a tree.
    pub(crate) fn environment(&self) -> &Value {
        &self.environment
    }

    /// The adapter's name and version.
    pub(crate) fn adapter(&self) -> &Value {
        &self.adapter
    }

    /// The unredacted configuration tree.
    pub(crate) fn tree(&self) -> &Value {
        &self.tree
    }
}

/// Named values; shared, because snapshots of them are taken.
pub(crate) type Params = BTreeMap<String, Arc<Value>>;

/// The state of one execution.
pub(crate) struct State<'s> {
    pub(crate) surroundings: &'s Surroundings,
    pub(crate) event: &'s Event,
    pub(crate) params: Params,
    pub(crate) resources: Map<String, Value>,
    pub(crate) metadata: Metadata,
}

impl<'s> State<'s> {
    pub(crate) fn new(surroundings: &'s Surroundings, event: &'s Event) -> Self {
        Self {
            surroundings,
            event,
            params: Params::new(),
            resources: Map::new(),
            metadata: Metadata::default(),
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.params.insert(name.to_owned(), Arc::new(value));
    }

    fn variable_from(&self, params: &Params, name: &str) -> Option<Value> {
        match name {
            "adapter" => Some(self.metadata.to_value()),
            "resources" => Some(Value::Object(self.resources.clone())),
            "event" => Some(self.event.data.clone()),
            "env" => Some(self.surroundings.environment.clone()),
            "config" => Some(self.surroundings.redacted.clone()),
            _ => params.get(name).map(|value| value.as_ref().clone()),
        }
    }

    /// Renders and emits a configured message; a failure is logged, never fatal.
    pub(crate) fn log(&self, log: &LogAction) {
        match log.message.render(self) {
            Err(error) => tracing::error!("log message cannot be rendered: {error}"),
            Ok(message) => match log.level.as_str() {
                "debug" => tracing::debug!("[config] {message}"),
                "warn" | "warning" => tracing::warn!("[config] {message}"),
                "error" => tracing::error!("[config] {message}"),
                _ => tracing::info!("[config] {message}"),
            },
        }
    }
}

impl Variables for State<'_> {
    fn variable(&self, name: &str) -> Option<Value> {
        self.variable_from(&self.params, name)
    }

    fn now(&self) -> DateTime<Utc> {
        self.surroundings.clock.now()
    }
}

impl Scope for State<'_> {
    fn root(&self, name: &str) -> Option<TemplateValue> {
        if let Some(value) = self.params.get(name) {
            return Some(to_template_value(value));
        }
        match name {
            "event" => Some(to_template_value(&self.event.data)),
            "env" => Some(self.surroundings.template_environment.clone()),
            "config" => Some(self.surroundings.template_config.clone()),
            "adapter" => Some(self.surroundings.template_adapter.clone()),
            _ => None,
        }
    }

    fn names(&self) -> Vec<String> {
        let pseudo = ["event", "env", "config", "adapter"];
        let mut names: Vec<String> = self.params.keys().cloned().collect();
        names.extend(pseudo.iter().map(|&name| name.to_owned()));
        names
    }

    fn now(&self) -> DateTime<Utc> {
        self.surroundings.clock.now()
    }
}

/// A state whose parameters are replaced by frozen ones.
pub(crate) struct Frozen<'a, 's> {
    pub(crate) params: &'a Params,
    pub(crate) state: &'a State<'s>,
}

impl Variables for Frozen<'_, '_> {
    fn variable(&self, name: &str) -> Option<Value> {
        self.state.variable_from(self.params, name)
    }

    fn now(&self) -> DateTime<Utc> {
        self.state.surroundings.clock.now()
    }
}

/// The value that a `JSONPath` over variables is applied to: only the variable it names.
pub(crate) fn path_context(path: &crate::jsonpath::JsonPath, variables: &dyn Variables) -> Value {
    let mut context = Map::new();
    if let Some(root) = path.root()
        && let Some(value) = variables.variable(root)
    {
        context.insert(root.to_owned(), value);
    }
    Value::Object(context)
}
