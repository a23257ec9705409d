#![doc = include_str!("../README.md")]

pub mod app;
pub mod read_your_writes;
pub mod registries;
