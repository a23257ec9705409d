//! The aggregate under cqrs-es, for commands of one stream.

use std::sync::Arc;

use cqrs_es::mem_store::MemStore;
use cqrs_es::{AggregateError, CqrsFramework, EventStore as _};
use futures::executor::block_on;
use hyperfleet_domain::resource::SingleStreamCommand;
use hyperfleet_domain::{Command, Refusal, Resource};
use serde_json::json;

use super::support::*;

#[test]
fn cqrs_es_runs_the_same_decisions() {
    let store = MemStore::<Resource>::default();
    let framework = CqrsFramework::new(store.clone(), vec![], ());
    let registry = Arc::new(registry());
    let run = |command: Command| {
        let registry = Arc::clone(&registry);
        block_on(framework.execute("g", SingleStreamCommand { command, registry }))
    };
    run(Command::Create(create("Gadget", "g", None))).unwrap();
    run(patch_spec(1, json!({"size": 2}))).unwrap();
    run(report("alpha", 2, "True", 2).into()).unwrap();
    let error = run(report("alpha", 1, "True", 3).into()).unwrap_err();
    assert!(matches!(
        error,
        AggregateError::UserError(Refusal::Discarded(_))
    ));
    let events = block_on(store.load_events("g")).unwrap();
    let types: Vec<_> = events
        .iter()
        .map(|event| event.payload.event_type())
        .collect();
    assert_eq!(
        types,
        [
            "hyperfleet.resource.created",
            "hyperfleet.resource.conditions_changed",
            "hyperfleet.resource.spec_changed",
            "hyperfleet.resource.conditions_changed",
            "hyperfleet.resource.adapter_status_reported",
            "hyperfleet.resource.conditions_changed",
        ]
    );
}
