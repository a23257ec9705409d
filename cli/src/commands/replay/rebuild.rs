//! `hyperfleet replay rebuild`: read models written anew beside the live ones.

use hyperfleet_event_store::EventStore;
use hyperfleet_projections::replay::{self, ReadModel, RebuildOptions, Rebuilt};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::progress::Progress;
use super::verify::differences;
use super::{Outcome, print_json};
use crate::arguments::RebuildArguments;

pub(super) async fn run(
    arguments: &RebuildArguments,
    store: &EventStore,
) -> anyhow::Result<Outcome> {
    let models = match &arguments.read_model {
        Some(name) => vec![ReadModel::named(name)?],
        None => ReadModel::ALL.to_vec(),
    };
    let is_json = arguments.database.is_json();
    let mut documents = Vec::new();
    for model in models {
        let document = one(arguments, store, model).await?;
        if !is_json {
            println!("{}", said(&document));
        }
        documents.push(document);
    }
    if is_json {
        print_json(&json!({ "read_models": documents }))?;
    }
    Ok(Outcome::Well)
}

async fn one(
    arguments: &RebuildArguments,
    store: &EventStore,
    model: ReadModel,
) -> anyhow::Result<Value> {
    let (pool, name) = (store.pool(), model.name());
    if arguments.drop_previous {
        let was_there = replay::drop_previous(pool, model).await?;
        return Ok(json!({"read_model": name, "dropped_previous": was_there}));
    }
    if arguments.abandon {
        let was_there = replay::abandon(pool, model).await?;
        return Ok(json!({"read_model": name, "abandoned": was_there}));
    }
    let progress = Progress::new(arguments.database.is_json());
    let options = RebuildOptions {
        jobs: usize::from(arguments.jobs),
        is_dry_run: arguments.dry_run,
        observer: progress.of_rebuild(name),
    };
    let rebuilt = if arguments.roll_back {
        Ok(replay::roll_back(pool, model, &options).await?)
    } else {
        in_background(pool, model, options).await
    };
    progress.end();
    Ok(document(name, arguments.roll_back, &rebuilt?))
}

/// Rebuilds on threads that yield to whatever else this machine does.
async fn in_background(
    pool: &PgPool,
    model: ReadModel,
    options: RebuildOptions,
) -> anyhow::Result<Rebuilt> {
    let connect = pool.connect_options();
    let rebuilding = hyperfleet_runtime::background::run(move || async move {
        // Connections belong to the threads that made them.
        let pool = PgPool::connect_with(connect.as_ref().clone()).await?;
        let rebuilt = replay::rebuild(&pool, model, &options).await?;
        pool.close().await;
        anyhow::Ok(rebuilt)
    });
    rebuilding.await?
}

fn document(name: &str, rolled_back: bool, rebuilt: &Rebuilt) -> Value {
    json!({
        "read_model": name,
        "rolled_back": rolled_back,
        "resources": rebuilt.resources,
        "events": rebuilt.events,
        "changed_rows": rebuilt.differences.difference_count,
        "changes": differences(&rebuilt.differences),
        "is_live": rebuilt.is_live,
    })
}

/// A document for people.
fn said(document: &Value) -> String {
    let name = document["read_model"].as_str().unwrap_or_default();
    if let Some(was_there) = document["dropped_previous"].as_bool() {
        let what = if was_there {
            "deleted"
        } else {
            "there were no"
        };
        return format!("{name}: {what} previous tables");
    }
    if let Some(was_there) = document["abandoned"].as_bool() {
        let what = if was_there {
            "abandoned"
        } else {
            "there was no"
        };
        return format!("{name}: {what} rebuild");
    }
    let mut lines = vec![
        match (document["rolled_back"].as_bool(), &document["events"]) {
            (Some(true), _) => format!("{name}: the previous tables are up to date"),
            (_, events) => format!("{name}: built from {events} events"),
        },
    ];
    let changed = document["changed_rows"].as_u64().unwrap_or_default();
    lines.push(match changed {
        0 => format!("{name}: every row equals the live one"),
        rows => format!("{name}: {rows} rows differ from the live ones"),
    });
    for change in document["changes"].as_array().into_iter().flatten() {
        let text = |member: &str| change[member].as_str().unwrap_or_default();
        lines.push(format!("  {} {}", text("subject"), text("what")));
    }
    lines.push(if document["is_live"] == true {
        format!("{name}: live; the tables before are kept until --drop-previous")
    } else {
        format!("{name}: the live tables are as they were")
    });
    lines.join("\n")
}
