//! What survives the process: a file to which every change is appended.
//!
//! Invariants:
//! - An event is confirmed only when it is on disk. What happens to it afterwards is written without waiting: a
//!   crash may deliver an event again that was acknowledged just before, and never loses one.
//! - The file is a sequence of lines, each a change. A last line that a crash cut off is as if never written.
//! - The file is written anew, with only what still counts, when it is opened and when it has grown to several
//!   times that. The old one is there until the new one is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Name of the file in its folder, and of the one that takes its place.
const NAMES: (&str, &str) = ("journal", "journal.new");

/// Changes that go to disk together at most, so that nobody waits for long.
const BATCH: usize = 1000;

/// The file is not written anew before it has this many bytes.
const SMALL: u64 = 16 * 1024 * 1024;

/// How many times larger than after it was last written anew the file may become.
const GROWTH: u64 = 4;

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum Change {
    /// A subscription exists.
    Subscribed { topic: String, id: String },
    /// An event was published to these subscriptions.
    Published {
        number: u64,
        topic: String,
        ids: Vec<String>,
        #[serde(with = "encoded")]
        body: Arc<[u8]>,
    },
    /// It is to be delivered again.
    Retried {
        number: u64,
        id: String,
        attempts: u32,
    },
    /// It was acknowledged, or its dead letter forgotten.
    Settled { number: u64, id: String },
    /// It became a dead letter.
    Buried {
        number: u64,
        id: String,
        attempts: u32,
        reason: String,
        since: Option<DateTime<Utc>>,
    },
}

/// Bytes as text.
mod encoded {
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(body: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(body))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[u8]>, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        Ok(bytes.into())
    }
}

/// How an event is in one subscription.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// To be delivered; so many deliveries failed.
    Waiting { attempts: u32 },
    /// Given up.
    Dead {
        attempts: u32,
        reason: String,
        since: Option<DateTime<Utc>>,
    },
}

/// An event that some subscription still has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) topic: String,
    pub(super) body: Arc<[u8]>,
    /// By subscription id.
    pub(super) places: BTreeMap<String, Place>,
}

/// What all changes come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    /// Topics and subscription ids.
    pub(super) subscriptions: BTreeSet<(String, String)>,
    /// By number, which is also the order of publishing.
    pub(super) events: BTreeMap<u64, Kept>,
}

impl Contents {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Subscribed { topic, id } => {
                self.subscriptions.insert((topic, id));
            }
            Change::Published {
                number,
                topic,
                ids,
                body,
            } => {
                let waiting = |id| (id, Place::Waiting { attempts: 0 });
                let places = ids.into_iter().map(waiting).collect();
                let kept = Kept {
                    topic,
                    body,
                    places,
                };
                self.events.insert(number, kept);
            }
            Change::Retried {
                number,
                id,
                attempts,
            } => self.put(number, id, Place::Waiting { attempts }),
            Change::Buried {
                number,
                id,
                attempts,
                reason,
                since,
            } => {
                let dead = Place::Dead {
                    attempts,
                    reason,
                    since,
                };
                self.put(number, id, dead);
            }
            Change::Settled { number, id } => {
                let Some(kept) = self.events.get_mut(&number) else {
                    return;
                };
                kept.places.remove(&id);
                if kept.places.is_empty() {
                    self.events.remove(&number);
                }
            }
        }
    }

    fn put(&mut self, number: u64, id: String, place: Place) {
        if let Some(kept) = self.events.get_mut(&number) {
            kept.places.insert(id, place);
        }
    }

    /// The fewest changes that come to this.
    fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (topic, id) in &self.subscriptions {
            let (topic, id) = (topic.clone(), id.clone());
            changes.push(Change::Subscribed { topic, id });
        }
        for (&number, kept) in &self.events {
            changes.push(Change::Published {
                number,
                topic: kept.topic.clone(),
                ids: kept.places.keys().cloned().collect(),
                body: Arc::clone(&kept.body),
            });
            for (id, place) in &kept.places {
                let id = id.clone();
                match place.clone() {
                    Place::Waiting { attempts: 0 } => {}
                    Place::Waiting { attempts } => changes.push(Change::Retried {
                        number,
                        id,
                        attempts,
                    }),
                    Place::Dead {
                        attempts,
                        reason,
                        since,
                    } => changes.push(Change::Buried {
                        number,
                        id,
                        attempts,
                        reason,
                        since,
                    }),
                }
            }
        }
        changes
    }
}

