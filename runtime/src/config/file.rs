//! The file: YAML (or JSON, which is YAML) in sections, every key known.

use std::path::Path;

use super::error::{ConfigError, nearest};
use super::key::{Key, Kind};
use super::settings::Settings;
use super::value::{Origin, SettingValue};
use crate::yaml::{self, Entry, Node, NodeKind, Position};

/// Reads a file over the settings.
pub(super) fn overlay(settings: &mut Settings, path: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::UnreadableFile {
        path: path.to_path_buf(),
        source,
    })?;
    let root = yaml::parse(&text).map_err(|error| ConfigError::NotYaml {
        path: path.to_path_buf(),
        error,
    })?;
    settings.set_file(path);
    let reader = Reader {
        path,
        keys: settings.keys(),
    };
    match root {
        Some(root) => reader.section(settings, "", &root),
        None => Ok(()),
    }
}

struct Reader<'a> {
    path: &'a Path,
    keys: &'static [Key],
}

impl Reader<'_> {
    fn origin(&self, position: Position) -> Origin {
        Origin::File {
            path: self.path.to_path_buf(),
            position,
        }
    }

    fn invalid(&self, node: &Node, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Invalid {
            origin: self.origin(node.position),
            key: key.to_owned(),
            problem: problem.into(),
        }
    }

    fn section(&self, settings: &mut Settings, path: &str, node: &Node) -> Result<(), ConfigError> {
        if node.is_null() {
            return Ok(());
        }
        let NodeKind::Mapping(entries) = &node.kind else {
            let name = if path.is_empty() { "the file" } else { path };
            let problem = format!("must be a section with keys, not a {}", node.shape());
            return Err(self.invalid(node, name, problem));
        };
        for entry in entries {
            self.entry(settings, path, entry)?;
        }
        Ok(())
    }

    fn entry(
        &self,
        settings: &mut Settings,
        section: &str,
        entry: &Entry,
    ) -> Result<(), ConfigError> {
        let path = join(section, &entry.key);
        if let Some(key) = self.keys.iter().find(|key| key.path == path) {
            return self.value(settings, key, &entry.value);
        }
        let below = format!("{path}.");
        if self.keys.iter().any(|key| key.path.starts_with(&below)) {
            return self.section(settings, &path, &entry.value);
        }
        Err(ConfigError::UnknownKey {
            origin: self.origin(entry.position),
            suggestion: self.suggestion(section, &entry.key),
            key: path,
        })
    }

    /// The key or section beside it, or else the key anywhere, that is spelt most like it.
    fn suggestion(&self, section: &str, name: &str) -> Option<String> {
        let prefix = if section.is_empty() {
            String::new()
        } else {
            format!("{section}.")
        };
        let beside = self.keys.iter().filter_map(|key| {
            let rest = key.path.strip_prefix(&prefix)?;
            rest.split('.').next()
        });
        if let Some(close) = nearest(name, beside) {
            return Some(join(section, close));
        }
        let elsewhere = self.keys.iter().find(|key| {
            let last = key.path.rsplit('.').next();
            last == Some(name)
        });
        elsewhere.map(|key| key.path.to_owned())
    }

    fn value(&self, settings: &mut Settings, key: &Key, node: &Node) -> Result<(), ConfigError> {
        let origin = self.origin(node.position);
        if node.is_null() {
            return Ok(());
        }
        match (key.kind, &node.kind) {
            (Kind::Structured, _) => {
                settings.put(key.path, SettingValue::Structured(node.clone()), origin);
                Ok(())
            }
            (_, NodeKind::Scalar(scalar)) => {
                settings.put_text(key.path, std::slice::from_ref(&scalar.text), origin)
            }
            (Kind::List, NodeKind::Sequence(items)) => {
                let word = |item: &Node| match &item.kind {
                    NodeKind::Scalar(scalar) => Ok(scalar.text.clone()),
                    NodeKind::Sequence(_) | NodeKind::Mapping(_) => {
                        Err(self.invalid(item, key.path, "must be a list of words"))
                    }
                };
                let words = items.iter().map(word).collect::<Result<_, _>>()?;
                settings.put(key.path, SettingValue::List(words), origin);
                Ok(())
            }
            (_, _) => {
                let problem = format!("must be one value, not a {}", node.shape());
                Err(self.invalid(node, key.path, problem))
            }
        }
    }
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}
