#![doc = include_str!("../README.md")]

pub mod api;
mod calls;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod event;
pub mod expression;
pub mod jsonpath;
pub mod outcome;
mod params;
pub mod pipeline;
mod post;
mod preconditions;
pub mod resources;
pub mod state;
pub mod template;
pub mod value;
pub mod yaml;
