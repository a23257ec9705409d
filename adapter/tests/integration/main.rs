//! The adapter against a local HTTP API and a simulated management cluster.

mod api_calls;
mod gates;
mod reports;
mod support;
