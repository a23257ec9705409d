//! What only Google Pub/Sub has: its wire format, its resources, its faults.
//!
//! Runs on the server that `HYPERFLEET_TEST_PUBSUB_HOST` names, which `cargo xtask test` starts.

// Marked so that clippy knows these for tests: they may unwrap.
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod interoperation;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod support;
#[cfg(test)]
mod topology;
