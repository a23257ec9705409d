//! How many watch at a time: in all, and of each caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Too many watch.
    All,
    /// This caller has too many watches.
    Caller,
}

/// The places. Clones share them.
#[derive(Clone)]
pub(super) struct Places {
    all: usize,
    per_caller: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
    watchers: IntGauge,
}

/// The place of one watcher, given back when dropped.
pub(super) struct Place {
    places: Places,
    caller: String,
}

impl Places {
    pub(super) fn new(all: usize, per_caller: usize, watchers: IntGauge) -> Self {
        Self {
            all,
            per_caller,
            taken: Arc::default(),
            watchers,
        }
    }

    /// A place for a watcher of this caller.
    pub(super) fn take(&self, caller: &str) -> Result<Place, Full> {
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= self.all {
            return Err(Full::All);
        }
        let own = taken.get(caller).copied().unwrap_or_default();
        if own >= self.per_caller {
            return Err(Full::Caller);
        }
        taken.insert(caller.to_owned(), own + 1);
        drop(taken);
        self.watchers.inc();
        Ok(Place {
            places: self.clone(),
            caller: caller.to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // A panic while it was locked cannot leave it half-changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(own) = taken.get_mut(&self.caller) {
            *own -= 1;
            // A caller is remembered only while it watches.
            if *own == 0 {
                taken.remove(&self.caller);
            }
        }
        drop(taken);
        self.places.watchers.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_each_caller_and_come_back() {
        let gauge = IntGauge::new("watchers", "help").expect("valid");
        let places = Places::new(3, 2, gauge.clone());
        let first = places.take("a").ok();
        let _second = places.take("a").ok();
        assert_eq!(places.take("a").err(), Some(Full::Caller));
        let _third = places.take("b").ok();
        assert_eq!(places.take("b").err(), Some(Full::All));
        assert_eq!(gauge.get(), 3);
        drop(first);
        assert!(places.take("a").is_ok());
        assert_eq!(gauge.get(), 2);
    }
}
