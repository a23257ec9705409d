//! The API against its contract, in process on real PostgreSQL. The number in a test's name is the
//! number of the conformance case.

mod concurrency;
mod conformance_create;
mod conformance_delete;
mod conformance_patch;
mod conformance_read;
mod conformance_reports;
mod conformance_schemas;
mod conformance_transport;
mod fleet_summary;
mod history;
mod kinds;
mod openapi;
mod pending;
mod read_your_writes;
mod reconcile_queue;
mod replay;
