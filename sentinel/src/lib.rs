#![doc = include_str!("../README.md")]

pub mod config;
pub mod event;
mod expression;
pub mod payload;
pub mod policy;

pub use config::{ConfigError, SentinelConfig};
pub use expression::ExpressionError;
pub use payload::Payload;
pub use policy::{Decision, Policy, Schedule};
