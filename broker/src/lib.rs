#![doc = include_str!("../README.md")]

pub mod check;
pub mod dead_letter;
pub mod envelope;
pub mod memory;
pub mod metrics;
pub mod publish;
pub mod pubsub;
pub mod rabbitmq;
pub mod redelivery;
pub mod subscribe;
pub mod watch;

pub use check::{Checked, Finding, Inspect};
pub use dead_letter::{DeadLetter, DeadLetterError, DeadLetters, SubscriptionDepth};
pub use envelope::{Envelope, ExtensionValue, MalformedEnvelope};
pub use metrics::{BrokerMetrics, Clock, MetricFamilies};
pub use publish::{PublishError, Publisher};
pub use redelivery::RedeliveryPolicy;
pub use subscribe::{Delivery, Handler, Outcome, SubscribeError, Subscriber, Subscription};
pub use watch::watch_depth;
