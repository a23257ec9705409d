//! A connection, and channels on it that publish with confirmations.
//!
//! Each destination has a channel of its own: the client tells that a message was returned to whichever publish
//! of the channel it confirms next, so a channel with several destinations would mix their returns up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    DefaultConnectionBuilder,
};
use tokio::time::{Instant, timeout};

use super::{RabbitMqError, RabbitMqOptions, Shared};

/// How long connecting may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How long an orderly end may take; the server notices a disorderly one too.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// Between two attempts to connect for publishing.
const PAUSE: Duration = Duration::from_millis(100);

/// Exists on every server.
const PROBE_EXCHANGE: &str = "amq.topic";

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// In every queue that it is for.
    Stored,
    /// There is no queue that it is for.
    Unroutable,
}

/// What publishers use.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// Absent until the first publish and after a failure.
    link: Option<Arc<Link>>,
    /// When connecting failed last, and why.
    failure: Option<(Instant, Arc<RabbitMqError>)>,
}

#[derive(Debug)]
pub(super) struct Link {
    connection: Connection,
    /// By exchange and routing key.
    publishing: tokio::sync::Mutex<HashMap<(String, String), Channel>>,
}

impl Link {
    pub(super) async fn open(options: &RabbitMqOptions) -> Result<Self, RabbitMqError> {
        let properties = ConnectionProperties::default().with_connection_name("hyperfleet".into());
        let unconnected = |source| RabbitMqError::Connect {
            address: options.address(),
            source,
        };
        let mut builder = DefaultConnectionBuilder::new().map_err(unconnected)?;
        builder = builder
            .with_uri(options.uri.clone())
            .with_properties(properties);
        if let Some(file) = &options.ca_file {
            let signers = tokio::fs::read_to_string(file).await;
            let signers = signers.map_err(|source| RabbitMqError::Certificates {
                file: file.clone(),
                source,
            })?;
            builder = builder.with_tls_config(OwnedTLSConfig {
                identity: None,
                cert_chain: Some(signers),
            });
        }
        let connection = match timeout(CONNECT_DEADLINE, builder.connect()).await {
            Ok(connected) => connected.map_err(unconnected)?,
            Err(_) => {
                return Err(RabbitMqError::Deadline {
                    address: options.address(),
                    waited: CONNECT_DEADLINE,
                });
            }
        };
        Ok(Self {
            connection,
            publishing: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn is_usable(&self) -> bool {
        self.connection.status().connected()
    }

    /// A further channel. What fails on it leaves the others alone.
    pub(super) async fn channel(&self) -> Result<Channel, RabbitMqError> {
        let opened = self.connection.create_channel().await;
        opened.map_err(|source| failed("open a channel for", "", source))
    }

    /// The channel that publishes to a destination, whose exchange is declared first.
    async fn publishing(
        &self,
        options: &RabbitMqOptions,
        exchange: &str,
        routing_key: &str,
    ) -> Result<Channel, RabbitMqError> {
        let destination = (exchange.to_owned(), routing_key.to_owned());
        let mut channels = self.publishing.lock().await;
        let open = channels.get(&destination);
        if let Some(channel) = open.filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = self.channel().await?;
        if !exchange.is_empty() {
            declare_exchange(&channel, options, exchange).await?;
        }
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(|source| failed("confirm events for", exchange, source))?;
        channels.insert(destination, channel.clone());
        Ok(channel)
    }

    /// Publishes and waits for the confirmation. The caller bounds the wait.
    pub(super) async fn send(
        &self,
        options: &RabbitMqOptions,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Sent, RabbitMqError> {
        let channel = self.publishing(options, exchange, routing_key).await?;
        let name = if exchange.is_empty() {
            routing_key
        } else {
            exchange
        };
        let failed = |source| failed("confirm an event for", name, source);
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let published = channel
            .basic_publish(
                short(exchange)?,
                short(routing_key)?,
                mandatory,
                body,
                properties,
            )
            .await
            .map_err(failed)?;
        match published.await.map_err(failed)? {
            Confirmation::Ack(None) => Ok(Sent::Stored),
            Confirmation::Ack(Some(_)) => Ok(Sent::Unroutable),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(RabbitMqError::NotStored {
                name: name.to_owned(),
            }),
        }
    }

    /// Asks the server something, and so learns whether it answers.
    pub(super) async fn probe(&self) -> Result<(), RabbitMqError> {
        let channel = self.channel().await?;
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let kind = lapin::ExchangeKind::Topic;
        channel
            .exchange_declare(PROBE_EXCHANGE.into(), kind, passive, FieldTable::default())
            .await
            .map_err(|source| failed("tell about", PROBE_EXCHANGE, source))?;
        let _ = channel.close(200, "OK".into()).await;
        Ok(())
    }

    /// Ends the connection in order. What was delivered and not settled goes back to its queue.
    pub(super) async fn close(&self) {
        let closed = self.connection.close(200, "OK".into());
        let _ = timeout(CLOSE_DEADLINE, closed).await;
    }
}

impl Shared {
    /// The connection that publishes, made anew when it failed.
    ///
    /// While the server is away, one attempt speaks for all publishes of the next moment: a fleet's worth of
    /// attempts would cost more than the publishes.
    pub(super) async fn link(&self) -> Result<Arc<Link>, RabbitMqError> {
        let mut publishing = self.publishing.lock().await;
        let open = publishing.link.as_ref();
        if let Some(link) = open.filter(|link| link.is_usable()) {
            return Ok(Arc::clone(link));
        }
        if let Some((at, failure)) = &publishing.failure
            && at.elapsed() < PAUSE
        {
            return Err(RabbitMqError::Away(Arc::clone(failure)));
        }
        match Link::open(&self.options).await {
            Ok(link) => {
                let link = Arc::new(link);
                publishing.link = Some(Arc::clone(&link));
                publishing.failure = None;
                Ok(link)
            }
            Err(error) => {
                let failure = Arc::new(error);
                publishing.failure = Some((Instant::now(), Arc::clone(&failure)));
                Err(RabbitMqError::Away(failure))
            }
        }
    }

    /// Gives up the connection that publishes: it does not answer.
    pub(super) async fn forget_link(&self) {
        self.publishing.lock().await.link = None;
    }
}

/// Declares the exchange of a topic as peers do: durable, without arguments.
pub(super) async fn declare_exchange(
    channel: &Channel,
    options: &RabbitMqOptions,
    exchange: &str,
) -> Result<(), RabbitMqError> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            short(exchange)?,
            options.exchange_type.clone(),
            durable,
            FieldTable::default(),
        )
        .await
        .map_err(|source| failed("declare exchange", exchange, source))
}

pub(super) fn failed(operation: &'static str, name: &str, source: lapin::Error) -> RabbitMqError {
    RabbitMqError::Failed {
        operation,
        name: name.to_owned(),
        source,
    }
}

/// A name as the protocol has it.
pub(super) fn short(name: &str) -> Result<ShortString, RabbitMqError> {
    ShortString::try_new(name).map_err(|_| RabbitMqError::NameTooLong {
        name: name.to_owned(),
    })
}
