//! What a caller may choose about the simulated cluster.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::ambient::{TimeSource, UidSource};

/// Configuration of a simulated cluster. `SimConfig::default()` listens on a free loopback port and keeps nothing on disk.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Address to listen on; port 0 takes a free one (see [`crate::Handle::url`]).
    pub listen: SocketAddr,
    /// Folder of the journal; `None` keeps the cluster in memory only.
    pub data_dir: Option<PathBuf>,
    /// From a Job's start to its end.
    pub job_delay: Duration,
    /// From a Deployment's creation or change to `Available`.
    pub deployment_delay: Duration,
    /// From a `HostedCluster`'s creation or change to `Available`.
    pub hosted_cluster_delay: Duration,
    /// From a `NodePool`'s creation or change (and its cluster being available) to `Ready`.
    pub node_pool_delay: Duration,
    /// From a Config Connector object's creation or change to `Ready`.
    pub config_connector_delay: Duration,
    /// From a deletion request to the moment when a controller removes its finalizer.
    pub deletion_delay: Duration,
    /// YAML texts (each one or more documents) of custom resource definitions beside those that the crate ships.
    pub custom_resource_definitions: Vec<String>,
    /// How many changes a watch can look back before it is told 410 Gone.
    pub watch_history: usize,
    /// Time between bookmarks on watches that ask for them.
    pub bookmark_interval: Duration,
    /// The clock.
    pub time: TimeSource,
    /// The source of unique ids.
    pub uids: UidSource,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_dir: None,
            job_delay: Duration::from_secs(1),
            deployment_delay: Duration::from_millis(500),
            hosted_cluster_delay: Duration::from_secs(2),
            node_pool_delay: Duration::from_secs(1),
            config_connector_delay: Duration::from_millis(500),
            deletion_delay: Duration::from_millis(500),
            custom_resource_definitions: Vec::new(),
            watch_history: 20_000,
            bookmark_interval: Duration::from_secs(30),
            time: TimeSource::system(),
            uids: UidSource::random(),
        }
    }
}
