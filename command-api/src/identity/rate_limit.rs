//! How often each caller may ask: a token bucket for each, by the generic cell rate algorithm.
//!
//! Memory is bounded: a caller whose bucket is full again is forgotten when the table is full, and
//! when nobody can be forgotten, all newcomers share one bucket.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::config::RateLimitConfig;

/// Most callers that are remembered. Each takes some hundred bytes.
const MAX_CALLERS: usize = 10_000;

/// The bucket of all callers that cannot be remembered.
const EVERYBODY_ELSE: &str = "";

/// The buckets. The clock is monotonic, because a clock that was set back would lock callers out.
pub(super) struct Limiter<C: Clock = MonotonicClock> {
    buckets: RateLimiter<String, HashMapStateStore<String>, C, NoOpMiddleware<C::Instant>>,
    max_callers: usize,
}

impl Limiter {
    /// Empty when the configuration has no usable figures, which its check rules out.
    pub(super) fn new(config: RateLimitConfig) -> Option<Self> {
        Self::with_clock(config, MonotonicClock, MAX_CALLERS)
    }
}

impl<C: Clock> Limiter<C> {
    fn with_clock(config: RateLimitConfig, clock: C, max_callers: usize) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(1.0 / config.requests_per_second).ok()?;
        let burst = NonZeroU32::new(config.burst)?;
        let quota = Quota::with_period(interval)?.allow_burst(burst);
        Some(Self {
            buckets: RateLimiter::new(quota, HashMapStateStore::default(), clock),
            max_callers,
        })
    }

    /// Takes one request from the caller's bucket.
    ///
    /// # Errors
    /// With the time to wait, in whole seconds, at least one, when the bucket is empty.
    pub(super) fn admit(&self, caller: &str) -> Result<(), u64> {
        if self.buckets.len() >= self.max_callers {
            self.buckets.retain_recent();
        }
        let caller = if self.buckets.len() >= self.max_callers {
            EVERYBODY_ELSE
        } else {
            caller
        };
        self.buckets.check_key(&caller.to_owned()).map_err(|empty| {
            let wait = empty.wait_time_from(self.buckets.clock().now());
            let partial = u64::from(wait.subsec_nanos() > 0);
            (wait.as_secs() + partial).max(1)
        })
    }

    /// How many callers are remembered.
    pub(super) fn callers(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn limiter(max_callers: usize) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let config = RateLimitConfig {
            enabled: true,
            requests_per_second: 0.5,
            burst: 2,
        };
        let limiter = Limiter::with_clock(config, clock.clone(), max_callers);
        (limiter.expect("usable figures"), clock)
    }

    #[test]
    fn a_burst_then_the_rate_for_each_caller() {
        let (limiter, clock) = limiter(10);
        assert_eq!(limiter.admit("a"), Ok(()));
        assert_eq!(limiter.admit("a"), Ok(()));
        assert_eq!(limiter.admit("a"), Err(2));
        assert_eq!(limiter.admit("b"), Ok(()), "callers do not share a bucket");
        clock.advance(Duration::from_millis(1500));
        assert_eq!(limiter.admit("a"), Err(1), "part of a second is a second");
        clock.advance(Duration::from_millis(500));
        assert_eq!(limiter.admit("a"), Ok(()));
        assert_eq!(limiter.admit("a"), Err(2));
    }

    #[test]
    fn the_table_of_callers_does_not_grow_beyond_its_bound() {
        let (limiter, clock) = limiter(3);
        for caller in 0..100 {
            // Those who are not remembered share two requests.
            assert_eq!(limiter.admit(&caller.to_string()).is_ok(), caller < 5);
        }
        assert!(limiter.callers() <= 4);
        clock.advance(Duration::from_mins(1));
        assert_eq!(limiter.admit("x"), Ok(()));
        assert_eq!(limiter.callers(), 1);
    }
}
