//! Fetching the server's binaries once, for a machine that has none.

use std::path::PathBuf;

/// The folder of fetched binaries of major version `wanted`, else why there is none.
pub(super) fn fetch(wanted: Option<u32>) -> Result<PathBuf, String> {
    let _ = wanted;
    Err("not supported on this platform".to_owned())
}
