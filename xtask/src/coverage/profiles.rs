//! What the instrumented programs write when they end: how often each counter was passed.
//!
//! Every process writes a file of its own, of some megabytes. They are added up and deleted while the tests
//! run, so that a few at a time are on the disk. A process that is killed writes none, or only the beginning
//! of one: such a file is counted as unreadable and left out.

use std::collections::HashMap;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use llvm_profparser::instrumentation_profile::types::InstrumentationProfile;

/// How often new files are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A file that was not written to for so long is complete: writing it takes milliseconds.
const SETTLED: Duration = Duration::from_secs(10);

/// A function of a program, by the hashes of its name and of its structure.
pub(super) type Function = (u64, u64);

/// The counters of the functions that were run, added up over all processes.
#[derive(Debug, Default)]
pub(super) struct Counters {
    counts: HashMap<Function, Vec<u64>>,
    /// The version of the format.
    pub(super) version: Option<u64>,
    /// Files that were added.
    pub(super) read: u32,
    /// Files that were left out.
    pub(super) unreadable: u32,
}

impl Counters {
    /// The counters of a function; empty when it was never run.
    pub(super) fn of(&self, function: Function) -> &[u64] {
        self.counts.get(&function).map_or(&[], Vec::as_slice)
    }

    /// Adds a file and deletes it.
    fn take(&mut self, path: &Path) -> Result<()> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        match parse(&bytes) {
            Some(profile) => self.add(&profile),
            None => self.unreadable += 1,
        }
        fs::remove_file(path).with_context(|| format!("cannot delete {}", path.display()))
    }

    fn add(&mut self, profile: &InstrumentationProfile) {
        self.read += 1;
        self.version = self.version.or(profile.version());
        for record in profile.records() {
            let (Some(name), Some(structure)) = (record.name_hash, record.hash) else {
                continue;
            };
            self.add_function((name, structure), record.counts());
        }
    }

    fn add_function(&mut self, function: Function, counts: &[u64]) {
        // Most functions of a program are not run by a test.
        if counts.iter().all(|count| *count == 0) {
            return;
        }
        let sums = self.counts.entry(function).or_default();
        sums.resize(sums.len().max(counts.len()), 0);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum = sum.saturating_add(*count);
        }
    }

    /// Adds the files of a folder that were not written to for some time.
    fn take_all(&mut self, folder: &Path, settled: Duration) -> Result<()> {
        for path in files(folder)? {
            let written = fs::metadata(&path).and_then(|metadata| metadata.modified())?;
            if written.elapsed().unwrap_or_default() >= settled {
                self.take(&path)?;
            }
        }
        Ok(())
    }
}

/// Reads a profile; none when it is not complete, on which the parser fails or even panics.
fn parse(bytes: &[u8]) -> Option<InstrumentationProfile> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let parsed = panic::catch_unwind(|| llvm_profparser::parse_bytes(bytes).ok());
    panic::set_hook(hook);
    // Every program has functions. Their names come last, and without them none can be told from another.
    let has_names = |profile: &InstrumentationProfile| {
        let mut records = profile.records().iter();
        records.any(|record| record.name_hash.is_some())
    };
    parsed.ok().flatten().filter(has_names)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "profraw")
        {
            files.push(path);
        }
    }
    Ok(files)
}

/// Adds up files while programs write them.
#[derive(Debug)]
pub(super) struct Collector {
    ended: Sender<()>,
    thread: JoinHandle<Result<Counters>>,
}

impl Collector {
    /// Starts with an empty folder.
    ///
    /// # Errors
    /// When the folder cannot be made or emptied.
    pub(super) fn start(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for file in files(&folder)? {
            fs::remove_file(&file).with_context(|| format!("cannot delete {}", file.display()))?;
        }
        let (ended, end) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut counters = Counters::default();
            while end.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                counters.take_all(&folder, SETTLED)?;
            }
            counters.take_all(&folder, Duration::ZERO)?;
            Ok(counters)
        });
        Ok(Self { ended, thread })
    }

    /// The sums, once every program has ended.
    ///
    /// # Errors
    /// When files cannot be read or deleted.
    pub(super) fn finish(self) -> Result<Counters> {
        drop(self.ended);
        self.thread
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Collector, Counters, files};

    #[test]
    fn counters_are_added_up() {
        let mut counters = Counters::default();
        counters.add_function((1, 2), &[1, 0, u64::MAX]);
        counters.add_function((1, 2), &[2, 0, 1]);
        counters.add_function((3, 4), &[0, 0]);
        assert_eq!(counters.of((1, 2)), [3, 0, u64::MAX]);
        assert_eq!(counters.of((3, 4)), [0; 0]);
        assert_eq!(counters.counts.len(), 1);
    }

    #[test]
    fn a_torn_file_is_counted_and_deleted() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("old.profraw"), "of a former run").expect("a file");
        let collector = Collector::start(folder.path().to_owned()).expect("it starts");
        // As much of a profile as a process had written when it was killed: the mark and the version.
        let torn = [&b"\x81rforpl\xff"[..], &10_u64.to_le_bytes()].concat();
        fs::write(folder.path().join("1-2.profraw"), torn).expect("a file");
        fs::write(folder.path().join("1-3.profraw"), "").expect("a file");
        let counters = collector.finish().expect("it ends");
        assert_eq!((counters.read, counters.unreadable), (0, 2));
        assert!(files(folder.path()).expect("a folder").is_empty());
    }
}
