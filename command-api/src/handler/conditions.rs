//! What a command is carried out under, besides the rules of the domain: the versions that the
//! caller expects, and the key under which the outcome can be asked for again.
//!
//! Invariants:
//! - an expected version is compared with the very version that the append then requires, so
//!   nothing comes between the comparison and the change; after a lost race it is compared again;
//! - a receipt is written in the transaction of the change that it is about. A command that changes
//!   nothing leaves one too, tied to the version at which it had nothing to change: a late
//!   repetition must not find something to change.

use std::time::Duration;

use hyperfleet_domain::resource::{Effect, Resource};
use hyperfleet_event_store::Receipt;
use hyperfleet_runtime::http::{EntityTag, EntityTags};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CommandError;

/// How long an answer can be asked for again. Clients that retry give up long before; a day also
/// covers who comes back after a night's outage.
pub const RECEIPT_LIFETIME: Duration = Duration::from_hours(24);

/// The target after a command; of a removed target its last state.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The state.
    pub resource: Resource,
    /// The version of its stream.
    pub version: u64,
    /// What the command did to it.
    pub effect: Effect,
}

impl Outcome {
    /// The entity tag of this state as users see it.
    pub fn tag(&self) -> EntityTag {
        EntityTag::of(self.version, self.resource.liveness_mark())
    }
}

/// What a command is carried out under.
#[derive(Clone, Copy, Default)]
pub struct Conditions<'a> {
    /// The versions that the target may have.
    pub expected: Option<&'a EntityTags>,
    /// The key of the request, when it has one.
    pub key: Option<Key<'a>>,
}

/// Under which key the outcome can be asked for again, and by which request.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// Unique per caller and request.
    pub key: &'a str,
    /// Tells whether a request with the same key is the same request.
    pub fingerprint: &'a str,
    /// What to keep of the outcome.
    pub answer: &'a (dyn Fn(&Outcome) -> Value + Sync),
}

/// How a command ended that was not refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Execution {
    /// It was carried out.
    Done(Box<Outcome>),
    /// It was carried out before; this was kept of its outcome.
    DoneBefore(Value),
}

/// What a receipt holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    fingerprint: String,
    answer: Value,
}

impl Key<'_> {
    pub(super) fn receipt(&self, outcome: &Outcome) -> Result<Receipt, CommandError> {
        let kept = Kept {
            fingerprint: self.fingerprint.to_owned(),
            answer: (self.answer)(outcome),
        };
        Ok(Receipt {
            key: self.key.to_owned(),
            value: serde_json::to_value(kept).map_err(CommandError::Unwritable)?,
            lifetime: RECEIPT_LIFETIME,
        })
    }

    /// What was kept under this key, provided that the same request left it.
    pub(super) fn read(&self, receipt: Value) -> Result<Value, CommandError> {
        let kept: Kept =
            serde_json::from_value(receipt).map_err(CommandError::UnreadableReceipt)?;
        if kept.fingerprint == self.fingerprint {
            Ok(kept.answer)
        } else {
            Err(CommandError::KeyReused)
        }
    }
}
