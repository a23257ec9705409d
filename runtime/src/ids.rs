//! New identifiers, as values that are handed in.
//!
//! Invariant: no source gives the same identifier twice.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// Makes identifiers. The only way to get a fresh one outside this crate.
pub trait IdSource: Send + Sync + std::fmt::Debug {
    /// A new identifier.
    fn new_id(&self) -> Uuid;
}

/// Random identifiers that sort by the time they were made (UUID version 7).
#[derive(Clone, Copy, Debug, Default)]
pub struct UuidV7Source;

impl IdSource for UuidV7Source {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that makes random identifiers"
    )]
    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Identifiers that count up from one, for tests: `00000000-0000-7000-8000-000000000001` and so on.
#[derive(Debug, Default)]
pub struct SequentialIds {
    given: AtomicU64,
}

impl SequentialIds {
    /// A source whose first identifier ends in `1`.
    pub fn new() -> Self {
        Self::default()
    }
}

impl IdSource for SequentialIds {
    fn new_id(&self) -> Uuid {
        const VERSION_7: u64 = 0x7000;
        const VARIANT: u64 = 0x8000_0000_0000_0000;
        let number = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        Uuid::from_u64_pair(VERSION_7, VARIANT | number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_identifiers_are_version_seven_and_sort_by_time() {
        let ids: Vec<Uuid> = (0..1000).map(|_| UuidV7Source.new_id()).collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert!(ids.is_sorted());
    }

    #[test]
    fn sequential_identifiers_count_up() {
        let ids = SequentialIds::new();
        assert_eq!(
            ids.new_id().to_string(),
            "00000000-0000-7000-8000-000000000001"
        );
        assert_eq!(
            ids.new_id().to_string(),
            "00000000-0000-7000-8000-000000000002"
        );
        assert_eq!(ids.new_id().get_version_num(), 7);
    }
}
