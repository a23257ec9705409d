//! What each command does, one file a command. User commands speak HTTP only; roles and operator
//! commands put the parts together through `control_plane`.

pub(crate) mod adapter;
pub(crate) mod broker;
pub(crate) mod config;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod dlq;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod log;
pub(crate) mod patch;
pub(crate) mod replay;
pub(crate) mod sentinel;
pub(crate) mod serve;
pub(crate) mod version;
pub(crate) mod wait;