/// A change on its way to the file, and who waits for it to be there.
type Written = (Change, Option<oneshot::Sender<std::io::Result<()>>>);

/// The file, written to by a thread of its own, which ends with the last handle.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    changes: mpsc::Sender<Written>,
}

impl Journal {
    /// Opens the journal of a folder, which one process at a time may do, and tells what it comes to.
    ///
    /// # Errors
    /// The folder cannot be read or written to, or a line other than the last is none of ours.
    pub(super) fn open(folder: &Path) -> std::io::Result<(Self, Contents)> {
        std::fs::create_dir_all(folder)?;
        let contents = read(&folder.join(NAMES.0))?;
        let mut writer = Writer::new(folder, contents.clone())?;
        let (changes, received) = mpsc::channel::<Written>();
        std::thread::Builder::new()
            .name("broker-journal".to_owned())
            .spawn(move || writer.run(&received))?;
        Ok((Self { changes }, contents))
    }

    /// Writes a change without waiting.
    pub(super) fn note(&self, change: Change) {
        // Fails when the thread is gone, which then has said why.
        let _ = self.changes.send((change, None));
    }

    /// Writes a change and waits until it is on disk.
    ///
    /// # Errors
    /// It could not be written.
    pub(super) async fn write(&self, change: Change) -> std::io::Result<()> {
        let (sender, written) = oneshot::channel();
        let ended = || std::io::Error::other("the journal's thread has ended");
        let sent = self.changes.send((change, Some(sender)));
        sent.map_err(|_| ended())?;
        written.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// What a file comes to; nothing when there is none.
fn read(path: &Path) -> std::io::Result<Contents> {
    let mut contents = Contents::default();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(contents),
        Err(error) => return Err(error),
    };
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        // Without its end a line was cut off, and nobody was told that it is there.
        if lines.read_until(b'\n', &mut line)? == 0 || line.last() != Some(&b'\n') {
            return Ok(contents);
        }
        let change = serde_json::from_slice(&line).map_err(|error| {
            let what = format!("{}:{number} is no change: {error}", path.display());
            std::io::Error::new(std::io::ErrorKind::InvalidData, what)
        })?;
        contents.apply(change);
    }
}

struct Writer {
    folder: PathBuf,
    file: BufWriter<File>,
    contents: Contents,
    /// Bytes now, and when it was last written anew.
    bytes: u64,
    bytes_anew: u64,
}

impl Writer {
    fn new(folder: &Path, contents: Contents) -> std::io::Result<Self> {
        let (file, bytes) = write_anew(folder, &contents)?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
            contents,
            bytes,
            bytes_anew: bytes,
        })
    }

    fn run(&mut self, received: &mpsc::Receiver<Written>) {
        while let Ok(first) = received.recv() {
            let mut waiting = Vec::new();
            let more = std::iter::from_fn(|| received.try_recv().ok()).take(BATCH);
            let mut written = Ok(());
            for (change, waiter) in std::iter::once(first).chain(more) {
                written = written.and_then(|()| self.append(change));
                waiting.extend(waiter);
            }
            let written = written.and_then(|()| self.flush(!waiting.is_empty()));
            if let Err(error) = &written {
                tracing::error!(%error, folder = %self.folder.display(), "the journal cannot be written");
            }
            for waiter in waiting {
                let again =
                    |error: &std::io::Error| std::io::Error::new(error.kind(), error.to_string());
                let answer = written.as_ref().copied().map_err(again);
                let _ = waiter.send(answer);
            }
            if written.is_err() {
                // What comes after a half-written line would be part of it.
                return;
            }
        }
    }

    fn append(&mut self, change: Change) -> std::io::Result<()> {
        self.bytes += write_line(&mut self.file, &change)?;
        self.contents.apply(change);
        Ok(())
    }

    fn flush(&mut self, surely: bool) -> std::io::Result<()> {
        self.file.flush()?;
        if surely {
            self.file.get_ref().sync_data()?;
        }
        if self.bytes > SMALL.max(self.bytes_anew.saturating_mul(GROWTH)) {
            let (file, bytes) = write_anew(&self.folder, &self.contents)?;
            (self.file, self.bytes, self.bytes_anew) = (file, bytes, bytes);
        }
        Ok(())
    }
}

