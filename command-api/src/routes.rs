//! The write routes: creating, changing, deleting and reporting on resources of every registered
//! kind, and the fixed documents of the API.

mod answer;
mod carry_out;
mod create;
mod delete;
mod fixed;
mod patch;
mod report;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete as delete_method, get, patch as patch_method, post, put};
use hyperfleet_api_types::{BASE_PATH, VERSION_PATH};
use hyperfleet_domain::registry::{EntityDescriptor, Registry, ServedKind};
use hyperfleet_event_store::EventStore;
use hyperfleet_runtime::{Clock, IdSource};

use crate::handler::{CommandHandler, Owner, Reach, Target};
use crate::identity::Identity;
use crate::metrics::CommandMetrics;
use crate::schema::SpecSchemas;

/// Greatest body of a request, in bytes.
pub use hyperfleet_runtime::http::MAX_BODY_BYTES;

/// What the version document says of the running build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// Version of the build.
    pub version: String,
    /// When the build was made.
    pub build_time: String,
}

/// What the write routes need.
#[derive(Clone)]
pub struct CommandState {
    /// Carries out the commands.
    pub handler: CommandHandler,
    /// Says when.
    pub clock: Arc<dyn Clock>,
    /// Makes the ids of new resources.
    pub ids: Arc<dyn IdSource>,
    /// The running build.
    pub build: BuildInfo,
    /// What specs must satisfy.
    pub schemas: Arc<SpecSchemas>,
}

impl CommandState {
    /// State for routes that decide by `registry` and append to `store`.
    pub fn new(
        store: EventStore,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        build: BuildInfo,
    ) -> Self {
        Self {
            handler: CommandHandler::new(store, registry),
            clock,
            ids,
            build,
            schemas: Arc::default(),
        }
    }

    /// The same state, counting commands there.
    #[must_use]
    pub fn with_metrics(mut self, metrics: CommandMetrics) -> Self {
        self.handler = self.handler.with_metrics(metrics);
        self
    }

    /// The same state with schemas that specs must satisfy.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<SpecSchemas>) -> Self {
        self.schemas = schemas;
        self
    }
}

/// What the routes of one kind, or of every kind, need: the kind, and the parent's on nested routes.
#[derive(Clone)]
pub(crate) struct KindState {
    pub(crate) command: CommandState,
    pub(crate) kind: ServedKind,
    /// Whether the kind has a spec schema; false where every kind is served.
    pub(crate) declares_schema: bool,
    /// The kind of the parent in the path; `None` on flat routes.
    pub(crate) parent_kind: Option<String>,
}

impl KindState {
    /// The resource that a path names, as far as the caller can see it.
    pub(crate) fn target(
        &self,
        path: &request::ResourcePath,
        parent_must_exist: bool,
        caller: &Identity,
    ) -> Target {
        let owner = self.parent_kind.as_ref().zip(path.parent_id.as_ref());
        Target {
            kind: self.kind.clone(),
            id: path.id.clone(),
            owner: owner.map(|(kind, id)| Owner {
                kind: kind.clone(),
                id: id.clone(),
                must_exist: parent_must_exist,
            }),
            reach: Reach::of(caller),
        }
    }
}

/// The write routes of every kind in the registry, flat and nested, those that serve every kind, and
/// the version document.
///
/// Paths name their parameters `{id}` and `{parent_id}`, as the query routes do, so that the two
/// routers merge.
pub fn router(state: CommandState) -> Router {
    let registry = state.handler.registry().clone();
    let mut router = any_kind_routes(KindState {
        command: state.clone(),
        kind: ServedKind::Any,
        declares_schema: false,
        parent_kind: None,
    });
    for descriptor in registry.iter() {
        let flat = format!("{BASE_PATH}/{}", descriptor.plural);
        router = router.merge(kind_routes(&flat, kind_state(&state, descriptor, None)));
        let parent = descriptor
            .parent_kind
            .as_deref()
            .and_then(|kind| registry.by_kind(kind));
        if let Some(parent) = parent {
            let nested = format!(
                "{BASE_PATH}/{}/{{parent_id}}/{}",
                parent.plural, descriptor.plural
            );
            router = router.merge(kind_routes(
                &nested,
                kind_state(&state, descriptor, Some(parent)),
            ));
        }
    }
    let fixed = Router::new()
        .route(VERSION_PATH, get(fixed::version))
        .with_state(state);
    router
        .merge(fixed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// The route of the OpenAPI document of the whole API.
pub fn openapi_router(document: &utoipa::openapi::OpenApi) -> Router {
    fixed::openapi_router(document)
}

fn kind_state(
    command: &CommandState,
    descriptor: &EntityDescriptor,
    parent: Option<&EntityDescriptor>,
) -> KindState {
    KindState {
        command: command.clone(),
        kind: ServedKind::One(descriptor.kind.clone()),
        declares_schema: descriptor.spec_schema_name.is_some(),
        parent_kind: parent.map(|parent| parent.kind.clone()),
    }
}

fn kind_routes(path: &str, state: KindState) -> Router {
    Router::new()
        .route(path, post(create::create))
        .route(&format!("{path}/{{id}}"), patch_method(patch::patch))
        .merge(routes_by_id(path))
        .with_state(state)
}

fn any_kind_routes(state: KindState) -> Router {
    let path = format!("{BASE_PATH}/resources");
    Router::new()
        .route(&path, post(create::create_of_any_kind))
        .route(
            &format!("{path}/{{id}}"),
            patch_method(patch::patch_of_any_kind),
        )
        .merge(routes_by_id(&path))
        .with_state(state)
}

/// What is the same for one kind and for every kind.
fn routes_by_id(path: &str) -> Router<KindState> {
    Router::new()
        .route(&format!("{path}/{{id}}"), delete_method(delete::delete))
        .route(
            &format!("{path}/{{id}}/force-delete"),
            post(delete::force_delete),
        )
        .route(&format!("{path}/{{id}}/statuses"), put(report::report))
}
