//! `hyperfleet wait KIND NAME --for=…`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use hyperfleet_api_types::client::{Client, Collection, WatchEvent};
use hyperfleet_api_types::{Resource, ResourceCondition};

use crate::arguments::WaitArguments;
use crate::target;

/// What to wait for.
#[derive(Debug, PartialEq, Eq)]
enum Until {
    Condition { name: String, status: String },
    Delete,
}

pub(crate) async fn run(arguments: WaitArguments) -> anyhow::Result<()> {
    let until = parse(&arguments.until)?;
    let client = target::client(&arguments.server)?;
    let patience = Duration::from_secs(arguments.timeout);
    let (_, collection, resource) = target::locate(&client, &arguments.target).await?;
    let shown = format!("{}/{}", resource.kind.to_lowercase(), resource.name);
    match until {
        Until::Delete => {
            until_gone(&client, &collection, &resource.id, patience).await?;
            println!("{shown} removed");
        }
        Until::Condition { name, status } => {
            until_condition(
                &client,
                &collection,
                &resource.id,
                (&name, &status),
                patience,
            )
            .await?;
            println!("{shown} condition met: {name}={status}");
        }
    }
    Ok(())
}

fn parse(text: &str) -> anyhow::Result<Until> {
    if text == "delete" {
        return Ok(Until::Delete);
    }
    let Some(condition) = text
        .strip_prefix("condition=")
        .filter(|condition| !condition.is_empty())
    else {
        bail!("--for takes `condition=TYPE`, `condition=TYPE=STATUS` or `delete`, not {text:?}");
    };
    let (name, status) = condition.split_once('=').unwrap_or((condition, "True"));
    let status = ["True", "False", "Unknown"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(status))
        .with_context(|| {
            format!("a condition's status is True, False or Unknown, not {status:?}")
        })?;
    Ok(Until::Condition {
        name: name.to_owned(),
        status: status.to_owned(),
    })
}

/// Waits until a resource has a condition at its present generation.
pub(crate) async fn until_condition(
    client: &Client,
    collection: &Collection,
    id: &str,
    (name, status): (&str, &str),
    patience: Duration,
) -> anyhow::Result<Resource> {
    let mut last = None;
    let waiting = async {
        let mut watch = client.watch_one(collection, id);
        loop {
            let resource = match watch.next().await? {
                WatchEvent::Added(resource) | WatchEvent::Modified(resource) => resource,
                WatchEvent::Deleted(_) => bail!("it was removed meanwhile"),
                WatchEvent::Bookmark { .. } | WatchEvent::Restarted => continue,
            };
            let found = resource.condition(name);
            if found.is_some_and(|condition| holds(&resource, condition, status)) {
                return Ok(*resource);
            }
            last = found.cloned();
        }
    };
    match tokio::time::timeout(patience, waiting).await {
        Ok(result) => result,
        Err(_) => match last {
            Some(condition) => bail!(
                "timed out after {} s: {name} is {}: {}",
                patience.as_secs(),
                condition.status,
                condition.message.unwrap_or_default()
            ),
            None => bail!(
                "timed out after {} s: there is no condition {name}",
                patience.as_secs()
            ),
        },
    }
}

/// Whether a condition has a status, and is about what is wanted now.
fn holds(resource: &Resource, condition: &ResourceCondition, status: &str) -> bool {
    let is_current = condition.observed_generation == resource.generation;
    condition.status == status && (condition.condition_type != "Reconciled" || is_current)
}

/// Waits until a resource is gone.
pub(crate) async fn until_gone(
    client: &Client,
    collection: &Collection,
    id: &str,
    patience: Duration,
) -> anyhow::Result<()> {
    let waiting = async {
        let mut watch = client.watch_one(collection, id);
        loop {
            match watch.next().await {
                Ok(WatchEvent::Deleted(_)) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    };
    match tokio::time::timeout(patience, waiting).await {
        Ok(result) => result,
        Err(_) => bail!(
            "timed out after {} s: it still exists; `hyperfleet describe` shows who has not finalized",
            patience.as_secs()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_wait_for_is_read_as_kubectl_does() {
        let condition = |name: &str, status: &str| Until::Condition {
            name: name.to_owned(),
            status: status.to_owned(),
        };
        assert_eq!(
            parse("condition=Reconciled").unwrap(),
            condition("Reconciled", "True")
        );
        assert_eq!(
            parse("condition=Reconciled=false").unwrap(),
            condition("Reconciled", "False")
        );
        assert_eq!(parse("delete").unwrap(), Until::Delete);
    }

    #[test]
    fn anything_else_is_refused_with_the_choices() {
        assert!(
            parse("ready")
                .unwrap_err()
                .to_string()
                .contains("condition=TYPE")
        );
        assert!(
            parse("condition=A=maybe")
                .unwrap_err()
                .to_string()
                .contains("True, False or Unknown")
        );
    }
}
