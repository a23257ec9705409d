//! Which broker a URL means.

use std::sync::Arc;

use anyhow::bail;
use hyperfleet_broker::memory::{MemoryBroker, MemoryOptions};
use hyperfleet_broker::{Publisher, Subscriber};

/// A broker that was chosen by URL.
#[derive(Clone)]
pub(crate) struct Broker {
    memory: MemoryBroker,
}

impl Broker {
    pub(crate) fn connect(url: &str) -> anyhow::Result<Self> {
        match url.split_once(':').map_or(url, |(scheme, _)| scheme) {
            "memory" => Ok(Self {
                memory: MemoryBroker::new(MemoryOptions::default()),
            }),
            _ => bail!(
                "no broker understands {url:?}; this version has `memory:`, the broker inside one process"
            ),
        }
    }

    pub(crate) fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::new(self.memory.clone())
    }

    pub(crate) fn subscriber(&self) -> Arc<dyn Subscriber> {
        Arc::new(self.memory.clone())
    }
}
