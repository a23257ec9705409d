//! The simulated cluster as the real `kube` client sees it.

mod apply;
mod controllers;
mod deletion;
mod discovery;
mod journal;
mod requests;
mod support;
mod watches;
