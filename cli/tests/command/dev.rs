//! A `hyperfleet dev` process and user commands against it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a start may take, recovery after a crash and a busy machine included.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// The built command.
pub(crate) fn hyperfleet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperfleet"));
    command
        .kill_on_drop(true)
        .env_remove("HYPERFLEET_SERVER")
        .env_remove("HYPERFLEET_DATA_DIR")
        .env_remove("HYPERFLEET_CONFIG");
    command
}

/// A running control plane.
pub(crate) struct Dev {
    process: Child,
    pub(crate) url: String,
    /// Kept open: a closed pipe would fail the process's prints.
    output: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Dev {
    /// Starts on free ports and waits until the API's address is printed, which is when it answers.
    pub(crate) async fn start(data_dir: &Path) -> Self {
        Self::start_role(&["dev", "--job-delay", "200"], data_dir, "0").await
    }

    /// As [`Self::start`], the API alone: nothing works on what is created.
    pub(crate) async fn start_api(data_dir: &Path) -> Self {
        Self::start_api_on_port(data_dir, "0").await
    }

    /// As [`Self::start_api`], on a port that is known to be free.
    pub(crate) async fn start_api_on_port(data_dir: &Path, port: &str) -> Self {
        Self::start_role(&["api"], data_dir, port).await
    }

    /// As [`Self::start_api`], on a database that is there already.
    pub(crate) async fn start_api_on(database_url: &str) -> Self {
        let role = ["api", "--database-url", database_url];
        Self::start_process(hyperfleet().args(role), "0").await
    }

    /// A role with these variables in its environment.
    pub(crate) async fn start_with(
        role: &[&str],
        data_dir: &Path,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = hyperfleet();
        command.args(role).arg("--data-dir").arg(data_dir);
        command.envs(environment.iter().copied());
        Self::start_process(&mut command, "0").await
    }

    /// The address of its metrics, which is printed after that of its API.
    pub(crate) async fn metrics_url(&mut self) -> String {
        let url = tokio::time::timeout(START_DEADLINE, async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                if let Some(url) = line.trim().strip_prefix("metrics ") {
                    return url.trim().to_owned();
                }
            }
            panic!("hyperfleet ended before it printed the address of its metrics");
        });
        url.await.expect("it is printed in time")
    }

    async fn start_role(role: &[&str], data_dir: &Path, port: &str) -> Self {
        let mut command = hyperfleet();
        command.args(role).arg("--data-dir").arg(data_dir);
        Self::start_process(&mut command, port).await
    }

    /// Its process, for signals.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    async fn start_process(command: &mut Command, port: &str) -> Self {
        let mut process = command
            .args(["--port", port, "--health-port", "0"])
            .args(["--metrics-port", "0"])
            .args(["--log-level", "warn"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = tokio::time::timeout(START_DEADLINE, async {
            while let Some(line) = output.next_line().await.unwrap() {
                if let Some(url) = line.trim().strip_prefix("API ") {
                    return url.trim().to_owned();
                }
            }
            panic!("hyperfleet ended before it printed its address");
        })
        .await
        .expect("it starts in time");
        Self {
            process,
            url,
            output,
        }
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Ends it as an operator would, and expects a clean end.
    pub(crate) async fn stop(mut self) {
        let pid = self.process.id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let status = tokio::time::timeout(START_DEADLINE, self.process.wait())
            .await
            .expect("it stops in time")
            .unwrap();
        assert!(status.success(), "{status}");
    }

    /// Runs a user command against it.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        hyperfleet()
            .args(arguments)
            .env("HYPERFLEET_SERVER", &self.url)
            .output()
            .await
            .unwrap()
    }

    /// Runs a user command that must succeed, and returns what it printed.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a user command that must fail, and returns its complaint.
    pub(crate) async fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(
            !output.status.success(),
            "{arguments:?} succeeded: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stderr).unwrap()
    }
}

/// A file with a cluster of that name.
pub(crate) fn cluster_file(folder: &Path, name: &str) -> PathBuf {
    let document = serde_json::json!({
        "kind": "Cluster", "name": name, "labels": {"environment": "test"},
        "spec": {
            "platform": {"type": "gcp", "gcp": {"projectID": "acme-test-1", "region": "europe-west1"}},
            "release": {"image": "quay.io/openshift-release-dev/ocp-release:4.22.3-multi"},
            "networking": {"clusterNetwork": [{"cidr": "10.132.0.0/14"}], "serviceNetwork": [{"cidr": "172.31.0.0/16"}]},
            "dns": {"baseDomain": "acme.example.com"}
        }
    });
    write(folder, name, &document)
}

/// A file with a node pool of that name.
pub(crate) fn node_pool_file(folder: &Path, name: &str) -> PathBuf {
    let document = serde_json::json!({
        "kind": "NodePool", "name": name,
        "spec": {"replicas": 2, "platform": {"type": "gcp", "gcp": {"machineType": "n2-standard-4"}},
            "release": {"image": "quay.io/openshift-release-dev/ocp-release:4.22.3-multi"}}
    });
    write(folder, name, &document)
}

fn write(folder: &Path, name: &str, document: &serde_json::Value) -> PathBuf {
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, document.to_string()).unwrap();
    path
}
