#![doc = include_str!("../README.md")]

mod ambient;
mod config;
mod controller;
mod error;
mod fields;
mod http;
mod kind;
mod object;
mod selector;
mod server;
mod status;
mod store;

pub use ambient::{TimeSource, UidSource};
pub use config::SimConfig;
pub use error::StartError;
pub use server::{ClusterSim, Handle};
