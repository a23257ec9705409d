//! What a rule reads and what it returns.

use std::fmt;

/// A text file of the repository.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Path from the root, with slashes.
    pub(super) path: String,
    /// Its content.
    pub(super) text: String,
}

impl File {
    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether its name ends with a dot and this extension.
    pub(super) fn has_extension(&self, extension: &str) -> bool {
        self.name()
            .rsplit_once('.')
            .is_some_and(|(_, actual)| actual == extension)
    }

    /// The lines, counted from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// The first line that starts with a text, else 1.
    pub(super) fn line_of(&self, start: &str) -> usize {
        self.lines()
            .find(|(_, line)| line.trim_start().starts_with(start))
            .map_or(1, |(number, _)| number)
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    path: String,
    line: usize,
    what: String,
    fix: String,
}

impl Finding {
    pub(super) fn new(
        path: &str,
        line: usize,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            fix: fix.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}: {}; {}",
            self.path, self.line, self.what, self.fix
        )
    }
}
