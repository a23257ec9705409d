//! The cases. Each gets a backend of its own, or at least topics that nobody else uses.

mod content;
mod dead_letters;
mod depth;
mod differences;
mod failure;
mod fan_out;
mod gate;
mod publishing;
mod refusal;
mod retry;
mod shutdown;
mod support;

use std::sync::Arc;

use async_trait::async_trait;
use hyperfleet_broker::{BrokerMetrics, DeadLetters, PublishError, Publisher, Subscriber};

pub(crate) use content::*;
pub(crate) use dead_letters::*;
pub(crate) use depth::*;
pub(crate) use differences::{Difference, Kind};
pub(crate) use failure::*;
pub(crate) use fan_out::*;
pub(crate) use publishing::*;
pub(crate) use refusal::*;
pub(crate) use retry::*;
pub(crate) use shutdown::*;

/// What the cases need of a backend.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    fn kind(&self) -> Kind;
    fn publisher(&self) -> &dyn Publisher;
    fn subscriber(&self) -> Arc<dyn Subscriber>;
    fn dead_letters(&self) -> &dyn DeadLetters;
    fn shared_dead_letters(&self) -> Arc<dyn DeadLetters>;
    /// Publishes a message that need not be an event.
    async fn publish_message(
        &self,
        topic: &str,
        attributes: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), PublishError>;
    /// The same broker, counting there.
    fn with_metrics(&self, metrics: BrokerMetrics) -> Box<dyn Backend>;
    /// One of its kind at an address where nobody listens; nothing where there is no such thing.
    async fn unreachable(&self) -> Option<Box<dyn Backend>>;
    /// A topic that no other case uses.
    fn topic(&self) -> String {
        "conformance".to_owned()
    }
    fn differs(&self, difference: Difference) -> bool {
        difference.is_of(self.kind())
    }
}
