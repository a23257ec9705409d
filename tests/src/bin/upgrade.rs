//! Replaces the API of one version by that of the next under load, as a rolling upgrade does, and checks that
//! nobody noticed. `cargo xtask upgrade` builds both versions and runs it.
//!
//! The newer replica migrates the database while the older one serves; then both serve; then the older one
//! is ended. Clients write through either and read what they wrote through the other.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use hyperfleet_runtime::postgres::{Postgres, PostgresSettings};
use rand::prelude::*;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// Clients at the same time.
const CLIENTS: usize = 16;

/// Within this, a replica serves, a request is answered and a replica ends.
const DEADLINE: Duration = Duration::from_mins(1);

/// Replace the API of one version by that of the next under load.
#[derive(Debug, Parser)]
struct Arguments {
    /// `hyperfleet` of the older version.
    #[arg(long)]
    old: PathBuf,
    /// `hyperfleet` of the newer version.
    #[arg(long)]
    new: PathBuf,
    /// How long each phase is, in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    // An error means that it was chosen already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for people.
#[expect(clippy::print_stdout, reason = "a command for people")]
fn say(line: &str) {
    println!("{line}");
}

async fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let postgres = Postgres::start(PostgresSettings::new(folder.path())).await?;
    let database = postgres.url();
    let phase = Duration::from_secs(arguments.seconds);
    let serving = Serving::default();
    let old = Replica::start(&arguments.old, &database).await?;
    serving.replace(vec![old.url.clone()]);

    let done = CancellationToken::new();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(work(number, serving.clone(), done.clone())))
        .collect();
    tokio::time::sleep(phase).await;
    let new = Replica::start(&arguments.new, &database).await?;
    say("the newer version serves beside the older one");
    serving.replace(vec![old.url.clone(), new.url.clone()]);
    tokio::time::sleep(phase).await;
    serving.replace(vec![new.url.clone()]);
    old.end().await?;
    say("the older version ended");
    tokio::time::sleep(phase).await;
    done.cancel();

    let (mut clusters, mut requests) = (Vec::new(), 0);
    for client in clients {
        let done = client.await.context("a client panicked")??;
        requests += done.requests;
        clusters.extend(done.clusters);
    }
    say(&format!(
        "{requests} requests, none of which failed; {} clusters",
        clusters.len()
    ));
    let http = reqwest::Client::new();
    for cluster in &clusters {
        let answer = http
            .get(format!("{}/clusters/{}", new.url, cluster.id))
            .send()
            .await?;
        let document: Value = answer.json().await?;
        let found = document["generation"].as_u64();
        ensure!(
            found == Some(cluster.generation),
            "{} is at generation {found:?}, but was told {}",
            cluster.id,
            cluster.generation
        );
    }
    proven(&arguments.new, &database).await?;
    new.end().await?;
    postgres.stop().await?;
    Ok(())
}

/// Read models equal the log, chains hold, and nothing is parked.
async fn proven(program: &Path, database: &str) -> Result<()> {
    for (command, expected) in [
        (vec!["replay", "verify"], "equal"),
        (vec!["replay", "verify", "--chains"], "every chain is whole"),
        (vec!["replay", "parked", "list"], "nothing is parked"),
    ] {
        let output = Command::new(program)
            .args(&command)
            .args(["--database-url", database])
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && said.contains(expected),
            "{command:?} ended with {}: {said}{complaint}",
            output.status
        );
        say(&format!(
            "{}: {}",
            command.join(" "),
            said.lines()
                .find(|line| line.contains(expected))
                .unwrap_or_default()
        ));
    }
    Ok(())
}

/// A process of the API.
struct Replica {
    url: String,
    process: Child,
}

