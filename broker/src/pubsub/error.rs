//! What Pub/Sub answered, in terms of what to do about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use google_cloud_gax::error::rpc::Code;

/// What went wrong at Pub/Sub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PubSubError {
    /// There are no usable credentials.
    #[error(
        "no Google Cloud credentials: run `gcloud auth application-default login`, set \
         GOOGLE_APPLICATION_CREDENTIALS to a key file, or use workload identity; for an emulator set \
         PUBSUB_EMULATOR_HOST"
    )]
    Credentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The account may not do this.
    #[error(
        "no permission to {operation} {resource}: grant the account the role {} (permission {})",
        operation.role(),
        operation.permission()
    )]
    PermissionDenied {
        /// What was tried.
        operation: Operation,
        /// Full name of the topic or subscription.
        resource: String,
        /// What the service answered.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The topic or subscription does not exist and may not be created.
    #[error("{resource} does not exist: {}", how_to_create(resource, topic.as_deref()))]
    Missing {
        /// Full name of the topic or subscription.
        resource: String,
        /// The topic that a subscription is to receive from, where that is known.
        topic: Option<String>,
    },
    /// The subscription exists, on another topic.
    #[error(
        "requested subscription already exists, but for other topic than expected: {subscription} is on \
         {actual}, not on {expected}; subscription ids are unique in a project, so choose another one"
    )]
    OtherTopic {
        /// Full name of the subscription.
        subscription: String,
        /// The topic it receives from.
        actual: String,
        /// The topic that was configured.
        expected: String,
    },
    /// Nothing answered in time.
    #[error("Pub/Sub did not answer within {waited:?} when asked to {operation} {resource}")]
    Deadline {
        /// What was tried.
        operation: Operation,
        /// Full name of the topic or subscription.
        resource: String,
        /// How long.
        waited: Duration,
    },
    /// The service does not take this, however often: an event that is too large, a name that is not allowed.
    #[error("Pub/Sub takes no such thing, asked to {operation} {resource}")]
    Invalid {
        /// What was tried.
        operation: Operation,
        /// Full name of the topic or subscription.
        resource: String,
        /// What the service answered.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else that the service or the network answered.
    #[error("could not {operation} {resource}")]
    Failed {
        /// What was tried.
        operation: Operation,
        /// Full name of the topic or subscription.
        resource: String,
        /// What was answered.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What HyperFleet does at Pub/Sub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Sending events to a topic.
    Publish,
    /// Creating a topic.
    CreateTopic,
    /// Looking whether a topic exists and who subscribes to it.
    LookAtTopic,
    /// Creating a subscription.
    CreateSubscription,
    /// Looking how a subscription is set up.
    LookAtSubscription,
    /// Receiving from a subscription.
    Receive,
}

impl Operation {
    /// The permission that it takes.
    pub fn permission(self) -> &'static str {
        match self {
            Self::Publish => "pubsub.topics.publish",
            Self::CreateTopic => "pubsub.topics.create",
            Self::LookAtTopic => "pubsub.topics.get",
            Self::CreateSubscription => {
                "pubsub.subscriptions.create, and pubsub.topics.attachSubscription"
            }
            Self::LookAtSubscription => "pubsub.subscriptions.get",
            Self::Receive => "pubsub.subscriptions.consume",
        }
    }

    /// The least predefined role that has the permission.
    pub fn role(self) -> &'static str {
        match self {
            Self::Publish => "roles/pubsub.publisher",
            Self::CreateTopic | Self::CreateSubscription => "roles/pubsub.editor",
            Self::LookAtTopic | Self::LookAtSubscription => "roles/pubsub.viewer",
            Self::Receive => "roles/pubsub.subscriber",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Publish => "publish to",
            Self::CreateTopic | Self::CreateSubscription => "create",
            Self::LookAtTopic | Self::LookAtSubscription => "look at",
            Self::Receive => "receive from",
        })
    }
}

