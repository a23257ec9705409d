//! The API against its contract, in process on real PostgreSQL. The number in a test's name is the
//! number of the conformance case.

mod access_matrix;
mod concurrency;
mod conformance_create;
mod conformance_delete;
mod conformance_identity;
mod conformance_patch;
mod conformance_read;
mod conformance_reports;
mod conformance_tenancy;
mod conformance_transport;
mod fleet_summary;
mod history;
mod issuer_keys;
mod kinds;
mod openapi;
mod rate_limit;
mod read_your_writes;
mod reconcile_queue;
mod replay;
mod tenant_isolation;