fn write_line(file: &mut BufWriter<File>, change: &Change) -> std::io::Result<u64> {
    let mut line = serde_json::to_vec(change)?;
    line.push(b'\n');
    file.write_all(&line)?;
    Ok(u64::try_from(line.len()).unwrap_or(u64::MAX))
}

/// A file with only what counts, in the place of the old one; how many bytes it has.
fn write_anew(folder: &Path, contents: &Contents) -> std::io::Result<(BufWriter<File>, u64)> {
    let (name, new) = (folder.join(NAMES.0), folder.join(NAMES.1));
    let mut file = BufWriter::new(File::create(&new)?);
    let mut bytes = 0;
    for change in contents.changes() {
        bytes += write_line(&mut file, &change)?;
    }
    file.flush()?;
    file.get_ref().sync_all()?;
    std::fs::rename(&new, &name)?;
    File::open(folder)?.sync_all()?;
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(number: u64, ids: &[&str]) -> Change {
        Change::Published {
            number,
            topic: "clusters".to_owned(),
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            body: Arc::from(&b"{\"\xff"[..]),
        }
    }

    fn settled(number: u64, id: &str) -> Change {
        let id = id.to_owned();
        Change::Settled { number, id }
    }

    #[test]
    fn the_fewest_changes_come_to_the_same() {
        // Given all sorts of changes
        let mut contents = Contents::default();
        for change in [
            Change::Subscribed {
                topic: "clusters".to_owned(),
                id: "dns".to_owned(),
            },
            published(1, &["dns", "validation"]),
            published(2, &["dns"]),
            published(3, &["dns"]),
            settled(1, "validation"),
            settled(2, "dns"),
            Change::Retried {
                number: 1,
                id: "dns".to_owned(),
                attempts: 4,
            },
            Change::Buried {
                number: 3,
                id: "dns".to_owned(),
                attempts: 2,
                reason: "no\nsuch zone".to_owned(),
                since: Some(DateTime::UNIX_EPOCH),
            },
            // Of an event that is gone
            settled(9, "dns"),
        ] {
            contents.apply(change);
        }
        assert_eq!(contents.events.len(), 2);
        // Then fewer come to the same
        let fewest = contents.changes();
        assert_eq!(fewest.len(), 5);
        let mut again = Contents::default();
        for change in fewest {
            again.apply(change);
        }
        assert_eq!(again, contents);
    }

    #[tokio::test]
    async fn a_journal_that_is_cut_anywhere_has_all_that_was_confirmed() {
        // Given a journal, and how long it was when each event was confirmed
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAMES.0);
        let (journal, contents) = Journal::open(folder.path()).unwrap();
        assert_eq!(contents, Contents::default());
        let mut lengths = Vec::new();
        for number in 0..20 {
            journal.write(published(number, &["dns"])).await.unwrap();
            lengths.push(std::fs::metadata(&file).unwrap().len());
        }
        let whole = std::fs::read(&file).unwrap();
        // When the file ends at any byte, as after a crash
        for end in 0..=whole.len() {
            let other = tempfile::tempdir().unwrap();
            let cut = other.path().join(NAMES.0);
            std::fs::write(&cut, &whole[..end]).unwrap();
            let contents = read(&cut).unwrap();
            // Then exactly those are there that were confirmed by then
            let end = u64::try_from(end).unwrap();
            let confirmed = lengths.iter().filter(|length| **length <= end).count();
            assert_eq!(contents.events.len(), confirmed, "cut at {end}");
        }
    }

    #[tokio::test]
    async fn a_journal_is_as_long_as_what_it_holds() {
        // Given large events that are settled at once
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        let body: Arc<[u8]> = vec![b'x'; 1024 * 1024].into();
        for number in 0..40 {
            let event = Change::Published {
                number,
                topic: "clusters".to_owned(),
                ids: vec!["dns".to_owned()],
                body: Arc::clone(&body),
            };
            journal.write(event).await.unwrap();
            journal.write(settled(number, "dns")).await.unwrap();
        }
        // Then the file has not kept them
        let length = std::fs::metadata(folder.path().join(NAMES.0))
            .unwrap()
            .len();
        assert!(length < SMALL + 4 * 1024 * 1024, "{length}");
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_refused_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAMES.0);
        std::fs::write(&file, "{\"change\":\"eaten\"}\n").unwrap();
        let error = Journal::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("journal:1 is no change"), "{error}");
    }
}
