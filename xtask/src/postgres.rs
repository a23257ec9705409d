//! A private PostgreSQL server for the length of one chore.
//!
//! - It has its own data folder, port, password and process group, and listens on the loopback only.
//! - It ends with the chore, however that ends: normally, by an error, by Ctrl-C, or (on Linux) by SIGKILL.

mod binaries;

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

pub(crate) use binaries::{Binaries, can_install, find, install, install_package};

use crate::process;

/// Replaying nothing, a server is up within a second; a loaded machine may need longer.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// How often the server's own state file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Another process may take the port between looking and starting.
const START_ATTEMPTS: usize = 3;

/// Accounts that the server may run as when this process is root, which PostgreSQL refuses to be.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// Whether what the server acknowledges must survive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// As in production.
    #[cfg_attr(
        not(feature = "bench"),
        expect(dead_code, reason = "benchmarks use it")
    )]
    Full,
    /// Nothing is flushed: the data does not outlive the server anyway.
    None,
}

/// A running server; dropping it stops it and removes its data.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
}

#[derive(Debug)]
struct Running {
    child: Child,
    _folder: TempDir,
}

/// The one server of this process, where a signal handler finds it.
static RUNNING: Mutex<Option<Running>> = Mutex::new(None);
static HANDLER: Once = Once::new();

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// When it cannot be created or does not come up.
    pub(crate) fn start(binaries: &Binaries, durability: Durability) -> Result<Self> {
        let account = Account::find()?;
        let folder = tempfile::Builder::new()
            .prefix("hyperfleet-postgres-")
            .tempdir()
            .context("no folder for PostgreSQL's data")?;
        account.own(folder.path())?;
        let password = random_password()?;
        initialise(binaries, &account, folder.path(), &password)?;
        let mut attempt = 1;
        let (child, port) = loop {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match serve(binaries, &account, folder.path(), port, durability) {
                Ok(child) => break (child, port),
                Err(_) if attempt < START_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running {
            child,
            _folder: folder,
        });
        stop_on_signals();
        Ok(Self {
            url: format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres"),
        })
    }

    /// URL of the server, as superuser.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop();
    }
}

/// Stops the server of this process, if there is one, and removes its data.
fn stop() {
    let running = RUNNING
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(mut running) = running {
        // SIGQUIT: at once, without writing what is thrown away anyway.
        let asked = process::signal(running.child.id(), "QUIT");
        if asked.is_err() {
            let _ = running.child.kill();
        }
        let _ = running.child.wait();
    }
}

fn stop_on_signals() {
    HANDLER.call_once(|| {
        let installed = ctrlc::set_handler(|| {
            process::terminate_current();
            stop();
            std::process::exit(130);
        });
        if let Err(error) = installed {
            println!("note: a signal will not stop PostgreSQL: {error}");
        }
    });
}

/// Who runs the server.
struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    fn find() -> Result<Self> {
        if id(&["-u"])? != 0 {
            return Ok(Self { ids: None });
        }
        for name in ACCOUNTS {
            if let (Ok(user), Ok(group)) = (id(&["-u", name]), id(&["-g", name])) {
                return Ok(Self {
                    ids: Some((user, group)),
                });
            }
        }
        bail!(
            "PostgreSQL does not run as root, and there is no account {ACCOUNTS:?}; run as another user"
        )
    }

    fn own(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.ids {
            chown(path, Some(user), Some(group)).with_context(|| {
                format!("cannot hand {} to the server's account", path.display())
            })?;
        }
        Ok(())
    }

    /// A command under this account. On Linux it also ends when this process is killed.
    fn command(&self, program: &Path) -> Command {
        let mut command = if dies_with_parent() {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "INT"]);
            if let Some((user, group)) = self.ids {
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={group}"))
                    .arg("--clear-groups");
            }
            command.arg(program);
            command
        } else {
            let mut command = Command::new(program);
            if let Some((user, group)) = self.ids {
                command.uid(user).gid(group);
            }
            command
        };
        // The caller's folder may be closed to the account.
        command.current_dir("/").stdin(Stdio::null());
        command
    }
}

fn id(arguments: &[&str]) -> Result<u32> {
    let printed = process::output(Command::new("id").args(arguments))?;
    printed
        .trim()
        .parse()
        .with_context(|| format!("`id` printed {printed:?}"))
}

/// Whether util-linux' setpriv can tie a process to this one.
fn dies_with_parent() -> bool {
    process::output(Command::new("setpriv").args(["--pdeathsig", "INT", "true"])).is_ok()
}

fn random_password() -> Result<String> {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(hex::encode(bytes))
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn initialise(binaries: &Binaries, account: &Account, folder: &Path, password: &str) -> Result<()> {
    let password_file = folder.join("password");
    fs::write(&password_file, password)?;
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600))?;
    account.own(&password_file)?;
    let mut initdb = account.command(&binaries.program("initdb"));
    initdb
        .args(["--username=postgres", "--auth=password", "--encoding=UTF8"])
        .args(["--locale=C", "--no-sync"])
        .arg(format!("--pwfile={}", password_file.display()))
        .arg(format!("--pgdata={}", data(folder).display()));
    process::output(&mut initdb).context("cannot create a PostgreSQL cluster")?;
    Ok(())
}

fn serve(
    binaries: &Binaries,
    account: &Account,
    folder: &Path,
    port: u16,
    durability: Durability,
) -> Result<Child> {
    let log_file = folder.join("server.log");
    let log = fs::File::create(&log_file)?;
    let mut postgres = account.command(&binaries.program("postgres"));
    postgres
        .arg("-D")
        .arg(data(folder))
        .args(["-c", "listen_addresses=127.0.0.1"])
        .arg(format!("--port={port}"))
        .arg(format!("--unix_socket_directories={}", folder.display()))
        .args(["-c", "max_connections=500", "-c", "max_wal_size=4GB"]);
    if durability == Durability::None {
        postgres
            .args(["-c", "fsync=off", "-c", "synchronous_commit=off"])
            .args(["-c", "full_page_writes=off"])
            // Databases come and go with every test, too fast for their statistics to matter.
            .args(["-c", "autovacuum=off"])
            // Dropping a database waits for every session that is still logging in, also that of a client
            // which the end of a test has stopped in the middle: a minute, by default.
            .args(["-c", "authentication_timeout=5s"]);
    }
    postgres
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    let mut child = postgres.spawn().context("cannot start PostgreSQL")?;
    let deadline = Instant::now() + START_DEADLINE;
    let failure = loop {
        if is_ready(&data(folder), child.id()) {
            return Ok(child);
        }
        if let Some(status) = child.try_wait()? {
            break format!("ended with {status}");
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            break format!("was not ready after {} s", START_DEADLINE.as_secs());
        }
        thread::park_timeout(LOOK_EVERY);
    };
    let log = fs::read_to_string(&log_file).unwrap_or_default();
    bail!("PostgreSQL {failure}; its log:\n{}", log.trim())
}

/// Reads the state that the server keeps for its own tools: process id in line 1, status in line 8.
fn is_ready(data: &Path, process: u32) -> bool {
    let Ok(state) = fs::read_to_string(data.join("postmaster.pid")) else {
        return false;
    };
    let lines: Vec<&str> = state.lines().map(str::trim).collect();
    lines.first() == Some(&process.to_string().as_str()) && lines.get(7) == Some(&"ready")
}
