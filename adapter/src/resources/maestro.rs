//! What the Maestro transport asks of resources: a `ManifestWork` for a consumer, with generations
//! on everything in it.

use serde_json::Value;

use super::decide::generation;
use crate::cluster::ObjectKind;
use crate::config::Resource;
use crate::outcome::StepError;
use crate::state::State;

/// The API version of a [`MANIFEST_WORK`].
pub const MANIFEST_WORK_API: &str = "work.open-cluster-management.io/v1";
/// The only kind that Maestro takes.
pub const MANIFEST_WORK: &str = "ManifestWork";

/// The manifests inside a `ManifestWork`.
pub(super) const MANIFESTS: &str = "/spec/workload/manifests";

/// The consumer that gets the object; `None` when the process has the Kubernetes transport.
///
/// One transport serves the whole process: with Maestro, a resource that names no consumer fails.
pub(super) fn consumer(
    resource: &Resource,
    state: &State<'_>,
) -> Result<Option<String>, StepError> {
    if state.surroundings.config.adapter.maestro.is_none() {
        return Ok(None);
    }
    let Some(template) = &resource.target_cluster else {
        return Err(StepError::terminal(
            "maestro TransportContext is required: clients.maestro sends every resource to Maestro, \
             so this one needs transport.maestro.target_cluster",
        ));
    };
    let consumer = template
        .render(state)
        .map_err(|error| StepError::terminal(format!("target_cluster: {error}")))?;
    if consumer.is_empty() {
        return Err(StepError::terminal("target_cluster rendered to nothing"));
    }
    Ok(Some(consumer))
}

/// Refuses what Maestro would not take.
pub(super) fn check(manifest: &Value, kind: &ObjectKind) -> Result<(), StepError> {
    if kind.api_version != MANIFEST_WORK_API || kind.kind != MANIFEST_WORK {
        return Err(StepError::terminal(format!(
            "Maestro takes {MANIFEST_WORK_API} {MANIFEST_WORK} only, not {} {}",
            kind.api_version, kind.kind
        )));
    }
    let embedded = manifest.pointer(MANIFESTS).and_then(Value::as_array);
    for object in embedded.into_iter().flatten().chain([manifest]) {
        if generation(object) <= 0 {
            let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
            return Err(StepError::terminal(format!(
                "annotation {} of {} {:?} must be a whole number above zero: Maestro needs it on the \
                 ManifestWork and on every manifest inside",
                super::GENERATION_ANNOTATION,
                text("/kind").unwrap_or("the manifest"),
                text("/metadata/name").unwrap_or_default(),
            )));
        }
    }
    Ok(())
}
