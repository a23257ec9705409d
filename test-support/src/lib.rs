#![doc = include_str!("../README.md")]

mod eventually;

pub use eventually::{Look, eventually};
