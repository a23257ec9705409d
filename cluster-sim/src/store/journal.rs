//! Optional persistence: an append-only file of JSON lines.
//!
//! Each line is one request's changes with the resource version after them. The file is rewritten without history at every
//! start. A last line that a crash tore is dropped; damage anywhere else is an error, because guessing would be worse.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::StartError;
use crate::object::{Key, Stored};

/// One object's new state, or its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    key: Key,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<Arc<Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anchor: Option<DateTime<Utc>>,
}

impl Change {
    pub(crate) fn put(key: Key, object: Arc<Value>, anchor: DateTime<Utc>) -> Self {
        Self {
            key,
            object: Some(object),
            anchor: Some(anchor),
        }
    }

    pub(crate) fn gone(key: Key) -> Self {
        Self {
            key,
            object: None,
            anchor: None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    version: u64,
    changes: Vec<Change>,
}

/// What a journal remembers.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) version: u64,
    pub(crate) objects: BTreeMap<Key, Stored>,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    broken: bool,
    /// Held for as long as the journal is open.
    _lock: File,
}

impl Journal {
    /// Opens (or creates) the journal in `folder`, reads it and rewrites it compactly.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Past), StartError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| StartError::Journal { path, source }
        };
        std::fs::create_dir_all(folder).map_err(fail(folder))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(fail(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::InUse {
                    path: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StartError::Journal {
                    path: lock_path,
                    source,
                });
            }
        }
        let path = folder.join("journal.jsonl");
        let past = read(&path)?;
        let fresh = folder.join("journal.jsonl.new");
        compact(&fresh, &past).map_err(fail(&fresh))?;
        std::fs::rename(&fresh, &path).map_err(fail(&path))?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(fail(&path))?;
        Ok((
            Self {
                file,
                broken: false,
                _lock: lock,
            },
            past,
        ))
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Appends one request's changes. After a failure every further append fails: memory is ahead of the file.
    pub(crate) fn append(&mut self, version: u64, changes: Vec<Change>) -> std::io::Result<()> {
        if self.broken {
            return Err(std::io::Error::other(
                "an earlier write failed; restart the cluster",
            ));
        }
        let mut line = serde_json::to_vec(&Line { version, changes })?;
        line.push(b'\n');
        let written = self.file.write_all(&line);
        self.broken = written.is_err();
        written
    }
}

fn read(path: &PathBuf) -> Result<Past, StartError> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Past::default()),
        Err(source) => {
            return Err(StartError::Journal {
                path: path.clone(),
                source,
            });
        }
    };
    let mut past = Past::default();
    let mut lines = content
        .split_inclusive(|byte| *byte == b'\n')
        .enumerate()
        .peekable();
    while let Some((index, line)) = lines.next() {
        match serde_json::from_slice::<Line>(line) {
            Ok(line) => replay(&mut past, line),
            Err(error) if lines.peek().is_none() => {
                tracing::warn!(%error, line = index + 1, "dropped the torn last line of the journal");
            }
            Err(source) => {
                return Err(StartError::Corrupt {
                    path: path.clone(),
                    line: index + 1,
                    source,
                });
            }
        }
    }
    Ok(past)
}

fn replay(past: &mut Past, line: Line) {
    past.version = past.version.max(line.version);
    for change in line.changes {
        match (change.object, change.anchor) {
            (Some(object), Some(anchor)) => {
                past.objects.insert(change.key, Stored { object, anchor });
            }
            _ => {
                past.objects.remove(&change.key);
            }
        }
    }
}

fn compact(path: &Path, past: &Past) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut write = |changes: Vec<Change>| -> std::io::Result<()> {
        serde_json::to_writer(
            &mut file,
            &Line {
                version: past.version,
                changes,
            },
        )?;
        file.write_all(b"\n")
    };
    write(Vec::new())?;
    for (key, stored) in &past.objects {
        write(vec![Change::put(
            key.clone(),
            stored.object.clone(),
            stored.anchor,
        )])?;
    }
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()
}
