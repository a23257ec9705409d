//! `hyperfleet patch KIND NAME -p PATCH`.

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use hyperfleet_api_types::{Resource, ResourcePatchRequest};
use serde_json::{Value, json};

use crate::arguments::{OutputFormat, PatchArguments, PatchType};
use crate::{output, resource_file, target};

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
    let request = match arguments.patch_type {
        PatchType::Replace => patch,
        PatchType::Merge => merged(&before, &patch)?,
    };
    let request: ResourcePatchRequest = serde_json::from_value(request)
        .context("a patch may have the members `spec`, `labels` and `references`")?;
    let after = client.patch(&collection, &before.id, &request).await?;
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
