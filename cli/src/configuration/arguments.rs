//! The flags of the settings, made from the table of keys.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use hyperfleet_runtime::config::{GivenFlag, Key, Kind};

use super::keys::KEYS;

/// Flags that every command has already.
const GLOBAL: [&str; 2] = ["log-level", "log-format"];

/// Which settings a command takes as flags.
pub(crate) trait Scope: Clone + Send + Sync + std::fmt::Debug + 'static {
    /// The flag that names the file.
    const CONFIG_FLAG: &'static str = "config";
    /// The variable that names the file.
    const CONFIG_VARIABLE: &'static str = "HYPERFLEET_CONFIG";
    /// Where a file is looked for when nothing names one.
    const DEFAULT_FILES: &'static [&'static str] =
        &["/etc/hyperfleet/config.yaml", "./configs/config.yaml"];
    /// Whether a key is among them.
    fn has(key: &Key) -> bool;
}

/// All of them: the API, alone or with the rest.
#[derive(Clone, Debug)]
pub(crate) enum Everything {}

impl Scope for Everything {
    fn has(_: &Key) -> bool {
        true
    }
}

/// Those of the database.
#[derive(Clone, Debug)]
pub(crate) enum DatabaseOnly {}

impl Scope for DatabaseOnly {
    fn has(key: &Key) -> bool {
        key.path == "data_dir" || key.path.starts_with("database.")
    }
}

/// Those of the database, for a command whose `--config` is another file.
#[derive(Clone, Debug)]
pub(crate) enum DatabaseOfRole {}

impl Scope for DatabaseOfRole {
    const CONFIG_FLAG: &'static str = "api-config";
    const CONFIG_VARIABLE: &'static str = "HYPERFLEET_API_CONFIG";
    // The usual places hold the role's own file.
    const DEFAULT_FILES: &'static [&'static str] = &[];

    fn has(key: &Key) -> bool {
        DatabaseOnly::has(key)
    }
}

/// The same, and those of the health and metrics servers, for a role that serves nothing else.
#[derive(Clone, Debug)]
pub(crate) enum WorkingRole {}

impl Scope for WorkingRole {
    const CONFIG_FLAG: &'static str = DatabaseOfRole::CONFIG_FLAG;
    const CONFIG_VARIABLE: &'static str = DatabaseOfRole::CONFIG_VARIABLE;
    const DEFAULT_FILES: &'static [&'static str] = DatabaseOfRole::DEFAULT_FILES;

    fn has(key: &Key) -> bool {
        let addresses = ["health.host", "health.port", "metrics.host", "metrics.port"];
        let tls = ["health.tls.", "metrics.tls."];
        DatabaseOnly::has(key)
            || addresses.contains(&key.path)
            || tls.iter().any(|prefix| key.path.starts_with(prefix))
    }
}

/// What was given of a scope's flags.
#[derive(Clone, Debug)]
pub(crate) struct SettingsArguments<S: Scope> {
    pub(super) file: Option<PathBuf>,
    pub(super) flags: Vec<GivenFlag>,
    scope: std::marker::PhantomData<S>,
}

fn keys_with_flags<S: Scope>() -> impl Iterator<Item = (&'static Key, &'static str)> {
    let keys = KEYS.iter().filter(|key| S::has(key));
    keys.filter_map(|key| Some((key, *key.flags.first()?)))
        .filter(|(_, flag)| !GLOBAL.contains(flag))
}

fn argument(key: &'static Key, flag: &'static str) -> Arg {
    let mut argument = Arg::new(key.path)
        .long(flag)
        .help(key.help)
        .visible_aliases(key.flags.iter().skip(1).copied())
        .help_heading("Settings (also in the configuration file and the environment)");
    if let Some(short) = key.short {
        argument = argument.short(short);
    }
    match key.kind {
        Kind::Boolean => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("true|false"),
        Kind::Integer { .. } => argument.value_name("NUMBER"),
        Kind::Duration { .. } => argument.value_name("DURATION"),
        Kind::List => argument
            .value_name("NAME,…")
            .action(clap::ArgAction::Append),
        Kind::Choice(words) => argument
            .value_name("WORD")
            .ignore_case(true)
            .value_parser(PossibleValuesParser::new(words)),
        Kind::Text | Kind::Structured => argument.value_name("VALUE"),
    }
}

fn help_of_file<S: Scope>() -> String {
    let files = S::DEFAULT_FILES.iter();
    let otherwise: Vec<String> = files.map(|file| format!(", else {file}")).collect();
    format!(
        "Configuration file of the API; default: ${}{}",
        S::CONFIG_VARIABLE,
        otherwise.concat()
    )
}

impl<S: Scope> Args for SettingsArguments<S> {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("settings-file")
            .long(S::CONFIG_FLAG)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(help_of_file::<S>());
        let arguments = keys_with_flags::<S>().map(|(key, flag)| argument(key, flag));
        command.arg(config).args(arguments)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Scope> FromArgMatches for SettingsArguments<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |(key, flag): (&'static Key, &'static str)| {
            let values = matches.get_many::<String>(key.path)?;
            Some(GivenFlag {
                path: key.path,
                name: flag.to_owned(),
                values: values.cloned().collect(),
            })
        };
        Ok(Self {
            file: matches.get_one::<PathBuf>("settings-file").cloned(),
            flags: keys_with_flags::<S>().filter_map(given).collect(),
            scope: std::marker::PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
