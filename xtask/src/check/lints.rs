//! The lints that this check relies on are on: clippy counts the lines of functions.

use toml::{Table, Value};

use super::finding::{File, Finding};

/// Most lines of a function.
const FUNCTION_LINES: i64 = 70;

/// Checks the root manifest and clippy's configuration.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let table = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.and_then(|file| toml::from_str::<Table>(&file.text).ok())
            .map_or(Value::Table(Table::new()), Value::Table)
    };
    let mut findings = Vec::new();
    let clippy = table("clippy.toml");
    let threshold = clippy
        .get("too-many-lines-threshold")
        .and_then(Value::as_integer);
    if threshold != Some(FUNCTION_LINES) {
        findings.push(Finding::new(
            "clippy.toml",
            1,
            "functions may have another length than 70 lines",
            format!("write `too-many-lines-threshold = {FUNCTION_LINES}`"),
        ));
    }
    let manifest = table("Cargo.toml");
    let lints = manifest
        .get("workspace")
        .and_then(|table| table.get("lints"))
        .and_then(|table| table.get("clippy"));
    let level = |lint: &str| {
        let value = lints.and_then(|lints| lints.get(lint))?;
        value
            .as_str()
            .or_else(|| value.get("level").and_then(Value::as_str))
    };
    let is_on = match level("too_many_lines") {
        Some(level) => level != "allow",
        None => level("pedantic").is_some_and(|level| level != "allow"),
    };
    if !is_on {
        findings.push(Finding::new(
            "Cargo.toml",
            1,
            "the lint clippy::too_many_lines is off",
            "turn it on in [workspace.lints.clippy]",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::finding::File;

    fn findings(clippy: &str, manifest: &str) -> usize {
        check(&[
            File::new("clippy.toml", clippy),
            File::new("Cargo.toml", manifest),
        ])
        .len()
    }

    #[test]
    fn the_lint_may_come_with_its_group() {
        let manifest = "[workspace.lints.clippy]\npedantic = { level = \"warn\", priority = -1 }\n";
        assert_eq!(findings("too-many-lines-threshold = 70", manifest), 0);
        assert_eq!(findings("too-many-lines-threshold = 100", manifest), 1);
    }

    #[test]
    fn the_lint_must_not_be_turned_off() {
        let manifest =
            "[workspace.lints.clippy]\npedantic = \"warn\"\ntoo_many_lines = \"allow\"\n";
        assert_eq!(findings("too-many-lines-threshold = 70", manifest), 1);
        assert_eq!(findings("too-many-lines-threshold = 70", ""), 1);
    }
}
