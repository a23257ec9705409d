//! The OpenAPI document of the write routes, made from the registry of kinds.

use hyperfleet_api_types::openapi::{
    EFFECT, ENTITY_TAG, KindRoutes, Operation, REPLAYED, document as document_of,
};
use hyperfleet_api_types::{BASE_PATH, VERSION_PATH};
use hyperfleet_domain::registry::{EntityDescriptor, Registry};
use utoipa::openapi::path::{HttpMethod, Paths, PathsBuilder};
use utoipa::openapi::{OpenApi, PathItem};

use crate::routes::MAX_BODY_BYTES;

/// The write routes of every kind in the registry, and the fixed documents.
pub fn document(registry: &Registry, version: &str) -> OpenApi {
    let mut paths = PathsBuilder::new()
        .path(
            VERSION_PATH,
            PathItem::new(HttpMethod::Get, version_operation()),
        )
        .build();
    add_documents(&mut paths);
    add_kind(
        &mut paths,
        &format!("{BASE_PATH}/resources"),
        &KindRoutes {
            kind: "Resource",
            parent_kind: None,
        },
        true,
    );
    for descriptor in registry.iter() {
        let flat = format!("{BASE_PATH}/{}", descriptor.plural);
        add_kind(
            &mut paths,
            &flat,
            &routes_of(descriptor, None),
            descriptor.is_child(),
        );
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
                true,
            );
        }
    }
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

fn add_kind(paths: &mut Paths, path: &str, kind: &KindRoutes<'_>, is_child: bool) {
    let one = format!("{path}/{{id}}");
    let body_problems = [
        (
            400,
            "The body is not acceptable; `errors` names the members at fault",
        ),
        (413, "The body is too large"),
    ];
    let mut create = kind
        .on_all("create", "", "Creates a {kind}")
        .body("ResourceCreateRequest")
        .keyed()
        .answers_with(
            201,
            Some("Resource"),
            "Created",
            &[ENTITY_TAG, EFFECT, REPLAYED],
        )
        .problems(&body_problems)
        .problems(&[(409, "The name is taken, or the parent is being deleted")]);
    if is_child && kind.parent_kind.is_none() {
        create = create.problems(&[(
            422,
            "The kind is a child kind; its resources are created below their parent only",
        )]);
    }
    paths.add_path_operation(path, vec![HttpMethod::Post], create.build());
    add_changes(paths, &one, kind, &body_problems);
    add_forced_and_reported(paths, &one, kind, &body_problems);
}

fn add_changes(paths: &mut Paths, one: &str, kind: &KindRoutes<'_>, body_problems: &[(u16, &str)]) {
    let patch = kind
        .on_one(
            "patch",
            "",
            "Replaces spec, labels or references of a {kind}, each as a whole",
        )
        .body("ResourcePatchRequest")
        .keyed()
        .expects_version()
        .answers_with(
            200,
            Some("Resource"),
            "The resource as changed, or as it was",
            &[ENTITY_TAG, EFFECT, REPLAYED],
        )
        .problems(body_problems)
        .problems(&[(409, "The resource is being deleted")]);
    paths.add_path_operation(one, vec![HttpMethod::Patch], patch.build());
    let delete = kind
        .on_one(
            "delete",
            "",
            "Requests the deletion of a {kind} and of what it owns",
        )
        .keyed()
        .expects_version()
        .answers_with(
            202,
            Some("Resource"),
            "The resource as marked",
            &[ENTITY_TAG, EFFECT, REPLAYED],
        )
        .problems(&[(409, "Something that must go first still exists")]);
    paths.add_path_operation(one, vec![HttpMethod::Delete], delete.build());
}

fn add_forced_and_reported(
    paths: &mut Paths,
    one: &str,
    kind: &KindRoutes<'_>,
    body_problems: &[(u16, &str)],
) {
    let force = kind
        .on_one(
            "force_delete",
            "",
            "Removes a {kind} without waiting for its adapters",
        )
        .body("ForceDeleteRequest")
        .keyed()
        .expects_version()
        .answers_with(204, None, "Removed", &[EFFECT, REPLAYED])
        .problems(body_problems)
        .problems(&[(409, "The deletion of the resource was not requested")]);
    paths.add_path_operation(
        format!("{one}/force-delete"),
        vec![HttpMethod::Post],
        force.build(),
    );
    let report = kind
        .on_one(
            "put",
            "_status",
            "Reports what an adapter found about a {kind}",
        )
        .body("AdapterStatusCreateRequest")
        .keyed()
        .answers_with(
            201,
            Some("AdapterStatus"),
            "The status as stored",
            &[EFFECT, REPLAYED],
        )
        .answers_with(
            204,
            None,
            "The report is outdated and was dropped",
            &[EFFECT],
        )
        .problems(body_problems);
    paths.add_path_operation(
        format!("{one}/statuses"),
        vec![HttpMethod::Put],
        report.build(),
    );
}

fn version_operation() -> utoipa::openapi::path::Operation {
    Operation::new("get_api_version", "API", "Names the running version")
        .answers(200, Some("VersionDocument"), "The version")
        .build_public()
}

/// The OpenAPI documents and the page that shows them.
fn add_documents(paths: &mut Paths) {
    let openapi = format!("{BASE_PATH}/openapi");
    let size = format!("bodies may have at most {MAX_BODY_BYTES} bytes");
    let documents = [
        (
            openapi.clone(),
            Operation::new(
                "get_openapi",
                "API",
                format!("This document in OpenAPI 3.0; {size}"),
            )
            .answers(200, None, "The OpenAPI document"),
        ),
        (
            format!("{openapi}/v3.1"),
            Operation::new(
                "get_openapi_v3_1",
                "API",
                format!("This document in OpenAPI 3.1; {size}"),
            )
            .answers(200, None, "The OpenAPI document"),
        ),
        (
            format!("{openapi}.html"),
            Operation::new(
                "get_openapi_page",
                "API",
                "This document as a page that can send requests",
            )
            .answers_text(200, "text/html", "The page"),
        ),
    ];
    for (path, operation) in documents {
        paths.add_path_operation(path, vec![HttpMethod::Get], operation.build_public());
    }
}
