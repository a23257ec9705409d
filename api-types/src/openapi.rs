//! Building blocks of the OpenAPI document, shared by the crates that serve routes.
//!
//! The document is made from the registry of kinds, not from handlers: each router contributes the
//! operations that it serves, and the documents are merged.

mod version_3_0;

use utoipa::ToSchema;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Info, OpenApi, OpenApiBuilder, Paths, Ref, Required, ResponseBuilder,
};

pub use self::version_3_0::as_3_0;
use crate::{
    AdapterStatus, AdapterStatusCreateRequest, AdapterStatusList, ForceDeleteRequest, History,
    PROBLEM_MEDIA_TYPE, Problem, Resource, ResourceCreateRequest, ResourceList,
    ResourcePatchRequest, VersionDocument,
};

/// Media type of successful answers and of request bodies.
const JSON: &str = "application/json";

/// Media type of watches.
pub const EVENT_STREAM: &str = "text/event-stream";

/// Name of the security scheme.
const BEARER: &str = "bearer";

/// Title of the document.
const TITLE: &str = "HyperFleet API";

/// The header of answers that show a resource.
pub const ENTITY_TAG: (&str, &str) = (
    "ETag",
    "Names the version that the answer shows; to be sent as `If-Match` or `If-None-Match`",
);

/// The header of answers to requests with a key.
pub const REPLAYED: (&str, &str) = (
    "Idempotency-Replayed",
    "`true` when the request was carried out before and is answered as then",
);

/// The header of answers to requests that change something and were accepted.
pub const EFFECT: (&str, &str) = (
    "HyperFleet-Effect",
    "What the request did: `changed` (it is in the history), `unchanged` (what it asked for was there \
     already), `replayed` (it was carried out before), `liveness` (a report without news) or `dropped` (an \
     outdated report)",
);

/// A document with these paths and every schema of the API.
pub fn document(version: &str, paths: Paths) -> OpenApi {
    let mut info = Info::new(TITLE, version);
    info.description = Some(
        "Declares fleets of clusters and node pools, and shows how far they have come. Additive \
         changes only within this version."
            .to_owned(),
    );
    let mut components = ComponentsBuilder::new();
    components = with_schema::<Resource>(components);
    components = with_schema::<ResourceList>(components);
    components = with_schema::<ResourceCreateRequest>(components);
    components = with_schema::<ResourcePatchRequest>(components);
    components = with_schema::<ForceDeleteRequest>(components);
    components = with_schema::<AdapterStatus>(components);
    components = with_schema::<AdapterStatusList>(components);
    components = with_schema::<AdapterStatusCreateRequest>(components);
    components = with_schema::<History>(components);
    components = with_schema::<VersionDocument>(components);
    components = with_schema::<Problem>(components);
    let components = components.security_scheme(BEARER, bearer_scheme()).build();
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components))
        .build()
}

/// Adds a schema and those that it refers to.
fn with_schema<T: ToSchema>(components: ComponentsBuilder) -> ComponentsBuilder {
    let mut referred = Vec::new();
    T::schemas(&mut referred);
    components.schemas_from_iter(referred).schema_from::<T>()
}

/// Tokens, as a server wants them that has issuers configured.
fn bearer_scheme() -> SecurityScheme {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "A JWT of a configured issuer, signed with RS256. A server without configured issuers \
             asks for none.",
        ));
    SecurityScheme::Http(scheme.build())
}

/// An operation under construction: what every operation of the API states.
pub struct Operation(OperationBuilder);

impl Operation {
    /// An operation by its unique id (`verb_resource`), its tag, and what it does in one line.
    pub fn new(id: impl Into<String>, tag: &str, summary: impl Into<String>) -> Self {
        Self(
            OperationBuilder::new()
                .operation_id(Some(id.into()))
                .tag(tag)
                .summary(Some(summary.into())),
        )
    }

    /// A parameter of the path.
    pub fn path_parameter(self, name: &str, description: &str) -> Self {
        let parameter = parameter(name, ParameterIn::Path, description)
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        Self(self.0.parameter(parameter))
    }

