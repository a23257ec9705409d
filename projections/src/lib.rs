#![doc = include_str!("../README.md")]

pub mod adapter_statuses;
pub mod audit;
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
pub mod replay;
pub mod resource_view;
pub mod routes;
pub mod search;
mod statement;
pub mod time_travel;
pub mod watch;

pub use catch_up::{projection, run_catch_up};
pub use error::Error;
pub use inline::InlineProjector;
pub use routes::QueryState;
pub use watch::{WatchHub, WatchOptions};

/// Type of the one aggregate, as stored with its events.
pub const AGGREGATE_TYPE: &str = "resource";
