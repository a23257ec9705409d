//! JSON Schemas of the two files, for editors. They say what the reader of each file accepts; what
//! spans entries, such as the names that templates use, is the business of [`crate::lint`].

use serde_json::{Map, Value, json};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of `AdapterConfig` files.
pub fn adapter() -> Value {
    let duration = json!({
        "type": "string",
        "pattern": r"^(0|(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+)$",
        "description": "A number with a unit: 10s, 500ms, 1m30s",
    });
    let text = json!({"type": "string"});
    let kubernetes = object(
        &[
            ("api_version", text.clone()),
            (
                "kube_config_path",
                json!({"type": "string", "description": "Empty: the pod's own cluster"}),
            ),
            ("qps", json!({"type": "number"})),
            ("burst", json!({"type": "integer"})),
        ],
        &[],
    );
    let broker = object(
        &[("subscription_id", text.clone()), ("topic", text.clone())],
        &[],
    );
    let clients = object(
        &[
            ("hyperfleet_api", api(&duration)),
            ("broker", broker),
            ("kubernetes", kubernetes),
            ("maestro", maestro(&duration)),
        ],
        &[],
    );
    let log = object(
        &[
            (
                "level",
                json!({"enum": ["debug", "info", "warn", "warning", "error"]}),
            ),
            ("format", json!({"enum": ["json", "text"]})),
            ("output", json!({"enum": ["stdout", "stderr"]})),
        ],
        &[],
    );
    let identity = object(
        &[
            ("name", json!({"type": "string", "minLength": 1})),
            ("version", json!({"type": ["string", "number"]})),
        ],
        &["name"],
    );
    let root = object(
        &[
            ("adapter", identity),
            ("debug_config", switch()),
            ("log", log),
            ("clients", clients),
        ],
        &["adapter"],
    );
    document("Adapter configuration", root, &[])
}

fn api(duration: &Value) -> Value {
    object(
        &[
            (
                "base_url",
                json!({"type": "string", "description": "Scheme, host, port and an optional path"}),
            ),
            ("version", json!({"type": "string", "default": "v1"})),
            (
                "timeout",
                described(duration, "Of each attempt; default 10s"),
            ),
            (
                "retry_attempts",
                json!({"type": "integer", "default": 3, "description": "Attempts in total"}),
            ),
            (
                "retry_backoff",
                json!({"enum": ["exponential", "linear", "constant"], "default": "exponential"}),
            ),
            ("base_delay", described(duration, "Default 1s")),
            ("max_delay", described(duration, "Default 30s")),
            (
                "default_headers",
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
            ),
            (
                "auth",
                object(
                    &[
                        ("token_path", json!({"type": "string", "pattern": "^/"})),
                        (
                            "token_cache_ttl",
                            described(duration, "How long a token is kept; default 0: not at all"),
                        ),
                    ],
                    &["token_path"],
                ),
            ),
        ],
        &[],
    )
}

fn maestro(duration: &Value) -> Value {
    let text = json!({"type": "string"});
    let files =
        ["ca_file", "cert_file", "key_file", "http_ca_file"].map(|file| (file, text.clone()));
    let auth = object(
        &[("type", text.clone()), ("tls_config", object(&files, &[]))],
        &[],
    );
    let keepalive = object(
        &[("time", duration.clone()), ("timeout", duration.clone())],
        &[],
    );
    let maestro = object(
        &[
            (
                "grpc_server_address",
                json!({"type": "string", "description": "host:port"}),
            ),
            (
                "http_server_address",
                json!({"type": "string", "pattern": "^https?://"}),
            ),
            ("source_id", text.clone()),
            ("client_id", text),
            ("timeout", duration.clone()),
            ("server_healthiness_timeout", duration.clone()),
            ("keepalive", keepalive),
            ("auth", auth),
            ("retry_attempts", json!({"type": "integer"})),
            ("insecure", switch()),
        ],
        &[],
    );
    described(&maestro, "When present, every resource goes to Maestro")
}

