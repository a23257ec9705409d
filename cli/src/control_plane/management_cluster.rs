//! The cluster that adapters manage: the simulated one, or the user's.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hyperfleet_cluster_sim::{ClusterSim, Handle, SimConfig};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio_util::sync::CancellationToken;

/// A cluster to manage.
pub(super) struct ManagementCluster {
    client: kube::Client,
    simulated: Option<Handle>,
    described: String,
}

pub(super) async fn start(
    kubeconfig: Option<&Path>,
    data_dir: &Path,
    job_delay: Duration,
) -> anyhow::Result<ManagementCluster> {
    if let Some(path) = kubeconfig {
        let read = Kubeconfig::read_from(path)
            .with_context(|| format!("cannot use {}", path.display()))?;
        return Ok(ManagementCluster {
            client: client(read).await?,
            simulated: None,
            described: path.display().to_string(),
        });
    }
    let config = SimConfig {
        data_dir: Some(data_dir.join("cluster-sim")),
        job_delay,
        ..SimConfig::default()
    };
    // A token of its own: adapters finish their executions after shutdown was asked for, so their
    // cluster must outlive it.
    let handle = ClusterSim::start(config, CancellationToken::new()).await?;
    let kubeconfig = handle.kubeconfig_yaml();
    // For people who want to look with kubectl.
    let path = data_dir.join("cluster-sim.kubeconfig");
    std::fs::write(&path, &kubeconfig)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(ManagementCluster {
        client: client(Kubeconfig::from_yaml(&kubeconfig)?).await?,
        described: format!(
            "simulated, {} (kubeconfig: {})",
            handle.url(),
            path.display()
        ),
        simulated: Some(handle),
    })
}

async fn client(kubeconfig: Kubeconfig) -> anyhow::Result<kube::Client> {
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

impl ManagementCluster {
    pub(super) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    pub(super) fn described(&self) -> &str {
        &self.described
    }

    pub(super) async fn stop(self) {
        if let Some(handle) = self.simulated {
            handle.stop().await;
        }
    }
}
