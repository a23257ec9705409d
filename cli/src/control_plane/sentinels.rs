//! Sentinels inside this process, one for each configuration, or one for each kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyperfleet_broker::Publisher;
use hyperfleet_domain::Registry;
use hyperfleet_event_store::EventStore;
use hyperfleet_runtime::health::Checks;
use hyperfleet_sentinel::metrics::MetricFamilies;
use hyperfleet_sentinel::{SentinelConfig, SentinelOptions, SentinelStatus};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::environment;

/// Running sentinels.
pub(crate) struct Sentinels {
    running: Vec<(String, JoinHandle<()>)>,
    statuses: Vec<SentinelStatus>,
}

/// How long the loop of a sentinel may stand still: longer than the queue and the broker may take to answer.
const STANDSTILL: Duration = Duration::from_mins(1);

impl Sentinels {
    /// Starts a sentinel for each file, or for each kind when there is none.
    pub(crate) fn start(
        files: &[PathBuf],
        registry: &Arc<Registry>,
        store: &EventStore,
        publisher: &Arc<dyn Publisher>,
        metrics: &prometheus::Registry,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let families = MetricFamilies::register(metrics)?;
        let (mut running, mut statuses) = (Vec::new(), Vec::new());
        for config in configurations(files, registry)? {
            let kind = config.resource_type.clone();
            let status = SentinelStatus::default();
            statuses.push(status.clone());
            let options = SentinelOptions {
                metrics: families.sentinel(
                    env!("CARGO_PKG_VERSION"),
                    &kind,
                    &config.selector_label(),
                ),
                config,
                registry: Arc::clone(registry),
                pool: store.pool().clone(),
                commits: store.commits(),
                publisher: Arc::clone(publisher),
                clock: environment::clock(),
                ids: environment::ids(),
                status,
                shutdown: shutdown.clone(),
            };
            let name = kind.clone();
            let task = tokio::spawn(async move {
                if let Err(error) = hyperfleet_sentinel::run(options).await {
                    tracing::error!(sentinel = %name, error = %hyperfleet_runtime::error_chain(&error), "a sentinel cannot run");
                }
            });
            running.push((kind, task));
        }
        Ok(Self { running, statuses })
    }

    /// Their health: whether their loops turn, whether each has asked the queue, and whether the broker answers.
    pub(crate) fn checks(
        &self,
        publisher: &Arc<dyn Publisher>,
        shutdown: &CancellationToken,
    ) -> Checks {
        let (turning, polling) = (self.statuses.clone(), self.statuses.clone());
        let publisher = Arc::clone(publisher);
        Checks::new(shutdown.clone())
            .alive(move || {
                let is_stuck = turning
                    .iter()
                    .any(|one| one.stands_still_for() > STANDSTILL);
                async move { (!is_stuck).then_some(()).ok_or("poll stale".to_owned()) }
            })
            .ready("sentinel_poll", move || {
                let have_polled = polling
                    .iter()
                    .all(|one| one.last_successful_poll().is_some());
                let reason = "no successful poll completed yet";
                async move { have_polled.then_some(()).ok_or(reason.to_owned()) }
            })
            .ready("broker", move || {
                let publisher = Arc::clone(&publisher);
                async move {
                    let checked = publisher.check().await;
                    checked.map_err(|error| hyperfleet_runtime::error_chain(&error))
                }
            })
    }

    /// Waits until every sentinel has finished its batch.
    pub(crate) async fn join(self) {
        for (kind, task) in self.running {
            if let Err(error) = task.await {
                tracing::error!(sentinel = %kind, error = %error, "a sentinel ended abnormally");
            }
        }
    }
}

fn configurations(files: &[PathBuf], registry: &Registry) -> anyhow::Result<Vec<SentinelConfig>> {
    if files.is_empty() {
        let builtin = |plural: &str, has_parent| {
            SentinelConfig::builtin(plural, &format!("hyperfleet-{plural}"), has_parent)
        };
        // A kind without adapters has nobody to wake.
        return Ok(registry
            .iter()
            .filter(|kind| !kind.required_adapters.is_empty())
            .map(|kind| builtin(&kind.plural, kind.parent_kind.is_some()))
            .collect());
    }
    files.iter().map(|file| read_sentinel(file)).collect()
}

/// The configuration of a file, checked.
pub(crate) fn read_sentinel(file: &Path) -> anyhow::Result<SentinelConfig> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let unusable = || format!("cannot use {}", file.display());
    let config = SentinelConfig::parse(&text).with_context(unusable)?;
    config.validate().with_context(unusable)?;
    Ok(config)
}
