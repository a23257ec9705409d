//! The properties of `fuzz/` hold for every committed input. The files are shared, not the crate, which
//! would bring libFuzzer.

#[expect(
    unreachable_pub,
    clippy::panic,
    reason = "it is a crate of its own elsewhere, and its checks fail the test"
)]
#[path = "../../../fuzz/src/lib.rs"]
mod properties;

use std::fs;
use std::path::{Path, PathBuf};

/// Most inputs of a corpus, and most bytes of one: they are there to be read.
const MOST_INPUTS: usize = 40;
const MOST_BYTES: usize = 8192;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz")
        .join(name)
}

/// What is in a folder, by the names of the files without extension, sorted.
fn files(name: &str) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder(name)).expect("the folder can be read");
    let mut files: Vec<(String, PathBuf)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("it has a name");
            (stem.to_string_lossy().into_owned(), path)
        })
        .collect();
    files.sort();
    files
}

/// Every input of a target's corpus keeps its property.
fn holds(target: &str) {
    let (_, check) = properties::TARGETS
        .into_iter()
        .find(|(name, _)| *name == target)
        .expect("the target");
    let inputs = files(&format!("corpus/{target}"));
    assert!(
        (1..=MOST_INPUTS).contains(&inputs.len()),
        "{}",
        inputs.len()
    );
    for (_, path) in inputs {
        let input = fs::read(&path).expect("an input");
        assert!(input.len() <= MOST_BYTES, "{} bytes", input.len());
        let held = std::panic::catch_unwind(|| check(&input));
        assert!(held.is_ok(), "{} does not hold", path.display());
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let names =
        |folder| -> Vec<String> { files(folder).into_iter().map(|(name, _)| name).collect() };
    let targets = properties::TARGETS.map(|(name, _)| name);
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}

#[test]
fn bodies_hold() {
    holds("body");
}

#[test]
fn labels_hold() {
    holds("label");
}

#[test]
fn names_hold() {
    holds("name");
}

#[test]
fn page_tokens_hold() {
    holds("page_token");
}

#[test]
fn problems_hold() {
    holds("problem");
}

#[test]
fn searches_hold() {
    holds("search");
}
