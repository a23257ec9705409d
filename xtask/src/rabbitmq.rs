//! A private RabbitMQ server for the length of one chore.
//!
//! It ends with the chore, however that ends: a shell waits for the end of its standard input, which the chore
//! holds open, and then ends the server and the name service that it needs. Everything listens on loopback.

use std::fmt;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{postgres, workspace};

/// `host:port` of a running server: tests make virtual hosts of their own on it.
pub(crate) const HOST: &str = "HYPERFLEET_TEST_RABBITMQ_HOST";

/// `host:port` of the server's management interface.
pub(crate) const MANAGEMENT: &str = "HYPERFLEET_TEST_RABBITMQ_MANAGEMENT";

/// Where packages put the server. Not the one on the path, which changes the user.
const PROGRAMS: [&str; 3] = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/homebrew/sbin/rabbitmq-server",
    "/usr/local/sbin/rabbitmq-server",
];

/// How long starting may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(90);

const SCRIPT: &str = r#"
epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" & names=$!
"$0" >"$HOME/output" 2>&1 & server=$!
read -r _
kill -9 $server $names
wait
"#;

/// A running server, or one that somebody else runs. Dropping it ends the former.
#[derive(Debug)]
pub(crate) struct Server {
    host: String,
    management: String,
    child: Option<Child>,
    folder: Option<tempfile::TempDir>,
    /// Those of [`free_ports`].
    #[cfg_attr(
        not(feature = "bench"),
        expect(dead_code, reason = "only benchmarks start a server again")
    )]
    ports: [u16; 4],
}

impl Server {
    /// Starts a server, unless one is named in the environment.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub(crate) fn start() -> Result<Self> {
        if let (Some(host), Some(management)) = (named(HOST), named(MANAGEMENT)) {
            return Ok(Self {
                host,
                management,
                child: None,
                folder: None,
                ports: [0; 4],
            });
        }
        let program = find_or_install()?;
        let folder = tempfile::tempdir().context("cannot make a folder for RabbitMQ")?;
        let ports = free_ports()?;
        let child = spawn(&program, folder.path(), ports)?;
        let mut server = Self {
            host: format!("127.0.0.1:{}", ports[0]),
            management: format!("127.0.0.1:{}", ports[1]),
            child: Some(child),
            folder: Some(folder),
            ports,
        };
        server.wait()?;
        Ok(server)
    }

    /// Kills the server as a crash would; what it promised to keep, it keeps.
    ///
    /// # Errors
    /// When it is not this chore's own.
    #[cfg(feature = "bench")]
    pub(crate) fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("RabbitMQ is somebody else's")?;
        drop(child.stdin.take());
        child.wait().context("cannot wait for RabbitMQ").map(drop)
    }

    /// Starts a server that was stopped, with what it kept.
    ///
    /// # Errors
    /// When it does not come up.
    #[cfg(feature = "bench")]
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let folder = self
            .folder
            .as_ref()
            .context("RabbitMQ is somebody else's")?;
        self.child = Some(spawn(&find_or_install()?, folder.path(), self.ports)?);
        self.wait()
    }

    /// Until both interfaces answer.
    fn wait(&mut self) -> Result<()> {
        let started = Instant::now();
        while !(accepts(&self.management) && accepts(&self.host)) {
            let ended = match &mut self.child {
                Some(child) => child.try_wait()?.is_some(),
                None => false,
            };
            if ended || started.elapsed() > DEADLINE {
                let folder = self.folder.as_ref().map(tempfile::TempDir::path);
                let output = folder.map(|folder| folder.join("output"));
                let said = output.and_then(|output| std::fs::read_to_string(output).ok());
                bail!(
                    "RabbitMQ did not start within {DEADLINE:?}; it said: {}",
                    said.unwrap_or_default().trim()
                );
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
        Ok(())
    }

    /// URL of the server's first virtual host.
    #[cfg(feature = "bench")]
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.host)
    }

    /// The variables by which tests find the server.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 2] {
        [(HOST, &self.host), (MANAGEMENT, &self.management)]
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.child {
            Some(_) => write!(formatter, "a private server at {}", self.host),
            None => write!(formatter, "{} of {HOST}", self.host),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// A server that somebody else runs.
#[expect(
    clippy::disallowed_methods,
    reason = "chores have no configuration but their environment"
)]
fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

fn accepts(host: &str) -> bool {
    std::net::TcpStream::connect(host).is_ok()
}

/// Ports for the protocol, the management interface, the name service and its clients.
fn free_ports() -> Result<[u16; 4]> {
    let mut ports = [0; 4];
    let mut listeners = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn spawn(program: &Path, folder: &Path, ports: [u16; 4]) -> Result<Child> {
    let [port, management, names, distribution] = ports;
    let settings = folder.join("rabbitmq.conf");
    std::fs::write(
        &settings,
        format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nmanagement.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n"
        ),
    )?;
    let plugins = folder.join("plugins");
    std::fs::write(&plugins, "[rabbitmq_management].\n")?;
    Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env("HOME", folder)
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", names.to_string())
        .env("RABBITMQ_NODENAME", format!("hyperfleet-{port}@localhost"))
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_CONFIG_FILE", settings)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        // Its script then becomes the server instead of waiting for it.
        .env("RABBITMQ_ALLOW_INPUT", "1")
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
        )
        .spawn()
        .context("cannot start a shell for RabbitMQ")
}

fn find_or_install() -> Result<PathBuf> {
    if let Some(program) = find() {
        return Ok(program);
    }
    let wanted = workspace::everything_is_required() || std::env::var_os("CI").is_some();
    if wanted && postgres::can_install() {
        println!("installing RabbitMQ");
        postgres::install_package("rabbitmq-server")?;
    }
    find().context("install it (Debian, Ubuntu: package `rabbitmq-server`)")
}

fn find() -> Option<PathBuf> {
    PROGRAMS
        .into_iter()
        .map(PathBuf::from)
        .find(|program| program.is_file())
}
