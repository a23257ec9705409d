//! The names that `--suite` takes, and the tests behind each.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail};
use cargo_metadata::{Metadata, TargetKind};

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// Whether documentation tests belong to it.
    pub(super) documentation: bool,
    /// The runner's filter expression; none when it has nothing to run.
    pub(super) expression: Option<String>,
}

/// The suites of the workspace: name and filter expression.
#[derive(Debug)]
pub(super) struct Suites {
    expressions: BTreeMap<String, String>,
}

impl Suites {
    /// Every crate's folder is a suite, and so is every test binary.
    pub(super) fn of(metadata: &Metadata) -> Self {
        let mut expressions = BTreeMap::new();
        for package in metadata.workspace_packages() {
            for target in &package.targets {
                if target.kind.contains(&TargetKind::Test) {
                    expressions.insert(target.name.clone(), format!("binary(={})", target.name));
                }
            }
        }
        // Of a folder and a test binary of the same name, the folder is meant: it contains more.
        for package in metadata.workspace_packages() {
            if let Some(folder) = package
                .manifest_path
                .parent()
                .and_then(|path| path.file_name())
            {
                expressions.insert(folder.to_owned(), format!("package(={})", package.name));
            }
        }
        Self { expressions }
    }

    /// What belongs to a suite.
    ///
    /// # Errors
    /// When there is no suite of that name.
    pub(super) fn select(&self, name: &str) -> Result<Selection> {
        let (documentation, expression) = match (name, self.expressions.get(name)) {
            ("all", _) => (true, Some("all()".to_owned())),
            ("doc", _) => (true, None),
            (_, Some(expression)) => (false, Some(expression.clone())),
            _ => bail!("there is no suite {name:?}; there are:\n{self}"),
        };
        Ok(Selection {
            documentation,
            expression,
        })
    }
}

impl fmt::Display for Suites {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "all\ndoc")?;
        for name in self.expressions.keys() {
            write!(formatter, "\n{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, Selection, Suites};

    fn suites() -> Suites {
        Suites {
            expressions: BTreeMap::from([(
                "domain".to_owned(),
                "package(=hyperfleet-domain)".to_owned(),
            )]),
        }
    }

    #[test]
    fn a_folder_names_its_crate() {
        let selection = suites().select("domain").expect("it is a suite");
        let expected = Selection {
            documentation: false,
            expression: Some("package(=hyperfleet-domain)".to_owned()),
        };
        assert_eq!(selection, expected);
    }

    #[test]
    fn documentation_tests_need_no_runner() {
        let selection = suites().select("doc").expect("it is a suite");
        assert!(selection.documentation && selection.expression.is_none());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = suites()
            .select("nothing")
            .expect_err("it is no suite")
            .to_string();
        assert!(
            error.contains("\"nothing\"") && error.contains("domain"),
            "{error}"
        );
    }
}
