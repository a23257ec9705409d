//! `hyperfleet adapter`: checks and rehearsals by the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::dev::hyperfleet;

const ADAPTER: &str = "adapter: {name: widget, version: 0.2.0}\nclients: {hyperfleet_api: {base_url: 'http://api:8000'}, broker: {subscription_id: s}}\n";

const TASK: &str = r#"
params:
- {name: data, source: {api_call: {method: GET, url: "/clusters/c1"}}}
- {name: again, source: {api_call: {method: GET, url: "/clusters/c1"}}}
- {name: third, source: {api_call: {method: GET, url: "/clusters/c1"}}}
preconditions: [{name: reach, api_call: {method: GET, url: "/gate"}}]
resources:
- name: map
  manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: map, namespace: default}}
  discovery: {namespace: default, by_name: map}
post:
  payloads: [{name: p, build: {said: {expression: 'resources.?map.?status.?said.orValue("nothing")'}}}]
  post_actions: [{name: report, api_call: {method: PUT, url: /report, body: "{{ .p }}"}}]
"#;

const EVENT: &str = r#"{"specversion": "1.0", "id": "e1", "source": "test", "type": "reconcile", "data": {"id": "c1"}}"#;

/// The files of an adapter, in a folder of their own.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        files.write("adapter-config.yaml", ADAPTER);
        files.write("adapter-task-config.yaml", TASK);
        files.write("event.json", EVENT);
        files
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs a subcommand on the two files; names of files among the arguments are found in the folder.
    async fn run(&self, subcommand: &str, arguments: &[&str]) -> Output {
        self.run_with(subcommand, arguments, &[]).await
    }

    async fn run_with(
        &self,
        subcommand: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Output {
        let path = |name: &str| self.folder.path().join(name);
        let mut command = hyperfleet();
        command
            .args(["adapter", subcommand])
            .args([Path::new("-c"), &path("adapter-config.yaml")])
            .args([Path::new("-t"), &path("adapter-task-config.yaml")]);
        for argument in arguments {
            let file = path(argument);
            if file.is_file() {
                command.arg(file);
            } else {
                command.arg(argument);
            }
        }
        command.envs(environment.iter().copied());
        command.output().await.unwrap()
    }

    async fn dry_run(&self, arguments: &[&str]) -> Output {
        let given = [&["--event", "event.json"], arguments].concat();
        self.run("dry-run", &given).await
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

#[tokio::test]
async fn a049_running_needs_a_topic_and_rehearsing_does_not() {
    let files = Files::new();
    let output = files
        .run(
            "serve",
            &[
                "--broker",
                "amqp://127.0.0.1:1",
                "--health-listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
            ],
        )
        .await;
    assert!(!output.status.success());
    let text = stderr(&output);
    assert!(text.contains("clients.broker.topic is required"), "{text}");
    assert!(files.dry_run(&[]).await.status.success());
}

#[tokio::test]
async fn a050_flags_win_over_the_environment_and_that_over_the_file() {
    let files = Files::new();
    let timeout = |arguments: &'static [&'static str]| {
        let files = &files;
        async move {
            let variable = [("HYPERFLEET_API_TIMEOUT", "3s")];
            stdout(&files.run_with("config-dump", arguments, &variable).await)
        }
    };
    assert!(timeout(&[]).await.contains("timeout: 3s"));
    let given = timeout(&["--hyperfleet-api-timeout", "1s"]).await;
    assert!(given.contains("timeout: 1s"), "{given}");
}

#[tokio::test]
async fn a054_a_dump_hides_the_files_of_maestro() {
    let files = Files::new();
    let maestro = "  maestro: {source_id: x, auth: {tls_config: {ca_file: /a, cert_file: /b, key_file: /c, http_ca_file: /d}}}\n";
    files.write(
        "adapter-config.yaml",
        &format!("adapter: {{name: widget}}\nclients:\n{maestro}"),
    );
    let output = files.run("config-dump", &[]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for key in ["ca_file", "cert_file", "key_file", "http_ca_file"] {
        assert!(text.contains(&format!(" {key}: '**REDACTED**'")), "{text}");
    }
    assert!(text.contains("preconditions:"), "both files: {text}");
    files.write("adapter-task-config.yaml", "spec: {}");
    assert_eq!(files.run("config-dump", &[]).await.status.code(), Some(1));
}

const FAILING_GATE: &str = r#"{"responses": [{"match": {"method": "GET", "urlPattern": "/gate"}, "responses": [{"statusCode": 500}]}]}"#;

#[tokio::test]
async fn a205_a_failed_rehearsal_is_told_and_no_failure() {
    let files = Files::new();
    files.write("answers.json", FAILING_GATE);
    let output = files.dry_run(&["--api-responses", "answers.json"]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).ends_with("\nResult: FAILED\n"),
        "{}",
        stdout(&output)
    );
    let text = stderr(&output);
    assert!(
        text.contains("Error in preconditions: precondition 'reach': API request failed: GET "),
        "{text}"
    );
}

#[tokio::test]
async fn a206_without_answers_every_call_is_answered_with_an_empty_object() {
    let output = Files::new().dry_run(&["-o", "json"]).await;
    let trace = json(&output);
    assert_eq!(trace["status"], "success");
    let requests = trace["apiRequests"].as_array().unwrap();
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|request| request["statusCode"] == 200));
    assert_eq!(trace["params"]["data"], serde_json::json!({}));
}

