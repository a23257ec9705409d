#![doc = include_str!("../README.md")]

mod decode;
pub mod handler;
pub mod identity;
pub mod openapi;
pub mod routes;

pub use handler::{CommandError, CommandHandler, MappingMetrics};
pub use identity::Identity;
pub use routes::{BuildInfo, CommandState};
