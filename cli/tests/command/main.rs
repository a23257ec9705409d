//! The built `hyperfleet` command, run as a user runs it: real processes, real PostgreSQL, simulated cluster.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in what tests share"
)]

mod adapter;
mod api;
mod broker;
mod crash;
mod credentials;
mod demo;
mod dev;
mod dlq;
mod faults;
mod keyed_crash;
mod lifecycle;
mod log;
mod rebuild;
mod replay;
mod sentinel;
mod shutdown;
mod takeover;
mod traces;
mod watch;
