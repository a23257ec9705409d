//! Where the two files are found: flag, then environment, then defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ConfigError;

/// Names the `AdapterConfig` file.
pub const ADAPTER_CONFIG_VARIABLE: &str = "HYPERFLEET_ADAPTER_CONFIG";
/// Names the `AdapterTaskConfig` file.
pub const TASK_CONFIG_VARIABLE: &str = "HYPERFLEET_TASK_CONFIG";

const DEFAULTS: [&str; 2] = ["/etc/hyperfleet/config.yaml", "./configs/config.yaml"];

/// The `AdapterConfig` file to read.
///
/// # Errors
/// When neither flag nor variable names one and no default exists.
pub fn adapter_config_path(
    flag: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<PathBuf, ConfigError> {
    named(flag, ADAPTER_CONFIG_VARIABLE, environment)
        .or_else(|| {
            DEFAULTS
                .iter()
                .map(PathBuf::from)
                .find(|path| path.exists())
        })
        .ok_or(ConfigError::NotFound {
            what: "adapter configuration",
            flag: "--config",
            variable: ADAPTER_CONFIG_VARIABLE,
        })
}

/// The `AdapterTaskConfig` file to read.
///
/// # Errors
/// When neither flag nor variable names one.
pub fn task_config_path(
    flag: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<PathBuf, ConfigError> {
    named(flag, TASK_CONFIG_VARIABLE, environment).ok_or(ConfigError::NotFound {
        what: "adapter task configuration",
        flag: "--task-config",
        variable: TASK_CONFIG_VARIABLE,
    })
}

fn named(
    flag: Option<&Path>,
    variable: &str,
    environment: &BTreeMap<String, String>,
) -> Option<PathBuf> {
    flag.map(Path::to_path_buf).or_else(|| {
        environment
            .get(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_environment() {
        let environment =
            BTreeMap::from([(ADAPTER_CONFIG_VARIABLE.to_owned(), "/from/env".to_owned())]);
        let flag = Path::new("/from/flag");
        assert_eq!(adapter_config_path(Some(flag), &environment).unwrap(), flag);
        assert_eq!(
            adapter_config_path(None, &environment).unwrap(),
            Path::new("/from/env")
        );
    }

    #[test]
    fn a_missing_file_names_flag_and_variable() {
        let error = task_config_path(None, &BTreeMap::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no adapter task configuration found: use --task-config flag or HYPERFLEET_TASK_CONFIG env var"
        );
    }
}
