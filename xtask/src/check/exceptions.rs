//! The files that are longer than the rule says: a list that may only shrink.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::finding::{File, Finding};
use super::sizes;

const LIST: &str = "xtask/exceptions.toml";

/// The exceptions, by path.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exceptions {
    /// Path and number of lines that are not tests.
    #[serde(default)]
    files: BTreeMap<String, usize>,
}

impl Exceptions {
    /// Reads the list.
    ///
    /// # Errors
    /// When it is not valid.
    pub(super) fn of(files: &[File]) -> Result<Self> {
        match files.iter().find(|file| file.path == LIST) {
            Some(list) => {
                toml::from_str(&list.text).with_context(|| format!("{LIST} is not valid"))
            }
            None => Ok(Self::default()),
        }
    }

    /// How many lines a file may have; none when it is no exception.
    pub(super) fn lines(&self, path: &str) -> Option<usize> {
        self.files.get(path).copied()
    }

    /// Finds entries that are larger than needed.
    pub(super) fn check(&self, files: &[File]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, &allowed) in &self.files {
            let lines = files
                .iter()
                .find(|file| file.path == *path)
                .map(|file| sizes::code_lines(&file.text));
            let fix = match lines {
                Some(lines) if lines >= allowed => continue,
                Some(lines) if lines > sizes::FILE_LINES => format!("lower it to {lines}"),
                Some(_) | None => "remove it".to_owned(),
            };
            findings.push(Finding::new(
                LIST,
                files
                    .iter()
                    .find(|file| file.path == LIST)
                    .map_or(1, |list| list.line_of(&format!("\"{path}\""))),
                format!("the exception for {path} is larger than needed"),
                fix,
            ));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::{Exceptions, LIST};
    use crate::check::finding::File;

    fn findings(lines: usize, allowed: usize) -> Vec<String> {
        let files = [
            File::new("a/src/b.rs", &"x\n".repeat(lines)),
            File::new(LIST, &format!("[files]\n\"a/src/b.rs\" = {allowed}\n")),
        ];
        let exceptions = Exceptions::of(&files).expect("the list is valid");
        exceptions
            .check(&files)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_exception_fits_exactly() {
        assert!(findings(700, 700).is_empty());
        assert!(findings(650, 700)[0].ends_with("lower it to 650"));
    }

    #[test]
    fn an_exception_that_is_not_needed_goes() {
        let findings = findings(600, 700);
        assert!(
            findings[0].starts_with("xtask/exceptions.toml:2:"),
            "{findings:?}"
        );
        assert!(findings[0].ends_with("remove it"), "{findings:?}");
    }
}
