//! The table of differences in `docs/brokers.md` is the one that the suite goes by.

use std::path::Path;

use crate::suite::{Difference, Kind};

/// What a cell says where a backend does as the contract has it.
const NONE: &str = "–";

/// The rows of the table below a heading, without its head, cell by cell.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = document.lines().skip_while(|line| *line != heading);
    let table = lines.skip_while(|line| !line.starts_with('|'));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.skip(2).map(cells).collect()
}

#[test]
fn the_documented_differences_are_those_of_the_suite() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/brokers.md");
    let document = std::fs::read_to_string(path).unwrap();
    let rows = rows(&document, "## Differences");
    assert_eq!(rows.len(), Difference::ALL.len());
    for (row, difference) in rows.iter().zip(Difference::ALL) {
        let [_, memory, rabbitmq, pubsub, case] = &row[..] else {
            panic!("{row:?} has not five cells");
        };
        for (cell, kind) in [memory, rabbitmq, pubsub].into_iter().zip(Kind::ALL) {
            assert_eq!(cell != NONE, difference.is_of(kind), "{row:?} {kind:?}");
        }
        assert_eq!(case, &format!("`{}`", difference.case()));
        for cases in [
            crate::memory::CASES,
            crate::memory_in_a_folder::CASES,
            crate::pubsub::CASES,
            crate::rabbitmq::CASES,
            crate::rabbitmq_classic_fanout::CASES,
        ] {
            assert!(cases.contains(&difference.case()), "{case}");
        }
    }
}
