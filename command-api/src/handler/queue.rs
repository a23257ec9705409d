//! Commands of one process that lost a race for the same resource wait for their turn, instead of
//! racing again: with n of them that takes n commits, not n²/2 attempts.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use tokio::sync::{Mutex, MutexGuard};

/// Number of queues. Resources share a queue by hash; sharing one needlessly only costs waiting.
const QUEUES: usize = 256;

/// Queues of conflicting commands, by resource.
pub(super) struct ConflictQueue {
    queues: Vec<Mutex<()>>,
}

impl Default for ConflictQueue {
    fn default() -> Self {
        Self {
            queues: (0..QUEUES).map(|_| Mutex::new(())).collect(),
        }
    }
}

impl ConflictQueue {
    /// Waits until no other command that lost a race for this resource is at work. First come,
    /// first served.
    pub(super) async fn turn(&self, resource_id: &str) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(resource_id);
        let number = usize::try_from(hash % QUEUES as u64).unwrap_or_default();
        self.queues[number].lock().await
    }
}
