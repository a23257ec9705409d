//! Which parts of the Rust files are tests: one rule for every chore that tells them apart.

/// Whether the whole file is tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.starts_with("tests/") || path.contains("/tests/")
}

/// The lines outside inline test modules, counted from 1.
pub(crate) fn outside_tests(text: &str) -> Vec<(usize, &str)> {
    let mut lines = text.lines().zip(1..).peekable();
    let mut outside = Vec::new();
    while let Some((line, number)) = lines.next() {
        let opens_module = |(next, _): &(&str, usize)| {
            next.trim_start().starts_with("mod ") && next.ends_with('{')
        };
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(opens_module) {
            // Formatted code closes a module with the indentation that opened it.
            let indentation = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indentation}}}");
            lines.by_ref().find(|(line, _)| *line == end);
        } else {
            outside.push((number, line));
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::{is_test, outside_tests};

    #[test]
    fn inline_tests_are_left_out() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}\n";
        assert_eq!(outside_tests(text), [(1, "fn a() {}"), (7, "fn c() {}")]);
        assert_eq!(outside_tests("#[cfg(test)]\nmod tests;\n").len(), 2);
    }

    #[test]
    fn files_of_tests_are_known_by_their_place() {
        assert!(is_test("tests/src/lib.rs"));
        assert!(is_test("domain/tests/rules/main.rs"));
        assert!(is_test("command-api/src/schema/tests.rs"));
        assert!(!is_test("command-api/src/schema.rs"));
    }
}
