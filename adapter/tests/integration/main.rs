//! The adapter against a local HTTP API and a simulated management cluster.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail by panicking and are not documented one by one"
)]

mod api_calls;
mod compatible;
mod conformance;
mod faults;
mod gates;
mod lint;
mod objects;
mod reports;
mod running;
mod scripted;
mod support;
