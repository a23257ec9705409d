//! `hyperfleet demo`: the whole control plane, a cluster, a node pool, and what becomes of them.

mod example;
mod progress;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyperfleet_api_types::Resource;
use hyperfleet_api_types::client::{Client, Collection};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::progress::Followed;
use crate::arguments::DemoArguments;
use crate::commands::{create, history, serve};
use crate::control_plane::ControlPlane;
use crate::dispatch::Role;
use crate::resource_file;
use crate::target::{self, Kind};

pub(crate) async fn run(
    arguments: DemoArguments,
    role: Role,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let declared = match &arguments.file {
        Some(file) => resource_file::read(file)?,
        None => vec![example::cluster()],
    };
    let started = Instant::now();
    println!("starting the control plane …");
    let control_plane = ControlPlane::start(
        serve::options(&arguments.control_plane, role)?,
        shutdown.clone(),
    )
    .await?;
    println!("ready after {:.1} s", started.elapsed().as_secs_f64());
    serve::announce(&control_plane);
    let shown = tokio::select! {
        shown = show(&control_plane, &declared, Duration::from_secs(arguments.timeout)) => shown,
        () = shutdown.cancelled() => Ok(()),
    };
    if shown.is_ok() && !arguments.exit && !shutdown.is_cancelled() {
        println!("\nserving on {}; Ctrl-C ends it", control_plane.api_url());
        println!(
            "try: hyperfleet get clusters --server {}",
            control_plane.api_url()
        );
        control_plane.ended().await;
    }
    let stopped = control_plane.stop().await;
    shown.and(stopped)
}

async fn show(
    control_plane: &ControlPlane,
    declared: &[Value],
    patience: Duration,
) -> anyhow::Result<()> {
    let client = Client::new(control_plane.api_url())?;
    let followed = declare(&client, declared).await?;
    println!();
    progress::follow(&client, &followed, control_plane.registry(), patience).await?;
    for resource in &followed {
        println!("\naudit timeline of {} {}", resource.kind, resource.name);
        let entries = history::of_id(&client, &resource.collection, &resource.id).await?;
        print!("{}", history::timeline(&entries, false));
    }
    Ok(())
}

/// Creates what is declared; each cluster that comes without a node pool gets one.
async fn declare(client: &Client, declared: &[Value]) -> anyhow::Result<Vec<Followed>> {
    let mut followed = Vec::new();
    let mut clusters = Vec::new();
    let mut node_pools = 0;
    for document in declared {
        let only_cluster = clusters
            .first()
            .map(|cluster: &Resource| cluster.id.clone());
        let resource = create_or_find(client, document, only_cluster.as_deref()).await?;
        match resource.kind.as_str() {
            "Cluster" => clusters.push(resource.clone()),
            "NodePool" => node_pools += 1,
            _ => {}
        }
        followed.push(follow(resource));
    }
    if node_pools == 0 {
        for cluster in &clusters {
            let document = example::node_pool(&Value::Object(cluster.spec.clone()));
            followed.push(follow(
                create_or_find(client, &document, Some(&cluster.id)).await?,
            ));
        }
    }
    Ok(followed)
}

/// A database that was used before may already have it; then the demo shows that one.
async fn create_or_find(
    client: &Client,
    document: &Value,
    cluster: Option<&str>,
) -> anyhow::Result<Resource> {
    let kind = Kind::resolve(client, document["kind"].as_str().unwrap_or_default()).await?;
    let parent = kind.parent_plural.as_ref().and(cluster);
    let error = match create::create(client, document.clone(), parent).await {
        Ok(resource) => {
            println!(
                "created {}/{} ({})",
                resource.kind.to_lowercase(),
                resource.name,
                resource.id
            );
            return Ok(resource);
        }
        Err(error) => error,
    };
    let taken = error
        .downcast_ref::<hyperfleet_api_types::client::Error>()
        .is_some_and(|error| error.status() == Some(409));
    let (true, Some(name)) = (taken, document["name"].as_str()) else {
        return Err(error);
    };
    let collection = target::collection(client, &kind, parent).await?;
    let resource = target::resource(client, &kind, &collection, name)
        .await
        .context(error)?;
    println!(
        "found {}/{} ({})",
        resource.kind.to_lowercase(),
        resource.name,
        resource.id
    );
    Ok(resource)
}

fn follow(resource: Resource) -> Followed {
    // The demo declares built-in kinds only; each serves every id under its own plural.
    let plural = Kind::builtin(&resource.kind).map(|kind| kind.plural);
    Followed {
        collection: Collection::of(plural.unwrap_or_else(|| "resources".to_owned())),
        id: resource.id,
        kind: resource.kind,
        name: resource.name,
    }
}
