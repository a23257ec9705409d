//! Settings of a process from four sources: flags, then environment, then a file, then defaults.
//!
//! A program lists its keys in one table of [`Key`]s; reading, flags, environment names, checks, the
//! dump and the reference page all follow from it.
//!
//! Invariants:
//! - a value is checked where it comes in, and an error names that place: the flag, the variable, or
//!   file, line and column;
//! - a key that no table lists stops the process, with the nearest known key as a suggestion;
//! - the value of a secret is in no error and in no dump.

mod error;
mod file;
mod key;
mod settings;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::error::{ConfigError, nearest};
pub use self::key::{Effect, Key, Kind, environment_name};
pub use self::settings::{Setting, Settings};
pub use self::value::{Origin, SettingValue};

/// One flag as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenFlag {
    /// Path of the key that it sets.
    pub path: &'static str,
    /// The flag, without dashes.
    pub name: String,
    /// Its values; more than one only for lists.
    pub values: Vec<String>,
}

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that a flag names; it must exist.
    pub file: Option<PathBuf>,
    /// The variable that names the file when no flag does; that one must exist too.
    pub file_variable: &'static str,
    /// Files to look for when neither names one; the first that exists is read.
    pub default_files: Vec<PathBuf>,
    /// Flags.
    pub flags: Vec<GivenFlag>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
}

impl Sources {
    /// Reads and checks every setting of a table.
    ///
    /// # Errors
    /// See [`ConfigError`]; the first fault found is returned.
    pub fn read(&self, keys: &'static [Key]) -> Result<Settings, ConfigError> {
        let mut settings = Settings::defaults(keys);
        if let Some(path) = self.chosen_file()? {
            file::overlay(&mut settings, &path)?;
        }
        self.overlay_environment(&mut settings)?;
        for flag in &self.flags {
            let origin = Origin::Flag {
                name: flag.name.clone(),
            };
            settings.put_text(flag.path, &flag.values, origin)?;
        }
        Ok(settings)
    }

    /// Variables of the environment that look like a misspelt setting, each with the setting's variable.
    pub fn misspelt_variables(&self, keys: &'static [Key]) -> Vec<(String, String)> {
        let known: Vec<String> = keys
            .iter()
            .flat_map(|key| {
                let variable = environment_name(key.path);
                [format!("{variable}_FILE"), variable]
            })
            .collect();
        let is_aliased = |name: &str| keys.iter().any(|key| key.variables.contains(&name));
        let candidates = self.environment.keys().filter(|name| {
            name.starts_with(key::PREFIX) && !known.contains(name) && !is_aliased(name)
        });
        candidates
            .filter_map(|name| {
                let close = nearest(name, known.iter().map(String::as_str))?;
                Some((name.clone(), close.to_owned()))
            })
            .collect()
    }

    fn chosen_file(&self) -> Result<Option<PathBuf>, ConfigError> {
        let named = |path: &Path, by: String| {
            if path.is_file() {
                return Ok(Some(path.to_path_buf()));
            }
            Err(ConfigError::MissingFile {
                path: path.to_path_buf(),
                by,
            })
        };
        if let Some(path) = &self.file {
            return named(path, "--config".to_owned());
        }
        if let Some(path) = self.variable(self.file_variable) {
            return named(Path::new(path), self.file_variable.to_owned());
        }
        Ok(self
            .default_files
            .iter()
            .find(|path| path.is_file())
            .cloned())
    }

    /// A variable that is set to something.
    fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    fn overlay_environment(&self, settings: &mut Settings) -> Result<(), ConfigError> {
        for key in settings.keys() {
            if matches!(key.kind, Kind::Structured) {
                continue;
            }
            let own = environment_name(key.path);
            let in_file = format!("{own}_FILE");
            let aliases = key.variables.iter().copied();
            let given: Vec<&str> = std::iter::once(own.as_str())
                .chain(aliases)
                .filter(|name| self.variable(name).is_some())
                .collect();
            match (given.first(), self.variable(&in_file)) {
                (Some(name), Some(_)) => {
                    return Err(ConfigError::TwoVariables {
                        first: (*name).to_owned(),
                        second: in_file,
                    });
                }
                (Some(name), None) => {
                    let value = self.variable(name).unwrap_or_default().to_owned();
                    let origin = Origin::Environment {
                        variable: (*name).to_owned(),
                    };
                    settings.put_text(key.path, &[value], origin)?;
                }
                (None, Some(path)) => {
                    let value = secret(&in_file, Path::new(path))?;
                    let origin = Origin::SecretFile {
                        variable: in_file,
                        path: PathBuf::from(path),
                    };
                    settings.put_text(key.path, &[value], origin)?;
                }
                (None, None) => {}
            }
        }
        Ok(())
    }
}

/// The content of a file with one value, without the line break that editors add.
fn secret(variable: &str, path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::UnreadableSecret {
        variable: variable.to_owned(),
        path: path.to_path_buf(),
        source,
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests;
