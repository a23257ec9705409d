#![doc = include_str!("../README.md")]

pub mod app;
pub mod issuer;
pub mod read_your_writes;
pub mod registries;
pub mod search_fleet;
pub mod search_model;
pub mod watching;