impl Replica {
    /// Starts one and waits until it serves.
    async fn start(program: &Path, database: &str) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new(program)
            .args(["api", "--log-level", "error", "--database-url", database])
            .args([
                "--port",
                &port.to_string(),
                "--health-port",
                "0",
                "--metrics-port",
                "0",
            ])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let url = format!("http://127.0.0.1:{port}/api/hyperfleet/v1");
        let http = reqwest::Client::new();
        let serves = async {
            loop {
                let answer = http.get(format!("{url}/clusters?size=1")).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let served = tokio::time::timeout(DEADLINE, serves).await;
        ensure!(
            served.is_ok(),
            "{} does not serve within {DEADLINE:?}",
            program.display()
        );
        Ok(Self { url, process })
    }

    /// Asks it to end, as an orchestrator does.
    async fn end(mut self) -> Result<()> {
        let pid = self.process.id().context("the replica ended by itself")?;
        let sent = Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await?;
        ensure!(sent.success(), "cannot end {pid}");
        let ended = tokio::time::timeout(DEADLINE, self.process.wait()).await;
        let status = ended.context("the replica does not end")??;
        ensure!(status.success(), "the replica ended with {status}");
        Ok(())
    }
}

/// Where requests can go at present.
#[derive(Clone, Default)]
struct Serving(Arc<RwLock<Vec<String>>>);

impl Serving {
    fn replace(&self, urls: Vec<String>) {
        *self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = urls;
    }

    fn one(&self) -> String {
        let urls = self
            .0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        urls.choose(&mut rand::rng()).cloned().unwrap_or_default()
    }
}

struct Cluster {
    id: String,
    generation: u64,
}

#[derive(Default)]
struct Done {
    requests: u64,
    clusters: Vec<Cluster>,
}

/// Creates, changes and reports, and reads what it wrote through any replica.
async fn work(number: usize, serving: Serving, done: CancellationToken) -> Result<Done> {
    let http = reqwest::Client::new();
    let mut made = Done::default();
    while !done.is_cancelled() {
        let step = made.requests;
        let chosen = rand::rng().random_range(0..made.clusters.len() + 1);
        let Some(cluster) = made.clusters.get_mut(chosen) else {
            let document =
                json!({"kind": "Cluster", "name": format!("c{number}-{step}"), "spec": {}});
            let created = send(
                &http,
                &serving,
                reqwest::Method::POST,
                "clusters",
                &document,
            )
            .await?;
            let id = created["id"]
                .as_str()
                .context("a created cluster has an id")?;
            made.clusters.push(Cluster {
                id: id.to_owned(),
                generation: 1,
            });
            made.requests += 1;
            continue;
        };
        let path = format!("clusters/{}", cluster.id);
        let change = json!({"spec": {"step": step}});
        send(&http, &serving, reqwest::Method::PATCH, &path, &change).await?;
        cluster.generation += 1;
        let report = report(cluster.generation, step);
        send(
            &http,
            &serving,
            reqwest::Method::PUT,
            &format!("{path}/statuses"),
            &report,
        )
        .await?;
        let read = send(&http, &serving, reqwest::Method::GET, &path, &Value::Null).await?;
        ensure!(
            read["generation"].as_u64() == Some(cluster.generation),
            "{path} was read at generation {} after {} was acknowledged",
            read["generation"],
            cluster.generation
        );
        made.requests += 3;
    }
    Ok(made)
}

fn report(generation: u64, step: u64) -> Value {
    let status = if step.is_multiple_of(2) {
        "True"
    } else {
        "False"
    };
    let condition = |name: &str| json!({"type": name, "status": status, "reason": "Step", "message": step.to_string()});
    json!({
        "adapter": "validation", "observed_generation": generation,
        "conditions": [condition("Applied"), condition("Available"), condition("Health")],
    })
}

/// Sends a request that has to succeed.
async fn send(
    http: &reqwest::Client,
    serving: &Serving,
    method: reqwest::Method,
    path: &str,
    document: &Value,
) -> Result<Value> {
    let url = format!("{}/{path}", serving.one());
    let mut request = http.request(method.clone(), &url).timeout(DEADLINE);
    if !document.is_null() {
        request = request.json(document);
    }
    let answer = request
        .send()
        .await
        .with_context(|| format!("{method} {url}"))?;
    let status = answer.status();
    let body = answer
        .text()
        .await
        .with_context(|| format!("{method} {url}"))?;
    if !status.is_success() {
        bail!("{method} {url} was answered with {status}: {body}");
    }
    Ok(serde_json::from_str(&body).unwrap_or_default())
}
