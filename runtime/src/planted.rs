//! Bugs that are put in on purpose, so that the crash suite can show that it would find them.
//!
//! Compiled in by the feature `planted-bugs` alone, which only `cargo xtask crash --planted` asks for.

/// Appends do not take the lock that makes the order of positions that of commits.
pub const NO_BATCH_LOCK: &str = "no-batch-lock";

/// A projection's checkpoint moves before the transaction of its rows. (After it would do no harm: the
/// projections give the same rows when events are applied again.)
pub const CHECKPOINT_OUTSIDE_TRANSACTION: &str = "checkpoint-outside-transaction";

/// A sentinel marks a resource as told of before the broker confirmed the event.
pub const PULSE_MARKED_BEFORE_CONFIRM: &str = "pulse-marked-before-confirm";

/// Whether a bug is planted: never, without the feature.
#[cfg(not(feature = "planted-bugs"))]
pub const fn planted(_bug: &str) -> bool {
    false
}

/// Whether a bug is planted: the one that `HYPERFLEET_PLANTED_BUG` names.
#[cfg(feature = "planted-bugs")]
#[expect(
    clippy::disallowed_methods,
    reason = "the programs of the crash suite are told so"
)]
pub fn planted(bug: &str) -> bool {
    std::env::var("HYPERFLEET_PLANTED_BUG").is_ok_and(|planted| planted == bug)
}
