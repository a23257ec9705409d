//! Starting and stopping a simulated cluster.

use std::net::SocketAddr;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::SimConfig;
use crate::error::StartError;

/// A simulated Kubernetes cluster.
#[derive(Debug)]
pub struct ClusterSim;

impl ClusterSim {
    /// Starts a cluster that runs until `shutdown` is cancelled or the handle is stopped or dropped.
    ///
    /// # Errors
    /// [`StartError`] when the address, the journal or a custom resource definition cannot be used.
    pub async fn start(
        config: SimConfig,
        shutdown: CancellationToken,
    ) -> Result<Handle, StartError> {
        let listener = tokio::net::TcpListener::bind(config.listen)
            .await
            .map_err(|source| StartError::Listen {
                address: config.listen,
                source,
            })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let stop = shutdown.child_token();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let served = axum::serve(listener, axum::Router::new())
                .with_graceful_shutdown(stopped.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the simulated cluster's server ended");
            }
        });
        Ok(Handle {
            address,
            stop,
            tasks: vec![task],
        })
    }
}

/// A running simulated cluster. Dropping it stops the cluster without waiting.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Base URL of the Kubernetes API, for example `http://127.0.0.1:40001`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig file's content for this cluster. No credentials are needed.
    pub fn kubeconfig_yaml(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: cluster-sim\nclusters:\n- name: cluster-sim\n  cluster:\n    server: {url}\nusers:\n- name: anyone\n  user: {{}}\ncontexts:\n- name: cluster-sim\n  context:\n    cluster: cluster-sim\n    user: anyone\n    namespace: default\n",
            url = self.url()
        )
    }

    /// Stops the cluster and waits until open requests have ended.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the simulated cluster ended badly");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
