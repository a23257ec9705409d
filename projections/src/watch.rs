//! Watches: what a list or a resource is, and then every change of it, as server-sent events.
//!
//! One reader of the log in each process computes each change once and keeps the latest in a ring; any
//! number of watchers read from the ring, each at its own pace, with a position and nothing else of its
//! own. Decisions and what was rejected: docs/adr/0037 and 0038; what users see: docs/watch.md.
//!
//! Invariants:
//! - a change is what one append did to one resource, so a watcher never sees a state that no read could
//!   have seen; its position is that of the append's last event of that resource;
//! - which changes a watcher gets follows from the log, its filter and the position that it starts after,
//!   and from nothing else: not from the process, nor from when it asks. So nothing is skipped and
//!   nothing comes twice, also when it goes on elsewhere;
//! - a watcher that does not read holds up nobody: there is no buffer of its own, and when the ring has
//!   moved on it is told so and ended;
//! - a watcher gets a change only of what its scope sees, before and after; the deletion included;
//! - watchers take a bounded number of connections to the database at a time, however many there are.

mod change;
mod feed;
mod frame;
mod history;
mod hub;
mod metrics;
mod options;
mod places;
mod reader;
mod selection;
mod snapshot;
mod states;
mod steps;
mod watcher;

pub use self::hub::WatchHub;
pub use self::options::WatchOptions;
pub(crate) use self::places::Full;
pub(crate) use self::selection::Selection;
pub(crate) use self::watcher::{HistoryOpening, Opening, Refused, Request, Start, Watcher};
