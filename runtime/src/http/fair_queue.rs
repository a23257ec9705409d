//! Who is worked for next: a bounded number of requests at a time, each caller with a bounded share
//! of them, and bounded queues for the rest.
//!
//! Invariants:
//! - a caller holds at most its share of the places, so the others are never all taken by one, and
//!   its waiting requests stand in its own queue: whoever else comes does not stand behind them;
//! - both queues are first come, first served, so nobody waits for ever;
//! - a caller is remembered only while it has requests here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much is worked on, and how much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Requests in work at the same time.
    pub in_work: usize,
    /// Requests of one caller in work at the same time.
    pub in_work_per_caller: usize,
    /// Requests that may wait.
    pub waiting: usize,
    /// Requests of one caller that may wait.
    pub waiting_per_caller: usize,
    /// How long a request waits before it is refused.
    pub patience: Duration,
}

impl Default for QueueLimits {
    /// In work: many more than the 16 connections to the database, so that group commit has enough
    /// to group, few enough that the bodies in memory stay below 256 MiB. A caller's share is a
    /// quarter: the number at which group commit has its greatest throughput. What waits is a few
    /// seconds of work at a thousand requests per second, and shorter than clients wait.
    fn default() -> Self {
        Self {
            in_work: 256,
            in_work_per_caller: 64,
            waiting: 4096,
            waiting_per_caller: 1024,
            patience: Duration::from_secs(10),
        }
    }
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// Too many requests wait.
    QueueFull,
    /// Too many requests of this caller wait.
    CallerQueueFull,
    /// It waited too long.
    WaitedTooLong,
}

/// The queue. Clones share it.
#[derive(Clone)]
pub(super) struct FairQueue {
    limits: QueueLimits,
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    callers: Arc<Mutex<HashMap<String, Arc<Share>>>>,
}

/// What one caller has here.
struct Share {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A place for one request, given back when dropped.
pub(super) struct Place {
    _global: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _visit: Visit,
    /// Whether it was waited for.
    pub(super) waited: bool,
}

impl FairQueue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            places: Arc::new(Semaphore::new(limits.in_work)),
            waiting: Arc::default(),
            callers: Arc::default(),
        }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self, caller: &str) -> Result<Place, Rejected> {
        let visit = self.visit(caller);
        let own = Arc::clone(&visit.share.places).try_acquire_owned();
        if let Ok(own) = own {
            if let Ok(global) = Arc::clone(&self.places).try_acquire_owned() {
                return Ok(Place {
                    _global: global,
                    _own: own,
                    _visit: visit,
                    waited: false,
                });
            }
            // It keeps its place among its caller's, and waits for one among all.
            return self.wait(visit, Some(own)).await;
        }
        self.wait(visit, None).await
    }

    async fn wait(
        &self,
        visit: Visit,
        own: Option<OwnedSemaphorePermit>,
    ) -> Result<Place, Rejected> {
        let limits = &self.limits;
        let _in_queue =
            Counted::below(Arc::clone(&self.waiting), limits.waiting).ok_or(Rejected::QueueFull)?;
        let share = Arc::clone(&visit.share);
        if share.waiting.fetch_add(1, Ordering::Relaxed) >= limits.waiting_per_caller {
            share.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejected::CallerQueueFull);
        }
        let _in_own_queue = OwnWaiting(&share);
        let both = async {
            let own = match own {
                Some(own) => own,
                None => Arc::clone(&share.places).acquire_owned().await.ok()?,
            };
            let global = Arc::clone(&self.places).acquire_owned().await.ok()?;
            Some((global, own))
        };
        match tokio::time::timeout(limits.patience, both).await {
            Ok(Some((global, own))) => Ok(Place {
                _global: global,
                _own: own,
                _visit: visit,
                waited: true,
            }),
            Ok(None) | Err(_) => Err(Rejected::WaitedTooLong),
        }
    }

    fn visit(&self, caller: &str) -> Visit {
        let mut callers = lock(&self.callers);
        let share = callers.entry(caller.to_owned()).or_insert_with(|| {
            Arc::new(Share {
                places: Arc::new(Semaphore::new(self.limits.in_work_per_caller)),
                waiting: AtomicUsize::new(0),
            })
        });
        let share = Arc::clone(share);
        drop(callers);
        Visit {
            caller: caller.to_owned(),
            share,
            callers: Arc::clone(&self.callers),
        }
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        lock(&self.callers).len()
    }
}