    /// A query parameter that is a text.
    pub fn query_text(self, name: &str, required: bool, description: &str) -> Self {
        let parameter = parameter(name, ParameterIn::Query, description)
            .required(if required {
                Required::True
            } else {
                Required::False
            })
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        Self(self.0.parameter(parameter))
    }

    /// A query parameter that is an integer from 1 to `max`.
    pub fn query_integer(self, name: &str, default: u32, max: u32, description: &str) -> Self {
        let schema = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(1))
            .maximum(Some(max))
            .default(Some(default.into()));
        let parameter = parameter(name, ParameterIn::Query, description)
            .required(Required::False)
            .schema(Some(schema));
        Self(self.0.parameter(parameter))
    }

    /// A header of the request, always optional.
    pub fn request_header(self, name: &str, description: &str) -> Self {
        let parameter = parameter(name, ParameterIn::Header, description)
            .required(Required::False)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        Self(self.0.parameter(parameter))
    }

    /// The request may say which version it expects.
    pub fn expects_version(self) -> Self {
        self.request_header(
            "If-Match",
            "Entity tags of the versions that the resource may have, or `*`",
        )
        .problems(&[
            (
                400,
                "The request is not acceptable; `errors` names the members at fault",
            ),
            (412, "The resource has another version; `ETag` tells which"),
        ])
    }

    /// The request may be sent again under a key.
    pub fn keyed(self) -> Self {
        self.request_header(
            "Idempotency-Key",
            "A key of the caller's choice. The same request with the same key is carried out once \
             and answered as before for 24 hours",
        )
        .problems(&[
            (400, "The request is not acceptable; `errors` names the members at fault"),
            (408, "The body did not arrive in time"),
            (413, "The body is too large"),
            (422, "The key was used for another request, or the kind is created below its parent only"),
        ])
    }

    /// The schema of the body.
    pub fn body(self, schema: &str) -> Self {
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content(JSON, content(schema))
            .build();
        Self(self.0.request_body(Some(body)))
    }

    /// A successful answer, with the schema of its body when it has one.
    pub fn answers(self, status: u16, schema: Option<&str>, description: &str) -> Self {
        let mut response = ResponseBuilder::new().description(description);
        if let Some(schema) = schema {
            response = response.content(JSON, content(schema));
        }
        Self(self.0.response(status.to_string(), response))
    }

    /// A successful answer that is a text of some media type.
    pub fn answers_text(self, status: u16, media_type: &str, description: &str) -> Self {
        let text = ContentBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build();
        let response = ResponseBuilder::new()
            .description(description)
            .content(media_type, text);
        Self(self.0.response(status.to_string(), response))
    }

    /// A successful answer that is JSON, or on demand a text of another media type.
    pub fn answers_also_as_text(
        self,
        status: u16,
        schema: &str,
        media_types: &[&str],
        description: &str,
    ) -> Self {
        let mut response = ResponseBuilder::new()
            .description(description)
            .content(JSON, content(schema));
        for media_type in media_types {
            let text = ContentBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build();
            response = response.content(*media_type, text);
        }
        Self(self.0.response(status.to_string(), response))
    }

    /// A successful answer with headers of its own, by name and description.
    pub fn answers_with(
        self,
        status: u16,
        schema: Option<&str>,
        description: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let response = response(schema, description, headers);
        Self(self.0.response(status.to_string(), response))
    }

    /// As [`Self::answers_with`] for 200; with `watch=true` the answer is a stream of events.
    pub fn answers_or_watches(
        self,
        schema: &str,
        description: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let text = ContentBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build();
        let response = response(Some(schema), description, headers).content(EVENT_STREAM, text);
        Self(self.0.response("200", response))
            .query_text(
                "watch",
                false,
                "`true`: what there is, and then every change, as server-sent events `ADDED`, \
                 `MODIFIED`, `DELETED` with the resource, `BOOKMARK`, and `ERROR` with a problem",
            )
            .query_text(
                "from",
                false,
                "With `watch`: only changes after this position of the log, or `now`",
            )
            .request_header(
                "Last-Event-ID",
                "With `watch`: the last position that the client saw; wins over `from`",
            )
            .problems(&[(410, "The watch cannot go on from that position; begin anew")])
    }

    /// Answers with a problem document, by status.
    pub fn problems(mut self, problems: &[(u16, &str)]) -> Self {
        for (status, description) in problems {
            let response = ResponseBuilder::new()
                .description(*description)
                .content(PROBLEM_MEDIA_TYPE, content("Problem"));
            self = Self(self.0.response(status.to_string(), response));
        }
        self
    }

    /// The operation, with the problems that every route can answer with, and those of a caller who
    /// has to say who they are.
    pub fn build(self) -> utoipa::openapi::path::Operation {
        let guarded = self.problems(&[
            (401, "The caller is not known: no token, or not a good one"),
            (403, "The caller lacks a tenant or a permission"),
        ]);
        let limited = ResponseBuilder::new()
            .description("The caller asks too often")
            .header(
                "Retry-After",
                HeaderBuilder::new()
                    .description(Some("Seconds to wait, at least 1"))
                    .schema(Some(
                        ObjectBuilder::new()
                            .schema_type(Type::Integer)
                            .minimum(Some(1)),
                    ))
                    .build(),
            )
            .content(PROBLEM_MEDIA_TYPE, content("Problem"));
        let guarded = Self(
            guarded
                .0
                .response("429", limited)
                .security(SecurityRequirement::new(BEARER, [] as [&str; 0]))
                .security(SecurityRequirement::default()),
        );
        guarded.build_public()
    }

    /// The operation, for everybody, with the problems that every route can answer with.
    pub fn build_public(self) -> utoipa::openapi::path::Operation {
        self.problems(&[
            (414, "The path and query are too long"),
            (431, "The header fields are too large"),
            (500, "The server failed"),
            (
                503,
                "The server cannot answer now; `Retry-After`, if sent, says when to come again",
            ),
            (504, "The server gave up waiting"),
        ])
        .0
        .build()
    }
}

