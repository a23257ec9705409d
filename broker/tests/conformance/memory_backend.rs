//! The broker inside this process.

use std::sync::Arc;

use async_trait::async_trait;
use hyperfleet_broker::memory::{MemoryBroker, MemoryOptions};
use hyperfleet_broker::{BrokerMetrics, DeadLetters, PublishError, Publisher, Subscriber};

use crate::suite::{Backend, Kind};

/// A broker that keeps everything in a folder, which goes with the test.
pub(crate) fn open() -> MemoryBroker {
    let folder = tempfile::tempdir().unwrap().keep();
    let broker = MemoryBroker::open(MemoryOptions::default(), &folder).unwrap();
    // Its files stay usable while they are open.
    std::fs::remove_dir_all(folder).unwrap();
    broker
}

#[async_trait]
impl Backend for MemoryBroker {
    fn kind(&self) -> Kind {
        Kind::Memory
    }

    fn publisher(&self) -> &dyn Publisher {
        self
    }

    fn subscriber(&self) -> Arc<dyn Subscriber> {
        Arc::new(self.clone())
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self
    }

    fn shared_dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(self.clone())
    }

    async fn publish_message(
        &self,
        topic: &str,
        attributes: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), PublishError> {
        Self::publish_message(self, topic, attributes, body.to_vec()).await
    }

    fn with_metrics(&self, metrics: BrokerMetrics) -> Box<dyn Backend> {
        Box::new(Self::with_metrics(self, metrics))
    }

    async fn unreachable(&self) -> Option<Box<dyn Backend>> {
        None
    }
}
