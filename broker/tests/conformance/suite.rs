//! The cases. Each gets a backend of its own, or at least topics that nobody else uses.

mod delivery;
mod failure;
mod support;

use std::sync::Arc;

use async_trait::async_trait;
use hyperfleet_broker::{DeadLetters, PublishError, Publisher, Subscriber};

pub(crate) use delivery::*;
pub(crate) use failure::*;

/// What the cases need of a backend.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    fn publisher(&self) -> &dyn Publisher;
    fn subscriber(&self) -> Arc<dyn Subscriber>;
    fn dead_letters(&self) -> &dyn DeadLetters;
    /// Publishes a body that need not be an event.
    async fn publish_body(&self, topic: &str, body: &[u8]) -> Result<(), PublishError>;
    /// A topic that no other case uses.
    fn topic(&self) -> String {
        "conformance".to_owned()
    }
}
