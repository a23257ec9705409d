//! Search keys: what searches for equality look up, as texts in one indexed array per resource.
//!
//! One array serves labels, conditions and references, alone and combined, from one index, and the
//! database knows how often each key occurs. It changes only when one of them does, so reports
//! that say "still so" leave the index alone. Label keys, condition types and reference types have
//! no `=`, so no two facts share a key.

use hyperfleet_domain::resource::Resource;

/// The key of a label.
pub(crate) fn label(key: &str, value: &str) -> String {
    format!("label:{key}={value}")
}

/// The key of a condition.
pub(crate) fn condition(r#type: &str, status: &str) -> String {
    format!("condition:{type}={status}")
}

/// The key of a reference to another resource.
pub(crate) fn reference(ref_type: &str, target_id: &str) -> String {
    format!("reference:{ref_type}={target_id}")
}

/// The keys of a resource, sorted; a removed one has none.
pub(crate) fn of(resource: &Resource) -> Vec<String> {
    if !resource.exists() {
        return Vec::new();
    }
    let labels = resource.labels.iter().map(|(key, value)| label(key, value));
    let conditions = resource
        .conditions
        .iter()
        .map(|held| condition(&held.r#type, &held.status.to_string()));
    let references = resource.references.iter().flat_map(|(ref_type, targets)| {
        targets.iter().map(|target| reference(ref_type, &target.id))
    });
    let mut keys: Vec<String> = labels.chain(conditions).chain(references).collect();
    keys.sort_unstable();
    keys
}
