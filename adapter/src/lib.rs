#![doc = include_str!("../README.md")]

pub mod config;
pub mod expression;
pub mod jsonpath;
pub mod template;
pub mod value;
pub mod yaml;
