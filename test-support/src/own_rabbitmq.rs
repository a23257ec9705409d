//! A RabbitMQ server of a test's own, which can be killed and started again.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::eventually;

/// Where packages put the server. Not the one on the path, which changes the user.
const PROGRAMS: [&str; 3] = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/homebrew/sbin/rabbitmq-server",
    "/usr/local/sbin/rabbitmq-server",
];

/// How long starting may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(90);

/// Ends the server and its name service when its standard input ends, which is also when the test does.
const SCRIPT: &str = r#"
epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" & names=$!
"$0" >>"$HOME/output" 2>&1 & server=$!
read -r _
kill -9 $server $names
wait
"#;

/// Where a server answers with encryption, and by which certificate.
#[derive(Debug)]
pub struct ServerCertificate<'a> {
    /// The certificates of who signed it, in PEM.
    pub signers: &'a str,
    /// The server's own, in PEM.
    pub certificate: &'a str,
    /// Its private key, in PEM.
    pub key: &'a str,
}

/// A server with an account `guest` and nothing else. It keeps its data over its deaths, and ends with the test.
#[derive(Debug)]
pub struct OwnRabbitMq {
    folder: tempfile::TempDir,
    /// For the protocol, the protocol with encryption, the name service and its clients.
    ports: [u16; 4],
    running: Option<Child>,
}

impl OwnRabbitMq {
    /// A running server; nothing, and a line that says so, where it is not installed.
    ///
    /// # Panics
    /// When it does not start, or is not installed although `HYPERFLEET_REQUIRE_ALL=1`.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no configuration but their environment"
    )]
    #[expect(
        clippy::print_stderr,
        reason = "a test that is skipped says so, and has no other way"
    )]
    pub async fn start(encrypted: Option<&ServerCertificate<'_>>) -> Option<Self> {
        if program().is_none() {
            let required = std::env::var("HYPERFLEET_REQUIRE_ALL").is_ok_and(|value| value == "1");
            assert!(
                !required,
                "no RabbitMQ: install it (Debian, Ubuntu: package `rabbitmq-server`)"
            );
            eprintln!("skipped: RabbitMQ is not installed");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let ports = free_ports();
        write_settings(folder.path(), ports, encrypted);
        let mut server = Self {
            folder,
            ports,
            running: None,
        };
        server.restart().await;
        Some(server)
    }

    /// Where it answers, `host:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// URL of its first virtual host.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.host())
    }

    /// URL with encryption, for servers that have it.
    pub fn encrypted_url(&self) -> String {
        format!("amqps://guest:guest@127.0.0.1:{}/%2f", self.ports[1])
    }

    /// Kills it as a failure of power would: nothing is finished, nothing is said.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.stdin.take());
            let _ = running.wait();
        }
    }

    /// Starts it again on its data, and returns when it takes connections.
    ///
    /// # Panics
    /// When it does not.
    pub async fn restart(&mut self) {
        self.kill();
        let program = program().expect("it is installed");
        self.running = Some(spawn(&program, self.folder.path(), self.ports));
        let host = self.host();
        eventually(DEADLINE, "RabbitMQ", async || {
            tokio::net::TcpStream::connect(&host).await
        })
        .await;
    }
}

impl Drop for OwnRabbitMq {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> Option<PathBuf> {
    let mut programs = PROGRAMS.into_iter().map(PathBuf::from);
    programs.find(|program| program.is_file())
}

/// Ports below those that systems hand out to clients: the server comes back on the same ones, and meanwhile
/// nobody else is to get them.
fn free_ports() -> [u16; 4] {
    let begin = u16::try_from(std::process::id() % 15_000).expect("less than 65,536");
    let mut listeners = (begin..15_000)
        .chain(0..begin)
        .filter_map(|offset| TcpListener::bind(("127.0.0.1", 15_000 + offset)).ok());
    // All of them stay open until there are four.
    let taken = [(); 4].map(|()| listeners.next().expect("a free port"));
    taken.map(|listener| listener.local_addr().expect("it is bound").port())
}

fn write_settings(folder: &Path, ports: [u16; 4], encrypted: Option<&ServerCertificate<'_>>) {
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("the folder can be written to");
        path.display().to_string()
    };
    let plain = format!("listeners.tcp.1 = 127.0.0.1:{}\n", ports[0]);
    let encrypted = encrypted.map(|certificate| {
        format!(
            "listeners.ssl.1 = 127.0.0.1:{}\nssl_options.verify = verify_none\n\
             ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n",
            ports[1],
            file("ca.pem", certificate.signers),
            file("server.pem", certificate.certificate),
            file("key.pem", certificate.key),
        )
    });
    file("rabbitmq.conf", &(plain + &encrypted.unwrap_or_default()));
    file("plugins", "[].\n");
}

fn spawn(program: &Path, folder: &Path, ports: [u16; 4]) -> Child {
    let [port, _, names, distribution] = ports;
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
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
        // Its script then becomes the server instead of waiting for it.
        .env("RABBITMQ_ALLOW_INPUT", "1")
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
        )
        .spawn()
        .expect("a shell for RabbitMQ")
}
