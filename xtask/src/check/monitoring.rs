//! Alerts and dashboards name metrics that a process has, and runbooks that exist.

use std::collections::BTreeSet;

use super::finding::{File, Finding};

/// Where they are.
const FOLDER: &str = "deploy/monitoring/";

/// What a histogram adds to its name.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Checks all files of the folder.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let known = Names::of(files);
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(FOLDER)) {
        for (number, line) in file.lines() {
            for metric in metrics(line).filter(|metric| !known.has(metric)) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("there is no metric {metric}"),
                    "name one that a process registers; docs/operations.md lists them",
                ));
            }
            if let Some(runbook) = runbook(line).filter(|runbook| !leads_to(files, runbook)) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("the runbook {runbook} leads nowhere"),
                    "name a document of docs/, and one of its headings after #",
                ));
            }
        }
    }
    findings
}

/// The names of metrics as the sources spell them.
struct Names {
    whole: BTreeSet<String>,
    /// What names begin with that are put together.
    prefixes: BTreeSet<String>,
}

impl Names {
    fn of(files: &[File]) -> Self {
        let mut names = Self {
            whole: BTreeSet::new(),
            prefixes: BTreeSet::new(),
        };
        let sources = files
            .iter()
            .filter(|file| file.has_extension("rs") && !file.path.starts_with("xtask/"));
        for literal in sources.flat_map(|file| file.text.split('"').map(str::to_owned)) {
            if let Some(prefix) = literal.strip_suffix("{name}") {
                names.prefixes.insert(prefix.to_owned());
            }
            if literal.bytes().all(is_of_name) {
                names.whole.insert(literal);
            }
        }
        names
            .prefixes
            .retain(|prefix| prefix.starts_with("hyperfleet_"));
        names
    }

    fn has(&self, metric: &str) -> bool {
        let bases = SERIES
            .iter()
            .filter_map(|series| metric.strip_suffix(series));
        let mut bases = bases.chain([metric]);
        bases.any(|base| {
            let mut rests = self
                .prefixes
                .iter()
                .filter_map(|prefix| base.strip_prefix(prefix.as_str()));
            self.whole.contains(base) || rests.any(|rest| self.whole.contains(rest))
        })
    }
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

/// The metrics of HyperFleet that a line names.
fn metrics(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !u8::try_from(character).is_ok_and(is_of_name))
        .filter(|word| word.starts_with("hyperfleet_"))
}

fn runbook(line: &str) -> Option<&str> {
    line.trim().strip_prefix("runbook: ")
}

fn leads_to(files: &[File], runbook: &str) -> bool {
    let (path, heading) = runbook.split_once('#').unwrap_or((runbook, ""));
    files.iter().filter(|file| file.path == path).any(|file| {
        let mut headings = file.lines().filter_map(|(_, line)| line.strip_prefix('#'));
        heading.is_empty() || headings.any(|line| anchor(line) == heading)
    })
}

/// What a heading is linked by.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|one| one.is_alphanumeric() || *one == ' ' || *one == '-');
    kept.collect::<String>().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::finding::File;

    fn findings(alerts: &str) -> usize {
        let files = [
            File::new(
                "sentinel/src/metrics.rs",
                r#"format!("hyperfleet_sentinel_{name}"); "due"; "hyperfleet_api_seconds""#,
            ),
            File::new("docs/guide.md", "# Guide\n\n## Why, and how?\n"),
            File::new("deploy/monitoring/alerts.yaml", alerts),
        ];
        check(&files).len()
    }

    #[test]
    fn metrics_are_those_of_the_sources() {
        let known =
            "rate(hyperfleet_api_seconds_bucket[5m]) / hyperfleet_sentinel_due{a=\"b\"} + up";
        assert_eq!(findings(known), 0);
        assert_eq!(
            findings("hyperfleet_api_second + hyperfleet_sentinel_du"),
            2
        );
    }

    #[test]
    fn runbooks_lead_to_headings() {
        assert_eq!(
            findings("runbook: docs/guide.md\n  runbook: docs/guide.md#why-and-how"),
            0
        );
        assert_eq!(findings("runbook: docs/guide.md#why"), 1);
        assert_eq!(findings("runbook: docs/none.md"), 1);
    }
}
