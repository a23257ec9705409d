//! The time, as a value that is handed in.
//!
//! Invariant: every time that leaves a [`Clock`] has whole microseconds, because that is what
//! PostgreSQL keeps; a time therefore equals itself after it was stored and read again.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Digits of a second that PostgreSQL keeps.
const KEPT_DIGITS: u16 = 6;

/// Tells the time. The only way to learn the time outside this crate.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present time, with whole microseconds.
    fn now(&self) -> DateTime<Utc>;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock of the machine"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(KEPT_DIGITS)
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<DateTime<Utc>>,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: DateTime<Utc>) -> Self {
        Self {
            now: Mutex::new(start.trunc_subsecs(KEPT_DIGITS)),
        }
    }

    /// Moves the clock by `step` and returns the new time.
    pub fn advance(&self, step: TimeDelta) -> DateTime<Utc> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (*now + step).trunc_subsecs(KEPT_DIGITS);
        *now
    }

    /// Sets the clock to `to`.
    pub fn set(&self, to: DateTime<Utc>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = to.trunc_subsecs(KEPT_DIGITS);
    }
}

impl Default for ManualClock {
    /// A clock that stands at the beginning of 2026.
    fn default() -> Self {
        Self::new(DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_machine_has_whole_microseconds_and_does_not_stand_still() {
        let first = SystemClock.now();
        assert_eq!(first.timestamp_subsec_nanos() % 1_000, 0);
        while SystemClock.now() == first {}
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::default();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        assert_eq!(clock.advance(TimeDelta::seconds(5)), clock.now());
        assert_eq!(clock.now() - start, TimeDelta::seconds(5));
        clock.set(start);
        assert_eq!(clock.now(), start);
    }
}
