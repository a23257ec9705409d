#![doc = include_str!("../README.md")]

mod database;
mod eventually;
pub mod relay;
mod server;
mod template;

pub use database::{DurableDatabase, TestDatabase, database, durable_database};
pub use eventually::{Look, eventually};
pub use server::{URL_VARIABLE, server_settings};
