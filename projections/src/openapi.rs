//! The OpenAPI document of the query routes, made from the registry of kinds.

mod history;

use hyperfleet_api_types::BASE_PATH;
use hyperfleet_api_types::openapi::{ENTITY_TAG, KindRoutes, Operation, document as document_of};
use hyperfleet_domain::registry::{EntityDescriptor, Registry};
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{HttpMethod, Paths};

use crate::routes::{DEFAULT_PAGE_SIZE, MAX_PAGE, MAX_PAGE_SIZE};

/// The query routes of every kind in the registry, and of the fleet.
pub fn document(registry: &Registry, version: &str) -> OpenApi {
    let mut paths = Paths::new();
    let any_kind = KindRoutes {
        kind: "Resource",
        parent_kind: None,
    };
    add_kind(
        &mut paths,
        &format!("{BASE_PATH}/resources"),
        &any_kind,
        false,
    );
    for descriptor in registry.iter() {
        let flat = format!("{BASE_PATH}/{}", descriptor.plural);
        let references = !descriptor.references.is_empty();
        add_kind(&mut paths, &flat, &routes_of(descriptor, None), references);
        let parent = descriptor
            .parent_kind
            .as_deref()
            .and_then(|kind| registry.by_kind(kind));
        if let Some(parent) = parent {
            let nested = format!(
                "{BASE_PATH}/{}/{{parent_id}}/{}",
                parent.plural, descriptor.plural
            );
            add_kind(
                &mut paths,
                &nested,
                &routes_of(descriptor, Some(parent)),
                references,
            );
        }
    }
    paths.add_path_operation(
        format!("{BASE_PATH}/history"),
        vec![HttpMethod::Get],
        history::of_fleet().build(),
    );
    let summary = Operation::new("get_summary", "Fleet", "Counts over the fleet, by kind").answers(
        200,
        None,
        "The counts, slightly behind the newest change",
    );
    paths.add_path_operation(
        format!("{BASE_PATH}/summary"),
        vec![HttpMethod::Get],
        summary.build(),
    );
    document_of(version, paths)
}

fn routes_of<'a>(
    descriptor: &'a EntityDescriptor,
    parent: Option<&'a EntityDescriptor>,
) -> KindRoutes<'a> {
    KindRoutes {
        kind: &descriptor.kind,
        parent_kind: parent.map(|parent| parent.kind.as_str()),
    }
}

/// What `fields` takes.
const FIELDS: &str = "Only these members and `id`, separated by commas: members of a resource by name, \
    `status.conditions`, `status.conditions.type` and so on";

/// What the answers to `fields` are.
const SELECTED: &str = "with `fields`, it has only the members asked for";

fn add_kind(paths: &mut Paths, path: &str, kind: &KindRoutes<'_>, references: bool) {
    let one = format!("{path}/{{id}}");
    let mut add = |path: &str, operation: Operation| {
        paths.add_path_operation(path, vec![HttpMethod::Get], operation.build());
    };
    add(path, list(kind, references));
    add(&one, get(kind));
    let statuses = paged(kind.on_one("list", "_statuses", "What adapters reported on a {kind}"))
        .answers(200, Some("AdapterStatusList"), "One page, by adapter");
    add(&format!("{one}/statuses"), statuses);
    let history = history::of_one(kind.on_one(
        "list",
        "_history",
        "The recorded events of a {kind}, also a removed one",
    ));
    add(&format!("{one}/history"), history);
}

fn list(kind: &KindRoutes<'_>, references: bool) -> Operation {
    let is_any = kind.kind == "Resource";
    let mut list = paged(if is_any {
        kind.on_all("list", "", "Lists resources of every kind")
    } else {
        kind.on_all("list", "", "Lists resources of kind {kind}")
    });
    if is_any {
        list = list.query_text("kind", false, "Only resources of this kind");
    }
    list = list
        .query_text("order", false, "Terms like `name asc`, separated by commas")
        .query_text("name", false, "Only resources of exactly this name")
        .query_text(
            "search",
            false,
            "Only what a search finds, e.g. `labels.env='prod' and \
             status.conditions.Reconciled='False'`; at most 4096 bytes",
        )
        .query_text("fields", false, FIELDS)
        .query_text(
            "at",
            false,
            "The resources that lived at that time (RFC 3339), as they were; with `name`, `page`, `size`, \
             `fields` and an `order` by `created_time` only",
        )
        .query_text(
            "page_token",
            false,
            "Instead of `page`: blank for the start, then the `next_page_token` of the answer before",
        )
        .answers_or_watches(
            "ResourceList",
            &format!("One page; {SELECTED}"),
            &[("Link", "The next page, as `rel=\"next\"`; absent on the last one")],
        );
    if references {
        list = list
            .query_text(
                "ref_type",
                false,
                "With `ref_target_id`: type of a reference",
            )
            .query_text("ref_target_id", false, "With `ref_type`: id of its target");
    }
    list
}

fn get(kind: &KindRoutes<'_>) -> Operation {
    kind.on_one("get", "", "Reads a {kind}")
        .query_text("fields", false, FIELDS)
        .query_text(
            "at",
            false,
            "As it was at that time (RFC 3339), also when it is gone now; without an `ETag`",
        )
        .query_text(
            "version",
            false,
            "As it was after that many of its events; not together with `at`; without an `ETag`",
        )
        .request_header(
            "If-None-Match",
            "Entity tags of the representations that the caller has, or `*`",
        )
        .answers_or_watches(
            "Resource",
            &format!("The resource; {SELECTED}"),
            &[ENTITY_TAG],
        )
        .answers_with(
            304,
            None,
            "The caller has this representation",
            &[ENTITY_TAG],
        )
        .problems(&[(
            400,
            "A parameter is not acceptable, `If-None-Match` is not a list of entity tags, or `at` or `version` \
             names no moment of the past",
        )])
}

fn paged(operation: Operation) -> Operation {
    operation
        .query_integer("page", 1, MAX_PAGE, "Number of the page")
        .query_integer("size", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, "Items per page")
        .problems(&[(
            400,
            "A query parameter is not acceptable; `errors` names it",
        )])
}
