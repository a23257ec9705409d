//! The events of one subscription.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::MemoryOptions;
use super::journal::{Change, Journal, Place};
use crate::{DeadLetter, SubscriptionDepth};

/// One subscription's events: ready, delayed and dead. Those being handled are in [`Taken`] guards.
#[derive(Debug)]
pub(super) struct Queue {
    topic: String,
    subscription_id: String,
    dead_letter_capacity: usize,
    journal: Option<Journal>,
    /// One permit per unsettled event that still fits.
    room: Arc<Semaphore>,
    /// Wakes one consumer. Whoever takes an event passes the wake-up on while there is more to do.
    arrival: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Message>,
    /// By due time; the number keeps equal times apart.
    delayed: BTreeMap<(Instant, u64), Message>,
    dead: VecDeque<Dead>,
    last_number: u64,
}

/// A dead letter, and since when it is one.
#[derive(Debug)]
pub(super) struct Dead {
    number: u64,
    pub(super) letter: DeadLetter,
    pub(super) since: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct Message {
    /// Its own in this broker; the dead letter that it may become is named by it.
    number: u64,
    body: Arc<[u8]>,
    /// Deliveries so far.
    attempts: u32,
    /// Its place in the subscription, free again when the message is dropped.
    room: OwnedSemaphorePermit,
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn take(&mut self) -> Option<Message> {
        self.make_due_ready();
        self.ready.pop_front()
    }

    fn make_due_ready(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            self.ready.push_back(entry.remove());
        }
    }

    fn has_more(&self) -> bool {
        !self.ready.is_empty() || !self.delayed.is_empty()
    }

    fn next_due(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }
}

impl Queue {
    pub(super) fn new(
        topic: &str,
        subscription_id: &str,
        options: &MemoryOptions,
        journal: Option<Journal>,
    ) -> Self {
        let capacity = options.capacity.get().min(Semaphore::MAX_PERMITS);
        Self {
            topic: topic.to_owned(),
            subscription_id: subscription_id.to_owned(),
            dead_letter_capacity: options.dead_letter_capacity.get(),
            journal,
            room: Arc::new(Semaphore::new(capacity)),
            arrival: Notify::new(),
            state: Mutex::default(),
        }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn subscription_id(&self) -> &str {
        &self.subscription_id
    }

    /// Waits for a place; nothing if there is none before the deadline.
    pub(super) async fn room_before(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let acquired = timeout_at(deadline, Arc::clone(&self.room).acquire_owned()).await;
        // The inner error means a closed semaphore, and it is never closed.
        acquired.ok()?.ok()
    }

    pub(super) fn push(&self, number: u64, body: Arc<[u8]>, room: OwnedSemaphorePermit) {
        self.put(number, body, 0, room);
    }

    /// Puts back what the journal has, also where there is no room for it any longer.
    pub(super) fn restore(&self, number: u64, body: Arc<[u8]>, place: Place) {
        match place {
            Place::Waiting { attempts } => {
                let room = loop {
                    match Arc::clone(&self.room).try_acquire_owned() {
                        Ok(room) => break room,
                        Err(_) => self.room.add_permits(1),
                    }
                };
                self.put(number, body, attempts, room);
            }
            Place::Dead {
                attempts,
                reason,
                since,
            } => self.keep_dead(number, &body, attempts, reason, since),
        }
    }

    fn put(&self, number: u64, body: Arc<[u8]>, attempts: u32, room: OwnedSemaphorePermit) {
        self.state().ready.push_back(Message {
            number,
            body,
            attempts,
            room,
        });
        self.arrival.notify_one();
    }

    fn note(&self, change: impl FnOnce(String) -> Change) {
        if let Some(journal) = &self.journal {
            journal.note(change(self.subscription_id.clone()));
        }
    }

    fn note_settled(&self, number: u64) {
        self.note(|id| Change::Settled { number, id });
    }

    /// Waits for the next event that is due. Safe to cancel: nothing is taken until it returns.
    pub(super) async fn next(self: &Arc<Self>) -> Taken {
        loop {
            let mut arrival = std::pin::pin!(self.arrival.notified());
            // Registered before looking, so that an arrival in between is not missed.
            arrival.as_mut().enable();
            let next_due = {
                let mut state = self.state();
                if let Some(mut message) = state.take() {
                    if state.has_more() {
                        self.arrival.notify_one();
                    }
                    message.attempts += 1;
                    return Taken {
                        queue: Arc::clone(self),
                        message: Some(message),
                    };
                }
                state.next_due()
            };
            match next_due {
                Some(due) => tokio::select! {
                    () = arrival => {}
                    () = sleep_until(due) => {}
                },
                None => arrival.await,
            }
        }
    }

    /// Looks at the dead letters, oldest first.
    pub(super) fn dead_letters<T>(&self, look: impl FnOnce(&VecDeque<Dead>) -> T) -> T {
        look(&self.state().dead)
    }

    /// How much there is; events in work are not waiting.
    pub(super) fn depth(&self) -> SubscriptionDepth {
        let state = self.state();
        let figure = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        SubscriptionDepth {
            waiting: Some(figure(state.ready.len() + state.delayed.len())),
            dead_letters: figure(state.dead.len()),
            oldest_dead_letter: state.dead.front().and_then(|dead| dead.since),
        }
    }

    /// Makes a dead letter an undelivered event again.
    pub(super) fn revive(&self, dead_letter_id: &str) -> Result<(), NotRevived> {
        let mut state = self.state();
        let position = state
            .dead
            .iter()
            .position(|dead| dead.letter.dead_letter_id == dead_letter_id)
            .ok_or(NotRevived::Unknown)?;
        let room = Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_| NotRevived::Full)?;
        let dead = state.dead.remove(position).ok_or(NotRevived::Unknown)?;
        let number = dead.number;
        self.note(|id| Change::Retried {
            number,
            id,
            attempts: 0,
        });
        state.ready.push_back(Message {
            number,
            body: dead.letter.body.into(),
            attempts: 0,
            room,
        });
        drop(state);
        self.arrival.notify_one();
        Ok(())
    }

