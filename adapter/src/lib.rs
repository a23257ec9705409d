#![doc = include_str!("../README.md")]

pub mod api;
mod calls;
pub mod cluster;
pub mod config;
pub mod dry_run;
pub mod event;
pub mod expression;
pub mod health;
pub mod jsonpath;
pub mod lint;
pub mod metrics;
pub mod outcome;
mod params;
pub mod pipeline;
mod post;
mod preconditions;
pub mod resources;
pub mod run;
pub mod schema;
pub mod state;
pub mod template;
pub mod value;
pub mod yaml;

pub use config::{Config, ConfigError};
pub use pipeline::Pipeline;
pub use run::{Adapter, AdapterError, AdapterOptions};
