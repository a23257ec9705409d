use std::fmt::Write as _;
use std::path::Path;

use hyperfleet_runtime::config::{GivenFlag, Kind, environment_name};

use super::*;

fn read(text: &str) -> (tempfile::TempDir, anyhow::Result<Configuration>) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, text).expect("written");
    let read = Configuration::of_file(file);
    (folder, read)
}

fn complaint(text: &str) -> String {
    let (folder, read) = read(text);
    let error = format!("{:#}", read.expect_err(text));
    error.replace(&format!("{}/", folder.path().display()), "")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace")
}

#[test]
fn every_default_is_acceptable_and_every_path_and_flag_is_its_own() {
    let settings = Sources::default().read(keys::KEYS).expect("read");
    let mut paths = std::collections::BTreeSet::new();
    let mut flags = std::collections::BTreeSet::new();
    for key in keys::KEYS {
        assert!(paths.insert(key.path), "{} twice", key.path);
        for flag in key.flags {
            assert!(flags.insert(*flag), "--{flag} twice");
        }
        let shown = settings.get(key.path).value.to_json();
        assert!(key.default.is_empty() || !shown.is_null(), "{}", key.path);
    }
}

#[test]
fn the_built_in_registry_holds_without_entities() {
    let (_folder, read) = read("server: {port: 1}\n");
    let configuration = read.expect("read");
    assert_eq!(*configuration.registry, Registry::builtin());
    assert_eq!(configuration.server.listen.port, 1);
    assert!(configuration.server.require_safe().is_ok());
}

#[test]
fn entities_make_the_registry_and_an_odd_policy_is_a_warning() {
    let (_folder, read) = read(
        "entities:\n  - {kind: Gadget, plural: gadgets, required_adapters: [alpha], name_max_len: 9}\n\
         \x20 - {kind: Part, plural: parts, parent_kind: Gadget, on_parent_delete: orphan}\n",
    );
    let configuration = read.expect("read");
    let part = configuration.registry.by_kind("Part").expect("registered");
    assert_eq!(part.on_parent_delete, None);
    let [warning] = configuration.warnings.as_slice() else {
        panic!("{:?}", configuration.warnings)
    };
    assert!(
        warning.contains(":3:")
            && warning.contains("entities[1] (kind Part): on_parent_delete \"orphan\""),
        "{warning}"
    );
}

#[test]
fn a_fault_in_entities_names_the_place_the_entry_and_the_remedy() {
    for (text, expected) in [
        (
            "entities: {}\n",
            "config.yaml:1:11: `entities` must be a list of kinds",
        ),
        (
            "entities:\n  - kind: A\n    plurl: as\n",
            "config.yaml:3:5: entities[0] (kind A): unknown key `plurl`; did you mean `plural`?",
        ),
        (
            "entities:\n  - plural: as\n",
            "config.yaml:2:5: entities[0]: missing field `kind`",
        ),
        (
            "entities:\n  - kind: A\n    plural: as\n    name_min_len: x\n",
            "config.yaml:2:5: entities[0] (kind A): invalid type: string \"x\", expected usize",
        ),
        (
            "entities:\n  - kind: A\n    plural: as\n    references:\n      - {ref: x}\n",
            "config.yaml:5:10: entities[0] (kind A): references[0]: unknown key `ref`; the keys are ref_type, target_kind, min, max",
        ),
        (
            "entities:\n  - {kind: A, plural: as}\n  - {kind: B, plural: as}\n",
            "config.yaml:3:5: entities: the plural 'as' of kind 'B' is taken by another kind: choose another",
        ),
        (
            "entities:\n  - {kind: A, plural: as, parent_kind: Z}\n",
            "config.yaml:2:5: entities: the kind 'A' has the unregistered parent 'Z': register it or correct it",
        ),
        (
            "entities:\n  - kind: A\n    plural: as\n    conditions:\n      - {type: Up, when: {expr: x}}\n",
            "config.yaml:5:27: entities[0] (kind A): conditions[0].when: unknown key `expr`; the keys are expression",
        ),
    ] {
        let said = complaint(text);
        assert!(
            said.starts_with(expected),
            "{said}\n instead of\n{expected}"
        );
    }
}

#[test]
fn case_240_a_missing_schema_file_or_schema_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let missing = format!(
        "server: {{openapi_schema_path: {}/none.yaml}}\n",
        folder.path().display()
    );
    let file = write("a.yaml", &missing);
    let said = format!(
        "{:#}",
        Configuration::of_file(file)
            .expect("read")
            .schemas()
            .expect_err("missing")
    );
    assert!(
        said.contains("none.yaml, which server.openapi_schema_path names"),
        "{said}"
    );
    let schema = write(
        "schema.yaml",
        "openapi: 3.0.3\ncomponents: {schemas: {NodePoolSpec: {type: object}}}\n",
    );
    let file = write(
        "b.yaml",
        &format!("server: {{openapi_schema_path: {}}}\n", schema.display()),
    );
    let said = format!(
        "{:#}",
        Configuration::of_file(file)
            .expect("read")
            .schemas()
            .expect_err("absent")
    );
    assert!(
        said.contains(
            "schema.yaml: components.schemas has no `ClusterSpec`, which kind Cluster requires"
        ),
        "{said}"
    );
}