/// A request of a caller that is here, waiting or in work.
struct Visit {
    caller: String,
    share: Arc<Share>,
    callers: Arc<Mutex<HashMap<String, Arc<Share>>>>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut callers = lock(&self.callers);
        let caller = std::mem::take(&mut self.caller);
        // One count is the map's and one is ours: nobody else is here.
        if Arc::strong_count(&self.share) == 2
            && let Entry::Occupied(entry) = callers.entry(caller)
        {
            entry.remove();
        }
    }
}

/// One of a bounded number.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn below(counter: Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let counted = Self(counter);
        // A refused one is counted for a moment, and uncounted by its drop.
        (counted.0.fetch_add(1, Ordering::Relaxed) < limit).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct OwnWaiting<'a>(&'a Share);

impl Drop for OwnWaiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A panic while the map was locked cannot leave it half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn limits() -> QueueLimits {
        QueueLimits {
            in_work: 4,
            in_work_per_caller: 2,
            waiting: 4,
            waiting_per_caller: 3,
            patience: Duration::from_hours(1),
        }
    }

    /// What a future has to say now.
    fn now<F: Future>(future: F) -> Option<F::Output> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(future).poll(&mut context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn one_caller_never_takes_the_places_of_others() {
        let queue = FairQueue::new(limits());
        let greedy = (
            queue.enter("greedy").await.expect("free"),
            queue.enter("greedy").await.expect("free"),
        );
        assert!(now(queue.enter("greedy")).is_none(), "its share is used up");
        let modest = now(queue.enter("modest")).expect("at once");
        assert!(!modest.expect("a place").waited);
        drop(greedy);
        assert!(now(queue.enter("greedy")).is_some());
    }

    #[tokio::test]
    async fn who_waits_is_served_in_order_and_told_so() {
        let queue = FairQueue::new(limits());
        let _first = queue.enter("a").await.expect("free");
        let second = queue.enter("a").await.expect("free");
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.enter("a").await.expect("in time").waited }
        });
        while lock(&queue.callers)["a"].waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        drop(second);
        assert!(waiting.await.expect("no panic"));
    }

    #[tokio::test]
    async fn both_queues_are_bounded() {
        let queue = FairQueue::new(limits());
        let mut places = Vec::new();
        for caller in ["a", "a", "b", "b"] {
            places.push(queue.enter(caller).await.expect("free"));
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(queue.enter("a"))).collect();
        for future in &mut waiting {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        let refused = now(queue.enter("a")).expect("at once").err();
        assert_eq!(refused, Some(Rejected::CallerQueueFull));
        let mut other = Box::pin(queue.enter("c"));
        assert!(other.as_mut().poll(&mut context).is_pending());
        let refused = now(queue.enter("d")).expect("at once").err();
        assert_eq!(refused, Some(Rejected::QueueFull));
        drop((waiting, other));
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
        drop(places);
        assert_eq!(queue.remembered(), 0);
    }

    #[tokio::test]
    async fn patience_ends() {
        let queue = FairQueue::new(QueueLimits {
            in_work_per_caller: 1,
            patience: Duration::ZERO,
            ..limits()
        });
        let _place = queue.enter("a").await.expect("free");
        let refused = queue.enter("a").await.err();
        assert_eq!(refused, Some(Rejected::WaitedTooLong));
    }
}
