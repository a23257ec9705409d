//! The alert rules that are shipped speak of metrics that exist, and tell people what to do.

use std::collections::HashSet;
use std::path::Path;

use hyperfleet_broker::metrics::names;
use hyperfleet_runtime::yaml;
use regex::Regex;

/// What Prometheus adds to the name of a histogram.
const SUFFIXES: [&str; 3] = ["_bucket", "_count", "_sum"];

/// Labels of the broker's metrics that rules may group by; `le` is a histogram's own.
const LABELS: [&str; 6] = [
    "topic",
    "subscription",
    "component",
    "version",
    "error_type",
    "le",
];

#[test]
fn alerts_about_brokers_name_metrics_and_labels_that_exist() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/monitoring/brokers.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let document = yaml::parse(&text).unwrap().unwrap().to_value();
    let rules = document["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() >= 5);
    let metric = Regex::new(r"hyperfleet_\w+").unwrap();
    let grouping = Regex::new(r"by \(([^)]*)\)").unwrap();
    let (mut alerts, mut used) = (HashSet::new(), HashSet::new());
    for rule in rules {
        let text = |path: &str| {
            let value = rule.pointer(path).and_then(|value| value.as_str());
            value.unwrap_or_else(|| panic!("{rule} has no {path}"))
        };
        assert!(
            alerts.insert(text("/alert").to_owned()),
            "{rule} is there twice"
        );
        assert!(["warning", "critical"].contains(&text("/labels/severity")));
        assert!(!text("/annotations/summary").is_empty());
        assert!(!text("/annotations/description").is_empty());
        assert!(text("/annotations/runbook").starts_with("docs/"));
        let expression = text("/expr");
        let open = expression.matches('(').count();
        assert_eq!(open, expression.matches(')').count(), "{expression}");
        for name in metric.find_iter(expression) {
            let name = name.as_str();
            let bare = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
            let name = bare.unwrap_or(name);
            assert!(names::ALL.contains(&name), "there is no metric {name}");
            used.insert(name.to_owned());
        }
        for labels in grouping.captures_iter(expression) {
            for label in labels[1].split(',') {
                assert!(LABELS.contains(&label.trim()), "{label} in {expression}");
            }
        }
    }
    // Depth and age of dead letters are what nobody would notice otherwise
    assert!(used.contains(names::DEAD_LETTERS));
    assert!(used.contains(names::DEAD_LETTERS_OLDEST_AGE_SECONDS));
}
