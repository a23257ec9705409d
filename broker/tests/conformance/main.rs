//! What every backend must do, written once.
//!
//! [`suite`] knows only the ports. A backend joins by implementing [`suite::Backend`] and one line of
//! `conformance!`, which makes one test per case.

// Marked so that clippy knows these for tests: they may unwrap.
#[cfg(test)]
mod pubsub_backend;
#[cfg(test)]
mod rabbitmq_backend;
#[cfg(test)]
mod suite;

/// One test per case, for a backend that `$start` makes.
macro_rules! conformance {
    ($backend:ident, $start:expr) => {
        mod $backend {
            conformance! { @cases $start;
                every_subscription_gets_every_event
                consumers_of_one_subscription_share_its_events
                an_event_arrives_as_it_was_published
                a_topic_without_subscription_is_an_error
                empty_names_are_refused
                a_declared_subscription_keeps_events_until_it_is_consumed
                a_subscription_outlives_its_consumer
                a_retried_event_comes_again_with_its_attempt
                a_retried_event_waits_without_blocking_others
                an_event_is_given_up_after_the_last_attempt
                a_handler_can_give_up_at_once
                a_panic_is_a_retry
                a_failing_subscription_does_not_disturb_another
                a_dropped_consumer_gives_its_event_back
                shutdown_waits_for_running_handlers
                parallelism_bounds_concurrency
                an_undecodable_body_becomes_a_dead_letter
                a_dead_letter_can_be_requeued
                dead_letters_can_be_purged
                unknown_dead_letters_are_an_error
            }
        }
    };
    (@cases $start:expr; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let backend = $start;
                crate::suite::$case(&backend).await;
            }
        )+
    };
}

mod memory_backend {
    use hyperfleet_broker::memory::MemoryBroker;
    use hyperfleet_broker::{DeadLetters, PublishError, Publisher, Subscriber};

    use crate::suite::Backend;

    #[async_trait::async_trait]
    impl Backend for MemoryBroker {
        fn publisher(&self) -> &dyn Publisher {
            self
        }

        fn subscriber(&self) -> std::sync::Arc<dyn Subscriber> {
            std::sync::Arc::new(self.clone())
        }

        fn dead_letters(&self) -> &dyn DeadLetters {
            self
        }

        async fn publish_body(&self, topic: &str, body: &[u8]) -> Result<(), PublishError> {
            Self::publish_body(self, topic, body.to_vec()).await
        }
    }
}

conformance!(memory, hyperfleet_broker::memory::MemoryBroker::default());
conformance!(
    pubsub,
    match crate::pubsub_backend::start().await {
        Some(backend) => backend,
        None => return,
    }
);
conformance!(
    rabbitmq,
    match crate::rabbitmq_backend::start("") {
        Some(backend) => backend,
        None => return,
    }
);
// As existing peers set a server up.
conformance!(
    rabbitmq_classic_fanout,
    match crate::rabbitmq_backend::start("?queue_type=classic&exchange_type=fanout") {
        Some(backend) => backend,
        None => return,
    }
);
