//! Finding the object of a resource: by name, or the best match of labels.

use std::collections::BTreeMap;

use serde_json::Value;

use super::decide::generation;
use super::from_cluster;
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
    if kind.api_version.is_empty() || kind.kind.is_empty() || kind.kind.contains("{{") {
        return Err(StepError::terminal(
            "discovery needs apiVersion and kind written literally in the manifest",
        ));
    }
    let render = |what: &str, template: &Template| {
        template
            .render(state)
            .map_err(|error| StepError::terminal(format!("discovery {what}: {error}")))
    };
    let namespace = match &resource.discovery.namespace {
        Some(template) => render("namespace", template)?,
        None => String::new(),
    };
    match &resource.discovery.by {
        DiscoverBy::Name(name) => {
            let object = ObjectId {
                kind,
                namespace,
                name: render("by_name", name)?,
            };
            cluster
                .get(&object)
                .await
                .map_err(|error| from_cluster(&error))
        }
        DiscoverBy::Selectors(selectors) => {
            let mut labels = BTreeMap::new();
            for (key, value) in selectors {
                labels.insert(render("label", key)?, render("label", value)?);
            }
            let found = cluster
                .list(&kind, &namespace, &labels)
                .await
                .map_err(|error| from_cluster(&error))?;
            Ok(best(found))
        }
    }
}

/// The highest generation; among equals the first name.
fn best(objects: Vec<Value>) -> Option<Value> {
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
