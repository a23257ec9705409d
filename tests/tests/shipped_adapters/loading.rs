use hyperfleet_adapter::lint::Severity;

use crate::fleet::{ADAPTERS, configuration};

#[test]
fn every_shipped_configuration_loads_without_warnings() {
    for (folder, name, topic) in ADAPTERS {
        let config = configuration(folder, "http://127.0.0.1:1");
        assert_eq!(config.adapter.name, *name, "{folder}");
        assert_eq!(
            config.adapter.broker.topic.as_deref(),
            Some(*topic),
            "{folder}"
        );
        assert_eq!(config.warnings, Vec::<String>::new(), "{folder}");
        let findings = hyperfleet_adapter::lint::findings(&config);
        let alarms: Vec<_> = findings
            .iter()
            .filter(|finding| finding.severity != Severity::Note)
            .collect();
        assert!(alarms.is_empty(), "{folder}: {alarms:#?}");
    }
}

#[test]
fn no_folder_is_forgotten() {
    let mut folders: Vec<String> = std::fs::read_dir(crate::fleet::root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut known: Vec<&str> = ADAPTERS.iter().map(|(folder, ..)| *folder).collect();
    known.sort_unstable();
    assert_eq!(folders, known);
}
