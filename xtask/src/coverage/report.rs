//! What is told of the lines: sums for each crate and in total, and which lines were not run.

use std::collections::BTreeMap;

use serde::Serialize;

/// Lines that can be run and lines that were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Lines {
    covered: u32,
    coverable: u32,
}

impl Lines {
    fn of(lines: &BTreeMap<usize, bool>) -> Self {
        let count = |lines: usize| u32::try_from(lines).unwrap_or(u32::MAX);
        Self {
            covered: count(lines.values().filter(|run| **run).count()),
            coverable: count(lines.len()),
        }
    }

    fn add(&mut self, other: Self) {
        self.covered += other.covered;
        self.coverable += other.coverable;
    }

    /// How many of a hundred were run; all, when there are none.
    pub(super) fn percent(self) -> f64 {
        if self.coverable == 0 {
            return 100.0;
        }
        100.0 * f64::from(self.covered) / f64::from(self.coverable)
    }

    /// The line of a terminal.
    pub(super) fn describe(self, name: &str) -> String {
        format!(
            "{name:<16} {:>6.1} % of {:>6} lines",
            self.percent(),
            self.coverable
        )
    }
}

/// A file, with the lines of it that were not run.
#[derive(Debug, Serialize)]
pub(super) struct File {
    #[serde(flatten)]
    lines: Lines,
    uncovered: Vec<usize>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) total: Lines,
    /// By the folder of the crate.
    pub(super) crates: BTreeMap<String, Lines>,
    /// By the path from the root.
    files: BTreeMap<String, File>,
}

impl Report {
    /// Adds up the lines of files, which are named by their paths from the root.
    pub(super) fn of(lines: BTreeMap<String, BTreeMap<usize, bool>>) -> Self {
        let mut report = Self {
            total: Lines::default(),
            crates: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        for (path, lines) in lines {
            let sum = Lines::of(&lines);
            let folder = path.split('/').next().unwrap_or(&path).to_owned();
            report.crates.entry(folder).or_default().add(sum);
            report.total.add(sum);
            let uncovered = lines
                .into_iter()
                .filter_map(|(line, run)| (!run).then_some(line))
                .collect();
            let lines = sum;
            report.files.insert(path, File { lines, uncovered });
        }
        report
    }

    /// For each file below a folder of which lines were not run: `path: 3, 7-9`.
    pub(super) fn uncovered(&self, folder: &str) -> Vec<String> {
        let folder = format!("{}/", folder.trim_end_matches('/'));
        self.files
            .iter()
            .filter(|(path, file)| path.starts_with(&folder) && !file.uncovered.is_empty())
            .map(|(path, file)| format!("{path}: {}", ranges(&file.uncovered)))
            .collect()
    }
}

/// Neighbours as `first-last`.
fn ranges(lines: &[usize]) -> String {
    lines
        .chunk_by(|one, next| one + 1 == *next)
        .map(|neighbours| match neighbours {
            [first, .., last] => format!("{first}-{last}"),
            alone => alone.iter().map(ToString::to_string).collect(),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, Report};

    fn report() -> Report {
        let file = |lines: &[(usize, bool)]| lines.iter().copied().collect::<BTreeMap<_, _>>();
        let a = [
            (1, true),
            (2, false),
            (3, false),
            (5, false),
            (8, true),
            (9, true),
        ];
        Report::of(BTreeMap::from([
            ("domain/src/a.rs".to_owned(), file(&a)),
            ("domain/src/b.rs".to_owned(), file(&[(1, true), (2, true)])),
            ("broker/src/c.rs".to_owned(), file(&[(7, true)])),
        ]))
    }

    #[test]
    fn lines_are_added_up_by_crate() {
        let report = report();
        assert_eq!(report.crates.len(), 2);
        assert_eq!(
            report.crates["domain"].describe("domain"),
            "domain             62.5 % of      8 lines"
        );
        assert!((report.crates["broker"].percent() - 100.0).abs() < f64::EPSILON);
        assert_eq!(
            report.total.describe("total"),
            "total              66.7 % of      9 lines"
        );
    }

    #[test]
    fn lines_that_were_not_run_are_named() {
        assert_eq!(report().uncovered("domain"), ["domain/src/a.rs: 2-3, 5"]);
        assert_eq!(report().uncovered("dom"), [""; 0]);
    }

    #[test]
    fn a_report_can_be_read_by_programs() {
        let written = serde_json::to_value(report()).expect("it is JSON");
        assert_eq!(written["total"]["coverable"], 9);
        assert_eq!(written["files"]["domain/src/a.rs"]["covered"], 3);
        assert_eq!(
            written["files"]["domain/src/a.rs"]["uncovered"],
            serde_json::json!([2, 3, 5])
        );
    }
}
