//! Lengths of Rust files, tests not counted.

use super::exceptions::Exceptions;
use super::finding::{File, Finding};
use crate::rust_source::{is_test, outside_tests};

/// Most lines of a file.
pub(super) const FILE_LINES: usize = 600;

/// Most lines of a crate's root, which has declarations and documentation only.
const ROOT_LINES: usize = 80;

/// Checks the length of one file.
pub(super) fn check(file: &File, exceptions: &Exceptions) -> Vec<Finding> {
    if !file.has_extension("rs") || is_test(&file.path) {
        return Vec::new();
    }
    let lines = code_lines(&file.text);
    let is_root = file.path.ends_with("/src/lib.rs") || file.path.ends_with("/src/main.rs");
    let limit = if is_root { ROOT_LINES } else { FILE_LINES };
    if lines <= exceptions.lines(&file.path).unwrap_or(limit) {
        return Vec::new();
    }
    vec![Finding::new(
        &file.path,
        limit + 1,
        format!("{lines} lines that are not tests, more than {limit}"),
        "move what belongs together into a module of its own",
    )]
}

/// How many lines are outside inline test modules.
pub(super) fn code_lines(text: &str) -> usize {
    outside_tests(text).len()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::exceptions::Exceptions;
    use crate::check::finding::File;

    fn findings(path: &str, lines: usize) -> usize {
        check(
            &File::new(path, &"x\n".repeat(lines)),
            &Exceptions::default(),
        )
        .len()
    }

    #[test]
    fn a_file_has_at_most_600_lines() {
        assert_eq!(findings("a/src/b.rs", 600), 0);
        assert_eq!(findings("a/src/b.rs", 601), 1);
        assert_eq!(findings("a/tests/b.rs", 601), 0);
        assert_eq!(findings("a/data.json", 601), 0);
    }

    #[test]
    fn a_root_has_at_most_80_lines() {
        assert_eq!(findings("a/src/lib.rs", 80), 0);
        assert_eq!(findings("a/src/lib.rs", 81), 1);
        assert_eq!(findings("a/src/main.rs", 81), 1);
    }
}
