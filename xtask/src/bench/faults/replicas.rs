//! Replicas that are killed, stopped and told another time.
//!
//! Their clocks are set by libfaketime, which answers for the system: only the wall clock, as an operator or a time
//! server would; timers go on.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{postgres, process};

const REPLICAS: usize = 3;

/// How long a stopped one stands still: twice as long as its claims last.
const STOPPED: Duration = Duration::from_secs(30);

/// How long a killed one stays away.
const KILLED: Duration = Duration::from_secs(2);

/// Where packages put the library.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// What happens to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Stop,
    Ahead,
    Behind,
}

impl Fault {
    pub(super) const ALL: [Self; 4] = [Self::Kill, Self::Stop, Self::Ahead, Self::Behind];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::Stop => "stopped for 30 s",
            Self::Ahead => "set 60 s ahead",
            Self::Behind => "set 60 s behind",
        }
    }
}

struct Replica {
    child: Child,
    /// What its clock says, as libfaketime reads it.
    clock: PathBuf,
    metrics: u16,
}

/// Running replicas. Dropping them ends them.
pub(super) struct Replicas {
    replicas: Vec<Replica>,
    library: PathBuf,
    database: String,
    broker: String,
    /// Late publishes of those that were killed.
    fenced_before: f64,
    folder: tempfile::TempDir,
}

impl Replicas {
    pub(super) fn start(program: &Path, database: &str, broker: &str) -> Result<Self> {
        let mut replicas = Self {
            replicas: Vec::new(),
            library: find_or_install()?,
            database: database.to_owned(),
            broker: broker.to_owned(),
            fenced_before: 0.0,
            folder: tempfile::tempdir()?,
        };
        for number in 0..REPLICAS {
            let replica = replicas.spawn(program, number)?;
            replicas.replicas.push(replica);
        }
        Ok(replicas)
    }

    fn spawn(&self, program: &Path, number: usize) -> Result<Replica> {
        let clock = self.folder.path().join(format!("clock-{number}"));
        set(&clock, "+0")?;
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(program)
            .arg("sentinel")
            .args(["--log-level", "error", "--health-port", "0"])
            .args(["--metrics-port", &metrics.to_string()])
            .env("HYPERFLEET_DATABASE_URL", &self.database)
            .env("HYPERFLEET_BROKER", &self.broker)
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Replica {
            child,
            clock,
            metrics,
        })
    }

    /// One fault after the other, each on the next replica; which there were.
    pub(super) async fn break_often(
        &mut self,
        program: &Path,
        duration: Duration,
        pause: Duration,
    ) -> Result<Vec<Fault>> {
        let end = Instant::now() + duration;
        let mut broken = Vec::new();
        for turn in 0.. {
            tokio::time::sleep(pause).await;
            let fault = Fault::ALL[turn % Fault::ALL.len()];
            if Instant::now() >= end {
                break;
            }
            self.fault(program, turn % REPLICAS, fault).await?;
            broken.push(fault);
        }
        Ok(broken)
    }

    async fn fault(&mut self, program: &Path, number: usize, fault: Fault) -> Result<()> {
        let replica = &mut self.replicas[number];
        match fault {
            Fault::Kill => {
                self.fenced_before += fenced(replica.metrics)?;
                replica.child.kill()?;
                replica.child.wait()?;
                tokio::time::sleep(KILLED).await;
                self.replicas[number] = self.spawn(program, number)?;
            }
            Fault::Stop => {
                process::signal(replica.child.id(), "STOP")?;
                tokio::time::sleep(STOPPED).await;
                process::signal(replica.child.id(), "CONT")?;
            }
            Fault::Ahead => set(&replica.clock, "+60")?,
            Fault::Behind => set(&replica.clock, "-60")?,
        }
        Ok(())
    }

    /// How many events were published under claims that had run out.
    pub(super) fn fenced(&self) -> Result<f64> {
        let mut all = self.fenced_before;
        for replica in &self.replicas {
            all += fenced(replica.metrics)?;
        }
        Ok(all)
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for replica in &self.replicas {
            let _ = process::signal(replica.child.id(), "CONT");
            let _ = process::signal(replica.child.id(), "TERM");
        }
        for replica in &mut self.replicas {
            let _ = replica.child.wait();
        }
    }
}

fn set(clock: &Path, offset: &str) -> Result<()> {
    std::fs::write(clock, offset).with_context(|| format!("cannot write {}", clock.display()))
}

/// The counter of late publishes that a replica serves.
fn fenced(port: u16) -> Result<f64> {
    let mut connection =
        TcpStream::connect(("127.0.0.1", port)).context("a replica serves no metrics")?;
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let lines = answer.lines();
    let lines = lines.filter(|line| line.starts_with("hyperfleet_sentinel_fenced_total"));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(values.sum())
}

fn find_or_install() -> Result<PathBuf> {
    if find().is_none() && postgres::can_install() {
        println!("installing libfaketime");
        postgres::install_package("libfaketime")?;
    }
    find().context("libfaketime is missing; install it (Debian, Ubuntu: package `libfaketime`)")
}

fn find() -> Option<PathBuf> {
    let mut paths = LIBRARIES.into_iter().map(PathBuf::from);
    paths.find(|path| path.is_file())
}