/// The schema of `AdapterTaskConfig` files.
pub fn task() -> Value {
    let list = |item: &str| json!({"type": "array", "items": reference(item)});
    let post = object(
        &[
            ("payloads", list("payload")),
            ("post_actions", list("action")),
        ],
        &[],
    );
    let root = object(
        &[
            ("params", list("param")),
            ("preconditions", list("precondition")),
            ("resources", list("resource")),
            ("post", post),
        ],
        &[],
    );
    let mut definitions = vec![
        (
            "expression",
            json!({"type": ["string", "boolean", "number"], "description": "CEL"}),
        ),
        (
            "template",
            json!({"type": ["string", "boolean", "number"], "description": "A Go template"}),
        ),
        (
            "name",
            json!({"type": "string", "pattern": "^[a-z][a-zA-Z0-9_]*$"}),
        ),
        (
            "when",
            object(&[("expression", reference("expression"))], &["expression"]),
        ),
        ("param", param()),
    ];
    definitions.extend(calls());
    definitions.extend(gates());
    definitions.extend(resources());
    definitions.extend([("payload", payload()), ("action", action())]);
    document("Adapter task configuration", root, &definitions)
}

fn param() -> Value {
    let file = json!({
        "type": "object",
        "required": ["path"],
        "properties": {"path": {"type": "string", "minLength": 1}, "trim": switch()},
    });
    let source = json!({"oneOf": [
        {"type": ["string", "number", "boolean"], "description": "env.X, event.a.b, config.a.b, or a param and a path into it"},
        {"type": "object", "required": ["api_call"], "not": {"anyOf": [{"required": ["expression"]}, {"required": ["file"]}]}, "properties": {"api_call": {"type": "object", "required": ["method", "url"]}}},
        {"type": "object", "required": ["expression"], "not": {"anyOf": [{"required": ["api_call"]}, {"required": ["file"]}]}, "properties": {"expression": reference("expression")}},
        {"type": "object", "required": ["file"], "not": {"anyOf": [{"required": ["api_call"]}, {"required": ["expression"]}]}, "properties": {"file": file}},
    ]});
    object(
        &[
            ("name", json!({"type": "string", "minLength": 1})),
            ("source", source),
            (
                "type",
                json!({"enum": ["string", "int", "int64", "float", "float64", "bool"]}),
            ),
            ("required", switch()),
            (
                "default",
                json!({"description": "Used as it is written, without conversion"}),
            ),
            ("description", json!({"type": "string"})),
        ],
        &["name", "source"],
    )
}

fn calls() -> Vec<(&'static str, Value)> {
    let header = object(
        &[
            ("name", json!({"type": "string", "minLength": 1})),
            ("value", reference("template")),
        ],
        &["name"],
    );
    let call = object(
        &[
            (
                "method",
                json!({"enum": ["GET", "POST", "PUT", "PATCH", "DELETE"]}),
            ),
            ("url", reference("template")),
            (
                "timeout",
                json!({"type": "string", "description": "Can only shorten the client's"}),
            ),
            (
                "retry_attempts",
                json!({"type": "integer", "description": "Attempts in total"}),
            ),
            ("retry_backoff", json!({"type": "string"})),
            ("body", reference("template")),
            ("headers", json!({"type": "array", "items": header})),
        ],
        &["method", "url"],
    );
    let log = object(
        &[
            ("message", reference("template")),
            ("level", json!({"type": "string"})),
        ],
        &[],
    );
    vec![("apiCall", call), ("log", log)]
}

