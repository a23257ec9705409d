//! A handler that holds each event until it may end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use hyperfleet_broker::{Delivery, Handler, Outcome};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::support::{DEADLINE, QUIET};

/// Holds each event until it gets a permit, and counts how many it holds.
pub(crate) struct Gate {
    permits: Semaphore,
    running: AtomicUsize,
    most: AtomicUsize,
    outcome: Outcome,
    started: mpsc::UnboundedSender<String>,
    finished: mpsc::UnboundedSender<String>,
}

/// What a gate tells.
pub(crate) struct GateEnds {
    started: mpsc::UnboundedReceiver<String>,
    finished: mpsc::UnboundedReceiver<String>,
}

impl Gate {
    pub(crate) fn new(outcome: Outcome) -> (Arc<Self>, GateEnds) {
        let (started, started_end) = mpsc::unbounded_channel();
        let (finished, finished_end) = mpsc::unbounded_channel();
        let gate = Self {
            permits: Semaphore::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            outcome,
            started,
            finished,
        };
        let ends = GateEnds {
            started: started_end,
            finished: finished_end,
        };
        (Arc::new(gate), ends)
    }

    /// Lets so many events end.
    pub(crate) fn open(&self, count: usize) {
        self.permits.add_permits(count);
    }

    /// The most that ran at a time.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Handler for Gate {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let _ = self.started.send(delivery.envelope.id.clone());
        self.permits.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        let _ = self.finished.send(delivery.envelope.id);
        self.outcome.clone()
    }
}

impl GateEnds {
    /// The next event that begins.
    pub(crate) async fn started(&mut self) -> String {
        let next = timeout(DEADLINE, self.started.recv()).await;
        next.expect("an event begins within the deadline").unwrap()
    }

    /// Checks that no further one begins for a while.
    pub(crate) async fn none_starts(&mut self) {
        let next = timeout(QUIET, self.started.recv()).await;
        // An end of the channel is that of the handler.
        let next = next.ok().flatten();
        assert_eq!(next, None, "an event began");
    }

    /// The next event that ends.
    pub(crate) async fn finished(&mut self) -> String {
        let next = timeout(DEADLINE, self.finished.recv()).await;
        next.expect("an event ends within the deadline").unwrap()
    }

    /// Checks that none has ended beyond those seen.
    pub(crate) fn none_finished(&mut self) {
        let next = self.finished.try_recv();
        assert!(next.is_err(), "{next:?} ended");
    }
}