#[tokio::test]
async fn a207_the_last_answer_repeats() {
    let files = Files::new();
    files.write(
        "answers.json",
        r#"{"responses": [{"match": {"method": "*", "urlPattern": "/clusters/.*"}, "responses": [{"body": {"n": 1}}, {"body": {"n": 2}}]}]}"#,
    );
    let trace = json(
        &files
            .dry_run(&["--api-responses", "answers.json", "-o", "json"])
            .await,
    );
    let numbers = ["data", "again", "third"].map(|name| trace["params"][name]["n"].clone());
    assert_eq!(numbers, [1.0, 2.0, 2.0].map(Value::from));
}

#[tokio::test]
async fn a208_given_objects_are_what_expressions_see() {
    let files = Files::new();
    files.write(
        "objects.json",
        r#"{"map": {"apiVersion": "v1", "kind": "ConfigMap", "status": {"said": "hello"}}}"#,
    );
    let arguments = ["--discovery", "objects.json", "-o", "json", "--verbose"];
    let trace = json(&files.dry_run(&arguments).await);
    let sent = trace["apiRequests"].as_array().unwrap().last().unwrap();
    assert_eq!(sent["requestBody"], r#"{"said":"hello"}"#);
}

#[tokio::test]
async fn a209_without_its_flags_it_serves() {
    let files = Files::new();
    let output = files.run("serve", &[]).await;
    let text = stderr(&output);
    assert!(text.contains("which broker to subscribe at"), "{text}");
    let output = files.run("serve", &["--dry-run-event", "event.json"]).await;
    assert!(
        stdout(&output).starts_with("Dry-Run Execution Trace\n"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn a210_answers_without_an_event_are_refused() {
    let files = Files::new();
    files.write("answers.json", FAILING_GATE);
    let output = files
        .run("serve", &["--dry-run-api-responses", "answers.json"])
        .await;
    assert!(!output.status.success());
    let text = stderr(&output);
    assert!(text.contains("--dry-run-event is required"), "{text}");
}

#[tokio::test]
async fn lint_says_where_and_how_and_fails() {
    let files = Files::new();
    let folder = files.folder.path().to_str().unwrap().to_owned();
    let lint = async |arguments: &[&str]| {
        let mut command = hyperfleet();
        command.args(["adapter", "lint", &folder]).args(arguments);
        command.output().await.unwrap()
    };
    let output = lint(&[]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    let line = TASK
        .lines()
        .position(|line| line.contains("manifest:"))
        .unwrap()
        + 1;
    let expected = format!(
        "adapter-task-config.yaml:{line}:3: warning: resources[0].manifest: without a generation"
    );
    assert!(text.contains(&expected), "{text}");
    files.write(
        "adapter-task-config.yaml",
        &TASK.replace(
            "namespace: default}}",
            "namespace: default, annotations: {hyperfleet.io/generation: '1'}}}",
        ),
    );
    let output = lint(&["--print-role"]).await;
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("kind: ClusterRole\n"),
        "{}",
        stdout(&output)
    );
}

#[tokio::test]
async fn the_shipped_configurations_are_in_order() {
    let output = hyperfleet()
        .args([
            "adapter",
            "lint",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/adapters"),
        ])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", stdout(&output));
}

#[tokio::test]
async fn the_schemas_of_editors_are_up_to_date() {
    for file in ["adapter", "task"] {
        let output = hyperfleet()
            .args(["adapter", "schema", file])
            .output()
            .await
            .unwrap();
        let path = format!(
            "{}/../docs/schemas/{file}-config.schema.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let committed = fs::read_to_string(&path).unwrap();
        assert!(
            stdout(&output) == committed,
            "write it anew: hyperfleet adapter schema {file} > docs/schemas/{file}-config.schema.json"
        );
    }
}
