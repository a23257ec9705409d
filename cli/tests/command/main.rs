//! The built `hyperfleet` command, run as a user runs it: real processes, real PostgreSQL, simulated cluster.

mod crash;
mod demo;
mod dev;
mod faults;
mod lifecycle;
