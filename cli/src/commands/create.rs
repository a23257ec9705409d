//! `hyperfleet create -f FILE`: declares every resource of the file, in its order.

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use hyperfleet_api_types::Resource;
use hyperfleet_api_types::client::{Client, Collection};
use serde_json::Value;

use crate::arguments::{CreateArguments, OutputFormat};
use crate::target::{self, Kind};
use crate::{output, resource_file};

pub(crate) async fn run(arguments: CreateArguments, now: DateTime<Utc>) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let mut documents = Vec::new();
    for file in &arguments.file {
        documents.extend(resource_file::read(file)?);
    }
    let mut created = Vec::new();
    for document in documents {
        let resource = create(&client, document, arguments.cluster.as_deref()).await?;
        if arguments.output.output == OutputFormat::Table {
            println!("{}/{} created", resource.kind.to_lowercase(), resource.name);
        }
        created.push(serde_json::to_value(&resource)?);
    }
    if arguments.output.output != OutputFormat::Table {
        print!(
            "{}",
            output::resources(&created, true, arguments.output.output, now)?
        );
    }
    Ok(())
}

/// Declares one resource. A child's parent is `cluster`, else the document's `owner_references.id`, else its
/// member `cluster` or `parent`; those of the document are understood by this command and not sent.
pub(crate) async fn create(
    client: &Client,
    mut document: Value,
    cluster: Option<&str>,
) -> anyhow::Result<Resource> {
    let kind = Kind::resolve(client, document["kind"].as_str().unwrap_or_default()).await?;
    let name = document["name"]
        .as_str()
        .unwrap_or("without a name")
        .to_owned();
    let in_document = document
        .pointer("/owner_references/id")
        .or_else(|| document.get("cluster"))
        .or_else(|| document.get("parent"))
        .and_then(Value::as_str)
        .map(str::to_owned);
    let collection = match (
        &kind.parent_plural,
        cluster.map(str::to_owned).or(in_document),
    ) {
        (Some(parent), None) => bail!(
            "{} {name:?} belongs to one of the {parent}: say which with --parent NAME, or `parent: NAME` in the file",
            kind.name
        ),
        (Some(_), Some(parent)) => target::collection(client, &kind, Some(&parent)).await?,
        (None, _) => Collection::of(&kind.plural),
    };
    if let Some(object) = document.as_object_mut() {
        object.remove("cluster");
        object.remove("parent");
        object.remove("owner_references");
    }
    client
        .create_document(&collection, &document)
        .await
        .with_context(|| format!("cannot create {} {name:?}", kind.name))
}
