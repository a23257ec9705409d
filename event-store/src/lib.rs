#![doc = include_str!("../README.md")]

mod append;
mod canonical;
pub mod catch_up;
mod chain;
mod check;
mod committer;
mod cqrs;
mod error;
mod inline;
pub mod metrics;
mod options;
pub mod partitions;
pub mod portable;
pub mod receipt;
mod recorded;
mod store;
mod subscription;

pub use append::{Append, AppendError, Committed, NewEvent, StreamId};
pub use chain::{ChainFault, ChainFaultKind, VerifiedPage};
pub use cqrs::{CqrsContext, CqrsStore};
pub use error::Error;
pub use inline::{InlineProjection, Snapshot, StreamChange};
pub use options::{ConnectionOptions, EventStoreOptions};
pub use receipt::Receipt;
pub use recorded::{Loaded, RecordedEvent};
pub use store::EventStore;
pub use subscription::Subscription;

/// The migrations of the whole database, in order. A process must refuse a schema that it does not know.
pub fn migrator() -> sqlx::migrate::Migrator {
    sqlx::migrate!("../migrations")
}
