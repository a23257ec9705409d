//! What became of the events that were delivered here lately.
//!
//! Pub/Sub delays a redelivery by its own policy, which is approximate, and counts deliveries only where a
//! dead-letter policy is set; and its client does not repeat an acknowledgement that got lost. This
//! remembers when an event that failed here is due and how often it was tried, so that one that returns early
//! waits; and which events were settled here, so that they are not handled again.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use google_cloud_pubsub::model::Message;
use tokio::time::Instant;

/// How many events are remembered: those of some minutes. Beyond that the first noted is forgotten, which is
/// then at most redelivered too early, or handled twice.
const CAPACITY: usize = 20_000;

/// For how long a settled event is known as such: as long as the longest lease, after which one whose
/// acknowledgement got lost has come again. Later it comes because somebody replays the subscription.
const SETTLED_FOR: Duration = Duration::from_mins(10);

/// The outcomes of the latest deliveries, by subscription and message id.
#[derive(Debug, Default)]
pub(super) struct History {
    notes: Mutex<Notes>,
    fingerprints: (RandomState, RandomState),
}

#[derive(Debug, Default)]
struct Notes {
    known: HashMap<Key, Known>,
    /// In the order in which they were first noted.
    order: VecDeque<Key>,
}

/// A fingerprint of subscription, message id, and when it was published: an emulator that was restarted gives ids
/// again. Two of 64 bits each, by different keys, so that no two events are ever taken for one.
type Key = (u64, u64);

/// What is known about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is to come again.
    Failed(Failed),
    /// It was acknowledged then.
    Settled(Instant),
}

/// An event that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    /// Not to be handled again before.
    pub(super) due: Instant,
    /// Deliveries so far.
    pub(super) attempts: u32,
}

impl History {
    /// Notes that delivery number `attempts` of an event failed, and that it is not due for `delay`.
    pub(super) fn failed(
        &self,
        subscription: &str,
        message: &Message,
        attempts: u32,
        delay: Duration,
    ) {
        let due = Instant::now() + delay;
        self.note(
            self.key(subscription, message),
            Known::Failed(Failed { due, attempts }),
        );
    }

    /// Notes that an event was acknowledged.
    pub(super) fn settled(&self, subscription: &str, message: &Message) {
        let now = Instant::now();
        self.note(self.key(subscription, message), Known::Settled(now));
    }

    /// What is known about an event.
    pub(super) fn of(&self, subscription: &str, message: &Message) -> Option<Known> {
        let key = self.key(subscription, message);
        let known = self.notes().known.get(&key).copied();
        known.filter(|known| match known {
            Known::Failed(_) => true,
            Known::Settled(at) => at.elapsed() < SETTLED_FOR,
        })
    }

    fn note(&self, key: Key, known: Known) {
        let mut notes = self.notes();
        if notes.known.insert(key, known).is_some() {
            return;
        }
        notes.order.push_back(key);
        if notes.order.len() > CAPACITY
            && let Some(first) = notes.order.pop_front()
        {
            notes.known.remove(&first);
        }
    }

    fn key(&self, subscription: &str, message: &Message) -> Key {
        let time = message.publish_time;
        let time = time.map(|time| (time.seconds(), time.nanos()));
        let event = (subscription, message.message_id.as_str(), time);
        let (one, other) = &self.fingerprints;
        (one.hash_one(event), other.hash_one(event))
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use google_cloud_wkt::Timestamp;

    use super::*;

    const DELAY: Duration = Duration::from_secs(3);

    fn message(id: usize) -> Message {
        Message::new().set_message_id(id.to_string())
    }

    #[test]
    fn a_failed_event_is_known_until_it_is_settled() {
        // Given an event that failed in one of two subscriptions
        let history = History::default();
        history.failed("dns", &message(1), 2, DELAY);
        // Then it is known there, and only there
        let Some(Known::Failed(failed)) = history.of("dns", &message(1)) else {
            panic!("it is not known");
        };
        assert_eq!(failed.attempts, 2);
        assert!(failed.due > Instant::now() && failed.due <= Instant::now() + DELAY);
        assert_eq!(history.of("validation", &message(1)), None);
        // And when it is settled, that is known instead
        history.settled("dns", &message(1));
        let known = history.of("dns", &message(1));
        assert!(matches!(known, Some(Known::Settled(_))), "{known:?}");
        // But not of another event that a restarted emulator gave the same id
        let later = message(1).set_publish_time(Timestamp::clamp(1, 0));
        assert_eq!(history.of("dns", &later), None);
    }

    #[test]
    fn memory_is_bounded_and_the_first_noted_is_forgotten_first() {
        let history = History::default();
        for number in 0..=CAPACITY {
            // Twice each: an event has one place however often it fails
            history.failed("dns", &message(number), 1, DELAY);
            history.failed("dns", &message(number), 2, DELAY);
        }
        assert_eq!(history.of("dns", &message(0)), None);
        assert!(history.of("dns", &message(1)).is_some());
        assert!(history.of("dns", &message(CAPACITY)).is_some());
    }
}
