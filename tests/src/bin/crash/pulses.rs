//! Real sentinels on the real queue, with a file for a broker: an event is confirmed once it is on the disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use hyperfleet_broker::{Envelope, PublishError, Publisher};
use hyperfleet_domain::Registry;
use hyperfleet_runtime::{SystemClock, UuidV7Source};
use hyperfleet_sentinel::metrics::MetricFamilies;
use hyperfleet_sentinel::{SentinelConfig, SentinelOptions, SentinelStatus};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;

use crate::Child;
use crate::journal::Journal;

/// A reconcile event that was confirmed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pulse {
    pub(crate) id: String,
    pub(crate) generation: i64,
}

struct FileBroker {
    journal: Mutex<Journal>,
}

#[async_trait]
impl Publisher for FileBroker {
    async fn publish(&self, topic: &str, envelope: &Envelope) -> Result<(), PublishError> {
        let pulse = Pulse::deserialize(&envelope.data).map_err(anyhow::Error::from);
        let written = pulse.and_then(|pulse| {
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.write(&[pulse])
        });
        written.map_err(|error| PublishError::Unconfirmed {
            topic: topic.to_owned(),
            source: error.into(),
        })
    }
}

pub(crate) async fn run(child: &Child) -> Result<()> {
    let publisher: Arc<dyn Publisher> = Arc::new(FileBroker {
        journal: Mutex::new(Journal::open(&child.journal)?),
    });
    let pool = PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy(&child.database_url)?;
    let families = MetricFamilies::register(&prometheus::Registry::new())?;
    let registry = Arc::new(Registry::builtin());
    let mut running = tokio::task::JoinSet::new();
    for (plural, has_parent) in [("clusters", false), ("nodepools", true)] {
        let mut config = SentinelConfig::builtin(plural, plural, has_parent);
        // Claims of a killed sentinel are to come back within a round.
        config.claims.visibility_timeout = Duration::from_secs(2);
        running.spawn(hyperfleet_sentinel::run(SentinelOptions {
            metrics: families.sentinel("crash", plural, ""),
            config,
            registry: Arc::clone(&registry),
            pool: pool.clone(),
            // It looks by itself, as often as while no notification arrives.
            commits: tokio::sync::watch::channel(0).1,
            publisher: Arc::clone(&publisher),
            clock: Arc::new(SystemClock),
            ids: Arc::new(UuidV7Source),
            status: SentinelStatus::default(),
            shutdown: CancellationToken::new(),
        }));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}
