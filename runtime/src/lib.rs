#![doc = include_str!("../README.md")]

pub mod background;
pub mod clock;
pub mod config;
pub mod duration;
mod error_chain;
pub mod health;
pub mod http;
pub mod ids;
pub mod metrics;
pub mod planted;
pub mod postgres;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod yaml;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error_chain::error_chain;
pub use ids::{IdSource, SequentialIds, UuidV7Source};
