//! What is wrong with a configuration: always where, what, and how to mend it.

use std::io;
use std::path::PathBuf;

use super::Origin;
use crate::yaml::YamlError;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named does not exist.
    #[error("{} does not exist; {by} names it as the configuration", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
        /// Which flag or variable names it.
        by: String,
    },
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is not YAML.
    #[error("{}:{}:{}: {}", path.display(), error.position.line, error.position.column, error.message)]
    NotYaml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: YamlError,
    },
    /// The file has a key that no setting has.
    #[error("{origin}: unknown key `{key}`{}", suggested(suggestion.as_deref()))]
    UnknownKey {
        /// Where it is written.
        origin: Origin,
        /// Its whole path.
        key: String,
        /// The key that may have been meant.
        suggestion: Option<String>,
    },
    /// A value is not what its key takes.
    #[error("{origin}: `{key}` {problem}")]
    Invalid {
        /// Where the value comes from.
        origin: Origin,
        /// The key.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A variable and its `_FILE` form are both set.
    #[error("both {first} and {second} are set; set one of them")]
    TwoVariables {
        /// The variable.
        first: String,
        /// The variable that names a file.
        second: String,
    },
    /// The file that a `_FILE` variable names cannot be read.
    #[error("cannot read {}, which {variable} names", path.display())]
    UnreadableSecret {
        /// The variable.
        variable: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

fn suggested(suggestion: Option<&str>) -> String {
    match suggestion {
        Some(key) => format!("; did you mean `{key}`?"),
        None => "; remove it".to_owned(),
    }
}

/// The candidate that is spelt most like a word, when it is alike enough to have been meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(word, candidate);
    let longest = |candidate: &str| word.chars().count().max(candidate.chars().count());
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (longest(candidate) / 3).clamp(1, 4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
