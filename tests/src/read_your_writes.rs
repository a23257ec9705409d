//! Writes and reads back at once, over real connections: a read that starts after a write was
//! acknowledged must see it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use hyperfleet_api_types::client::{Client, Collection};
use hyperfleet_api_types::{ResourceCreateRequest, ResourcePatchRequest};
use serde_json::{Map, Value};

/// How much to write and read.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Writers at the same time, each with a connection to write and another to read.
    pub connections: u32,
    /// Pairs of one write and one read, over all connections.
    pub pairs: u32,
}

/// Runs the load against a server, and returns how many reads did not show the write before them.
/// Each connection works on a cluster of its own, which it removes in the end.
///
/// # Errors
/// When a request fails.
pub async fn stale_reads(server: &str, load: Load) -> Result<u32> {
    let mut writers = Vec::new();
    for _ in 0..load.connections {
        let server = server.to_owned();
        let pairs = load.pairs.div_ceil(load.connections);
        let name = format!("pairs-{}", writers.len());
        writers.push(tokio::spawn(write_and_read(server, name, pairs)));
    }
    let mut stale = 0;
    for writer in writers {
        stale += writer.await.context("a writer panicked")??;
    }
    Ok(stale)
}

async fn write_and_read(server: String, name: String, pairs: u32) -> Result<u32> {
    let clusters = Collection::of("clusters");
    let writer = Client::new(&server)?;
    let reader = Client::new(&server)?;
    let request = ResourceCreateRequest {
        kind: "Cluster".to_owned(),
        name,
        spec: spec(0),
        labels: BTreeMap::new(),
        references: BTreeMap::new(),
    };
    let id = writer.create(&clusters, &request).await?.id;
    let mut stale = 0;
    for number in 1..=pairs {
        let patch = ResourcePatchRequest {
            spec: Some(spec(number)),
            ..Default::default()
        };
        let written = writer.patch(&clusters, &id, &patch).await?;
        let read = reader.get(&clusters, &id).await?;
        // Others may report on the cluster meanwhile; what was written is what counts.
        if read.generation < written.generation || read.spec != written.spec {
            stale += 1;
        }
    }
    writer.delete(&clusters, &id).await?;
    Ok(stale)
}

fn spec(number: u32) -> Map<String, Value> {
    Map::from_iter([("number".to_owned(), Value::from(number))])
}
