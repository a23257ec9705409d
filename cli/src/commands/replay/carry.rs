//! `hyperfleet replay export` and `import`: the log as a file.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context as _, ensure};
use hyperfleet_event_store::EventStore;
use hyperfleet_event_store::portable;
use hyperfleet_projections::replay::{self, ReadModel, RebuildOptions};
use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncWrite, BufReader, BufWriter};

use super::heads::verify_file;
use super::progress::Progress;
use super::{Outcome, print_json};
use crate::arguments::{ExportArguments, ImportArguments};

/// Read or written at a time.
const BUFFER: usize = 1024 * 1024;

/// A file, or standard input.
pub(super) async fn reader(path: &Path) -> std::io::Result<Box<dyn AsyncBufRead + Unpin + Send>> {
    let file = if path == Path::new("-") {
        standard(std::io::stdin())?
    } else {
        tokio::fs::File::open(path).await?
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER, file)))
}

/// Standard input or output as a file.
fn standard(stream: impl AsFd) -> std::io::Result<tokio::fs::File> {
    let owned = stream.as_fd().try_clone_to_owned()?;
    Ok(tokio::fs::File::from_std(owned.into()))
}

pub(super) async fn export(
    arguments: &ExportArguments,
    store: &EventStore,
) -> anyhow::Result<Outcome> {
    let path = &arguments.file;
    let to_output = path == Path::new("-");
    let mut writer: Box<dyn AsyncWrite + Unpin + Send> = if to_output {
        Box::new(standard(std::io::stdout())?)
    } else {
        ensure!(
            arguments.force || !path.exists(),
            "{} is there already; --force replaces it",
            path.display()
        );
        let file = tokio::fs::File::create(path)
            .await
            .with_context(|| format!("cannot write {}", path.display()))?;
        Box::new(file)
    };
    let is_json = arguments.database.is_json();
    let progress = Progress::new(is_json || to_output);
    let mut buffered = BufWriter::with_capacity(BUFFER, &mut writer);
    let mut begun = false;
    let header = portable::export(store.pool(), &mut buffered, |header| {
        if !begun {
            begun = true;
            progress.count("events", header.events, 0);
        }
        progress.advance(1);
    })
    .await?;
    progress.end();
    if to_output {
        return Ok(Outcome::Well);
    }
    if is_json {
        print_json(
            &json!({"file": path, "events": header.events, "streams": header.streams, "position": header.position}),
        )?;
    } else {
        println!(
            "{} events of {} streams up to position {} are in {}",
            header.events,
            header.streams,
            header.position,
            path.display()
        );
    }
    Ok(Outcome::Well)
}

pub(super) async fn import(
    arguments: &ImportArguments,
    store: &EventStore,
) -> anyhow::Result<Outcome> {
    let (path, is_json) = (&arguments.file, arguments.database.is_json());
    if arguments.dry_run {
        return verify_file(path, None, is_json).await;
    }
    let progress = Progress::new(is_json);
    let reader = reader(path)
        .await
        .with_context(|| format!("cannot read {}", path.display()))?;
    let mut begun = false;
    let imported = portable::import(store.pool(), reader, |header, events| {
        if !begun {
            begun = true;
            progress.count("events", header.events, 0);
        }
        progress.advance(events as u64);
    })
    .await
    .with_context(|| format!("{} was not imported", path.display()))?;
    for model in ReadModel::ALL {
        let options = RebuildOptions {
            observer: progress.of_rebuild(model.name()),
            ..RebuildOptions::default()
        };
        replay::rebuild(store.pool(), model, &options)
            .await
            .context("the log is imported, the read models are not built: run `hyperfleet replay rebuild`")?;
        // The tables before were empty.
        replay::drop_previous(store.pool(), model).await?;
    }
    progress.end();
    let header = imported.header;
    if is_json {
        print_json(
            &json!({"events": header.events, "streams": header.streams, "position": header.position}),
        )?;
    } else {
        println!(
            "imported {} events of {} streams up to position {}; the read models are built",
            header.events, header.streams, header.position
        );
    }
    Ok(Outcome::Well)
}
