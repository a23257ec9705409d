//! The broker file of existing deployments: which broker an adapter subscribes at.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use hyperfleet_adapter::yaml::{self, Node};

/// Names the file.
const BROKER_CONFIG_FILE: &str = "BROKER_CONFIG_FILE";
/// Where deployments mount it.
const MOUNTED: &str = "/etc/broker/broker.yaml";

/// The URL of the broker that the file and the variables over it describe; nothing without a file
/// and without a type.
pub(crate) fn url(environment: &BTreeMap<String, String>) -> anyhow::Result<Option<String>> {
    let named = environment
        .get(BROKER_CONFIG_FILE)
        .filter(|name| !name.is_empty());
    let path = named.map_or(MOUNTED, String::as_str);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_some() => {
            return Err(error).with_context(|| format!("cannot read {path}"));
        }
        Err(_) => String::new(),
    };
    of_text(&text, environment)
        .with_context(|| format!("{} does not describe a broker", Path::new(path).display()))
}

fn of_text(text: &str, environment: &BTreeMap<String, String>) -> anyhow::Result<Option<String>> {
    let document = yaml::parse(text)?;
    let value = |path: &str| {
        let variable = path.replace('.', "_").to_uppercase();
        let given = environment.get(&variable).filter(|value| !value.is_empty());
        given.cloned().or_else(|| {
            let mut node = document.as_ref()?;
            for key in path.split('.') {
                node = node.get(key)?;
            }
            match Node::to_value(node) {
                serde_json::Value::String(text) => Some(text),
                serde_json::Value::Null => None,
                other => Some(other.to_string()),
            }
        })
    };
    let Some(kind) = value("broker.type") else {
        return Ok(None);
    };
    match kind.as_str() {
        "rabbitmq" => {
            let url = value("broker.rabbitmq.url").context("broker.rabbitmq.url is required")?;
            Ok(Some(url))
        }
        "googlepubsub" => {
            let project = value("broker.googlepubsub.project_id")
                .context("broker.googlepubsub.project_id is required")?;
            let creates = ["create_topic_if_missing", "create_subscription_if_missing"]
                .iter()
                .any(|key| value(&format!("broker.googlepubsub.{key}")).as_deref() == Some("true"));
            let create = if creates { "?create=true" } else { "" };
            Ok(Some(format!("pubsub://{project}{create}")))
        }
        other => bail!("broker.type {other:?} is neither rabbitmq nor googlepubsub"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        of_text(text, &variables.iter().map(owned).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_and_variables_over_it_name_a_broker() {
        let rabbit = "broker:\n  type: rabbitmq\n  rabbitmq: {url: amqp://a}\n";
        assert_eq!(of(rabbit, &[]), Ok(Some("amqp://a".to_owned())));
        let other = [("BROKER_RABBITMQ_URL", "amqp://b")];
        assert_eq!(of(rabbit, &other), Ok(Some("amqp://b".to_owned())));
        let google = "broker:\n  type: googlepubsub\n  googlepubsub: {project_id: p, create_topic_if_missing: true}\n";
        assert_eq!(
            of(google, &[]),
            Ok(Some("pubsub://p?create=true".to_owned()))
        );
        assert_eq!(of("", &[]), Ok(None));
        assert!(of("broker: {type: rabbitmq}", &[]).is_err());
        assert!(of("broker: {type: kafka}", &[]).is_err());
    }
}
