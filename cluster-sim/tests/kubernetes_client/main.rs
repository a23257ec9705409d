//! The simulated cluster as the real `kube` client sees it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::default_trait_access,
    clippy::needless_pass_by_value,
    reason = "test helpers fail the test, and default parameters say nothing"
)]

mod apply;
mod controllers;
mod deletion;
mod discovery;
mod journal;
mod requests;
mod support;
mod watches;
