//! The configuration of the API and of what shares its file: read, checked, and as types.

mod arguments;
mod database;
mod entities;
mod keys;
mod schemas;
mod sections;
#[cfg(test)]
mod tests;
pub(crate) mod traces;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use hyperfleet_command_api::SpecSchemas;
use hyperfleet_domain::Registry;
use hyperfleet_runtime::config::{Effect, GivenFlag, Settings, Sources};

pub(crate) use self::arguments::{
    DatabaseOfRole, DatabaseOnly, Everything, Scope, SettingsArguments, WorkingRole,
};
pub(crate) use self::database::{Database as DatabaseConfiguration, DatabaseChoice};
pub(crate) use self::sections::Listen;
use self::sections::{Audit, Health, Log, Logging, Metrics, Server};
use crate::environment;

/// Everything that the settings say.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) server: Server,
    pub(crate) database: DatabaseConfiguration,
    pub(crate) logging: Logging,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) log: Log,
    pub(crate) audit: Audit,
    pub(crate) registry: Arc<Registry>,
    pub(crate) settings: Settings,
    warnings: Vec<String>,
}

impl Configuration {
    /// Reads and checks the settings of a command. `global` are the flags that every command has.
    pub(crate) fn read<S: Scope>(
        arguments: &SettingsArguments<S>,
        global: &[GivenFlag],
    ) -> anyhow::Result<Self> {
        let sources = Sources {
            file: arguments.file.clone(),
            file_variable: S::CONFIG_VARIABLE,
            default_files: S::DEFAULT_FILES.iter().map(Into::into).collect(),
            flags: arguments.flags.iter().chain(global).cloned().collect(),
            environment: environment::variables(),
        };
        Self::of(&sources)
    }

    /// Reads a file alone.
    pub(crate) fn of_file(file: PathBuf) -> anyhow::Result<Self> {
        Self::of(&Sources {
            file: Some(file),
            ..Sources::default()
        })
    }

    fn of(sources: &Sources) -> anyhow::Result<Self> {
        let settings = sources.read(keys::KEYS)?;
        let (registry, mut warnings) = entities::registry(&settings)?;
        for (variable, meant) in sources.misspelt_variables(keys::KEYS) {
            warnings.push(format!("{variable} sets nothing; did you mean {meant}?"));
        }
        for key in settings.keys() {
            if let Effect::None(reason) = key.effect
                && settings.is_set(key.path)
            {
                let origin = settings.get(key.path).origin;
                warnings.push(format!("{origin}: `{}` has no effect: {reason}", key.path));
            }
        }
        Ok(Self {
            server: sections::server(&settings).context("the settings of the API's server")?,
            database: database::database(&settings)?,
            logging: sections::logging(&settings),
            metrics: sections::metrics(&settings)?,
            health: sections::health(&settings)?,
            log: sections::log(&settings),
            audit: sections::audit(&settings),
            registry: Arc::new(registry),
            settings,
            warnings,
        })
    }

    /// The schemas that specs must satisfy.
    pub(crate) fn schemas(&self) -> anyhow::Result<Arc<SpecSchemas>> {
        let (schemas, warnings) = schemas::load(self.server.schema_file.as_deref(), &self.registry)
            .context("cannot use the spec schemas")?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(Arc::new(schemas))
    }

    /// Logs what was read, and what the operator should know of it. To be called once logs are set up.
    pub(crate) fn announce(&self) {
        if let Some(file) = self.settings.file() {
            tracing::info!(file = %file.display(), "configuration read");
        }
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }
}
