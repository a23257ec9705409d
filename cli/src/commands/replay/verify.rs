//! `hyperfleet replay verify`: folds the log and compares it with the read models; recomputes every hash
//! chain.

use hyperfleet_event_store::portable::Heads;
use hyperfleet_event_store::{ChainFault, EventStore, StreamId};
use hyperfleet_projections::replay::{self, Report};
use serde_json::{Value, json};

use super::progress::Progress;
use super::{Outcome, heads, print_json};
use crate::arguments::VerifyArguments;

/// Streams verified at a time: each page is one snapshot of the database.
const STREAMS: usize = 500;

/// What the chains are like.
struct Chains {
    streams: u64,
    faults: Vec<Fault>,
}

/// Where a chain breaks.
struct Fault {
    fault: ChainFault,
    /// The event's place in the log; none when it is missing.
    position: Option<i64>,
}

impl Fault {
    fn text(&self) -> String {
        match self.position {
            Some(position) => format!("{} (position {position})", self.fault),
            None => self.fault.to_string(),
        }
    }

    fn document(&self) -> Value {
        let ChainFault {
            stream,
            sequence,
            kind,
        } = &self.fault;
        json!({"type": stream.aggregate_type, "id": stream.aggregate_id, "sequence": sequence,
            "position": self.position, "what": kind.to_string()})
    }
}

pub(super) async fn run(
    arguments: &VerifyArguments,
    store: &EventStore,
) -> anyhow::Result<Outcome> {
    let is_json = arguments.database.is_json();
    let progress = Progress::new(is_json);
    let report = if arguments.chains {
        None
    } else {
        progress.step("folding the log and comparing");
        Some(replay::verify(store.pool()).await?)
    };
    let chains = verify_chains(store, &progress).await?;
    let heads = match signed_heads(arguments)? {
        Some(signed) => {
            progress.step("comparing with the signed heads");
            Some(heads::compare_database(store, &signed).await?)
        }
        None => None,
    };
    progress.end();
    if is_json {
        let mut document = document(report.as_ref(), &chains);
        if let Some(heads) = &heads {
            document["heads"] = heads.document();
        }
        print_json(&document)?;
    } else {
        print(report.as_ref(), &chains);
        if let Some(heads) = &heads {
            heads.print();
        }
    }
    let differences = report.as_ref().map_or(0, |report| report.difference_count);
    let off_heads = heads.as_ref().map_or(0, |heads| heads.count);
    if differences == 0 && chains.faults.is_empty() && off_heads == 0 {
        return Ok(Outcome::Well);
    }
    Ok(Outcome::Different(format!(
        "{differences} difference(s) between log and read models, {} broken hash chain(s), {off_heads} difference(s) from the signed heads",
        chains.faults.len()
    )))
}

/// Verifies an exported log; needs no database.
pub(super) async fn file(arguments: &VerifyArguments) -> anyhow::Result<Outcome> {
    let Some(path) = &arguments.export else {
        anyhow::bail!("say which file: --export FILE");
    };
    let signed = signed_heads(arguments)?;
    heads::verify_file(path, signed.as_ref(), arguments.database.is_json()).await
}

fn signed_heads(arguments: &VerifyArguments) -> anyhow::Result<Option<Heads>> {
    match (&arguments.heads, &arguments.public_key) {
        (Some(file), Some(key)) => heads::read(file, key).map(Some),
        _ => Ok(None),
    }
}

fn print(report: Option<&Report>, chains: &Chains) {
    if let Some(report) = report {
        println!(
            "folded {} events of {} resources",
            report.events, report.resources
        );
        for difference in &report.differences {
            println!("difference: {}: {}", difference.subject, difference.what);
        }
    }
    println!("recomputed the hash chains of {} streams", chains.streams);
    for fault in &chains.faults {
        println!("broken chain: {}", fault.text());
    }
    match report {
        Some(report) if report.is_equal() && chains.faults.is_empty() => {
            println!("the read models equal the fold of the log, and every chain is whole");
        }
        None if chains.faults.is_empty() => println!("every chain is whole"),
        _ => {}
    }
}

fn document(report: Option<&Report>, chains: &Chains) -> Value {
    let faults: Vec<Value> = chains.faults.iter().map(Fault::document).collect();
    let mut document = json!({"streams": chains.streams, "chain_faults": faults});
    if let Some(report) = report {
        document["resources"] = json!(report.resources);
        document["events"] = json!(report.events);
        document["difference_count"] = json!(report.difference_count);
        document["differences"] = differences(report);
    }
    document
}

/// The differences of a report, for JSON.
pub(super) fn differences(report: &Report) -> Value {
    let differences = report.differences.iter();
    differences
        .map(|difference| json!({"subject": difference.subject, "what": difference.what}))
        .collect()
}

async fn verify_chains(store: &EventStore, progress: &Progress) -> anyhow::Result<Chains> {
    let total: i64 = sqlx::query_scalar("SELECT count(*) FROM streams")
        .fetch_one(store.pool())
        .await?;
    progress.count("hash chains", total.unsigned_abs(), 0);
    let mut after: Option<StreamId> = None;
    let mut chains = Chains {
        streams: 0,
        faults: Vec::new(),
    };
    loop {
        let page = store.verify_page(after.as_ref(), STREAMS).await?;
        chains.streams += page.streams;
        progress.advance(page.streams);
        for fault in page.faults {
            let position = position(store, &fault).await?;
            chains.faults.push(Fault { fault, position });
        }
        let Some(last) = page.last else {
            return Ok(chains);
        };
        after = Some(last);
    }
}

async fn position(store: &EventStore, fault: &ChainFault) -> anyhow::Result<Option<i64>> {
    let position = sqlx::query_scalar(
        "SELECT position FROM events
         WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = $3",
    )
    .bind(&fault.stream.aggregate_type)
    .bind(&fault.stream.aggregate_id)
    .bind(fault.sequence.cast_signed())
    .fetch_optional(store.pool())
    .await?;
    Ok(position)
}
