//! Finding the object of a resource: by name, or the best match of labels.

use std::collections::BTreeMap;

use serde_json::Value;

use super::decide::generation;
use super::{from_cluster, maestro};
use crate::cluster::{ClusterTarget, ObjectId, ObjectKind};
use crate::config::{DiscoverBy, Resource};
use crate::outcome::StepError;
use crate::state::State;
use crate::template::Template;

/// The object, if it exists. The kind is the one written in the manifest, untemplated.
pub(super) async fn discover(
    resource: &Resource,
    state: &State<'_>,
    cluster: &dyn ClusterTarget,
) -> Result<Option<Value>, StepError> {
    let kind = ObjectKind {
        api_version: resource.manifest.api_version.clone(),
        kind: resource.manifest.kind.clone(),
    };
    let is_literal = |text: &str| !text.is_empty() && !text.contains("{{");
    if !is_literal(&kind.api_version) || !is_literal(&kind.kind) {
        return Err(StepError::terminal(
            "discovery needs apiVersion and kind written literally in the manifest",
        ));
    }
    let namespace = match &resource.discovery.namespace {
        Some(template) => render("namespace", template, state)?,
        None => String::new(),
    };
    let consumer = maestro::consumer(resource, state)?;
    match &resource.discovery.by {
        DiscoverBy::Name(name) => {
            let object = ObjectId {
                kind,
                namespace: consumer.unwrap_or(namespace),
                name: render("by_name", name, state)?,
            };
            cluster
                .get(&object)
                .await
                .map_err(|error| from_cluster(&error))
        }
        DiscoverBy::Selectors(selectors) => {
            let labels = rendered_labels(selectors, state)?;
            let of_consumer = consumer.as_deref();
            let mut found = cluster
                .list(&kind, of_consumer.unwrap_or(&namespace), &labels)
                .await
                .map_err(|error| from_cluster(&error))?;
            if of_consumer.is_some_and(|consumer| !namespace.is_empty() && namespace != consumer) {
                found.clear();
            }
            Ok(best(found))
        }
    }
}

fn render(what: &str, template: &Template, state: &State<'_>) -> Result<String, StepError> {
    template
        .render(state)
        .map_err(|error| StepError::terminal(format!("discovery {what}: {error}")))
}

/// Labels with their templates rendered, keys too.
pub(super) fn rendered_labels(
    selectors: &[(Template, Template)],
    state: &State<'_>,
) -> Result<BTreeMap<String, String>, StepError> {
    selectors
        .iter()
        .map(|(key, value)| {
            let key = render("label", key, state)?;
            Ok((key, render("label", value, state)?))
        })
        .collect()
}

/// Whether an object has all of the labels.
pub fn matches_labels(object: &Value, labels: &BTreeMap<String, String>) -> bool {
    let own = object.pointer("/metadata/labels");
    labels
        .iter()
        .all(|(key, value)| own.and_then(|own| own.get(key)).and_then(Value::as_str) == Some(value))
}

/// The highest generation; among equals the first name.
pub(super) fn best(objects: Vec<Value>) -> Option<Value> {
    let name = |object: &Value| {
        object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    objects.into_iter().min_by(|left, right| {
        generation(right)
            .cmp(&generation(left))
            .then_with(|| name(left).cmp(&name(right)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_generation_wins_then_the_name() {
        let object = |name: &str, generation: &str| json!({"metadata": {"name": name, "annotations": {"hyperfleet.io/generation": generation}}});
        let found = best(vec![object("z", "3"), object("b", "3"), object("a", "1")]).unwrap();
        assert_eq!(found["metadata"]["name"], "b");
        assert_eq!(best(Vec::new()), None);
    }
}
