//! `hyperfleet api` as a process, with its configuration: settings, logs, metrics, TLS, shutdown, and
//! re-evaluation after a change of rules.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hyperfleet_test_support::eventually;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::dev::hyperfleet;

/// How long a start or an end may take on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// A running API.
struct Api {
    process: Child,
    url: String,
    health: String,
    metrics: String,
    _output: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    log: tokio::task::JoinHandle<String>,
}

fn api(folder: &Path, config: &str) -> Command {
    let file = folder.join("config.yaml");
    std::fs::write(&file, config).unwrap();
    let mut command = hyperfleet();
    command.args([
        "api",
        "--port",
        "0",
        "--health-port=0",
        "--metrics-port=0",
        "--config",
    ]);
    command.arg(file).arg("--data-dir").arg(folder.join("data"));
    command
}

impl Api {
    async fn start(mut command: Command) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = process.stderr.take().unwrap();
        let log = tokio::spawn(async move {
            let mut text = String::new();
            errors.read_to_string(&mut text).await.unwrap();
            text
        });
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut places = Vec::new();
        let started = tokio::time::timeout(DEADLINE, async {
            while let Some(line) = output.next_line().await.unwrap() {
                let mut words = line.split_whitespace();
                match (words.next(), words.next()) {
                    (Some("API" | "health" | "metrics"), Some(url)) => places.push(url.to_owned()),
                    (Some("database"), _) => return,
                    _ => {}
                }
            }
        })
        .await;
        let Ok([url, health, metrics]) = <[String; 3]>::try_from(places) else {
            panic!("it did not start ({started:?}): {}", log.await.unwrap());
        };
        Self {
            process,
            url,
            health,
            metrics,
            _output: output,
            log,
        }
    }

    fn path(&self, path: &str) -> String {
        format!("{}/api/hyperfleet/v1/{path}", self.url)
    }

    async fn get(&self, path: &str) -> Value {
        reqwest::get(self.path(path))
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let request = reqwest::Client::new()
            .request(method, self.path(path))
            .json(body);
        let answer = request.send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{path}: {:?}",
            answer.text().await
        );
        answer.json().await.unwrap()
    }

    async fn scrape(&self) -> String {
        let url = format!("{}/metrics", self.metrics);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    fn signal(&self) {
        let pid = self.process.id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for a clean end and returns the log.
    async fn ended(mut self) -> String {
        let status = tokio::time::timeout(DEADLINE, self.process.wait()).await;
        let status = status.expect("it stops in time").unwrap();
        let log = self.log.await.unwrap();
        assert!(status.success(), "{status}: {log}");
        log
    }

    async fn stop(self) -> String {
        self.signal();
        self.ended().await
    }
}

fn cluster() -> Value {
    json!({"kind": "Cluster", "name": "abc", "spec": {}})
}

/// The value in the one line of a scrape that begins so.
#[track_caller]
fn shown<'a>(scrape: &'a str, beginning: &str) -> &'a str {
    let line = scrape.lines().find(|line| line.starts_with(beginning));
    let line = line.unwrap_or_else(|| panic!("no {beginning} in\n{scrape}"));
    line.rsplit(' ').next().unwrap()
}

/// Asserts that something was counted.
#[track_caller]
fn assert_counted(scrape: &str, beginning: &str) {
    let value: f64 = shown(scrape, beginning).parse().unwrap();
    assert!(value >= 1.0, "{beginning} is {value}");
}

