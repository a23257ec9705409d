//! From regions to lines, in the way of llvm-cov: a line was run when a region that begins on it was, or the
//! innermost region around its start.

use std::collections::{BTreeMap, BTreeSet};

use crate::rust_source::outside_tests;

/// A line and a column, counted from 1.
pub(super) type Position = (usize, usize);

/// A stretch of code of which every run executes all or nothing; it ends before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Region {
    pub(super) start: Position,
    pub(super) end: Position,
}

/// How often each region of a file was run, added up over generic instances and programs.
pub(super) type Regions = BTreeMap<Region, u64>;

/// The lines that can be run, each with whether it was.
pub(super) fn of_regions(regions: &Regions) -> BTreeMap<usize, bool> {
    let mut lines: BTreeMap<usize, bool> = BTreeMap::new();
    // For each line, the innermost region around its start: where that begins, and whether it was run.
    let mut around: BTreeMap<usize, (Position, bool)> = BTreeMap::new();
    for (region, &count) in regions {
        *lines.entry(region.start.0).or_default() |= count > 0;
        let last = region.end.0 - usize::from(region.end.1 <= 1);
        for line in region.start.0 + 1..=last {
            // Of regions that begin at the same place the shorter comes first, and is the inner one.
            if around
                .get(&line)
                .is_none_or(|(start, _)| *start < region.start)
            {
                around.insert(line, (region.start, count > 0));
            }
        }
    }
    for (line, (_, run)) in around {
        *lines.entry(line).or_default() |= run;
    }
    lines
}

/// The lines of a file that are counted if they can be run: those outside test modules that hold a word of
/// code. A region may go on over comments, blank lines and closing brackets.
pub(super) fn of_code(text: &str) -> BTreeSet<usize> {
    let has_word = |line: &str| {
        let line = line.trim_start();
        !line.starts_with("//") && line.contains(char::is_alphanumeric)
    };
    outside_tests(text)
        .into_iter()
        .filter(|(_, line)| has_word(line))
        .map(|(number, _)| number)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Position, Region, Regions, of_code, of_regions};

    fn regions(regions: &[(Position, Position, u64)]) -> Regions {
        regions
            .iter()
            .map(|&(start, end, count)| (Region { start, end }, count))
            .collect()
    }

    fn lines(of: &[(Position, Position, u64)]) -> Vec<(usize, bool)> {
        of_regions(&regions(of)).into_iter().collect()
    }

    #[test]
    fn a_branch_that_was_not_taken_is_not_run() {
        // fn a(b: bool) { / if b { / c(); / } / d(); / }
        let found = lines(&[((1, 1), (6, 2), 1), ((2, 10), (4, 6), 0)]);
        // The closing bracket of the branch lies in it; of_code leaves it out.
        let expected = [
            (1, true),
            (2, true),
            (3, false),
            (4, false),
            (5, true),
            (6, true),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_is_run_when_one_of_its_regions_is() {
        assert_eq!(
            lines(&[((1, 1), (1, 5), 0), ((1, 6), (1, 9), 2)]),
            [(1, true)]
        );
        // A region that has ended is around nothing.
        let found = lines(&[((1, 1), (3, 1), 1), ((3, 5), (3, 9), 0)]);
        assert_eq!(found, [(1, true), (2, true), (3, false)]);
    }

    #[test]
    fn of_regions_with_one_start_the_shorter_is_the_inner_one() {
        let found = lines(&[((1, 1), (2, 9), 0), ((1, 1), (3, 9), 1)]);
        assert_eq!(found, [(1, true), (2, false), (3, true)]);
    }

    #[test]
    fn only_code_is_counted() {
        let text = "// A comment.\nfn a() {\n\n    b();\n    // Why.\n    }\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
        assert_eq!(of_code(text).into_iter().collect::<Vec<_>>(), [2, 4]);
    }
}
