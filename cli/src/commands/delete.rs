//! `hyperfleet delete KIND NAME…`.

use std::time::Duration;

use anyhow::bail;
use hyperfleet_api_types::ForceDeleteRequest;

use crate::arguments::DeleteArguments;
use crate::commands::wait;
use crate::target::{self, Kind};

pub(crate) async fn run(arguments: DeleteArguments) -> anyhow::Result<()> {
    if arguments.if_match.is_some() && arguments.names.len() > 1 {
        bail!("--if-match is about one resource; delete one at a time");
    }
    let client = target::client(&arguments.server)?;
    let kind = Kind::resolve(&client, &arguments.kind).await?;
    let collection = target::collection(&client, &kind, arguments.cluster.as_deref()).await?;
    let mut deleted = Vec::new();
    for name in &arguments.names {
        let resource = target::resource(&client, &kind, &collection, name).await?;
        let shown = format!("{}/{}", resource.kind.to_lowercase(), resource.name);
        match &arguments.if_match {
            Some(tag) => client.delete_if(&collection, &resource.id, tag).await?,
            None => client.delete(&collection, &resource.id).await?,
        };
        if let (true, Some(reason)) = (arguments.force, &arguments.reason) {
            client
                .force_delete(
                    &collection,
                    &resource.id,
                    &ForceDeleteRequest {
                        reason: reason.clone(),
                    },
                )
                .await?;
            println!("{shown} force-deleted; objects in outside systems were not cleaned up");
            continue;
        }
        println!("{shown} deletion requested");
        deleted.push((shown, resource.id));
    }
    if arguments.wait {
        let patience = Duration::from_secs(arguments.timeout);
        for (shown, id) in deleted {
            wait::until_gone(&client, &collection, &id, patience).await?;
            println!("{shown} removed");
        }
    }
    Ok(())
}
