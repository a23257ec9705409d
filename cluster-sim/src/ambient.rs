//! The two ambient inputs of the simulation, as values that a caller may replace.
//!
//! Invariant: nothing else in this crate reads the system clock or draws random identifiers.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

/// Tells the time that the simulated cluster believes in.
#[derive(Clone)]
pub struct TimeSource(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl TimeSource {
    /// Takes any function that returns the present time.
    pub fn new(read: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The system's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "this crate stands beside the layers and may not depend on `runtime`; this is its one clock"
    )]
    pub fn system() -> Self {
        Self::new(Utc::now)
    }

    /// The present time.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

impl fmt::Debug for TimeSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TimeSource")
    }
}

/// Draws the unique ids of objects and the random parts of generated names.
#[derive(Clone)]
pub struct UidSource(Arc<dyn Fn() -> uuid::Uuid + Send + Sync>);

impl UidSource {
    /// Takes any function that never returns the same id twice.
    pub fn new(draw: impl Fn() -> uuid::Uuid + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    /// Random version 4 ids.
    #[expect(
        clippy::disallowed_methods,
        reason = "this crate stands beside the layers and may not depend on `runtime`; this is its one id source"
    )]
    pub fn random() -> Self {
        Self::new(uuid::Uuid::new_v4)
    }

    /// A fresh id.
    pub fn next(&self) -> uuid::Uuid {
        (self.0)()
    }

    /// Five lowercase characters for `metadata.generateName` and Pod names.
    pub(crate) fn suffix(&self) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let id = self.next();
        let bytes = id.as_bytes();
        bytes[11..16]
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
            .collect()
    }
}

impl fmt::Debug for UidSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UidSource")
    }
}