#[tokio::test]
async fn case_235_to_237_requests_and_resources_are_metered() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::start(api(folder.path(), "")).await;
    let created = api
        .send(reqwest::Method::POST, "clusters", &cluster())
        .await;
    let path = format!("clusters/{}", created["id"].as_str().unwrap());
    api.get(&path).await;
    let scrape = api.scrape().await;
    let version = env!("CARGO_PKG_VERSION");
    assert_counted(
        &scrape,
        &format!(
            r#"hyperfleet_api_requests_total{{code="200",component="api",method="GET",path="/api/hyperfleet/v1/clusters/-",version="{version}"}}"#
        ),
    );
    let labelled = |name: &str, kind: &str, is_delete| {
        format!(
            r#"hyperfleet_api_{name}{{component="api",is_delete="{is_delete}",resource_type="{kind}",version="{version}"}}"#
        )
    };
    let pending = "resource_pending_reconciliation";
    for (name, kind, expected) in [
        (pending.to_owned(), "cluster", "1"),
        (format!("{pending}_stuck"), "cluster", "0"),
        (format!("{pending}_stuck_duration_seconds"), "cluster", "0"),
        ("reconciliation_started_total".to_owned(), "Cluster", "1"),
    ] {
        let name = labelled(&name, kind, false);
        assert_eq!(shown(&scrape, &name), expected, "{name}");
    }
    assert_eq!(shown(&scrape, "hyperfleet_api_build_info{"), "1");
    for counted in [
        "hyperfleet_db_connections_open{",
        r#"hyperfleet_db_query_duration_seconds_count{component="api",operation="query",table="resources""#,
        "hyperfleet_event_store_batch_transactions_count",
        "process_resident_memory_bytes",
    ] {
        assert_counted(&scrape, counted);
    }
    api.send(reqwest::Method::DELETE, &path, &Value::Null).await;
    let scrape = api.scrape().await;
    assert_eq!(shown(&scrape, &labelled(pending, "cluster", true)), "1");
    api.stop().await;
}

#[tokio::test]
async fn case_238_requests_are_logged_without_what_is_masked() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::start(api(folder.path(), "logging: {level: info}\n")).await;
    let request = reqwest::Client::new().get(api.path("clusters/none"));
    let request = request
        .bearer_auth("top-secret")
        .header("user-agent", "a-test");
    let answer = request.send().await.unwrap();
    let request_id = answer.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let log = api.stop().await;
    assert!(!log.contains("top-secret"), "{log}");
    let read = |line| serde_json::from_str(line).unwrap();
    let lines: Vec<Value> = log.lines().map(read).collect();
    let line = |message: &str| {
        let is_it = |line: &&Value| line["message"] == message && line["request_id"] == request_id;
        lines
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("no {message:?} in {log}"))
    };
    let received = line("HTTP request received");
    assert_eq!(received["headers"]["authorization"], "***");
    assert_eq!(received["method"], "GET");
    assert_eq!(received["user_agent"], "a-test");
    let from = received["remote_addr"].as_str().unwrap();
    assert!(from.starts_with("127.0.0.1:"), "{from}");
    let completed = line("HTTP request completed");
    assert_eq!(completed["status_code"], 404);
    for key in [
        "timestamp",
        "source",
        "component",
        "version",
        "hostname",
        "trace_id",
        "span_id",
    ] {
        assert!(
            completed[key].is_string(),
            "{key} is missing in {completed}"
        );
    }
    let refused = line("Client error response");
    assert_eq!(refused["code"], "HYPERFLEET-NTF-001");
    assert_eq!(refused["http_code"], 404);
    assert_eq!(refused["reason"], "Cluster with id='none' not found");
}

