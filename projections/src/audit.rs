//! The audit of requests to change something that changed nothing, because they were refused or there was
//! nothing to do: written beside the answers, read by operators.
//!
//! Not part of the log, because nothing happened. Invariants:
//! - telling about a request never waits: it is queued, and written in batches;
//! - nothing is lost without a trace: what finds the queue full, or exceeds its budget, is counted
//!   by a metric, and by the next row of its class that is written (`suppressed`);
//! - what is queued when the server stops is written before it ends;
//! - rows are bounded in size, in rate, in number and in age, so that nobody fills the disk by
//!   asking in vain; strangers have a budget and a share of the table of their own, so that they cannot push
//!   out the entries of known callers.

mod budget;
mod metrics;
mod purge;
mod read;
mod row;
mod writer;

pub use self::metrics::AuditMetrics;
pub use self::purge::{MAX_ANONYMOUS_ROWS, MAX_KNOWN_ROWS, purge, run_purge};
pub use self::read::{Entries, Filter, Part, page};
pub use self::writer::AuditLog;