fn gates() -> Vec<(&'static str, Value)> {
    let path = json!({"type": "string", "minLength": 1, "description": "JSONPath"});
    let capture = object(
        &[
            ("name", json!({"type": "string", "minLength": 1})),
            ("field", path.clone()),
            ("expression", reference("expression")),
            ("default", json!({})),
        ],
        &["name"],
    );
    let mut capture = capture;
    capture["oneOf"] = json!([{"required": ["field"]}, {"required": ["expression"]}]);
    let operators = [
        "equals",
        "notEquals",
        "in",
        "notIn",
        "contains",
        "greaterThan",
        "lessThan",
        "exists",
    ];
    let mut condition = object(
        &[
            ("field", path),
            ("operator", json!({"enum": operators})),
            ("value", json!({})),
            ("values", json!({})),
        ],
        &["field", "operator"],
    );
    condition["not"] = json!({"required": ["value", "values"]});
    let mut precondition = object(
        &[
            ("name", reference("name")),
            ("api_call", reference("apiCall")),
            ("log", reference("log")),
            ("capture", json!({"type": "array", "items": capture})),
            ("conditions", json!({"type": "array", "items": condition})),
            ("expression", reference("expression")),
        ],
        &["name"],
    );
    precondition["anyOf"] = json!([
        {"required": ["api_call"]}, {"required": ["conditions"]}, {"required": ["expression"]}
    ]);
    vec![("precondition", precondition)]
}

fn resources() -> Vec<(&'static str, Value)> {
    let labels = json!({"type": "object", "minProperties": 1, "additionalProperties": reference("template")});
    let mut discovery = object(
        &[
            ("namespace", reference("template")),
            ("by_name", reference("template")),
            (
                "by_selectors",
                object(&[("label_selector", labels)], &["label_selector"]),
            ),
        ],
        &[],
    );
    discovery["oneOf"] = json!([{"required": ["by_name"]}, {"required": ["by_selectors"]}]);
    let nested = object(
        &[
            ("name", reference("name")),
            ("discovery", reference("discovery")),
        ],
        &["name", "discovery"],
    );
    let maestro = object(
        &[("target_cluster", reference("template"))],
        &["target_cluster"],
    );
    let transport = object(
        &[
            ("client", json!({"enum": ["kubernetes", "maestro"]})),
            ("maestro", maestro),
        ],
        &["client"],
    );
    let delete = object(
        &[
            (
                "propagationPolicy",
                json!({"enum": ["Background", "Foreground", "Orphan"]}),
            ),
            ("when", reference("when")),
        ],
        &["when"],
    );
    let lifecycle = object(
        &[
            ("create", object(&[("when", reference("when"))], &["when"])),
            ("delete", delete),
        ],
        &[],
    );
    let resource = object(
        &[
            ("name", reference("name")),
            ("transport", transport),
            (
                "manifest",
                json!({"type": ["object", "string"], "description": "A mapping, a text, or {ref: file}"}),
            ),
            ("discovery", reference("discovery")),
            (
                "nested_discoveries",
                json!({"type": "array", "items": nested}),
            ),
            ("lifecycle", lifecycle),
            ("recreate_on_change", switch()),
        ],
        &["name", "manifest", "discovery"],
    );
    vec![("discovery", discovery), ("resource", resource)]
}

fn payload() -> Value {
    let mut payload = object(
        &[
            ("name", json!({"type": "string", "minLength": 1})),
            (
                "build",
                json!({"description": "A tree; {expression: …} and {field: …} are values"}),
            ),
            ("build_ref", json!({"type": "string", "minLength": 1})),
            ("when", reference("when")),
        ],
        &["name"],
    );
    payload["oneOf"] = json!([{"required": ["build"]}, {"required": ["build_ref"]}]);
    payload
}

fn action() -> Value {
    object(
        &[
            ("name", reference("name")),
            ("api_call", reference("apiCall")),
            ("log", reference("log")),
            ("when", reference("when")),
        ],
        &["name"],
    )
}

fn switch() -> Value {
    json!({"type": ["boolean", "string"], "description": "true or false"})
}

fn described(schema: &Value, description: &str) -> Value {
    let mut schema = schema.clone();
    schema["description"] = description.into();
    schema
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}

/// A mapping with these keys and no others.
fn object(properties: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> = properties
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn document(title: &str, root: Value, definitions: &[(&str, Value)]) -> Value {
    let mut document = root;
    document["$schema"] = DRAFT.into();
    document["title"] = title.into();
    if !definitions.is_empty() {
        let definitions: Map<String, Value> = definitions
            .iter()
            .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
            .collect();
        document["definitions"] = Value::Object(definitions);
    }
    document
}
