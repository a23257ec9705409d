//! The adapter configurations under `deploy/adapters`, on the simulated cluster.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test helpers fail the test"
)]

#[cfg(test)]
mod alerts;
mod chain;
mod fleet;
mod loading;
