//! The adapter configurations under `deploy/adapters`, on the simulated cluster.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test helpers fail the test"
)]

mod chain;
mod fleet;
mod loading;
