//! Keeps the gauges of a subscription true.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{BrokerMetrics, DeadLetters};

/// Looks at a subscription every `interval` and writes how many dead letters it has, how old the oldest is and
/// how many events wait, until shutdown.
///
/// A broker that cannot be asked leaves the gauges as they were; that it cannot is told by others.
pub async fn watch_depth(
    dead_letters: Arc<dyn DeadLetters>,
    metrics: BrokerMetrics,
    topic: String,
    subscription_id: String,
    interval: Duration,
    shutdown: CancellationToken,
) {
    loop {
        let looking = dead_letters.depth(&topic, &subscription_id);
        match shutdown.run_until_cancelled(looking).await {
            None => return,
            Some(Ok(depth)) => metrics.depth(&topic, &subscription_id, &depth),
            Some(Err(error)) => tracing::debug!(
                topic,
                subscription_id,
                error = &error as &dyn std::error::Error,
                "the depth of a subscription is not known now"
            ),
        }
        let pause = shutdown.run_until_cancelled(sleep(interval));
        if pause.await.is_none() {
            return;
        }
    }
}