    fn bury(&self, message: Message, attempts: u32, reason: String, since: Option<DateTime<Utc>>) {
        let Message {
            number, body, room, ..
        } = message;
        let why = reason.clone();
        self.note(|id| Change::Buried {
            number,
            id,
            attempts,
            reason: why,
            since,
        });
        self.keep_dead(number, &body, attempts, reason, since);
        drop(room);
    }

    fn keep_dead(
        &self,
        number: u64,
        body: &[u8],
        attempts: u32,
        reason: String,
        since: Option<DateTime<Utc>>,
    ) {
        let mut state = self.state();
        if state.dead.len() >= self.dead_letter_capacity {
            if let Some(oldest) = state.dead.pop_front() {
                self.note_settled(oldest.number);
            }
            tracing::warn!(
                topic = self.topic,
                subscription_id = self.subscription_id,
                "forgot the oldest dead letter, because there are too many"
            );
        }
        let letter = DeadLetter {
            dead_letter_id: number.to_string(),
            topic: self.topic.clone(),
            subscription_id: self.subscription_id.clone(),
            body: body.to_vec(),
            reason,
            attempts,
        };
        state.dead.push_back(Dead {
            number,
            letter,
            since,
        });
    }

    /// Forgets all dead letters and tells how many there were.
    pub(super) fn purge(&self) -> usize {
        let purged = std::mem::take(&mut self.state().dead);
        for dead in &purged {
            self.note_settled(dead.number);
        }
        purged.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a dead letter stays dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotRevived {
    Unknown,
    Full,
}

/// An event that is being handled. Dropping it without settling gives it back, ahead of the others.
#[derive(Debug)]
pub(super) struct Taken {
    queue: Arc<Queue>,
    /// Present until settled.
    message: Option<Message>,
}

impl Taken {
    pub(super) fn body(&self) -> &[u8] {
        self.message.as_ref().map_or(&[], |message| &message.body)
    }

    /// Deliveries of this event, this one included.
    pub(super) fn attempt(&self) -> u32 {
        self.message.as_ref().map_or(0, |message| message.attempts)
    }

    pub(super) fn acknowledge(mut self) {
        if let Some(message) = self.message.take() {
            self.queue.note_settled(message.number);
        }
    }

    pub(super) fn retry_after(mut self, delay: Duration) {
        if let Some(message) = self.message.take() {
            let (number, attempts) = (message.number, message.attempts);
            self.queue.note(|id| Change::Retried {
                number,
                id,
                attempts,
            });
            let mut state = self.queue.state();
            let number = state.next_number();
            state
                .delayed
                .insert((Instant::now() + delay, number), message);
            drop(state);
            // Some consumer has to know the new due time.
            self.queue.arrival.notify_one();
        }
    }

    /// Gives it up after `attempts` deliveries.
    pub(super) fn bury(mut self, attempts: u32, reason: String, since: Option<DateTime<Utc>>) {
        if let Some(message) = self.message.take() {
            self.queue.bury(message, attempts, reason, since);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.queue.state().ready.push_front(message);
            self.queue.arrival.notify_one();
        }
    }
}
