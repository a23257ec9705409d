//! Cases 41 to 46 and 50 to 53: files, variables and flags.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use hyperfleet_adapter::cluster::NoCluster;
use hyperfleet_adapter::config::{self, Build, Config, ConfigError, Inputs, load_text};
use hyperfleet_runtime::error_chain;

use super::loading::{ADAPTER, accepted, environment, load_both, refused, refused_both};
use crate::support::{FakeApi, event, load, pipeline};

/// Loads a task that lies in a folder with these files.
fn load_beside(task: &str, files: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let task = task.replace("FOLDER", folder.path().to_str().unwrap());
    load_text(
        ("adapter: {name: a}", Path::new("adapter.yaml")),
        (&task, &folder.path().join("task.yaml")),
        &environment(&[]),
    )
}

#[track_caller]
fn refused_beside(task: &str, files: &[(&str, &str)], expected: &str) {
    let text = error_chain(&load_beside(task, files).expect_err(task));
    assert!(
        text.contains(expected),
        "{task}\n  found {text}\n  expected {expected}"
    );
}

#[test]
fn a041_a_manifest_lies_in_a_file_beside_the_task() {
    let task = |reference: &str| {
        format!(
            "resources: [{{name: r, manifest: {{ref: {reference}}}, discovery: {{by_name: x}}}}]"
        )
    };
    let file = [(
        "x.yaml",
        "apiVersion: v1 \nkind: \"Secret\"\nmetadata: {name: x}\n",
    )];
    refused_beside(
        &task("missing.yaml"),
        &[],
        "referenced file \"missing.yaml\" does not exist (resolved to ",
    );
    refused_beside(
        &task("../x.yaml"),
        &[],
        "path \"../x.yaml\" escapes base directory",
    );
    refused_beside(
        &task("folder"),
        &[],
        "\"folder\" is a directory, not a file",
    );
    refused_beside(&task("''"), &[], "ref is required");
    for reference in ["x.yaml", "./folder/../x.yaml", "FOLDER/x.yaml"] {
        let config = load_beside(&task(reference), &file).unwrap();
        let manifest = &config.task.resources[0].manifest;
        assert_eq!(
            (manifest.api_version.as_str(), manifest.kind.as_str()),
            ("v1", "Secret")
        );
    }
}

#[test]
fn a042_a_payload_is_built_in_exactly_one_way() {
    refused(
        "post: {payloads: [{name: p, build: {}, build_ref: x}]}",
        "build and build_ref are both set",
    );
    refused(
        "post: {payloads: [{name: p}]}",
        "one of build or build_ref is required",
    );
}

#[test]
fn a043_a_payload_in_a_file_is_a_mapping() {
    let task = "post: {payloads: [{name: p, build_ref: p.yaml}]}";
    refused_beside(task, &[("p.yaml", "- a\n")], "must be a YAML mapping");
    refused_beside(task, &[("p.yaml", "")], "must be a YAML mapping");
    let config = load_beside(task, &[("p.yaml", "a: {expression: '1'}\n")]).unwrap();
    assert!(matches!(
        config.task.post.payloads[0].build,
        Build::Object(_)
    ));
}

#[test]
fn a044_a_required_variable_must_be_set_at_the_start() {
    let task = "params: [{name: a, source: env.NAME, required: true}]";
    let adapter = "adapter: {name: a}";
    for variables in [&[][..], &[("NAME", "")]] {
        let text = load_both(adapter, task, variables).unwrap_err().to_string();
        assert!(
            text.contains("params[0]: required environment variable NAME is not set"),
            "{text}"
        );
    }
    assert!(load_both(adapter, task, &[("NAME", "x")]).is_ok());
}

#[tokio::test]
async fn a045_a_required_variable_may_have_a_default() {
    let api = FakeApi::start().await;
    let task = "params: [{name: a, source: env.NAME, required: true, default: d}]";
    for variables in [&[][..], &[("NAME", "")]] {
        let config = load(&api, task, variables);
        let outcome = pipeline(config, Arc::new(NoCluster))
            .execute(&event(5))
            .await;
        assert_eq!(outcome.params["a"], "d", "{}", outcome.error_summary());
    }
}

#[test]
fn a046_tokens_have_an_absolute_path_and_no_negative_age() {
    let auth = |auth: &str| {
        format!("adapter: {{name: a}}\nclients: {{hyperfleet_api: {{auth: {auth}}}}}\n")
    };
    refused_both(
        &auth("{token_path: rel/tok}"),
        "params: []",
        "the token path must be absolute",
    );
    refused_both(
        &auth("{token_path: /tok, token_cache_ttl: -1s}"),
        "params: []",
        "is negative",
    );
    refused_both(&auth("{}"), "params: []", "token_path is required");
    assert!(
        load_both(
            &auth("{token_path: /tok, token_cache_ttl: 30s}"),
            "params: []",
            &[]
        )
        .is_ok()
    );
}

#[test]
fn a050_flags_win_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (adapter, task) = (
        folder.path().join("adapter.yaml"),
        folder.path().join("task.yaml"),
    );
    fs::write(
        &adapter,
        "adapter: {name: a}\nclients: {hyperfleet_api: {timeout: 10s}}\n",
    )
    .unwrap();
    fs::write(&task, "params: []\n").unwrap();
    let timeout = |environment: &BTreeMap<String, String>, flags: &[(String, String)]| {
        let inputs = Inputs {
            adapter: &adapter,
            task: &task,
            environment,
            flags,
        };
        config::load_with_flags(inputs)
            .unwrap()
            .adapter
            .api
            .timeout
            .as_secs()
    };
    let variable = environment(&[("HYPERFLEET_API_TIMEOUT", "3s")]);
    let flag = ("clients.hyperfleet_api.timeout".to_owned(), "1s".to_owned());
    assert_eq!(timeout(&BTreeMap::new(), &[]), 10);
    assert_eq!(timeout(&variable, &[]), 3);
    assert_eq!(timeout(&variable, &[flag]), 1);
    assert_eq!(
        timeout(&environment(&[("HYPERFLEET_API_TIMEOUT", "")]), &[]),
        10
    );
}

#[test]
fn a051_the_variable_with_the_prefix_wins_over_the_legacy_one() {
    let topic = |variables: &[(&str, &str)]| {
        load_both(ADAPTER, "params: []", variables)
            .unwrap()
            .adapter
            .broker
            .topic
            .unwrap()
    };
    assert_eq!(
        topic(&[("BROKER_TOPIC", "a"), ("HYPERFLEET_BROKER_TOPIC", "b")]),
        "b"
    );
    assert_eq!(topic(&[("BROKER_TOPIC", "a")]), "a");
}

#[test]
fn a052_a_variable_of_maestro_selects_its_transport() {
    let config = load_both(
        ADAPTER,
        "params: []",
        &[("HYPERFLEET_MAESTRO_SOURCE_ID", "x")],
    )
    .unwrap();
    let problem = config.adapter.maestro.unwrap().problem();
    assert_eq!(
        problem.as_deref(),
        Some("clients.maestro.grpc_server_address is required")
    );
}

#[test]
fn a053_a_call_in_a_precondition_is_warned_of_once() {
    let config = accepted("preconditions: [{name: p, api_call: {method: GET, url: /x}}]");
    let deprecated = |warning: &&String| warning.contains("deprecated");
    assert_eq!(config.warnings.iter().filter(deprecated).count(), 1);
}