#[tokio::test]
async fn case_239_a_request_in_flight_is_finished_and_readiness_says_so() {
    use tokio::io::AsyncWriteExt as _;
    let folder = tempfile::tempdir().unwrap();
    let config = "server: {timeouts: {read: 60s, write: 60s}}\nhealth: {shutdown_timeout: 60s}\n";
    let api = Api::start(api(folder.path(), config)).await;
    let ready = format!("{}/readyz", api.health);
    assert_eq!(reqwest::get(&ready).await.unwrap().status(), 200);
    // A request whose body has only begun to arrive.
    let address = api.url.strip_prefix("http://").unwrap();
    let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = cluster().to_string();
    let head = format!(
        "POST /api/hyperfleet/v1/clusters HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&body.as_bytes()[..5]).await.unwrap();
    let scrape = api.scrape().await;
    assert!(!scrape.is_empty());
    api.signal();
    eventually(DEADLINE, "readiness tells of the end", async || {
        let answer = reqwest::get(&ready).await.ok()?;
        let status = answer.status();
        let body: Value = answer.json().await.ok()?;
        let told = status == 503 && body["status"] == "shutting_down";
        assert!(!told || body["reason"] == "Application is shutting down");
        told.then_some(())
    })
    .await;
    slow.write_all(&body.as_bytes()[5..]).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    api.ended().await;
}

#[tokio::test]
async fn case_240_what_cannot_be_used_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (config, expected) in [
        (
            "server: {prot: 1}\n",
            "config.yaml:1:10: unknown key `server.prot`; did you mean `server.port`?",
        ),
        (
            "server: {openapi_schema_path: /none.yaml}\n",
            "/none.yaml, which server.openapi_schema_path names",
        ),
        (
            "entities: [{kind: A, plural: resources}]\n",
            "the plural 'resources' of kind 'A' is a fixed route",
        ),
        ("server: {host: 0.0.0.0}\n", "--insecure"),
    ] {
        let output = api(folder.path(), config).output().await.unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    }
    assert!(
        !folder.path().join("data").exists(),
        "nothing is made before the refusal"
    );
}

#[tokio::test]
async fn case_241_the_dump_tells_what_holds_and_why_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(
        &file,
        "server: {port: 1, host: 127.0.0.2}\ndatabase: {password: hunter2}\n",
    )
    .unwrap();
    let dump = async |arguments: &[&str], variable: &str| {
        let mut command = hyperfleet();
        command
            .args(["config", "dump", "--config"])
            .arg(&file)
            .args(arguments);
        let output = command
            .env("HYPERFLEET_SERVER_PORT", variable)
            .output()
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = dump(&[], "").await;
    assert!(
        plain.contains("port: 1\n") && !plain.contains("hunter2"),
        "{plain}"
    );
    let by_variable = dump(&["--origin"], "2").await;
    assert!(
        by_variable.contains("port: 2  # HYPERFLEET_SERVER_PORT"),
        "{by_variable}"
    );
    assert!(by_variable.contains("config.yaml:1:25"), "{by_variable}");
    assert!(
        by_variable.contains("\"***REDACTED***\"") && !by_variable.contains("hunter2"),
        "{by_variable}"
    );
    let by_flag = dump(&["--origin", "--server-port", "3"], "2").await;
    assert!(by_flag.contains("port: 3  # --server-port"), "{by_flag}");
    // What is dumped can be read again.
    let again = folder.path().join("again.yaml");
    std::fs::write(&again, by_flag.replace("\"***REDACTED***\"", "x")).unwrap();
    let read = hyperfleet()
        .args(["config", "dump", "--config"])
        .arg(&again)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(read.stderr).unwrap();
    assert!(read.status.success(), "{said}");
}

