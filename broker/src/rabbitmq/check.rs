//! Looking whether what a topic needs is there.
//!
//! Permissions are tried by requests that change nothing: declaring again what exists needs *configure*, taking
//! away a binding that does not exist needs *write* on one end and *read* on the other.

use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicGetOptions, ExchangeDeclareOptions, ExchangeUnbindOptions};
use lapin::types::FieldTable;

use super::link::{Link, declare_exchange, failed, short};
use super::topology::{declare_dead_letters, declare_work, depth};
use super::{RabbitMqBroker, RabbitMqError};
use crate::check::{Checked, Finding, Inspect, chain};

/// How long looking at one thing may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A routing key that nobody binds with.
const NO_BINDING: &str = "hyperfleet-check";

/// What a permission is for.
fn denied(permission: &str, name: &str) -> Finding {
    Finding::Denied(format!(
        "the user lacks {permission} on {name:?}; grant it with `rabbitmqctl set_permissions -p VHOST USER CONFIGURE WRITE READ`"
    ))
}

fn created_by(whom: &str) -> Finding {
    Finding::Missing(format!("{whom} creates it when it starts"))
}

#[async_trait]
impl Inspect for RabbitMqBroker {
    async fn inspect(&self, topic: &str, subscription_ids: &[String]) -> Vec<Checked> {
        let options = &self.shared.options;
        let address = options.address();
        let server = |finding| Checked {
            what: format!("server {address}"),
            finding,
        };
        let link = match Link::open(options).await {
            Ok(link) => link,
            Err(error) => return vec![server(Finding::Unreachable(chain(&error)))],
        };
        let mut all = vec![server(Finding::Fine)];
        let exchange = options.exchange_of(topic);
        all.push(Checked {
            what: format!("exchange {exchange}"),
            finding: self.within_deadline(self.exchange(&link, exchange)).await,
        });
        for id in subscription_ids {
            let queues = options.queues_of(topic, id);
            let work = self.queue(&link, &queues.work, Kind::Work(&queues.dead_letters));
            let finding = self.within_deadline(work).await;
            all.push(Checked {
                what: format!("queue {}", queues.work),
                finding,
            });
            let dead = self.queue(&link, &queues.dead_letters, Kind::DeadLetters);
            let finding = self.within_deadline(dead).await;
            all.push(Checked {
                what: format!("queue {}", queues.dead_letters),
                finding,
            });
        }
        link.close().await;
        all
    }
}

/// What a queue is for.
#[derive(Clone, Copy)]
enum Kind<'a> {
    /// Events; with the queue of its dead letters.
    Work(&'a str),
    DeadLetters,
}

impl RabbitMqBroker {
    async fn within_deadline(
        &self,
        looking: impl Future<Output = Result<Finding, RabbitMqError>>,
    ) -> Finding {
        match tokio::time::timeout(DEADLINE, looking).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(error)) => Finding::Unreachable(chain(&error)),
            Err(_) => Finding::Unreachable(format!("no answer within {DEADLINE:?}")),
        }
    }

    async fn exchange(&self, link: &Link, name: &str) -> Result<Finding, RabbitMqError> {
        let options = &self.shared.options;
        // What is refused closes its channel, so each question has one of its own.
        let channel = link.channel().await?;
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let kind = options.exchange_type.clone();
        let looked = channel.exchange_declare(short(name)?, kind, passive, FieldTable::default());
        match looked
            .await
            .map_err(|source| failed("look at", name, source))
        {
            Err(error) if error.is_missing() => return Ok(created_by("a publisher or consumer")),
            Err(error) if error.is_denied() => return Ok(denied("a permission", name)),
            looked => looked?,
        }
        let channel = link.channel().await?;
        match declare_exchange(&channel, options, name).await {
            Err(error) if error.is_mismatch() => {
                return Ok(Finding::Wrong(
                    "it exists with another type: use the same exchange_type, or delete it"
                        .to_owned(),
                ));
            }
            Err(error) if error.is_denied() => return Ok(denied("configure", name)),
            declared => declared?,
        }
        let channel = link.channel().await?;
        let unbound = channel.exchange_unbind(
            short(name)?,
            short(name)?,
            NO_BINDING.into(),
            ExchangeUnbindOptions::default(),
            FieldTable::default(),
        );
        match unbound.await.map_err(|source| failed("use", name, source)) {
            Err(error) if error.is_denied() => Ok(denied("write or read", name)),
            unbound => unbound.map(|()| Finding::Fine),
        }
    }

    async fn queue(
        &self,
        link: &Link,
        name: &str,
        kind: Kind<'_>,
    ) -> Result<Finding, RabbitMqError> {
        let options = &self.shared.options;
        let channel = link.channel().await?;
        let ready = match depth(&channel, name).await {
            Err(error) if error.is_missing() => return Ok(created_by("a consumer")),
            Err(error) if error.is_denied() => return Ok(denied("a permission", name)),
            ready => ready?,
        };
        let channel = link.channel().await?;
        let declared = match kind {
            Kind::Work(dead_letters) => declare_work(&channel, options, name, dead_letters).await,
            Kind::DeadLetters => declare_dead_letters(&channel, options, name).await,
        };
        let mut noted = match declared {
            Err(error) if error.is_denied() => return Ok(denied("configure", name)),
            Err(error) if error.is_mismatch() => {
                Some("it exists with other settings, and is used as it is")
            }
            declared => declared.map(|()| None)?,
        };
        if ready == 0 {
            let channel = link.channel().await?;
            let got = channel.basic_get(short(name)?, BasicGetOptions::default());
            match got.await.map_err(|source| failed("read", name, source)) {
                Err(error) if error.is_denied() => return Ok(denied("read", name)),
                got => drop(got?),
            }
        } else if noted.is_none() && matches!(kind, Kind::DeadLetters) {
            noted = Some("it holds dead letters: see `hyperfleet dlq list`");
        }
        Ok(noted.map_or(Finding::Fine, |text| Finding::Noted(text.to_owned())))
    }
}
