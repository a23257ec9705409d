//! The cqrs-es aggregate on top of decide and evolve, for commands that concern one stream alone.

use std::sync::Arc;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};

use crate::registry::Registry;
use crate::resource::command::Command;
use crate::resource::event::Event;
use crate::resource::plan::decide;
use crate::resource::refusal::Refusal;
use crate::resource::state::Resource;

/// A command together with the rules it is decided by.
#[derive(Debug, Clone)]
pub struct SingleStreamCommand {
    /// What is asked.
    pub command: Command,
    /// The registered kinds.
    pub registry: Arc<Registry>,
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        Self::event_type(self).to_owned()
    }

    fn event_version(&self) -> String {
        self.version().to_owned()
    }
}

impl Aggregate for Resource {
    const TYPE: &'static str = "resource";
    type Command = SingleStreamCommand;
    type Event = Event;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        (): &Self::Services,
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        for event in decide(self, &command.command, &command.registry)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        self.apply_event(&event);
    }
}
