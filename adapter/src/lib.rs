#![doc = include_str!("../README.md")]

pub mod expression;
pub mod template;
pub mod value;
pub mod yaml;
