//! The query routes: reading resources, their statuses and their history, for every registered kind.

mod answer;
mod fields;
mod history;
mod parameters;
mod past;
mod resources;
mod statuses;
mod summary;
mod walk;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_domain::registry::{EntityDescriptor, Registry, ServedKind};
use hyperfleet_event_store::EventStore;
use sqlx::PgPool;

use crate::watch::WatchHub;

pub(crate) use self::answer::Failure;
pub(crate) use self::fields::Fields;
pub use self::history::Exports;
pub use self::parameters::{DEFAULT_PAGE_SIZE, MAX_PAGE, MAX_PAGE_SIZE};

/// What the query routes need.
#[derive(Clone)]
pub struct QueryState {
    /// Where the read models are.
    pub pool: PgPool,
    /// The event log, for histories.
    pub store: EventStore,
    /// The registered kinds.
    pub registry: Arc<Registry>,
    /// Serves the watches.
    pub watches: WatchHub,
    /// How many histories may be exported at a time.
    pub exports: Exports,
}

/// What the routes of one kind, or of every kind, need: the kind, and the parent's on nested routes.
#[derive(Clone)]
pub(crate) struct KindState {
    pub(crate) query: QueryState,
    pub(crate) kind: ServedKind,
    /// The kind of the parent in the path; `None` on flat routes.
    pub(crate) parent_kind: Option<String>,
}

/// The query routes of every kind in the registry, flat and nested, those that serve every kind, and
/// those of the fleet.
///
/// Paths name their parameters `{id}` and `{parent_id}`, as the write routes do, so that the two
/// routers merge.
pub fn router(state: QueryState) -> Router {
    let registry = Arc::clone(&state.registry);
    let any_kind = KindState {
        query: state.clone(),
        kind: ServedKind::Any,
        parent_kind: None,
    };
    let mut router = flat_routes(&format!("{BASE_PATH}/resources"), any_kind);
    for descriptor in registry.iter() {
        let flat = format!("{BASE_PATH}/{}", descriptor.plural);
        router = router.merge(flat_routes(&flat, kind_state(&state, descriptor, None)));
        let parent = descriptor
            .parent_kind
            .as_deref()
            .and_then(|kind| registry.by_kind(kind));
        if let Some(parent) = parent {
            let nested = format!(
                "{BASE_PATH}/{}/{{parent_id}}/{}",
                parent.plural, descriptor.plural
            );
            router = router.merge(nested_routes(
                &nested,
                kind_state(&state, descriptor, Some(parent)),
            ));
        }
    }
    let fleet = Router::new()
        .route(&format!("{BASE_PATH}/history"), get(history::of_fleet))
        .route(&format!("{BASE_PATH}/summary"), get(summary::read))
        .with_state(state);
    router.merge(fleet)
}

fn kind_state(
    query: &QueryState,
    descriptor: &EntityDescriptor,
    parent: Option<&EntityDescriptor>,
) -> KindState {
    KindState {
        query: query.clone(),
        kind: ServedKind::One(descriptor.kind.clone()),
        parent_kind: parent.map(|parent| parent.kind.clone()),
    }
}

fn flat_routes(path: &str, state: KindState) -> Router {
    Router::new()
        .route(path, get(resources::list))
        .route(&format!("{path}/{{id}}"), get(resources::read))
        .route(&format!("{path}/{{id}}/statuses"), get(statuses::list))
        .route(&format!("{path}/{{id}}/history"), get(history::of_resource))
        .with_state(state)
}

fn nested_routes(path: &str, state: KindState) -> Router {
    Router::new()
        .route(path, get(resources::list_nested))
        .route(&format!("{path}/{{id}}"), get(resources::read_nested))
        .route(
            &format!("{path}/{{id}}/statuses"),
            get(statuses::list_nested),
        )
        .route(
            &format!("{path}/{{id}}/history"),
            get(history::of_nested_resource),
        )
        .with_state(state)
}
