//! Every setting of a table, with its value and its origin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::error::ConfigError;
use super::key::{Key, Kind};
use super::value::{self, Origin, SettingValue};
use crate::yaml::Node;

/// What a dump shows instead of a secret.
const REDACTED: &str = "***REDACTED***";

/// One value and where it comes from.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The value.
    pub value: SettingValue,
    /// Where it comes from.
    pub origin: Origin,
}

/// All settings of a table.
#[derive(Clone, Debug)]
pub struct Settings {
    keys: &'static [Key],
    values: BTreeMap<&'static str, Setting>,
    file: Option<PathBuf>,
}

impl Settings {
    /// What holds when no source says anything. A default that its own key refuses is absent; a test of
    /// each table excludes that.
    pub(super) fn defaults(keys: &'static [Key]) -> Self {
        let default = |key: &Key| {
            let value = if key.default.is_empty() && !matches!(key.kind, Kind::Text | Kind::List) {
                SettingValue::Absent
            } else {
                value::parse(key.kind, &[key.default.to_owned()], key.secret)
                    .unwrap_or(SettingValue::Absent)
            };
            Setting {
                value,
                origin: Origin::Default,
            }
        };
        Self {
            keys,
            values: keys.iter().map(|key| (key.path, default(key))).collect(),
            file: None,
        }
    }

    /// The table.
    pub fn keys(&self) -> &'static [Key] {
        self.keys
    }

    /// The file that was read, if one was.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub(super) fn set_file(&mut self, path: &Path) {
        self.file = Some(path.to_path_buf());
    }

    pub(super) fn put_text(
        &mut self,
        path: &str,
        texts: &[String],
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let Some(key) = self.keys.iter().find(|key| key.path == path) else {
            return Ok(());
        };
        let value =
            value::parse(key.kind, texts, key.secret).map_err(|problem| ConfigError::Invalid {
                origin: origin.clone(),
                key: path.to_owned(),
                problem,
            })?;
        self.put(key.path, value, origin);
        Ok(())
    }

    pub(super) fn put(&mut self, path: &'static str, value: SettingValue, origin: Origin) {
        self.values.insert(path, Setting { value, origin });
    }

    /// A setting; an absent default one for a path that the table does not list.
    pub fn get(&self, path: &str) -> Setting {
        self.values.get(path).cloned().unwrap_or(Setting {
            value: SettingValue::Absent,
            origin: Origin::Default,
        })
    }

    /// Whether some source sets it.
    pub fn is_set(&self, path: &str) -> bool {
        self.values
            .get(path)
            .is_some_and(|setting| setting.origin != Origin::Default)
    }

    /// A text; empty when it is none or absent.
    pub fn text(&self, path: &str) -> String {
        match self.values.get(path).map(|setting| &setting.value) {
            Some(SettingValue::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }

    /// A text that is not empty.
    pub fn given(&self, path: &str) -> Option<String> {
        Some(self.text(path)).filter(|text| !text.is_empty())
    }

    /// A path of the file system, when it is not empty.
    pub fn path(&self, path: &str) -> Option<PathBuf> {
        self.given(path).map(PathBuf::from)
    }

    /// A truth value; false when absent.
    pub fn boolean(&self, path: &str) -> bool {
        let setting = self.values.get(path).map(|setting| &setting.value);
        matches!(setting, Some(SettingValue::Boolean(true)))
    }

    /// A whole number within the range of its target; zero when absent.
    pub fn integer<T: TryFrom<i64> + Default>(&self, path: &str) -> T {
        match self.values.get(path).map(|setting| &setting.value) {
            Some(SettingValue::Integer(number)) => T::try_from(*number).unwrap_or_default(),
            _ => T::default(),
        }
    }

    /// A duration; zero when absent.
    pub fn duration(&self, path: &str) -> Duration {
        match self.values.get(path).map(|setting| &setting.value) {
            Some(SettingValue::Duration(duration, _)) => *duration,
            _ => Duration::ZERO,
        }
    }

    /// Words; none when absent.
    pub fn list(&self, path: &str) -> Vec<String> {
        match self.values.get(path).map(|setting| &setting.value) {
            Some(SettingValue::List(words)) => words.clone(),
            _ => Vec::new(),
        }
    }

    /// A part of the file.
    pub fn structured(&self, path: &str) -> Option<&Node> {
        match self.values.get(path).map(|setting| &setting.value) {
            Some(SettingValue::Structured(node)) => Some(node),
            _ => None,
        }
    }

    /// An error about the value of a key that only its user can judge.
    pub fn invalid(&self, path: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Invalid {
            origin: self.get(path).origin,
            key: path.to_owned(),
            problem: problem.into(),
        }
    }

    /// A key's value as it may be shown: a secret that is set is redacted.
    pub fn shown(&self, key: &Key) -> Value {
        let value = self.get(key.path).value.to_json();
        let is_empty = value.is_null() || value == "";
        if key.secret && !is_empty {
            Value::String(REDACTED.to_owned())
        } else {
            value
        }
    }

    /// Every setting as the sections of a file, secrets redacted.
    pub fn document(&self) -> Value {
        let mut document = Map::new();
        for key in self.keys {
            place(&mut document, key.path, self.shown(key));
        }
        Value::Object(document)
    }
}

/// Puts a value where its path says, making the sections on the way.
fn place(section: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((name, rest)) = path.split_once('.') else {
        section.insert(path.to_owned(), value);
        return;
    };
    let inner = section
        .entry(name)
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        place(inner, rest, value);
    }
}
