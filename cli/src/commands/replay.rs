//! `hyperfleet replay`: proofs, repairs and looks into the past, on the database itself, not through the API.
//!
//! Every command ends with 0 when all is well, with 1 when it found differences, and with 2 when it could
//! not do what it was asked.

mod at;
mod carry;
mod heads;
mod parked;
mod progress;
mod projections;
mod rebuild;
mod repulse;
mod signature;
mod simulate;
mod verify;

use hyperfleet_event_store::EventStore;
use serde_json::Value;

use crate::arguments::ReplayCommand;
use crate::control_plane::Database;
use crate::dispatch::Role;

/// A rebuild holds a session, and each of its jobs another.
const FEWEST_CONNECTIONS: u32 = 24;

/// How a command ended that did what it was asked.
pub(crate) enum Outcome {
    /// All is well.
    Well,
    /// It found differences: what to say of them.
    Different(String),
}

/// Runs the command on the database that its settings name.
pub(crate) async fn run(command: &ReplayCommand, role: Option<&Role>) -> anyhow::Result<Outcome> {
    let opened = match role {
        Some(role) => Some(Opened::open(role).await?),
        None => None,
    };
    let outcome = match (&opened, role) {
        (Some(opened), Some(role)) => with_database(command, opened, role).await,
        _ => without_database(command).await,
    };
    let closed = match opened {
        Some(opened) => opened.close().await,
        None => Ok(()),
    };
    let outcome = outcome?;
    closed?;
    Ok(outcome)
}

/// An open database.
struct Opened {
    database: Database,
    store: EventStore,
}

impl Opened {
    async fn open(role: &Role) -> anyhow::Result<Self> {
        let mut settings = role.configuration.database.for_maintenance();
        settings.max_connections = settings.max_connections.max(FEWEST_CONNECTIONS);
        let database = Database::open(&settings.choice()?, &settings).await?;
        let store = database.store(&role.metrics).await?;
        Ok(Self { database, store })
    }

    async fn close(self) -> anyhow::Result<()> {
        drop(self.store);
        self.database.stop().await
    }
}

async fn with_database(
    command: &ReplayCommand,
    opened: &Opened,
    role: &Role,
) -> anyhow::Result<Outcome> {
    let store = &opened.store;
    let registry = &role.configuration.registry;
    match command {
        ReplayCommand::Verify(arguments) => verify::run(arguments, store).await,
        ReplayCommand::Rebuild(arguments) => rebuild::run(arguments, store).await,
        ReplayCommand::Status(arguments) => projections::status(arguments, store).await,
        ReplayCommand::Pause(arguments) => projections::pause(arguments, store).await,
        ReplayCommand::Resume(arguments) => projections::resume(arguments, store).await,
        ReplayCommand::Parked(command) => parked::run(command, store).await,
        ReplayCommand::At(arguments) => at::at(arguments, store).await,
        ReplayCommand::Diff(arguments) => at::diff(arguments, store).await,
        ReplayCommand::Export(arguments) => carry::export(arguments, store).await,
        ReplayCommand::Import(arguments) => carry::import(arguments, store).await,
        ReplayCommand::Heads(arguments) => heads::print(arguments, store).await,
        ReplayCommand::Simulate(arguments) => simulate::run(arguments, store, registry).await,
        ReplayCommand::Repulse(arguments) => repulse::run(arguments, store, registry).await,
        ReplayCommand::Keygen(_) => without_database(command).await,
    }
}

/// Commands that need none.
async fn without_database(command: &ReplayCommand) -> anyhow::Result<Outcome> {
    match command {
        ReplayCommand::Keygen(arguments) => signature::generate(&arguments.key),
        ReplayCommand::Verify(arguments) => verify::file(arguments).await,
        _ => anyhow::bail!("this command needs a database"),
    }
}

/// Prints a document.
fn print_json(document: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(document)?);
    Ok(())
}
