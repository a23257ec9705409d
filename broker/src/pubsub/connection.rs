//! The clients of one connection to Pub/Sub, and their replacement.
//!
//! A network that swallows packets leaves an established connection silent for as long as TCP hopes, which
//! is a quarter of an hour. So whoever gets no answer in time asks for new clients, which connect anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{self, Credentials, anonymous};
use google_cloud_gax::exponential_backoff::ExponentialBackoffBuilder;
use google_cloud_gax::retry_policy::{NeverRetry, RetryPolicyExt as _};
use google_cloud_pubsub::client::{
    BasePublisher, Publisher, SchemaService, Subscriber, SubscriptionAdmin, TopicAdmin,
};
use google_cloud_pubsub::retry_policy::RetryableErrors;

use super::{PubSubError, PubSubOptions};

/// How long a batch waits for more events. The client's own 10 ms would be most of a lone event's way.
const BATCH_DELAY: Duration = Duration::from_millis(1);

/// First and longest pause between two attempts to publish: short, because the publish deadline ends them.
const PUBLISH_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What one connection consists of.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) topics: TopicAdmin,
    pub(super) subscriptions: SubscriptionAdmin,
    pub(super) subscriber: Subscriber,
    /// Asked about permissions, which it tells of topics and subscriptions as well.
    pub(super) permissions: SchemaService,
    publisher: BasePublisher,
    /// By full name of the topic; each has a task that makes batches.
    publishers: Mutex<HashMap<String, Publisher>>,
}

impl Clients {
    /// The publisher of a topic, by its full name.
    pub(super) fn publisher(&self, topic: &str) -> Publisher {
        let mut publishers = self
            .publishers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(publisher) = publishers.get(topic) {
            return publisher.clone();
        }
        let publisher = self
            .publisher
            .publisher(topic)
            .set_delay_threshold(BATCH_DELAY)
            .build();
        publishers.insert(topic.to_owned(), publisher.clone());
        publisher
    }
}

/// The present clients.
#[derive(Debug)]
pub(super) struct Connection {
    endpoint: Option<String>,
    credentials: Credentials,
    publish_deadline: Duration,
    current: Mutex<Arc<Clients>>,
    /// Held while new clients are made, so that those who wait for them do not make more.
    renewal: tokio::sync::Mutex<()>,
}

impl Connection {
    /// Makes clients. They connect when they are used.
    pub(super) async fn new(options: &PubSubOptions) -> Result<Self, PubSubError> {
        let endpoint = options
            .emulator_host
            .as_ref()
            .map(|host| format!("http://{host}"));
        let credentials = match endpoint {
            Some(_) => anonymous::Builder::new().build(),
            None => credentials::Builder::default()
                .build()
                .map_err(|error| PubSubError::Credentials(error.into()))?,
        };
        let clients = clients(endpoint.as_deref(), &credentials, options.publish_deadline).await?;
        Ok(Self {
            endpoint,
            credentials,
            publish_deadline: options.publish_deadline,
            current: Mutex::new(Arc::new(clients)),
            renewal: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn clients(&self) -> Arc<Clients> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Replaces clients that got no answer, unless somebody else just did.
    pub(super) async fn renew(&self, silent: &Arc<Clients>) {
        let _renewing = self.renewal.lock().await;
        if !Arc::ptr_eq(silent, &self.clients()) {
            return;
        }
        match clients(
            self.endpoint.as_deref(),
            &self.credentials,
            self.publish_deadline,
        )
        .await
        {
            Ok(clients) => {
                tracing::warn!("Pub/Sub was silent; connecting anew");
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(clients);
            }
            Err(error) => tracing::error!(%error, "no new connection to Pub/Sub"),
        }
    }
}

/// Every builder of the library has these methods, but they are no trait.
macro_rules! connected {
    ($builder:expr, $endpoint:expr, $credentials:expr) => {{
        let builder = $builder.with_credentials($credentials.clone());
        match $endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        }
    }};
}

async fn clients(
    endpoint: Option<&str>,
    credentials: &Credentials,
    publish_deadline: Duration,
) -> Result<Clients, PubSubError> {
    let unusable =
        |error: google_cloud_gax::client_builder::Error| PubSubError::Credentials(error.into());
    let (first, longest) = PUBLISH_PAUSES;
    let pauses = ExponentialBackoffBuilder::new()
        .with_initial_delay(first)
        .with_maximum_delay(longest)
        .clamp();
    Ok(Clients {
        // Whoever administers has a deadline and a loop of their own.
        topics: connected!(TopicAdmin::builder(), endpoint, credentials)
            .with_retry_policy(NeverRetry)
            .build()
            .await
            .map_err(unusable)?,
        subscriptions: connected!(SubscriptionAdmin::builder(), endpoint, credentials)
            .with_retry_policy(NeverRetry)
            .build()
            .await
            .map_err(unusable)?,
        permissions: connected!(SchemaService::builder(), endpoint, credentials)
            .with_retry_policy(NeverRetry)
            .build()
            .await
            .map_err(unusable)?,
        subscriber: connected!(Subscriber::builder(), endpoint, credentials)
            .build()
            .await
            .map_err(unusable)?,
        publisher: connected!(BasePublisher::builder(), endpoint, credentials)
            .with_retry_policy(RetryableErrors.with_time_limit(publish_deadline))
            .with_backoff_policy(pauses)
            .build()
            .await
            .map_err(unusable)?,
        publishers: Mutex::default(),
    })
}
