//! `hyperfleet patch KIND NAME -p PATCH`.

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use hyperfleet_api_types::client::{Client, Collection};
use hyperfleet_api_types::{Resource, ResourcePatchRequest};
use serde_json::{Value, json};

use crate::arguments::{OutputFormat, PatchArguments, PatchType};
use crate::{output, resource_file, target};

/// How often a merge is tried. Each time somebody else was quicker; adapters at work are so a few
/// times in a row.
const MERGE_ATTEMPTS: u32 = 20;

pub(crate) async fn run(arguments: PatchArguments, now: DateTime<Utc>) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let patch = match (&arguments.patch, &arguments.patch_file) {
        (Some(text), _) => resource_file::parse_object(text).context("cannot use the patch")?,
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            resource_file::parse_object(&text)
                .with_context(|| format!("cannot use {}", file.display()))?
        }
        (None, None) => bail!("say what to change with --patch or --patch-file"),
    };
    let (_, collection, before) = target::locate(&client, &arguments.target).await?;
    let chosen = arguments.if_match.as_deref();
    let after = match (arguments.patch_type, chosen) {
        (PatchType::Replace, None) => {
            client
                .patch(&collection, &before.id, &request(patch)?)
                .await?
        }
        (PatchType::Replace, Some(tag)) => {
            client
                .patch_if(&collection, &before.id, &request(patch)?, tag)
                .await?
        }
        (PatchType::Merge, _) => merge(&client, &collection, &before.id, &patch, chosen).await?,
    };
    if arguments.output.output == OutputFormat::Table {
        let verb = if after.generation == before.generation {
            "unchanged"
        } else {
            "patched"
        };
        println!("{}/{} {verb}", after.kind.to_lowercase(), after.name);
        return Ok(());
    }
    print!(
        "{}",
        output::resources(
            &[serde_json::to_value(&after)?],
            true,
            arguments.output.output,
            now
        )?
    );
    Ok(())
}

/// Merges into what is stored. Without a tag of the user's choice, a change by somebody else between
/// reading and writing makes it read again.
async fn merge(
    client: &Client,
    collection: &Collection,
    id: &str,
    patch: &Value,
    chosen: Option<&str>,
) -> anyhow::Result<Resource> {
    let mut attempt = 1;
    loop {
        let (before, tag) = client.get_tagged(collection, id).await?;
        let request = request(merged(&before, patch)?)?;
        let Some(expected) = chosen.or(tag.as_deref()) else {
            // A server that gives no tags.
            return Ok(client.patch(collection, id, &request).await?);
        };
        match client.patch_if(collection, id, &request, expected).await {
            Err(error) if error.is_outdated() && chosen.is_none() && attempt < MERGE_ATTEMPTS => {
                attempt += 1;
            }
            outcome => return Ok(outcome?),
        }
    }
}

fn request(patch: Value) -> anyhow::Result<ResourcePatchRequest> {
    serde_json::from_value(patch)
        .context("a patch may have the members `spec`, `labels` and `references`")
}

/// The members that the patch names, each merged into what is stored.
fn merged(before: &Resource, patch: &Value) -> anyhow::Result<Value> {
    let stored = serde_json::to_value(before)?;
    let mut request = json!({});
    for (member, change) in patch.as_object().into_iter().flatten() {
        let mut value = stored.get(member).cloned().unwrap_or_else(|| json!({}));
        json_patch::merge(&mut value, change);
        request[member] = value;
    }
    Ok(request)
}
