//! The sentinel on a real queue: what is published, how often, and what survives.
//!
//! Crash is simulated by dropping the sentinel's task at a chosen point, which is what the death of its
//! process does to the queue: nothing more is written.

// Marked so that clippy knows these for tests: they may unwrap.
#[cfg(test)]
mod crash;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod support;
