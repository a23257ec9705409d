#![doc = include_str!("../README.md")]

pub mod config;
pub mod event;
mod expression;
pub mod metrics;
pub mod payload;
pub mod policy;
mod run;

pub use config::{ConfigError, SentinelConfig};
pub use expression::ExpressionError;
pub use metrics::{MetricFamilies, SentinelMetrics};
pub use payload::Payload;
pub use policy::{Decision, Policy, Schedule};
pub use run::{SentinelOptions, SentinelStatus, run};
