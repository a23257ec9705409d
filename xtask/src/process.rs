//! Running other programs.

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

/// The program that runs on this terminal now, where a signal handler finds it.
static CURRENT: Mutex<Option<u32>> = Mutex::new(None);

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command on this terminal; fails when it fails.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    set_current(Some(child.id()));
    let status = child.wait();
    set_current(None);
    let status = status.with_context(|| format!("cannot wait for `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed.
///
/// # Errors
/// When it cannot be started, does not succeed, or prints what is not UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` ended with {}: {}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed what is not UTF-8", line(command)))
}

/// Sends a signal, by its name without SIG.
///
/// # Errors
/// When there is no such process.
pub(crate) fn signal(process: u32, name: &str) -> Result<()> {
    output(Command::new("kill").args(["-s", name, &process.to_string()])).map(drop)
}

/// Asks the program that runs on this terminal to end.
pub(crate) fn terminate_current() {
    let current = CURRENT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(process) = current {
        // It may have ended by itself: the terminal's Ctrl-C reaches it too.
        let _ = signal(process, "TERM");
    }
}

fn set_current(process: Option<u32>) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = process;
}
