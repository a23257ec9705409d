//! Starting the server's programs so that they cannot outlive this process.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::account::Account;
use super::place::Place;
use super::{Binaries, Durability, PostgresError, PostgresSettings, ROLE, place};

/// How long a server that lost its supervisor gets to end by itself before it is killed.
const PREDECESSOR_DEADLINE: Duration = Duration::from_secs(5);

/// How much of the log an error quotes.
const QUOTED_LOG_BYTES: u64 = 2_000;

/// Makes the data directory when there is none. All or nothing: initdb works beside its place.
///
/// Must run on the supervising thread, see [`dies_with_us`].
pub(super) fn initialise(binaries: &Binaries, place: &Place) -> Result<(), PostgresError> {
    if place.data.join("PG_VERSION").is_file() {
        return Ok(());
    }
    let unfinished = place.unfinished_data()?;
    let initdb = binaries.program("initdb");
    let mut command = base_command(&initdb, place.account, &unfinished);
    command
        .arg("--pgdata")
        .arg(&unfinished)
        .args(["--username", ROLE, "--auth", "trust"])
        .args(["--encoding", "UTF8", "--locale", "C"]);
    dies_with_us(&mut command, libc::SIGKILL);
    let output = command
        .output()
        .map_err(PostgresError::file("run", &initdb))?;
    if !output.status.success() {
        return Err(PostgresError::Initdb {
            path: place.data.clone(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    fs::rename(&unfinished, &place.data)
        .and_then(|()| sync_parent(&place.data))
        .map_err(PostgresError::file("moved to its place", &unfinished))
}

/// Starts the server. Must run on the supervising thread, see [`dies_with_us`].
pub(super) fn spawn(
    binaries: &Binaries,
    place: &Place,
    settings: &PostgresSettings,
) -> Result<Child, PostgresError> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(&place.log)
        .map_err(PostgresError::file("opened", &place.log))?;
    let log_too = log
        .try_clone()
        .map_err(PostgresError::file("opened", &place.log))?;
    let program = binaries.program("postgres");
    let mut command = base_command(&program, place.account, &place.data);
    command
        .arg("-D")
        .arg(&place.data)
        .stdout(log)
        .stderr(log_too);
    for (name, value) in server_settings(place, settings) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    // Immediate shutdown: the log is replayed at the next start, and nothing acknowledged is lost.
    dies_with_us(&mut command, libc::SIGQUIT);
    command
        .spawn()
        .map_err(PostgresError::file("run", &program))
}

fn server_settings(place: &Place, settings: &PostgresSettings) -> Vec<(String, String)> {
    let fixed = [
        ("listen_addresses", String::new()),
        ("port", place::PORT.to_string()),
        (
            "unix_socket_directories",
            place.socket_directory.display().to_string(),
        ),
        ("unix_socket_permissions", "0700".to_owned()),
        ("max_connections", settings.max_connections.to_string()),
        ("logging_collector", "off".to_owned()),
        ("timezone", "UTC".to_owned()),
        ("log_timezone", "UTC".to_owned()),
    ];
    let relaxed: &[(&str, &str)] = match settings.durability {
        Durability::Full => &[("fsync", "on")],
        Durability::None => &[
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
        ],
    };
    let relaxed = relaxed
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    fixed
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(relaxed)
        .chain(settings.settings.iter().cloned())
        .collect()
}

/// A program in its own process group (so that Ctrl-C reaches us alone and we decide what ends
/// when), under the server's account, with nothing of our environment but `PATH`.
fn base_command(program: &Path, account: Account, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    if account != Account::own() {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Has the kernel send `signal` to the program when the *thread* that starts it ends, which the
/// supervising thread does not before the program has.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "only code between fork and exec can ask for this"
)]
fn dies_with_us(command: &mut Command, signal: libc::c_int) {
    let parent = std::process::id();
    // SAFETY: the closure only makes system calls that are safe between fork and exec and
    // allocates nothing. The standard library changes the user before it calls the closure;
    // afterwards the kernel would forget the request.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, signal) != 0 {
                return Err(io::Error::last_os_error());
            }
            // We may have died before the request was made.
            if libc::getppid().cast_unsigned() != parent {
                return Err(io::Error::from_raw_os_error(libc::ECHILD));
            }
            Ok(())
        });
    }
}

/// Elsewhere a server that lost its supervisor is found and ended at the next start.
#[cfg(not(target_os = "linux"))]
fn dies_with_us(_command: &mut Command, _signal: libc::c_int) {}

/// Sends `signal` to a process; one that has ended does not mind.
#[expect(unsafe_code, reason = "the standard library only knows SIGKILL")]
pub(super) fn signal(pid: u32, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: takes two numbers and touches no memory.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Waits for a server of an earlier process that is still ending in this data directory, and ends
/// it if need be. We hold the directory, so whoever serves it has lost its supervisor.
pub(super) fn end_predecessor(place: &Place, mut pause: impl FnMut()) {
    let start = Instant::now();
    let Some(pid) = predecessor(place) else {
        return;
    };
    tracing::warn!(
        pid,
        "ending a PostgreSQL server that an earlier process left"
    );
    signal(pid, libc::SIGQUIT);
    while predecessor(place) == Some(pid) {
        if start.elapsed() > PREDECESSOR_DEADLINE * 2 {
            // PostgreSQL itself refuses to share the directory, and says so.
            return;
        }
        if start.elapsed() > PREDECESSOR_DEADLINE {
            signal(pid, libc::SIGKILL);
        }
        pause();
    }
}

/// The process in the server's lock file, when it works in this data directory.
fn predecessor(place: &Place) -> Option<u32> {
    let text = fs::read_to_string(place.pid_file()).ok()?;
    let pid: u32 = text.lines().next()?.trim().parse().ok()?;
    let works_in = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    (works_in == place.data).then_some(pid)
}

/// Whether the server with this process id accepts connections.
pub(super) fn is_ready(place: &Place, pid: u32) -> bool {
    fs::read_to_string(place.pid_file()).is_ok_and(|text| {
        let mut lines = text.lines().map(str::trim);
        lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
    })
}

/// The last lines of the server's log.
pub(super) fn log_tail(place: &Place) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(&place.log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(QUOTED_LOG_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_else(|error| format!("(unreadable: {error})"))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
