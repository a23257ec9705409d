//! Starting and stopping a simulated cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::SimConfig;
use crate::error::StartError;
use crate::http::{self, Context};
use crate::kind::definition;
use crate::object::{name, text};
use crate::store::journal::{Journal, Past};
use crate::store::{Shared, Store, Target, WriteOptions};

/// The definitions that every simulated cluster has.
const SHIPPED: &[&str] = &[
    include_str!("../crds/hypershift.yaml"),
    include_str!("../crds/config-connector-dns.yaml"),
];

/// Namespaces that exist from the start.
const NAMESPACES: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// Longest sleep of the controllers, so that a clock that jumps is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

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
        let definitions = definitions(&config)?;
        let (journal, past) = match &config.data_dir {
            Some(folder) => {
                let (journal, past) = Journal::open(folder)?;
                (Some(journal), past)
            }
            None => (None, Past::default()),
        };
        let cannot_listen = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = tokio::net::TcpListener::bind(config.listen)
            .await
            .map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        let shared = Shared::new(Store::open(Arc::new(config), past, journal));
        furnish(&shared, definitions);
        let stop = shutdown.child_token();
        let context = Context {
            shared: shared.clone(),
            stop: stop.clone(),
        };
        let stopped = stop.clone();
        let server = tokio::spawn(async move {
            let served = axum::serve(listener, http::router(context))
                .with_graceful_shutdown(stopped.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the simulated cluster's server ended");
            }
        });
        let controllers = tokio::spawn(run_controllers(shared, stop.clone()));
        Ok(Handle {
            address,
            stop,
            tasks: vec![server, controllers],
        })
    }
}

fn definitions(config: &SimConfig) -> Result<Vec<Value>, StartError> {
    let given = config
        .custom_resource_definitions
        .iter()
        .map(String::as_str);
    let mut all = Vec::new();
    for (index, yaml) in SHIPPED.iter().copied().chain(given).enumerate() {
        let found = definition::from_yaml(yaml)
            .map_err(|problem| StartError::Definition { index, problem })?;
        all.extend(found);
    }
    Ok(all)
}

/// Creates what every cluster has, unless the journal brought it.
fn furnish(shared: &Shared, definitions: Vec<Value>) {
    let namespaces = NAMESPACES
        .iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    let options = WriteOptions {
        manager: "cluster-sim".into(),
        force: true,
        dry_run: false,
    };
    for object in namespaces.chain(definitions) {
        let (group, plural) = match text(&object, "/kind") {
            "Namespace" => ("", "namespaces"),
            _ => ("apiextensions.k8s.io", "customresourcedefinitions"),
        };
        let outcome = shared.transact(|store| {
            let Some(kind) = store.kinds.get(group, plural).cloned() else {
                return Ok(());
            };
            let target = Target {
                version: "v1".into(),
                namespace: String::new(),
                name: name(&object).to_owned(),
                status: false,
                kind,
            };
            if store.get(&target.key()).is_none() {
                store.create(&target, object, &options).map(drop)
            } else if plural == "namespaces" {
                Ok(())
            } else {
                // A definition may have moved on since the journal was written.
                store.update(&target, object, &options).map(drop)
            }
        });
        if let Err(refusal) = outcome {
            tracing::error!(
                problem = refusal.message,
                "the simulated cluster lacks a standard object"
            );
        }
    }
}

/// Takes controller steps when they are due, until stopped.
async fn run_controllers(shared: Shared, stop: CancellationToken) {
    let mut changed = shared.subscribe();
    let time = shared.read().config.time.clone();
    loop {
        changed.mark_unchanged();
        let now = time.now();
        let sleep = match shared.step(now) {
            Some(next) => (next - now).to_std().unwrap_or_default().min(LONGEST_SLEEP),
            None => LONGEST_SLEEP,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(sleep) => {}
            changed = changed.changed() => if changed.is_err() { return },
        }
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
