#![doc = include_str!("../README.md")]

pub mod decode;
pub mod handler;
pub mod identity;
pub mod metrics;
pub mod openapi;
pub mod routes;
mod schema;

pub use handler::{CommandError, CommandHandler};
pub use identity::Identity;
pub use metrics::CommandMetrics;
pub use routes::{BuildInfo, CommandState};
pub use schema::{MAX_VIOLATIONS, SchemaError, SpecSchemas};
