#![doc = include_str!("../README.md")]

pub mod adapter_status;
pub mod aggregation;
pub mod condition;
pub mod json;
pub mod label;
pub mod mapping;
pub mod metadata;
pub mod name;
pub mod registry;
pub mod report;
pub mod resource;
pub mod timestamp;
pub mod upcast;

pub use registry::{EntityDescriptor, Registry};
pub use resource::{Command, Event, Refusal, Resource};
