//! The numbers of the cases, and which of them the name of a test means.

use std::ops::RangeInclusive;

/// Cases that belong together.
pub(super) struct Section {
    /// What they are about.
    pub(super) name: &'static str,
    /// Their numbers.
    pub(super) cases: RangeInclusive<u16>,
}

const fn section(name: &'static str, first: u16, last: u16) -> Section {
    Section {
        name,
        cases: first..=last,
    }
}

/// Every case of API contract v1.
pub(super) const API: [Section; 12] = [
    section("transport", 1, 15),
    section("create", 16, 49),
    section("read and list", 50, 76),
    section("search", 77, 112),
    section("patch", 113, 127),
    section("delete", 128, 153),
    section("references", 154, 167),
    section("status reports", 168, 194),
    section("aggregation", 195, 209),
    section("condition mapping", 210, 214),
    section("authentication and tenancy", 215, 234),
    section("operation", 235, 242),
];

/// Every case of the contract of adapters.
pub(super) const ADAPTER: [Section; 8] = [
    section("loading", 1, 54),
    section("params", 55, 81),
    section("preconditions", 82, 106),
    section("CEL and templates", 107, 131),
    section("resources", 132, 163),
    section("Maestro", 164, 171),
    section("post and status", 172, 197),
    section("runtime", 198, 210),
];

/// Every case of the contract of brokers.
pub(super) const BROKER: [Section; 9] = [
    section("fan-out", 1, 18),
    section("content", 19, 44),
    section("what is no event", 45, 60),
    section("failure", 61, 74),
    section("delay", 75, 84),
    section("dead letters", 85, 98),
    section("publishing", 99, 108),
    section("shutdown", 109, 116),
    section("depth", 117, 118),
];

/// How many cases there are.
pub(super) fn count(sections: &[Section]) -> usize {
    sections.iter().map(|section| section.cases.len()).sum()
}

/// The cases that a test of this name shows: after the prefix, numbers joined by `_to_` and `_and_`.
pub(super) fn named_by(prefix: &str, name: &str) -> Vec<u16> {
    let test = name.rsplit("::").next().unwrap_or_default();
    let Some(rest) = test.strip_prefix(prefix) else {
        return Vec::new();
    };
    let mut cases = Vec::new();
    let mut words = rest.split('_');
    let mut joined = Some("and");
    while let Some(join) = joined {
        let Some(number) = words.next().and_then(|word| word.parse().ok()) else {
            break;
        };
        match (join, cases.last()) {
            ("to", Some(first)) => cases.extend(first + 1..=number),
            _ => cases.push(number),
        }
        joined = words.next().filter(|word| ["and", "to"].contains(word));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_follow_each_other_without_a_gap() {
        for (sections, last) in [(&API[..], 242), (&ADAPTER[..], 210), (&BROKER[..], 118)] {
            let numbers: Vec<u16> = sections
                .iter()
                .flat_map(|section| section.cases.clone())
                .collect();
            assert_eq!(numbers, (1..=last).collect::<Vec<u16>>());
            assert_eq!(count(sections), usize::from(last));
        }
    }

    #[test]
    fn names_are_lists_and_ranges() {
        for (name, cases) in [
            ("a::b::case_7_a_name", vec![7]),
            ("case_16_and_17_a_new_cluster", vec![16, 17]),
            ("case_18_to_21_names_and_kinds", vec![18, 19, 20, 21]),
            ("case_179_to_181_and_186_reports", vec![179, 180, 181, 186]),
            ("case_1_and_3_to_5", vec![1, 3, 4, 5]),
            ("case_30_of_a_hundred", vec![30]),
            ("case_9_and_everything", vec![9]),
            ("case_none", vec![]),
            ("a_case_1", vec![]),
        ] {
            assert_eq!(named_by("case_", name), cases, "{name}");
        }
        assert_eq!(named_by("a", "params::a056_a_default"), [56]);
        assert_eq!(named_by("a", "params::a56_and_057_x"), [56, 57]);
        assert_eq!(named_by("a", "params::an_empty_answer"), Vec::<u16>::new());
    }
}
