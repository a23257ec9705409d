//! Values of settings, checked, and where they come from.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::key::Kind;
use crate::duration::parse_duration;
use crate::yaml::{Node, Position};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// No source says anything.
    Default,
    /// The file.
    File {
        /// The file.
        path: PathBuf,
        /// The place in it.
        position: Position,
    },
    /// A variable of the environment.
    Environment {
        /// The variable.
        variable: String,
    },
    /// A file that a variable names.
    SecretFile {
        /// The variable.
        variable: String,
        /// The file.
        path: PathBuf,
    },
    /// A flag.
    Flag {
        /// The flag, without dashes.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, position } => write!(
                formatter,
                "{}:{}:{}",
                path.display(),
                position.line,
                position.column
            ),
            Self::Environment { variable } => formatter.write_str(variable),
            Self::SecretFile { variable, path } => {
                write!(formatter, "{variable} ({})", path.display())
            }
            Self::Flag { name } => write!(formatter, "--{name}"),
        }
    }
}

/// A checked value.
#[derive(Clone, Debug)]
pub enum SettingValue {
    /// Nothing.
    Absent,
    /// A text or a word of a choice.
    Text(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A duration, and how it was written.
    Duration(Duration, String),
    /// Words.
    List(Vec<String>),
    /// Part of the file.
    Structured(Node),
}

impl SettingValue {
    /// The value as a document shows it.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Absent => Value::Null,
            Self::Text(text) | Self::Duration(_, text) => json!(text),
            Self::Boolean(flag) => json!(flag),
            Self::Integer(number) => json!(number),
            Self::List(words) => json!(words),
            Self::Structured(node) => node.to_value(),
        }
    }
}

/// Reads texts as a value of that kind; the error says what is wrong and what would be right.
pub(super) fn parse(kind: Kind, texts: &[String], secret: bool) -> Result<SettingValue, String> {
    let joined = texts.join(",");
    let text = joined.trim();
    let shown = if secret {
        "the value given".to_owned()
    } else {
        format!("{joined:?}")
    };
    match kind {
        Kind::Text => Ok(SettingValue::Text(joined)),
        Kind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Ok(SettingValue::Boolean(true)),
            "false" | "f" | "0" => Ok(SettingValue::Boolean(false)),
            _ => Err(format!("must be true or false, not {shown}")),
        },
        Kind::Integer { min, max } => {
            let number: i64 = text
                .parse()
                .map_err(|_| format!("must be a whole number, not {shown}"))?;
            if (min..=max).contains(&number) {
                return Ok(SettingValue::Integer(number));
            }
            Err(format!("must be between {min} and {max}, not {number}"))
        }
        Kind::Duration { min, max } => {
            let duration =
                parse_duration(text).map_err(|error| format!("must be a duration: {error}"))?;
            if (min..=max).contains(&duration) {
                return Ok(SettingValue::Duration(duration, text.to_owned()));
            }
            let (min, max) = (min.as_secs_f64(), max.as_secs_f64());
            Err(format!("must be between {min} s and {max} s, not {text}"))
        }
        Kind::Choice(words) => {
            let lower = text.to_ascii_lowercase();
            if words.contains(&lower.as_str()) {
                return Ok(SettingValue::Text(lower));
            }
            Err(format!("must be one of {}, not {shown}", words.join(", ")))
        }
        Kind::List => {
            let words = texts.iter().flat_map(|text| text.split(','));
            let words = words.map(str::trim).filter(|word| !word.is_empty());
            Ok(SettingValue::List(words.map(str::to_owned).collect()))
        }
        Kind::Structured => Err("can only be set in the file".to_owned()),
    }
}
