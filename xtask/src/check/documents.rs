//! Relative links in Markdown lead somewhere.

use super::finding::{File, Finding};

/// Checks the links of one document; `exists` answers for a path from the root.
pub(super) fn check(file: &File, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    if !file.has_extension("md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut in_code = false;
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line) {
            let leads_to = resolve(&file.path, target);
            if !leads_to.as_deref().is_some_and(exists) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("the link to {target} leads nowhere"),
                    "correct the path, which is relative to the document",
                ));
            }
        }
    }
    findings
}

/// The relative targets of a line's links, without fragment and title. Code is skipped.
fn targets(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    for text in line.split('`').step_by(2) {
        for (start, _) in text.match_indices("](") {
            let rest = &text[start + 2..];
            let Some(end) = rest.find(')') else { continue };
            let target = rest[..end].split([' ', '#']).next().unwrap_or_default();
            let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !is_elsewhere {
                targets.push(target);
            }
        }
    }
    targets
}

/// The path from the root that a link means; none when it leaves the repository.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
    {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::finding::File;

    fn findings(text: &str) -> usize {
        let exists = |path: &str| ["docs/a.md", "README.md", "docs"].contains(&path);
        check(&File::new("docs/b.md", text), &exists).len()
    }

    #[test]
    fn links_are_relative_to_the_document() {
        assert_eq!(
            findings("[a](a.md) [b](../README.md#title) [c](./a.md \"A\") [d](../docs/)"),
            0
        );
        assert_eq!(findings("[a](README.md)"), 1);
        assert_eq!(findings("[a](../../outside.md)"), 1);
    }

    #[test]
    fn other_links_and_code_are_left_alone() {
        assert_eq!(
            findings("[a](https://example.com/x) [b](#title) `[c](none.md)`"),
            0
        );
        assert_eq!(findings("```\n[a](none.md)\n```\n"), 0);
    }
}
