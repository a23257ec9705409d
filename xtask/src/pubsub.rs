//! A private Pub/Sub server in memory for the length of one chore.
//!
//! It is the Go program in `tests/pubsub-emulator`, built into the tools' folder whenever its source or Go
//! changed, which Go notices by itself. It ends with the chore, however that ends: it holds on to the chore's end
//! of its standard input.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{process, tools, workspace};

/// `host:port` of a running server: tests make projects of their own on it.
pub(crate) const HOST: &str = "HYPERFLEET_TEST_PUBSUB_HOST";

/// Where the program's source is.
const SOURCE: &str = "tests/pubsub-emulator";

/// The oldest Go that builds it: minor release of Go 1.
const MINIMUM_GO: u32 = 24;

/// Where Go is when it is not on the path: its own archive's place, and Debian's.
const GO_FOLDERS: [&str; 2] = ["/usr/local/go/bin", "/usr/lib/go/bin"];

/// A running server, or one that somebody else runs. Dropping it ends the former.
#[derive(Debug)]
pub(crate) struct Server {
    host: String,
    child: Option<Child>,
}

impl Server {
    /// Starts a server, unless one is named in the environment.
    ///
    /// # Errors
    /// When it cannot be built or does not come up.
    pub(crate) fn start() -> Result<Self> {
        if let Some(host) = std::env::var_os(HOST) {
            let host = host
                .into_string()
                .ok()
                .with_context(|| format!("{HOST} is not UTF-8"))?;
            return Ok(Self { host, child: None });
        }
        let program = build(&find_or_install_go()?)?;
        let mut command = Command::new(&program);
        command
            .args(["--addr", "127.0.0.1:0", "--with-parent"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", process::line(&command)))?;
        let mut said = String::new();
        if let Some(output) = &mut child.stderr {
            BufReader::new(output).read_line(&mut said)?;
        }
        let Some((_, host)) = said.trim().rsplit_once("listening on ") else {
            let _ = child.kill();
            let _ = child.wait();
            bail!(
                "{} said {said:?} instead of where it listens",
                program.display()
            );
        };
        Ok(Self {
            host: host.to_owned(),
            child: Some(child),
        })
    }

    /// `host:port` of the server.
    pub(crate) fn host(&self) -> &str {
        &self.host
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
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn build(go: &PathBuf) -> Result<PathBuf> {
    let program = tools::folder()?.join("bin/pubsub-emulator");
    let mut command = Command::new(go);
    command
        .current_dir(workspace::root().join(SOURCE))
        // The module file is what is committed, whatever else is on this machine.
        .env("GOWORK", "off")
        .args(["build", "-mod=readonly", "-o"])
        .arg(&program)
        .arg(".");
    process::output(&mut command).context("cannot build the Pub/Sub server")?;
    Ok(program)
}

fn find_or_install_go() -> Result<PathBuf> {
    if let Some(go) = find_go() {
        return Ok(go);
    }
    let wanted = workspace::everything_is_required() || std::env::var_os("CI").is_some();
    if wanted && crate::postgres::can_install() {
        println!("installing Go");
        crate::postgres::install_package("golang-go")?;
    }
    find_go().with_context(|| {
        format!(
            "Go 1.{MINIMUM_GO} or newer is needed to build it (Debian, Ubuntu: package `golang-go`)"
        )
    })
}

fn find_go() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let folders = on_path.into_iter().chain(GO_FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join("go")).find(|go| {
        let mut command = Command::new(go);
        // The release that is installed, not one that a module asks for.
        command.current_dir("/").args(["env", "GOVERSION"]);
        process::output(&mut command)
            .ok()
            .and_then(|printed| minor(&printed))
            .is_some_and(|minor| minor >= MINIMUM_GO)
    })
}

/// The minor release in what `go env GOVERSION` prints.
fn minor(printed: &str) -> Option<u32> {
    let release = printed.trim().strip_prefix("go1.")?;
    let digits: String = release.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn reads_the_release_that_go_prints() {
        assert_eq!(minor("go1.24.4\n"), Some(24));
        assert_eq!(minor("go1.27rc1"), Some(27));
        assert_eq!(minor("devel"), None);
    }
}