#[test]
fn a_database_in_parts_becomes_a_url() {
    let (_folder, read) = read(
        "database: {host: db, name: fleet, username: 'a@b', password: 'p/w', ssl: {mode: require}}\n",
    );
    let configuration = read.expect("read");
    assert_eq!(
        configuration.database.url.as_deref(),
        Some("postgres://a%40b:p%2Fw@db:5432/fleet?sslmode=require")
    );
    let said = complaint("database: {url: 'mysql://x'}\n");
    assert!(
        said.starts_with("config.yaml:1:17: `database.url` must be a URL")
            && !said.contains("mysql"),
        "{said}"
    );
    let said = complaint("database: {host: db, ssl: {mode: verify-full, root_cert_file: /none}}\n");
    assert!(
        said.contains("`database.ssl.root_cert_file` names /none, which does not exist"),
        "{said}"
    );
}

#[test]
fn tls_needs_its_files_and_side_servers_borrow_them() {
    let said = complaint("server: {tls: {enabled: true, cert_file: c}}\n");
    assert!(
        said.contains("`server.tls.key_file` must name a file"),
        "{said}"
    );
    let (_folder, read) = read(
        "server: {tls: {enabled: true, cert_file: c, key_file: k}}\nmetrics: {tls: {enabled: true}}\n",
    );
    let configuration = read.expect("read");
    let tls = configuration.metrics.listen.tls.expect("TLS");
    assert_eq!(
        (tls.certificate.to_str(), tls.key.to_str()),
        (Some("c"), Some("k"))
    );
    assert!(configuration.health.listen.tls.is_none());
}

#[test]
fn identity_sections_are_handed_on_with_flags_and_variables_merged_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    let text = "server:\n  jwt: {configs: [{issuer_url: 'https://i', jwk_cert_url: 'https://i/k'}]}\n\
        \x20 rate_limit: {enabled: true, burst: 7}\n";
    std::fs::write(&file, text).expect("written");
    let sources = Sources {
        file: Some(file),
        flags: vec![GivenFlag {
            path: "server.jwt.enabled",
            name: "server-jwt-enabled".to_owned(),
            values: vec!["true".to_owned()],
        }],
        ..Sources::default()
    };
    let identity = Configuration::of(&sources).expect("read").server.identity;
    assert!(identity.authenticates() && !identity.tenant.enabled);
    assert_eq!(identity.jwt.configs[0].issuer_url, "https://i");
    assert!(!identity.authorization.is_enabled());
    assert_eq!(
        (identity.rate_limit.enabled, identity.rate_limit.burst),
        (true, 7)
    );
}

#[test]
fn the_shipped_sample_is_accepted_whole() {
    let file = repository().join("deploy/config/api.yaml");
    let configuration = Configuration::of_file(file).expect("the sample is acceptable");
    assert_eq!(*configuration.registry, Registry::builtin());
    for key in keys::KEYS {
        let is_opaque = matches!(
            key.path,
            "server.authorization" | "data_dir" | "database.url"
        );
        assert!(
            is_opaque || configuration.settings.is_set(key.path),
            "{} is not in the sample",
            key.path
        );
    }
}

/// The reference page's table of keys, as this table would write it.
fn reference() -> String {
    let mut page = String::new();
    for key in keys::KEYS {
        let bounds = match key.kind {
            Kind::Text => "text".to_owned(),
            Kind::Boolean => "true, false".to_owned(),
            Kind::Integer { min, max } => format!("{min}–{max}"),
            Kind::Duration { min, max } => {
                format!("duration, {}–{} s", min.as_secs(), max.as_secs())
            }
            Kind::Choice(words) => words.join(", "),
            Kind::List => "list".to_owned(),
            Kind::Structured => "file only".to_owned(),
        };
        let flags: Vec<String> = key.flags.iter().map(|flag| format!("`--{flag}`")).collect();
        let aliases: Vec<String> = key
            .variables
            .iter()
            .map(|name| format!(", `{name}`"))
            .collect();
        let aliases = aliases.concat();
        let variable = if matches!(key.kind, Kind::Structured) {
            "–".to_owned()
        } else {
            format!("`{}`{aliases}", environment_name(key.path))
        };
        let default = if key.default.is_empty() {
            "–".to_owned()
        } else {
            format!("`{}`", key.default)
        };
        let effect = match key.effect {
            Effect::Full => String::new(),
            Effect::None(reason) => format!(" **No effect**: {reason}."),
        };
        let secret = if key.secret { " Secret." } else { "" };
        let flags = if flags.is_empty() {
            "–".to_owned()
        } else {
            flags.join(", ")
        };
        writeln!(
            page,
            "| `{}` | {default} | {bounds} | {variable} | {flags} | {}.{secret}{effect} |",
            key.path, key.help
        )
        .expect("written");
    }
    page
}

#[test]
fn the_reference_page_lists_every_key_as_it_is() {
    let path = repository().join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (start, end) = ("<!-- keys -->\n", "<!-- /keys -->\n");
    let table = page
        .split_once(start)
        .and_then(|(_, rest)| rest.split_once(end));
    let listed = table.expect("the table between its marks").0;
    let listed: Vec<&str> = listed.lines().skip(2).collect();
    let expected = reference();
    let expected_lines: Vec<&str> = expected.lines().collect();
    assert_eq!(
        listed, expected_lines,
        "docs/configuration.md is to have these lines:\n{expected}"
    );
}
