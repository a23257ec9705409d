//! `hyperfleet replay heads`, and what is verified by them.

use std::path::Path;

use anyhow::{Context as _, ensure};
use hyperfleet_event_store::EventStore;
use hyperfleet_event_store::portable::{
    self, Entry, HeadFault, Heads, HeadsChecker, Lines, PortableError,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::progress::Progress;
use super::{Outcome, carry, print_json, signature};
use crate::arguments::HeadsArguments;

/// Heads and their signature, as they are kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedHeads {
    heads: Heads,
    /// Ed25519, in base64.
    signature: String,
}

/// How a log compares with heads.
pub(super) struct Compared {
    pub(super) count: u64,
    faults: Vec<HeadFault>,
    streams: usize,
    position: u64,
}

impl Compared {
    pub(super) fn print(&self) {
        for fault in &self.faults {
            println!("not as signed: {fault}");
        }
        println!(
            "compared with {} signed heads up to position {}: {} differences",
            self.streams, self.position, self.count
        );
    }

    pub(super) fn document(&self) -> Value {
        let faults = self.faults.iter().map(|fault| {
            json!({"type": fault.stream.aggregate_type, "id": fault.stream.aggregate_id,
                "sequence": fault.sequence, "what": fault.what})
        });
        json!({"streams": self.streams, "position": self.position, "fault_count": self.count,
            "faults": faults.collect::<Vec<_>>()})
    }
}

/// Takes the heads, signs and prints them.
pub(super) async fn print(
    arguments: &HeadsArguments,
    store: &EventStore,
) -> anyhow::Result<Outcome> {
    let heads = Heads::take(store.pool()).await?;
    let signature = signature::sign(&arguments.key, &heads.statement())?;
    let signed = SignedHeads { heads, signature };
    println!("{}", serde_json::to_string(&signed)?);
    Ok(Outcome::Well)
}

/// Reads heads, if their signature is right.
pub(super) fn read(file: &Path, public_key: &Path) -> anyhow::Result<Heads> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let signed: SignedHeads = serde_json::from_str(&text)
        .with_context(|| format!("{} holds no signed heads", file.display()))?;
    ensure!(
        signed.heads.is_known(),
        "{} was written by another version of hyperfleet",
        file.display()
    );
    signature::verify(public_key, &signed.heads.statement(), &signed.signature)
        .with_context(|| format!("cannot trust {}", file.display()))?;
    Ok(signed.heads)
}

/// Compares a database with heads.
pub(super) async fn compare_database(
    store: &EventStore,
    heads: &Heads,
) -> anyhow::Result<Compared> {
    let found = portable::compare_heads(store.pool(), heads).await?;
    Ok(compared(heads, found))
}

fn compared(heads: &Heads, (count, faults): (u64, Vec<HeadFault>)) -> Compared {
    Compared {
        count,
        faults,
        streams: heads.streams.len(),
        position: heads.position,
    }
}

/// Verifies an exported log: its own proof, and heads if there are any.
pub(super) async fn verify_file(
    path: &Path,
    heads: Option<&Heads>,
    is_json: bool,
) -> anyhow::Result<Outcome> {
    let progress = Progress::new(is_json);
    let read = read_log(path, heads, &progress).await;
    progress.end();
    let (events, streams, heads) = match read {
        Ok(read) => read,
        Err(PortableError::Line { line, reason }) => {
            if is_json {
                print_json(&json!({"is_whole": false, "line": line, "what": reason}))?;
            }
            let file = path.display();
            return Ok(Outcome::Different(format!("{file}, line {line}: {reason}")));
        }
        Err(error) => return Err(error.into()),
    };
    let count = heads.as_ref().map_or(0, |heads| heads.count);
    if is_json {
        let mut document = json!({"is_whole": true, "events": events, "streams": streams});
        if let Some(heads) = &heads {
            document["heads"] = heads.document();
        }
        print_json(&document)?;
    } else {
        println!("{events} events of {streams} streams: every chain is whole");
        if let Some(heads) = &heads {
            heads.print();
        }
    }
    if count == 0 {
        return Ok(Outcome::Well);
    }
    Ok(Outcome::Different(format!(
        "{count} difference(s) from the signed heads"
    )))
}

async fn read_log(
    path: &Path,
    heads: Option<&Heads>,
    progress: &Progress,
) -> Result<(u64, u64, Option<Compared>), PortableError> {
    let mut lines = Lines::new(carry::reader(path).await?);
    let mut checker = lines.begin().await?;
    let header = checker.header().clone();
    progress.count("events", header.events, 0);
    let mut signed = heads.map(|heads| (heads, HeadsChecker::new(heads)));
    while let Some(line) = lines.next().await? {
        if let Entry::Event(event) = checker.check(line)? {
            progress.advance(1);
            if let Some((_, signed)) = &mut signed {
                signed.check(&event);
            }
        }
    }
    checker.finish()?;
    let signed = signed.map(|(heads, checker)| compared(heads, checker.finish()));
    Ok((header.events, header.streams, signed))
}
