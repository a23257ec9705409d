//! How many entries are recorded: a bucket for known callers, and one for strangers.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What one class of callers may have recorded by one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// On average, for each second.
    pub(super) per_second: f64,
    /// At once.
    pub(super) burst: f64,
}

/// Callers who proved to be somebody: a client that is broken, or a test that is thorough, retries some
/// hundred times a second for minutes.
pub(super) const KNOWN: Rate = Rate {
    per_second: 200.0,
    burst: 50_000.0,
};

/// Strangers: enough to see who tries what from where, too little to matter for the disk.
pub(super) const ANONYMOUS: Rate = Rate {
    per_second: 20.0,
    burst: 5_000.0,
};

/// What is left of a rate.
#[derive(Debug)]
pub(super) struct Budget {
    rate: Rate,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: f64,
    refilled: Option<Instant>,
    /// How many were refused since the last one that was not.
    suppressed: u64,
}

impl Budget {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            state: Mutex::new(State {
                left: rate.burst,
                refilled: None,
                suppressed: 0,
            }),
        }
    }

    /// Takes one. How many could not be taken since the last time, or `None` when there is none left.
    pub(super) fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = state.refilled.map_or(0.0, |before| {
            now.saturating_duration_since(before).as_secs_f64()
        });
        state.left = (state.left + passed * self.rate.per_second).min(self.rate.burst);
        state.refilled = Some(now);
        if state.left < 1.0 {
            state.suppressed += 1;
            return None;
        }
        state.left -= 1.0;
        Some(std::mem::take(&mut state.suppressed))
    }

    /// Gives account of some that were taken and then lost.
    pub(super) fn lost(&self, number: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.suppressed += number;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_budget_refills_and_says_what_it_cost() {
        let budget = Budget::new(Rate {
            per_second: 2.0,
            burst: 2.0,
        });
        let start = Instant::now();
        assert_eq!(budget.take(start), Some(0));
        assert_eq!(budget.take(start), Some(0));
        assert_eq!(budget.take(start), None);
        assert_eq!(budget.take(start), None);
        let later = start + Duration::from_millis(600);
        assert_eq!(budget.take(later), Some(2));
        assert_eq!(budget.take(later), None);
        budget.lost(3);
        let much_later = later + Duration::from_hours(1);
        assert_eq!(budget.take(much_later), Some(4));
        assert_eq!(budget.take(much_later), Some(0));
        assert_eq!(budget.take(much_later), None);
    }
}
