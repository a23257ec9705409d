//! What must not be written in a file.

use super::finding::{File, Finding};

/// Texts that must not occur in Rust code, with the remedy. Put together here, so as not to be found here.
const IN_CODE: [(&str, &str); 3] = [
    (concat!("#[", "ignore"), "make the test pass, or remove it"),
    (concat!("to", "do!("), "write it"),
    (concat!("unimplemen", "ted!("), "write it"),
];

/// Words that must not occur anywhere.
const WORDS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// Folders of somebody's machine.
const FOLDERS: [&str; 3] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/wo", "rk/"),
];

/// How package managers are told to use another registry.
const REGISTRIES: [&str; 6] = [
    concat!("replace", "-with"),
    concat!("[sou", "rce."),
    concat!("[regis", "tries"),
    concat!("sparse", "+http"),
    concat!("GOPR", "OXY="),
    concat!("index", "-url"),
];

/// The registry that Cargo.lock may name.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks one file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.name() == "mod.rs" {
        findings.push(Finding::new(
            &file.path,
            1,
            "a module named by its folder",
            "name the file after the module, beside the folder",
        ));
    }
    for (number, line) in file.lines() {
        let mut found = |what: String, fix: &str| {
            findings.push(Finding::new(&file.path, number, what, fix));
        };
        if file.has_extension("rs") {
            for (text, fix) in IN_CODE {
                if line.contains(text) {
                    found(format!("`{text}`"), fix);
                }
            }
        }
        for word in WORDS {
            if has_word(line, word) {
                found(format!("`{word}`"), "do it, or open an issue");
            }
        }
        for folder in FOLDERS {
            if has_folder(line, folder) {
                found(
                    format!("a path below {folder} exists on one machine only"),
                    "use a relative path or a placeholder",
                );
            }
        }
        if names_registry(file, line) {
            found(
                "another package registry than the public one".to_owned(),
                "leave that to the user's own configuration",
            );
        }
    }
    findings
}

fn names_registry(file: &File, line: &str) -> bool {
    if file.name() == "Cargo.lock" {
        return line.starts_with("source = ") && !line.contains(CRATES_IO);
    }
    REGISTRIES.iter().any(|text| line.contains(text))
}

fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(start, _)| {
        !line[..start].ends_with(is_letter) && !line[start + word.len()..].starts_with(is_letter)
    })
}

/// Whether an absolute path below a folder occurs: nothing of a longer path or URL stands before it.
fn has_folder(line: &str, folder: &str) -> bool {
    let continues =
        |character: char| character.is_alphanumeric() || "_.-}~/*>)]".contains(character);
    line.match_indices(folder)
        .any(|(start, _)| !line[..start].ends_with(continues))
}

#[cfg(test)]
mod tests {
    use super::{FOLDERS, IN_CODE, REGISTRIES, WORDS, check};
    use crate::check::finding::File;

    fn findings(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn unfinished_code_is_found() {
        for (text, _) in IN_CODE {
            assert_eq!(
                findings("a/src/b.rs", &format!("fn a() {{}}\n    {text}")),
                1,
                "{text}"
            );
            assert_eq!(findings("a/b.md", text), 0, "{text}");
        }
    }

    #[test]
    fn a_word_is_found_only_as_a_word() {
        let word = WORDS[1];
        assert_eq!(findings("a.sh", &format!("# {word}: later")), 1);
        assert_eq!(findings("a.sh", &format!("mktemp /tmp/{word}{word}")), 0);
    }

    #[test]
    fn the_line_is_named() {
        let found = check(&File::new("a.md", &format!("one\ntwo {}x", FOLDERS[0])));
        assert!(found[0].to_string().starts_with("a.md:2: "), "{found:?}");
    }

    #[test]
    fn folders_of_a_machine_are_found_and_longer_paths_are_not() {
        for folder in FOLDERS {
            assert_eq!(findings("a.md", &format!("see {folder}x")), 1);
            assert_eq!(
                findings("a.md", &format!("see https://example.com{folder}x")),
                0
            );
            assert_eq!(findings("a.md", &format!("see ${{base}}{folder}x")), 0);
        }
    }

    #[test]
    fn registries_are_found() {
        for text in REGISTRIES {
            assert_eq!(findings("a.toml", text), 1, "{text}");
        }
        let lock = |source: &str| findings("Cargo.lock", &format!("source = \"{source}\""));
        assert_eq!(
            lock("registry+https://github.com/rust-lang/crates.io-index"),
            0
        );
        assert_eq!(lock("registry+https://example.com/index"), 1);
        assert_eq!(lock("git+https://example.com/a"), 1);
    }

    #[test]
    fn modules_are_files_beside_their_folder() {
        assert_eq!(findings("a/src/b/mod.rs", ""), 1);
    }
}
