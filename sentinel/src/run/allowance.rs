//! How many events may still be published under a rate limit.

use std::time::Duration;

use hyperfleet_projections::Error;
use hyperfleet_projections::reconcile_queue::{self, Rate};
use sqlx::PgPool;

use crate::SentinelConfig;

/// The longest pause when nothing may be published.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What one sentinel has taken of the tokens that it shares with its replicas. It keeps what it does not
/// use, a batch at most, so that an idle sentinel writes nothing.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: Option<Rate>,
    stock: u32,
}

impl Allowance {
    pub(super) fn new(config: &SentinelConfig) -> Self {
        let rate = config.rate_limit.map(|limit| Rate {
            name: config.name.clone(),
            per_second: limit.events_per_second,
            burst: limit.burst,
        });
        Self { rate, stock: 0 }
    }

    /// How many events may be published now, at most so many.
    pub(super) async fn refill(&mut self, pool: &PgPool, wanted: u32) -> Result<u32, Error> {
        let Some(rate) = &self.rate else {
            return Ok(wanted);
        };
        if self.stock == 0 {
            self.stock = reconcile_queue::take(pool, rate, wanted).await?;
        }
        Ok(self.stock.min(wanted))
    }

    /// So many were published, or may have been.
    pub(super) fn spend(&mut self, published: u32) {
        self.stock = self.stock.saturating_sub(published);
    }

    /// How long it takes until another event may be published.
    pub(super) fn pause(&self) -> Duration {
        let rate = self
            .rate
            .as_ref()
            .map_or(f64::INFINITY, |rate| rate.per_second);
        let pause = Duration::try_from_secs_f64(1.0 / rate);
        pause
            .unwrap_or(LONGEST_PAUSE)
            .clamp(Duration::from_millis(1), LONGEST_PAUSE)
    }
}
