//! Telling operators of condition rules that failed: counted each time, logged when it is news.

use hyperfleet_domain::resource::StreamChange;

use super::CommandHandler;

impl CommandHandler {
    /// Tells of the rules that failed in changes that are in force.
    pub(super) fn tell_of_mapping(&self, changes: &[StreamChange]) {
        for change in changes {
            for failure in &change.mapping_failures {
                self.metrics.mapping_failed(failure);
                if failure.is_new {
                    tracing::warn!(
                        resource.kind = failure.kind,
                        resource.id = change.resource.id,
                        condition.r#type = failure.condition,
                        expression = %failure.part,
                        error = failure.error,
                        "Condition mapping failed"
                    );
                }
            }
        }
    }
}
