//! Names of migrations: when, and what they do.

use super::finding::{File, Finding};

const FOLDER: &str = "migrations/";
const TIME_DIGITS: usize = 14;
const OTHER_FILES: [&str; 2] = ["README.md", ".gitkeep"];

/// Checks the name of one file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    match file.path.strip_prefix(FOLDER) {
        Some(name) if !OTHER_FILES.contains(&name) && !is_well_named(name) => vec![Finding::new(
            &file.path,
            1,
            "not the name of a migration",
            "name it YYYYMMDDHHMMSS_verb_object.sql",
        )],
        _ => Vec::new(),
    }
}

fn is_well_named(name: &str) -> bool {
    let Some((time, words)) = name
        .strip_suffix(".sql")
        .and_then(|name| name.split_once('_'))
    else {
        return false;
    };
    let is_word = |word: &str| {
        let mut characters = word.chars();
        characters
            .next()
            .is_some_and(|first| first.is_ascii_lowercase())
            && characters
                .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit())
    };
    time.len() == TIME_DIGITS
        && time.chars().all(|character| character.is_ascii_digit())
        && words.contains('_')
        && words.split('_').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::finding::File;

    #[test]
    fn a_migration_is_named_by_time_verb_and_object() {
        let findings = |name: &str| check(&File::new(&format!("migrations/{name}"), "")).len();
        assert_eq!(findings("20261123200000_create_event_log.sql"), 0);
        assert_eq!(findings("README.md"), 0);
        for name in [
            "1_create_events.sql",
            "20261123200000_events.sql",
            "20261123200000_Create_events.sql",
            "20261123200000_create_events.up",
        ] {
            assert_eq!(findings(name), 1, "{name}");
        }
    }
}
