//! What is known about events that were given back to Pub/Sub.
//!
//! Pub/Sub delays a redelivery by its own policy, which is approximate, and counts deliveries only where a
//! dead-letter policy is set. This remembers, for events that failed here, when they are due and how often
//! they were tried, so that one that returns early waits.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many failed events are remembered. Beyond that the longest due is forgotten: it is then at most
/// redelivered too early.
const CAPACITY: usize = 10_000;

/// Failed events that are to come again, by subscription and message id.
#[derive(Debug, Default)]
pub(super) struct Redeliveries {
    failed: Mutex<HashMap<Key, Failed>>,
}

type Key = (String, String);

/// An event that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    /// Not to be handled again before.
    pub(super) due: Instant,
    /// Deliveries so far.
    pub(super) attempts: u32,
}

impl Redeliveries {
    /// Notes that delivery number `attempts` of an event failed, and that it is not due for `delay`.
    pub(super) fn note(&self, subscription: &str, message: &str, attempts: u32, delay: Duration) {
        let due = Instant::now() + delay;
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= CAPACITY {
            let oldest = failed.iter().min_by_key(|(_, failed)| failed.due);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                failed.remove(&key);
            }
        }
        failed.insert(key(subscription, message), Failed { due, attempts });
    }

    /// What is known about an event.
    pub(super) fn of(&self, subscription: &str, message: &str) -> Option<Failed> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(&key(subscription, message)).copied()
    }

    /// Forgets an event that is settled.
    pub(super) fn forget(&self, subscription: &str, message: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.remove(&key(subscription, message));
    }
}

fn key(subscription: &str, message: &str) -> Key {
    (subscription.to_owned(), message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_event_is_known_until_it_is_settled() {
        // Given an event that failed in one of two subscriptions
        let redeliveries = Redeliveries::default();
        let delay = Duration::from_secs(3);
        redeliveries.note("dns", "1", 2, delay);
        // Then it is known there, and only there, until it is settled
        let failed = redeliveries.of("dns", "1").unwrap();
        assert_eq!(failed.attempts, 2);
        assert!(failed.due > Instant::now() && failed.due <= Instant::now() + delay);
        assert_eq!(redeliveries.of("validation", "1"), None);
        redeliveries.forget("dns", "1");
        assert_eq!(redeliveries.of("dns", "1"), None);
    }

    #[test]
    fn memory_is_bounded_and_the_longest_due_is_forgotten_first() {
        let redeliveries = Redeliveries::default();
        for number in 0..=CAPACITY as u64 {
            let delay = Duration::from_secs(number);
            redeliveries.note("dns", &number.to_string(), 1, delay);
        }
        assert_eq!(redeliveries.of("dns", "0"), None);
        assert!(redeliveries.of("dns", "1").is_some());
        assert!(redeliveries.of("dns", &CAPACITY.to_string()).is_some());
    }
}
