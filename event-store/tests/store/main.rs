//! The event store on a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in what tests share"
)]

mod append;
mod catch_up;
mod chain;
mod claims;
mod connection;
mod cqrs;
mod fixture;
mod lost_answer;
mod order;
mod parking;
mod partitions;
mod portable;
mod projection;
mod receipts;
