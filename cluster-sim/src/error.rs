//! Why a simulated cluster could not start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a simulated cluster could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error(
        "cannot listen on {address} for the simulated cluster; choose another port or 0 for a free one"
    )]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The journal cannot be read or written.
    #[error("cannot use the journal {}; check the folder's owner and free space", path.display())]
    Journal {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the data folder open.
    #[error("the data folder {} is in use by another simulated cluster; stop it or choose another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A line of the journal, other than the last, is not what this version writes.
    #[error("line {line} of {} is damaged; restore the file or remove it to start empty", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A custom resource definition in the configuration is not usable.
    #[error("custom resource definition text {index}: {problem}")]
    Definition {
        /// Which text, from 0; the shipped ones come first.
        index: usize,
        /// What is wrong and where.
        problem: String,
    },
}
