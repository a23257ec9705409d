#![doc = include_str!("../README.md")]

pub mod app;
pub mod issuer;
pub mod read_your_writes;
