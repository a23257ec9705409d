//! The processes of a control plane, each to be killed and started again.

use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hyperfleet_runtime::postgres::{Postgres, PostgresSettings, PostgresState};
use tokio::process::{Child, Command};

/// How long something may take to be there, on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// How long a stopped process is stopped: longer than most commits, shorter than the server's patience with
/// an idle transaction.
const STOPPED: Duration = Duration::from_millis(300);

/// Below those that systems hand out to clients.
const PORTS: Range<u16> = 15_000..30_000;

const PORT_ATTEMPTS: usize = 100;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Api(usize),
    Postgres,
    Sentinel,
    Follower,
}

impl Victim {
    pub(crate) const ALL: [Self; 5] = [
        Self::Api(0),
        Self::Api(1),
        Self::Postgres,
        Self::Sentinel,
        Self::Follower,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Api(replica) => format!("api-{replica}"),
            Self::Postgres => "postgres".to_owned(),
            Self::Sentinel => "sentinel".to_owned(),
            Self::Follower => "follower".to_owned(),
        }
    }
}

/// Where the programs are, and which bug is planted in them.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) hyperfleet: PathBuf,
    pub(crate) planted: Option<String>,
}

impl Programs {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(bug) = &self.planted {
            command.env("HYPERFLEET_PLANTED_BUG", bug);
        }
        command
    }
}

/// A running control plane on a folder of its own.
pub(crate) struct Processes {
    programs: Programs,
    folder: PathBuf,
    postgres: Postgres,
    ports: [u16; 2],
    apis: [Child; 2],
    sentinel: Child,
    follower: Child,
}

impl Processes {
    pub(crate) async fn start(programs: Programs, folder: &Path) -> Result<Self> {
        let postgres = Postgres::start(PostgresSettings::new(folder)).await?;
        let url = postgres.url();
        let ports = [free_port()?, free_port()?];
        let apis = [
            api(&programs, &url, ports[0])?,
            api(&programs, &url, ports[1])?,
        ];
        let sentinel = own(&programs, &url, "pulse", &folder.join("pulses"))?;
        let follower = own(&programs, &url, "follow", &folder.join("positions"))?;
        let processes = Self {
            programs,
            folder: folder.to_owned(),
            postgres,
            ports,
            apis,
            sentinel,
            follower,
        };
        processes.ready().await?;
        Ok(processes)
    }

    pub(crate) fn database_url(&self) -> String {
        self.postgres.url()
    }

    /// Base URLs of the replicas.
    pub(crate) fn urls(&self) -> Vec<String> {
        let urls = self.ports.iter();
        urls.map(|port| format!("http://127.0.0.1:{port}/api/hyperfleet/v1"))
            .collect()
    }

    pub(crate) fn pulses(&self) -> PathBuf {
        self.folder.join("pulses")
    }

    pub(crate) fn positions(&self) -> PathBuf {
        self.folder.join("positions")
    }

    /// Kills a process as a power cut would, and starts it again.
    pub(crate) async fn kill(&mut self, victim: Victim) -> Result<()> {
        let url = self.postgres.url();
        match victim {
            Victim::Postgres => {
                let state = *self.postgres.state().borrow();
                // Its supervisor starts it again.
                if let PostgresState::Ready { pid, .. } = state {
                    signal("-KILL", pid)?;
                }
            }
            Victim::Api(replica) => {
                self.apis[replica].kill().await?;
                self.apis[replica] = api(&self.programs, &url, self.ports[replica])?;
            }
            Victim::Sentinel => {
                self.sentinel.kill().await?;
                self.sentinel = own(&self.programs, &url, "pulse", &self.pulses())?;
            }
            Victim::Follower => {
                self.follower.kill().await?;
                self.follower = own(&self.programs, &url, "follow", &self.positions())?;
            }
        }
        Ok(())
    }

    /// Stops a replica for a moment, as a machine without time to spare would.
    pub(crate) async fn pause(&self, replica: usize) -> Result<()> {
        let pid = self.apis[replica].id().context("the replica runs")?;
        signal("-STOP", pid)?;
        tokio::time::sleep(STOPPED).await;
        signal("-CONT", pid)
    }

    /// Waits until both replicas serve.
    pub(crate) async fn ready(&self) -> Result<()> {
        let http = reqwest::Client::new();
        for url in self.urls() {
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
            ensure!(served.is_ok(), "{url} does not serve within {DEADLINE:?}");
        }
        Ok(())
    }

    /// Ends everything.
    pub(crate) async fn stop(mut self) -> Result<()> {
        for child in self
            .apis
            .iter_mut()
            .chain([&mut self.sentinel, &mut self.follower])
        {
            child.kill().await?;
        }
        self.postgres.stop().await?;
        Ok(())
    }
}

fn api(programs: &Programs, database_url: &str, port: u16) -> Result<Child> {
    let mut command = programs.command(&programs.hyperfleet);
    command
        .args(["api", "--log-level", "off", "--database-url", database_url])
        .args([
            "--port",
            &port.to_string(),
            "--health-port",
            "0",
            "--metrics-port",
            "0",
        ]);
    command.spawn().context("cannot start a replica of the API")
}

/// Another role of this program.
fn own(programs: &Programs, database_url: &str, role: &str, journal: &Path) -> Result<Child> {
    let program = std::env::current_exe().context("this program has no file")?;
    let mut command = programs.command(&program);
    command
        .args([role, "--database-url", database_url, "--journal"])
        .arg(journal);
    command
        .spawn()
        .with_context(|| format!("cannot start {role}"))
}

/// A port that only who asks for it gets: one that the system hands out itself could be a client's own while
/// its server is away, and the server could not come back.
fn free_port() -> Result<u16> {
    (0..PORT_ATTEMPTS)
        .map(|_| rand::random_range(PORTS))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port for an API")
}

fn signal(name: &str, pid: u32) -> Result<()> {
    let sent = std::process::Command::new("kill")
        .args([name, &pid.to_string()])
        .status()?;
    ensure!(sent.success(), "cannot send {name} to {pid}");
    Ok(())
}
