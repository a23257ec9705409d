#![doc = include_str!("../README.md")]

pub mod dead_letter;
pub mod envelope;
pub mod memory;
pub mod metrics;
pub mod publish;
pub mod pubsub;
pub mod rabbitmq;
pub mod redelivery;
pub mod subscribe;

pub use dead_letter::{DeadLetter, DeadLetterError, DeadLetters};
pub use envelope::{Envelope, ExtensionValue, MalformedEnvelope};
pub use metrics::{BrokerMetrics, MetricFamilies};
pub use publish::{PublishError, Publisher};
pub use redelivery::RedeliveryPolicy;
pub use subscribe::{Delivery, Handler, Outcome, SubscribeError, Subscriber, Subscription};
