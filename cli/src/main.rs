//! The `hyperfleet` command. Arguments are types in `arguments`; each command is a file in `commands`;
//! `configuration` reads the settings;
//! `control_plane` puts the parts together.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command prints for people"
)]

mod arguments;
mod broker_file;
mod commands;
mod configuration;
mod confirm;
mod control_plane;
mod dispatch;
mod environment;
mod moment;
mod openapi;
mod output;
mod resource_file;
mod selector;
mod target;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;

/// Most of a request is making and dropping small values of JSON.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One TLS provider, chosen before anything can want one. An error means that it was chosen already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(dispatch::run(arguments)));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            dispatch::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
