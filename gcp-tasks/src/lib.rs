#![doc = include_str!("../README.md")]

pub mod result;

pub use result::{ReadError, Status, TaskResult, WriteError};
