//! The rules of the domain as given/when/then, through its public entry points only.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, like tests"
)]

mod aggregation;
mod aggregation_oracle;
mod cqrs;
mod create;
mod delete;
mod golden;
mod mapping;
mod mapping_start;
mod patch;
mod properties;
mod references;
mod registry;
mod report;
mod support;
