//! Every crate takes its version, lints and dependencies from the workspace.

use toml::{Table, Value};

use super::finding::{File, Finding};

const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];
/// See `runtime/src/planted.rs`.
const PLANTED_BUGS: &str = "planted-bugs";

const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks the manifest of one crate.
pub(super) fn check(manifest: &File) -> Vec<Finding> {
    let table: Table = match toml::from_str(&manifest.text) {
        Ok(table) => table,
        Err(error) => {
            let fix = "make it valid TOML";
            return vec![Finding::new(&manifest.path, 1, error.message(), fix)];
        }
    };
    let mut findings = Vec::new();
    let package = table.get("package").and_then(Value::as_table);
    for key in INHERITED {
        if !package
            .and_then(|package| package.get(key))
            .is_some_and(is_inherited)
        {
            findings.push(Finding::new(
                &manifest.path,
                manifest.line_of(key),
                format!("{key} is not the workspace's"),
                format!("write `{key}.workspace = true` in [package]"),
            ));
        }
    }
    if !table.get("lints").is_some_and(is_inherited) {
        findings.push(Finding::new(
            &manifest.path,
            manifest.line_of("[lints"),
            "the lints are not the workspace's",
            "write `workspace = true` in [lints]",
        ));
    }
    for name in dependencies(&table)
        .filter(|(_, value)| !is_inherited(value))
        .map(|(name, _)| name)
    {
        findings.push(Finding::new(
            &manifest.path,
            manifest.line_of(name),
            format!("{name} is not taken from the workspace"),
            format!("declare it in the root Cargo.toml and write `{name}.workspace = true`"),
        ));
    }
    if let Some(line) = plants_bugs(&table).then(|| manifest.line_of(PLANTED_BUGS)) {
        findings.push(Finding::new(
            &manifest.path,
            line,
            "planted bugs are compiled in unasked",
            format!("only a feature of the name {PLANTED_BUGS} may ask for {PLANTED_BUGS}"),
        ));
    }
    findings
}

/// Whether a feature of another name, or a dependency, asks for the bugs that the crash suite plants.
fn plants_bugs(manifest: &Table) -> bool {
    let asks = |list: &Value| {
        let items = list.as_array().into_iter().flatten();
        items
            .filter_map(Value::as_str)
            .any(|item| item.rsplit('/').next() == Some(PLANTED_BUGS))
    };
    let features = manifest.get("features").and_then(Value::as_table);
    let mut features = features.into_iter().flatten();
    features.any(|(name, list)| name != PLANTED_BUGS && asks(list))
        || dependencies(manifest).any(|(_, value)| value.get("features").is_some_and(asks))
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

fn dependencies(manifest: &Table) -> impl Iterator<Item = (&str, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| DEPENDENCIES.into_iter().filter_map(|kind| table.get(kind)))
        .filter_map(Value::as_table)
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::finding::File;

    const GOOD: &str = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\n[lints]\nworkspace = true\n\
        [dependencies]\nserde.workspace = true\nsqlx = { workspace = true, optional = true }\n";

    fn findings(text: &str) -> Vec<String> {
        check(&File::new("a/Cargo.toml", text))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn inheriting_everything_is_right() {
        assert_eq!(findings(GOOD), Vec::<String>::new());
    }

    #[test]
    fn an_own_version_is_found_with_its_line() {
        let findings =
            findings(&GOOD.replace("version.workspace = true\ned", "version = \"1.0.0\"\ned"));
        assert!(
            findings[0].starts_with("a/Cargo.toml:3: version is not"),
            "{findings:?}"
        );
    }

    #[test]
    fn own_lints_are_found() {
        assert_eq!(
            findings(&GOOD.replace("[lints]\nworkspace", "[lints]\nx")).len(),
            1
        );
    }

    #[test]
    fn own_dependencies_are_found_in_every_table() {
        let text = format!(
            "{GOOD}[dev-dependencies]\nrand = \"0.9\"\n[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n"
        );
        let findings = findings(&text);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(
            findings[0].starts_with("a/Cargo.toml:13: rand is not taken"),
            "{findings:?}"
        );
    }

    #[test]
    fn bugs_are_planted_by_name_only() {
        let asked = format!("{GOOD}[features]\nplanted-bugs = [\"other/planted-bugs\"]\n");
        assert_eq!(findings(&asked), Vec::<String>::new());
        for unasked in [
            "[features]\ndefault = [\"planted-bugs\"]\n",
            "[dev-dependencies]\na = { workspace = true, features = [\"planted-bugs\"] }\n",
        ] {
            let findings = findings(&format!("{GOOD}{unasked}"));
            assert_eq!(findings.len(), 1, "{findings:?}");
        }
    }
}