#[tokio::test]
async fn serve_is_the_api_and_takes_its_flags() {
    let output = hyperfleet()
        .args([
            "serve",
            "--server-jwt-enabled=false",
            "--log-level",
            "loud,",
            "-f",
            "json",
        ])
        .args([
            "--db-host",
            "db",
            "--server-host=0.0.0.0",
            "--metrics-tls-enabled=false",
        ])
        .args(["--health-shutdown-timeout", "5m"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "--health-shutdown-timeout: `health.shutdown_timeout` must be between 1 s and 120 s, not 5m";
    assert!(said.contains(expected), "{said}");
}

fn with_adapters(adapters: &str) -> String {
    format!(
        "logging: {{level: info}}\nentities:\n  - {{kind: Cluster, plural: clusters, required_adapters: [{adapters}]}}\n"
    )
}

async fn reconciled(api: &Api, id: &str, expected: &str) {
    let path = format!("clusters/{id}");
    eventually(DEADLINE, &format!("Reconciled is {expected}"), async || {
        let cluster = api.get(&path).await;
        let conditions = cluster["status"]["conditions"].as_array().unwrap().clone();
        let reconciled = conditions
            .iter()
            .find(|condition| condition["type"] == "Reconciled");
        (reconciled.unwrap()["status"] == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn changed_rules_evaluate_existing_resources_again_as_recorded_events() {
    let folder = tempfile::tempdir().unwrap();
    let running = Api::start(api(folder.path(), &with_adapters("alpha"))).await;
    let created = running
        .send(reqwest::Method::POST, "clusters", &cluster())
        .await;
    let id = created["id"].as_str().unwrap();
    let report = json!({"adapter": "alpha", "observed_generation": 1, "conditions": [
        {"type": "Available", "status": "True"}, {"type": "Applied", "status": "True"},
        {"type": "Health", "status": "True"}]});
    let statuses = format!("clusters/{id}/statuses");
    running.send(reqwest::Method::PUT, &statuses, &report).await;
    reconciled(&running, id, "True").await;
    running.stop().await;

    let running = Api::start(api(folder.path(), &with_adapters("alpha, beta"))).await;
    reconciled(&running, id, "False").await;
    let history = running.get(&format!("clusters/{id}/history")).await;
    let last = history["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["type"], "hyperfleet.resource.conditions_changed");
    assert_eq!(last["cause"], "configuration");
    assert_eq!(last["actor"], "system@hyperfleet.local");
    running.stop().await;

    // The same rules again record nothing.
    let running = Api::start(api(folder.path(), &with_adapters("alpha, beta"))).await;
    eventually(DEADLINE, "nothing is left to do", async || {
        let scrape = running.scrape().await;
        (shown(&scrape, "hyperfleet_reevaluation_pending_kinds") == "0").then_some(())
    })
    .await;
    let same = running.get(&format!("clusters/{id}/history")).await;
    assert_eq!(same["total"], history["total"]);
    running.stop().await;

    let running = Api::start(api(folder.path(), &with_adapters("alpha"))).await;
    reconciled(&running, id, "True").await;
    running.stop().await;
}

/// Enough for several batches.
const CLUSTERS: usize = 150;

/// How many clusters of the fleet wait for that adapter, by what their condition says.
async fn waiting_for(api: &Api, adapter: &str) -> usize {
    let mut waiting = 0;
    for page in 1..=CLUSTERS.div_ceil(100) {
        let list = api.get(&format!("clusters?size=100&page={page}")).await;
        let says = |cluster: &&Value| {
            let message = cluster["status"]["conditions"][0]["message"].as_str();
            message.unwrap().contains(adapter)
        };
        waiting += list["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(says)
            .count();
    }
    waiting
}

#[tokio::test]
async fn a_killed_evaluation_is_taken_up_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let running = Api::start(api(folder.path(), &with_adapters("alpha"))).await;
    for number in 0..CLUSTERS {
        let mut body = cluster();
        body["name"] = json!(format!("abc-{number}"));
        running.send(reqwest::Method::POST, "clusters", &body).await;
    }
    running.stop().await;
    let mut killed = Api::start(api(folder.path(), &with_adapters("alpha, beta"))).await;
    killed.process.kill().await.unwrap();
    let running = Api::start(api(folder.path(), &with_adapters("alpha, beta"))).await;
    eventually(DEADLINE, "every cluster waits for beta", async || {
        (waiting_for(&running, "beta").await == CLUSTERS).then_some(())
    })
    .await;
    eventually(DEADLINE, "nothing is left to do", async || {
        let scrape = running.scrape().await;
        (shown(&scrape, "hyperfleet_reevaluation_pending_kinds") == "0").then_some(())
    })
    .await;
    running.stop().await;
}
