//! `hyperfleet replay`: proofs and repairs that need the database, not the API.

use anyhow::bail;
use hyperfleet_event_store::{EventStore, StreamId};
use hyperfleet_projections::replay;
use serde_json::json;

use crate::arguments::ReplayArguments;
use crate::control_plane::Database;
use crate::dispatch::Role;

/// Streams listed at a time.
const STREAMS: usize = 500;

/// Folds the log and compares it with the read models; recomputes every hash chain.
pub(crate) async fn verify(arguments: &ReplayArguments, role: &Role) -> anyhow::Result<()> {
    let settings = &role.configuration.database.for_maintenance();
    let database = Database::open(&settings.choice()?, settings).await?;
    let store = database.store(&role.metrics).await?;
    let report = replay::verify(store.pool()).await?;
    let (streams, faults) = verify_chains(&store).await?;
    if arguments.json {
        let differences: Vec<_> = report
            .differences
            .iter()
            .map(|difference| json!({"subject": difference.subject, "what": difference.what}))
            .collect();
        let document = json!({
            "resources": report.resources,
            "events": report.events,
            "streams": streams,
            "difference_count": report.difference_count,
            "differences": differences,
            "chain_faults": faults,
        });
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        println!(
            "folded {} events of {} resources",
            report.events, report.resources
        );
        for difference in &report.differences {
            println!("difference: {}: {}", difference.subject, difference.what);
        }
        println!("recomputed the hash chains of {streams} streams");
        for fault in &faults {
            println!("broken chain: {fault}");
        }
    }
    drop(store);
    database.stop().await?;
    if report.is_equal() && faults.is_empty() {
        if !arguments.json {
            println!("the read models equal the fold of the log, and every chain is whole");
        }
        return Ok(());
    }
    bail!(
        "{} difference(s) between log and read models, {} broken hash chain(s)",
        report.difference_count,
        faults.len()
    )
}

/// Writes the read models anew from the log.
pub(crate) async fn rebuild(arguments: &ReplayArguments, role: &Role) -> anyhow::Result<()> {
    let settings = &role.configuration.database.for_maintenance();
    let database = Database::open(&settings.choice()?, settings).await?;
    let store = database.store(&role.metrics).await?;
    let rebuilt = replay::rebuild(store.pool()).await?;
    if arguments.json {
        println!(
            "{}",
            json!({"resources": rebuilt.resources, "events": rebuilt.events, "strangers": rebuilt.strangers})
        );
    } else {
        println!(
            "rebuilt {} resources from {} events",
            rebuilt.resources, rebuilt.events
        );
        if rebuilt.strangers > 0 {
            println!(
                "took out {} rows that the log does not know",
                rebuilt.strangers
            );
        }
    }
    drop(store);
    database.stop().await
}

/// The number of streams, and what is wrong with their chains.
async fn verify_chains(store: &EventStore) -> anyhow::Result<(u64, Vec<String>)> {
    let mut after: Option<StreamId> = None;
    let (mut count, mut faults) = (0, Vec::new());
    loop {
        let streams = store.streams(after.as_ref(), STREAMS).await?;
        let Some(last) = streams.last().cloned() else {
            return Ok((count, faults));
        };
        for stream in &streams {
            count += 1;
            if let Err(fault) = store.verify_stream(stream).await? {
                faults.push(fault.to_string());
            }
        }
        after = Some(last);
    }
}
