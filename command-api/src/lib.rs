#![doc = include_str!("../README.md")]

mod decode;
pub mod handler;
pub mod identity;
pub mod metrics;
pub mod openapi;
pub mod routes;

pub use handler::{CommandError, CommandHandler};
pub use identity::Identity;
pub use metrics::CommandMetrics;
pub use routes::{BuildInfo, CommandState};
