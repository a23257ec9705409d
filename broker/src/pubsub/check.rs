//! Looking whether what a topic needs is there.

use async_trait::async_trait;
use google_cloud_gax::error::rpc::Code;

use super::error::{Operation, code};
use super::topology::Place;
use super::{PubSubBroker, PubSubError, Shared};
use crate::check::{Checked, Finding, Inspect, chain};

#[async_trait]
impl Inspect for PubSubBroker {
    async fn inspect(&self, topic: &str, subscription_ids: &[String]) -> Vec<Checked> {
        let shared = &self.shared;
        let name = shared.options.topic(topic);
        if let Err(error) = shared.probe().await {
            return vec![Checked {
                what: format!("project {}", shared.options.project_id),
                finding: Finding::Unreachable(chain(&error)),
            }];
        }
        let mut all = vec![shared.topic_checked(&name, "topic").await];
        for id in subscription_ids {
            let what = format!("subscription {}", shared.options.subscription(id));
            let place = match shared.place(topic, id).await {
                Ok(place) => place,
                Err(error) => {
                    let finding = shared.finding(&error);
                    all.push(Checked { what, finding });
                    continue;
                }
            };
            all.extend(shared.place_checked(what, &place).await);
        }
        all
    }
}

impl Shared {
    /// What an error means for somebody who only looked.
    fn finding(&self, error: &PubSubError) -> Finding {
        let text = chain(error);
        match error {
            PubSubError::Missing { resource, .. } => {
                let is_topic = resource.contains("/topics/");
                let creates = if is_topic {
                    self.options.create_topic_if_missing
                } else {
                    self.options.create_subscription_if_missing
                };
                if creates {
                    Finding::Missing("it is created when it is first used".to_owned())
                } else {
                    Finding::Missing(text)
                }
            }
            PubSubError::PermissionDenied { .. } | PubSubError::Credentials(_) => {
                Finding::Denied(text)
            }
            PubSubError::OtherTopic { .. } | PubSubError::Invalid { .. } => Finding::Wrong(text),
            PubSubError::Deadline { .. } | PubSubError::Failed { .. } => Finding::Unreachable(text),
        }
    }

    async fn topic_checked(&self, name: &str, what: &str) -> Checked {
        let clients = self.connection.clients();
        let look = clients.topics.get_topic().set_topic(name).send();
        let looked = self.ask(Operation::LookAtTopic, name, look).await;
        let finding = match looked {
            // Who may publish need not be allowed to look.
            Ok(_) | Err(PubSubError::PermissionDenied { .. }) => {
                self.allowed(name, Operation::Publish).await
            }
            Err(error) => self.finding(&error),
        };
        Checked {
            what: format!("{what} {name}"),
            finding,
        }
    }

    /// A subscription that exists, and where its dead letters go.
    async fn place_checked(&self, what: String, place: &Place) -> Vec<Checked> {
        let mut finding = self.allowed(&place.subscription, Operation::Receive).await;
        if finding == Finding::Fine && place.maximum_attempts.is_none() {
            let text = "it has no dead-letter policy: each consumer counts deliveries for itself";
            finding = Finding::Noted(text.to_owned());
        }
        let mut all = vec![Checked { what, finding }];
        let topic = &place.dead_letter_topic;
        all.push(self.topic_checked(topic, "topic for dead letters").await);
        let keeper = place.dead_letter_subscription();
        let finding = match self.look_at(&keeper).await {
            Ok(_) | Err(PubSubError::PermissionDenied { .. }) => {
                self.allowed(&keeper, Operation::Receive).await
            }
            Err(error) => self.finding(&error),
        };
        all.push(Checked {
            what: format!("subscription for dead letters {keeper}"),
            finding,
        });
        all
    }

    /// Asks whether this account has the permission that an operation takes. An emulator does not know.
    async fn allowed(&self, name: &str, operation: Operation) -> Finding {
        let clients = self.connection.clients();
        let permission = operation.permission();
        let ask = clients
            .permissions
            .test_iam_permissions()
            .set_resource(name)
            .set_permissions([permission])
            .send();
        let asked = async {
            match ask.await {
                Err(answer) if code(&answer) == Some(Code::Unimplemented) => Ok(None),
                Err(answer) if self.options.emulator_host.is_some() => {
                    drop(answer);
                    Ok(None)
                }
                answer => answer.map(|answer| Some(answer.permissions)),
            }
        };
        match self.ask(operation, name, asked).await {
            Ok(Some(granted)) if granted.iter().all(|one| one != permission) => {
                Finding::Denied(format!(
                    "no permission {permission}: grant the account the role {}",
                    operation.role()
                ))
            }
            Ok(_) => Finding::Fine,
            Err(error) => self.finding(&error),
        }
    }
}
