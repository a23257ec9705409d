//! The API against its contract, in process on real PostgreSQL. The number in a test's name is the
//! number of the conformance case.

mod concurrency;
mod conditional_requests;
mod conformance_conditions;
mod conformance_create;
mod conformance_delete;
mod conformance_fields;
mod conformance_health;
mod conformance_mapping;
mod conformance_patch;
mod conformance_read;
mod conformance_references;
mod conformance_reports;
mod conformance_root;
mod conformance_schemas;
mod conformance_search;
mod conformance_transport;
mod fleet_summary;
mod history;
mod idempotency;
mod limits;
mod openapi;
mod page_tokens;
mod pending;
mod problems;
mod races;
mod read_your_writes;
mod reconcile_queue;
mod reference_filter;
mod replay;
mod search_model;
mod search_plans;
mod search_texts;
