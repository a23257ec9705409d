//! What an accepted request did: told to its sender in a header, and to the audit.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use hyperfleet_api_types::AuditOutcome;

/// Header of the answer to a request that changes something and was accepted.
pub const EFFECT_HEADER: HeaderName = HeaderName::from_static("hyperfleet-effect");

/// What an accepted request did. Handlers put it into the extensions of their answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is in the history, as one event or more.
    Changed,
    /// A report said "still so": only the times of its status moved.
    Liveness,
    /// What it asked for was there already.
    Unchanged,
    /// A report was outdated or incomplete, and dropped.
    Dropped,
    /// It was carried out before, under the same `Idempotency-Key`.
    Replayed,
}

impl Effect {
    /// Its name in the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Liveness => "liveness",
            Self::Unchanged => "unchanged",
            Self::Dropped => "dropped",
            Self::Replayed => "replayed",
        }
    }

    /// How the audit tells of it. Changes are in the log, and liveness is not history.
    pub(super) fn audited(self) -> Option<(AuditOutcome, &'static str)> {
        match self {
            Self::Changed | Self::Liveness => None,
            Self::Unchanged => Some((
                AuditOutcome::Unchanged,
                "what was asked for was there already",
            )),
            Self::Dropped => Some((
                AuditOutcome::Unchanged,
                "the report was outdated or incomplete, and was dropped",
            )),
            Self::Replayed => Some((
                AuditOutcome::Replayed,
                "carried out before under the same Idempotency-Key",
            )),
        }
    }

    /// Tells the sender.
    pub(super) fn show(response: &mut Response) {
        if let Some(effect) = response.extensions().get::<Self>() {
            let value = HeaderValue::from_static(effect.name());
            response.headers_mut().insert(EFFECT_HEADER, value);
        }
    }
}
