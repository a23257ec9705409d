//! Manifests inside a `ManifestWork`, with what the remote cluster says about them.

use serde_json::Value;

use super::discover::{best, matches_labels, rendered_labels};
use super::maestro::MANIFESTS;
use crate::config::{DiscoverBy, NestedDiscovery, Resource};
use crate::outcome::StepError;
use crate::state::State;

/// The status of each manifest of a `ManifestWork`.
const STATUSES: &str = "/status/resourceStatus/manifests";

/// Publishes every nested object that is found; one that is not there is only noted.
pub(super) fn discover_all(resource: &Resource, state: &mut State<'_>) -> Result<(), StepError> {
    for nested in &resource.nested {
        if nested.name == resource.name {
            tracing::warn!(
                resource = %resource.name,
                "a nested discovery has the name of its resource and is left out"
            );
            continue;
        }
        if state.resources.contains_key(&nested.name) {
            return Err(StepError::terminal(format!(
                "nested discovery key collision: {:?} is the name of another resource",
                nested.name
            )));
        }
        let given = state.surroundings.dry_run.as_ref();
        let given = given.and_then(|given| given.get(&nested.name).cloned());
        let found = match given {
            Some(given) => Some(given),
            None => find(resource, nested, state)?,
        };
        if let Some(found) = found {
            state.resources.insert(nested.name.clone(), found);
        } else {
            tracing::warn!(
                resource = %resource.name,
                nested = %nested.name,
                "nothing in the ManifestWork matches the nested discovery"
            );
        }
    }
    Ok(())
}

fn find(
    resource: &Resource,
    nested: &NestedDiscovery,
    state: &State<'_>,
) -> Result<Option<Value>, StepError> {
    let render = |what: &str, template: &crate::template::Template| {
        template.render(state).map_err(|error| {
            StepError::terminal(format!(
                "nested discovery {:?} {what}: {error}",
                nested.name
            ))
        })
    };
    let namespace = match &nested.discovery.namespace {
        Some(template) => render("namespace", template)?,
        None => String::new(),
    };
    let matches: Box<dyn Fn(&Value) -> bool> = match &nested.discovery.by {
        DiscoverBy::Name(name) => {
            let name = render("by_name", name)?;
            Box::new(move |object| text(object, "/metadata/name") == name)
        }
        DiscoverBy::Selectors(selectors) => {
            let labels = rendered_labels(selectors, state)?;
            Box::new(move |object| matches_labels(object, &labels))
        }
    };
    let parent = state.resources.get(&resource.name);
    let found = parent
        .and_then(|parent| parent.pointer(MANIFESTS))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|object| namespace.is_empty() || text(object, "/metadata/namespace") == namespace)
        .filter(|object| matches(object))
        .cloned()
        .collect();
    Ok(best(found).map(|object| with_status(object, parent)))
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The manifest with the feedback and the conditions that its `ManifestWork` has for it.
fn with_status(mut object: Value, parent: Option<&Value>) -> Value {
    let (name, namespace) = (
        text(&object, "/metadata/name").to_owned(),
        text(&object, "/metadata/namespace").to_owned(),
    );
    let status = parent
        .and_then(|parent| parent.pointer(STATUSES))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|status| {
            text(status, "/resourceMeta/name") == name
                && text(status, "/resourceMeta/namespace") == namespace
        });
    if let (Some(status), Value::Object(fields)) = (status, &mut object) {
        for key in ["statusFeedback", "conditions"] {
            if let Some(value) = status.get(key) {
                fields.insert(key.to_owned(), value.clone());
            }
        }
    }
    object
}
