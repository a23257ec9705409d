//! The generation decision: pure.

use serde_json::Value;

use crate::outcome::Operation;

/// The annotation that carries the generation an object was made for.
pub const GENERATION_ANNOTATION: &str = "hyperfleet.io/generation";

/// What to do with an object, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub operation: Operation,
    /// Why, for logs.
    pub reason: String,
}

/// The generation annotation of an object; missing or malformed counts as zero.
pub fn generation(object: &Value) -> i64 {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(|annotations| annotations.get(GENERATION_ANNOTATION))
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// Decides by comparing the generations of the live object and the manifest.
///
/// A manifest that is older than the live object comes from a stale event and writes nothing.
pub fn decide(live: Option<&Value>, manifest: &Value, recreate_on_change: bool) -> Decision {
    let decision = |operation, reason: String| Decision { operation, reason };
    let Some(live) = live else {
        return decision(Operation::Create, "resource not found".to_owned());
    };
    let (old, new) = (generation(live), generation(manifest));
    if old == new {
        return decision(Operation::Skip, format!("generation {new} unchanged"));
    }
    if new < old {
        return decision(
            Operation::Skip,
            format!("generation {old} is newer than {new} of this event"),
        );
    }
    if recreate_on_change {
        return decision(
            Operation::Recreate,
            format!("generation changed {old}->{new}, recreateOnChange=true"),
        );
    }
    decision(
        Operation::Update,
        format!("generation changed {old}->{new}"),
    )
}

/// Decides for a dry run, in which generations do not count.
pub(super) fn decide_dry(exists: bool, recreate_on_change: bool) -> Decision {
    let operation = match (exists, recreate_on_change) {
        (false, _) => Operation::Create,
        (true, false) => Operation::Update,
        (true, true) => Operation::Recreate,
    };
    Decision {
        operation,
        reason: format!("dry-run {}", operation.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(generation: &str) -> Value {
        json!({"metadata": {"annotations": {GENERATION_ANNOTATION: generation}}})
    }

    #[test]
    fn the_generation_decides() {
        let cases = [
            (None, "5", false, Operation::Create, "resource not found"),
            (
                Some("5"),
                "5",
                false,
                Operation::Skip,
                "generation 5 unchanged",
            ),
            (
                Some("5"),
                "6",
                false,
                Operation::Update,
                "generation changed 5->6",
            ),
            (
                Some("abc"),
                "6",
                false,
                Operation::Update,
                "generation changed 0->6",
            ),
            (
                Some("5"),
                "6",
                true,
                Operation::Recreate,
                "generation changed 5->6, recreateOnChange=true",
            ),
            (
                Some("6"),
                "5",
                false,
                Operation::Skip,
                "generation 6 is newer than 5 of this event",
            ),
            (
                Some("6"),
                "5",
                true,
                Operation::Skip,
                "generation 6 is newer than 5 of this event",
            ),
        ];
        for (live, new, recreate, operation, reason) in cases {
            let live = live.map(object);
            let decision = decide(live.as_ref(), &object(new), recreate);
            assert_eq!(
                (decision.operation, decision.reason.as_str()),
                (operation, reason)
            );
        }
        let bare = json!({"metadata": {}});
        assert_eq!(
            decide(Some(&bare), &bare, false).reason,
            "generation 0 unchanged"
        );
    }
}
