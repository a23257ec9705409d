//! Why a configuration was refused.

use std::fmt;
use std::path::PathBuf;

use crate::yaml::{Position, YamlError};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No file was named and none of the defaults exists.
    #[error("no {what} found: use {flag} flag or {variable} env var")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// The flag that names it.
        flag: &'static str,
        /// The environment variable that names it.
        variable: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than any configuration should be.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file holds no YAML document.
    #[error("{} is empty (EOF)", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file is not acceptable YAML.
    #[error("{} is not valid YAML", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: YamlError,
    },
    /// The file was read, but its content breaks rules.
    #[error("{}", Violations { path, problems })]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every violation, in the order of the file.
        problems: Vec<Problem>,
    },
}

/// One violated rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where in the configuration, such as `params[0].source`.
    pub path: String,
    /// What is wrong and how to fix it.
    pub message: String,
    /// Where in the file, when the place exists there.
    pub position: Option<Position>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(formatter, "{}", self.message)
        } else {
            write!(formatter, "{}: {}", self.path, self.message)
        }
    }
}

impl ConfigError {
    /// The violations, when the file could be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems, .. } => problems,
            _ => &[],
        }
    }
}

struct Violations<'e> {
    path: &'e PathBuf,
    problems: &'e [Problem],
}

impl fmt::Display for Violations<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "validation failed with {} error(s):",
            self.problems.len()
        )?;
        for problem in self.problems {
            write!(formatter, "\n  - {problem} ({}", self.path.display())?;
            if let Some(position) = problem.position {
                write!(formatter, ":{}:{}", position.line, position.column)?;
            }
            write!(formatter, ")")?;
        }
        Ok(())
    }
}
