//! `hyperfleet config dump`: the settings in force, as a file that gives the same settings again (secrets
//! aside), with comments that say where they come from.

use std::fmt::Write as _;

use hyperfleet_runtime::config::{GivenFlag, Settings};
use serde_json::Value;

use crate::arguments::{ConfigCommand, DumpArguments, OutputFormat};
use crate::configuration::Configuration;
use crate::control_plane::MEMORY;
use crate::output;

/// Reads the settings that the command asks about.
pub(crate) fn read(command: &ConfigCommand, global: &[GivenFlag]) -> anyhow::Result<Configuration> {
    let ConfigCommand::Dump(arguments) = command;
    Configuration::read(&arguments.control_plane.settings, global)
}

pub(crate) fn run(command: &ConfigCommand, configuration: &Configuration) -> anyhow::Result<()> {
    let ConfigCommand::Dump(arguments) = command;
    let settings = &configuration.settings;
    print!("{}", header(arguments, settings));
    if arguments.origin {
        print!("{}", with_origins(settings));
    } else {
        let document = without_nulls(settings.document());
        print!("{}", output::structured(&document, OutputFormat::Yaml)?);
    }
    Ok(())
}

/// What is no setting.
fn header(arguments: &DumpArguments, settings: &Settings) -> String {
    let control_plane = &arguments.control_plane;
    let file = settings.file().map_or_else(
        || "no file was read".to_owned(),
        |file| format!("read from {}", file.display()),
    );
    let broker = control_plane.broker.as_deref().unwrap_or(MEMORY);
    let mut header = format!("# {file}\n# --broker {broker}\n");
    for (flag, path) in [
        ("kubeconfig", &control_plane.kubeconfig),
        ("adapters", &control_plane.adapters),
    ] {
        if let Some(path) = path {
            // Writing to a String cannot fail.
            let _ = writeln!(header, "# --{flag} {}", path.display());
        }
    }
    header
}

/// Each key in a line of its own, as flow YAML, with its origin.
fn with_origins(settings: &Settings) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for key in settings.keys() {
        let value = settings.shown(key);
        if value.is_null() {
            continue;
        }
        let segments: Vec<&str> = key.path.split('.').collect();
        let (name, sections) = segments.split_last().unwrap_or((&"", &[]));
        let same = open
            .iter()
            .zip(sections)
            .take_while(|(open, section)| open == section)
            .count();
        open.truncate(same);
        for section in &sections[same..] {
            let _ = writeln!(text, "{:indent$}{section}:", "", indent = 2 * open.len());
            open.push(section);
        }
        let origin = settings.get(key.path).origin;
        let indent = 2 * open.len();
        let _ = writeln!(text, "{:indent$}{name}: {value}  # {origin}", "");
    }
    text
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            let kept = kept.map(|(name, value)| (name, without_nulls(value)));
            Value::Object(kept.collect())
        }
        other => other,
    }
}
