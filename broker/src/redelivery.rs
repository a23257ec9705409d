//! When a failed event is delivered again, and when it is given up.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::subscribe::LONGEST_DELAY;

/// Exponential delay between deliveries, with a ceiling and a last attempt.
///
/// Invariant: the delay never exceeds `maximum_delay` and never shrinks from one attempt to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedeliveryPolicy {
    /// Delay after the first failure; doubles with each further one.
    pub initial_delay: Duration,
    /// Ceiling of the delay.
    pub maximum_delay: Duration,
    /// After this many deliveries the event becomes a dead letter.
    pub maximum_attempts: NonZeroU32,
}

impl Default for RedeliveryPolicy {
    /// 1 s, doubling up to 1 min, 10 deliveries: about five minutes in all, after which the next pulse
    /// of the sentinel repeats the work anyway.
    fn default() -> Self {
        Self {
            initial_delay: Duration::from_secs(1),
            maximum_delay: Duration::from_mins(1),
            maximum_attempts: NonZeroU32::MIN.saturating_add(9),
        }
    }
}

impl RedeliveryPolicy {
    /// How long to wait after the failure of delivery number `attempt` (from 1), or nothing when that was
    /// the last one.
    pub fn delay_after(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.maximum_attempts.get() {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(31);
        let delay = self.initial_delay.saturating_mul(1 << doublings);
        Some(delay.min(self.maximum_delay))
    }

    /// As [`Self::delay_after`], but with the handler's own delay where it gave one.
    pub(crate) fn delay_or(&self, attempt: u32, own: Option<Duration>) -> Option<Duration> {
        let delay = self.delay_after(attempt)?;
        Some(own.map_or(delay, |own| own.min(LONGEST_DELAY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_ceiling_and_then_gives_up() {
        // Given a policy with a ceiling and five attempts
        let policy = RedeliveryPolicy {
            initial_delay: Duration::from_secs(2),
            maximum_delay: Duration::from_secs(7),
            maximum_attempts: NonZeroU32::new(5).unwrap(),
        };
        // When each delivery fails in turn
        let delays: Vec<_> = (1..=6).map(|attempt| policy.delay_after(attempt)).collect();
        // Then the delay doubles, stays at the ceiling, and the fifth failure is the last
        let seconds = |value| Some(Duration::from_secs(value));
        assert_eq!(
            delays,
            [seconds(2), seconds(4), seconds(7), seconds(7), None, None]
        );
    }

    #[test]
    fn a_handlers_own_delay_counts_but_not_beyond_the_last_attempt() {
        let policy = RedeliveryPolicy {
            maximum_attempts: NonZeroU32::new(2).unwrap(),
            ..Default::default()
        };
        let own = Duration::from_millis(30);
        assert_eq!(policy.delay_or(1, Some(own)), Some(own));
        assert_eq!(policy.delay_or(1, None), Some(policy.initial_delay));
        assert_eq!(policy.delay_or(2, Some(own)), None);
        // And one without end is cut
        assert_eq!(policy.delay_or(1, Some(Duration::MAX)), Some(LONGEST_DELAY));
    }

    #[test]
    fn huge_attempt_numbers_do_not_overflow() {
        let policy = RedeliveryPolicy {
            maximum_attempts: NonZeroU32::MAX,
            ..Default::default()
        };
        assert_eq!(policy.delay_after(u32::MAX - 1), Some(policy.maximum_delay));
    }
}