impl PubSubError {
    /// What an answer to `operation` means. It may be shared: several events go in one request.
    pub(super) fn of(
        operation: Operation,
        resource: &str,
        answer: impl Into<Arc<google_cloud_pubsub::Error>>,
    ) -> Self {
        let answer = answer.into();
        let resource = resource.to_owned();
        match code(&answer) {
            _ if answer.is_authentication() => Self::Credentials(answer.into()),
            Some(Code::Unauthenticated) => Self::Credentials(answer.into()),
            Some(Code::PermissionDenied) => Self::PermissionDenied {
                operation,
                resource,
                source: answer.into(),
            },
            Some(Code::NotFound) => Self::Missing {
                resource,
                topic: None,
            },
            Some(Code::InvalidArgument) => Self::Invalid {
                operation,
                resource,
                source: answer.into(),
            },
            _ => Self::Failed {
                operation,
                resource,
                source: answer.into(),
            },
        }
    }

    /// Whether it takes a change of configuration or rights to get on.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::PermissionDenied { .. }
                | Self::Missing { .. }
                | Self::OtherTopic { .. }
                | Self::Invalid { .. }
        )
    }
}

/// The code of the service's answer, if it was the service that answered.
pub(super) fn code(answer: &google_cloud_pubsub::Error) -> Option<Code> {
    answer.status().map(|status| status.code)
}

fn how_to_create(resource: &str, topic: Option<&str>) -> String {
    match resource.split('/').collect::<Vec<_>>()[..] {
        ["projects", project, "topics", topic] => format!(
            "create it with `gcloud pubsub topics create {topic} --project={project}`, or set \
             googlepubsub.create_topic_if_missing: true (in a URL: ?create=true)"
        ),
        ["projects", project, "subscriptions", subscription] => format!(
            "create it with `gcloud pubsub subscriptions create {subscription} --project={project} \
             --topic={} --dead-letter-topic={subscription}-dlq --max-delivery-attempts=10`, or set \
             googlepubsub.create_subscription_if_missing: true (in a URL: ?create=true)",
            topic.unwrap_or("TOPIC")
        ),
        _ => "create it first".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use google_cloud_gax::error::rpc::Status;

    use super::*;

    fn answer(code: Code) -> google_cloud_pubsub::Error {
        google_cloud_pubsub::Error::service(Status::default().set_code(code).set_message("no"))
    }

    #[test]
    fn a_missing_permission_names_the_role_and_the_permission() {
        let error = PubSubError::of(
            Operation::Receive,
            "projects/p/subscriptions/dns",
            answer(Code::PermissionDenied),
        );
        assert_eq!(
            error.to_string(),
            "no permission to receive from projects/p/subscriptions/dns: grant the account the role \
             roles/pubsub.subscriber (permission pubsub.subscriptions.consume)"
        );
        assert!(error.is_permanent());
    }

    #[test]
    fn what_is_missing_comes_with_the_command_that_creates_it() {
        let topic = PubSubError::of(
            Operation::Publish,
            "projects/p/topics/clusters",
            answer(Code::NotFound),
        );
        assert_eq!(
            topic.to_string(),
            "projects/p/topics/clusters does not exist: create it with `gcloud pubsub topics create \
             clusters --project=p`, or set googlepubsub.create_topic_if_missing: true \
             (in a URL: ?create=true)"
        );
        let subscription = PubSubError::of(
            Operation::Receive,
            "projects/p/subscriptions/dns",
            answer(Code::NotFound),
        );
        assert!(
            subscription
                .to_string()
                .contains("gcloud pubsub subscriptions create dns --project=p"),
            "{subscription}"
        );
    }

    #[test]
    fn refused_credentials_are_told_apart_from_a_broken_service() {
        let refused = PubSubError::of(Operation::Publish, "r", answer(Code::Unauthenticated));
        assert!(matches!(refused, PubSubError::Credentials(_)), "{refused}");
        let broken = PubSubError::of(Operation::Publish, "r", answer(Code::Unavailable));
        assert!(matches!(broken, PubSubError::Failed { .. }), "{broken}");
        assert!(!broken.is_permanent());
        let senseless = PubSubError::of(Operation::Publish, "r", answer(Code::InvalidArgument));
        assert!(senseless.is_permanent(), "{senseless}");
    }
}
