#![doc = include_str!("../README.md")]

mod error;
pub mod reconcile_queue;
pub mod resource_view;

pub use error::Error;
