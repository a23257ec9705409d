#![doc = include_str!("../README.md")]

mod ambient;
mod config;
mod error;
mod server;

pub use ambient::{TimeSource, UidSource};
pub use config::SimConfig;
pub use error::StartError;
pub use server::{ClusterSim, Handle};