/// A kind on its flat or nested routes, for naming its operations.
pub struct KindRoutes<'a> {
    /// The kind.
    pub kind: &'a str,
    /// The parent's kind on nested routes.
    pub parent_kind: Option<&'a str>,
}

impl KindRoutes<'_> {
    /// An operation on the collection: `verb_kind`, or `verb_parent_kind` on nested routes.
    /// `{kind}` in the summary stands for the kind.
    pub fn on_all(&self, verb: &str, suffix: &str, summary: &str) -> Operation {
        let scope = self
            .parent_kind
            .map(|kind| format!("{}_", snake_case(kind)));
        let scope = scope.unwrap_or_default();
        let id = format!("{verb}_{scope}{}{suffix}", snake_case(self.kind));
        let operation = Operation::new(id, self.kind, summary.replace("{kind}", self.kind));
        match self.parent_kind {
            Some(kind) => operation
                .path_parameter("parent_id", &format!("Id of the {kind}"))
                .problems(&[(404, "There is no such resource")]),
            None => operation,
        }
    }

    /// An operation on one resource of the collection; see [`Self::on_all`].
    pub fn on_one(&self, verb: &str, suffix: &str, summary: &str) -> Operation {
        self.on_all(verb, suffix, summary)
            .path_parameter("id", &format!("Id of the {}", self.kind))
            .problems(&[(404, "There is no such resource")])
    }
}

/// `NodePool` as `node_pool`.
fn snake_case(kind: &str) -> String {
    let mut name = String::new();
    for (at, character) in kind.chars().enumerate() {
        if character.is_uppercase() && at > 0 {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name
}

fn response(schema: Option<&str>, description: &str, headers: &[(&str, &str)]) -> ResponseBuilder {
    let mut response = ResponseBuilder::new().description(description);
    if let Some(schema) = schema {
        response = response.content(JSON, content(schema));
    }
    for (name, description) in headers {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let header = HeaderBuilder::new()
            .schema(Some(text))
            .description(Some(*description))
            .build();
        response = response.header(*name, header);
    }
    response
}

fn parameter(name: &str, place: ParameterIn, description: &str) -> ParameterBuilder {
    ParameterBuilder::from(Parameter::new(name))
        .parameter_in(place)
        .description(Some(description))
}

fn content(schema: &str) -> utoipa::openapi::Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(schema)))
        .build()
}
