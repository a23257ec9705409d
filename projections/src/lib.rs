#![doc = include_str!("../README.md")]

pub mod adapter_statuses;
mod catch_up;
mod error;
pub mod fleet_summary;
pub mod history;
mod inline;
pub mod keyset;
pub mod openapi;
pub mod pending;
pub mod reconcile_queue;
pub mod reevaluation;
pub mod refusals;
pub mod replay;
pub mod resource_view;
pub mod routes;
pub mod search;
mod statement;
pub mod time_travel;

pub use catch_up::run_catch_up;
pub use error::Error;
pub use inline::InlineProjector;
pub use routes::QueryState;

/// Type of the one aggregate, as stored with its events.
pub const AGGREGATE_TYPE: &str = "resource";
