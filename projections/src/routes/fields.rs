//! `fields`: which members of a resource an answer shows.
//!
//! Members keep their values as they are: times are not cut, and what a resource does not have stays
//! absent. `id` is always shown.

use std::collections::BTreeSet;

use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::resource::{Resource, ResourceDocument};
use serde::Serialize;
use serde_json::{Map, Value};

use super::parameters::Parameters;

/// Members that can be asked for by their name alone. Of `status` its parts are, of
/// `owner_references` nothing (API contract v1).
const MEMBERS: [&str; 15] = [
    "id",
    "kind",
    "name",
    "href",
    "spec",
    "labels",
    "tenancy",
    "generation",
    "references",
    "created_time",
    "updated_time",
    "created_by",
    "updated_by",
    "deleted_time",
    "deleted_by",
];

/// Members of a condition.
const CONDITION_MEMBERS: [&str; 8] = [
    "type",
    "status",
    "reason",
    "message",
    "observed_generation",
    "created_time",
    "last_updated_time",
    "last_transition_time",
];

/// A resource as an answer shows it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Shown<'a> {
    Whole(ResourceDocument<'a>),
    Selected(Map<String, Value>),
}

/// What an answer shows of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// What was asked for; everything when nothing was.
    selection: Option<Selection>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Selection {
    members: BTreeSet<String>,
    conditions: Conditions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Conditions {
    #[default]
    None,
    Members(BTreeSet<String>),
    Whole,
}

impl Fields {
    /// Reads the parameter: comma-separated, repeated, or both.
    ///
    /// # Errors
    /// When a field does not exist; the fault names all that do not.
    pub(crate) fn of(parameters: &Parameters) -> Result<Self, Fault> {
        let asked = parameters
            .iter()
            .filter(|(key, _)| key == "fields")
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
            .filter(|field| !field.is_empty());
        let mut selection = Selection::default();
        let mut unknown: Vec<&str> = Vec::new();
        let mut is_asked = false;
        for field in asked {
            is_asked = true;
            if !selection.add(field) {
                unknown.push(field);
            }
        }
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            let detail = format!("The following field(s) doesn't exist in `Resource`: {names}");
            return Err(Fault::new(codes::VALIDATION, detail));
        }
        Ok(Self {
            selection: is_asked.then_some(selection),
        })
    }

    /// Whether the answer shows everything.
    pub(crate) fn are_all(&self) -> bool {
        self.selection.is_none()
    }

    /// What the answer shows of a resource.
    pub(crate) fn of_resource<'a>(&self, resource: &'a Resource) -> Shown<'a> {
        let Some(selection) = &self.selection else {
            return Shown::Whole(resource.document());
        };
        match serde_json::to_value(resource.document()) {
            Ok(Value::Object(members)) => Shown::Selected(selection.select(members)),
            // Neither happens: a resource is an object with string keys and finite numbers.
            Ok(_) | Err(_) => Shown::Whole(resource.document()),
        }
    }
}

impl Selection {
    /// Adds a field; false when there is no such field.
    fn add(&mut self, field: &str) -> bool {
        if MEMBERS.contains(&field) {
            self.members.insert(field.to_owned());
            return true;
        }
        match field.strip_prefix("status.") {
            Some("*" | "conditions" | "conditions.*") => self.conditions = Conditions::Whole,
            Some(path) => match path.strip_prefix("conditions.") {
                Some(member) if CONDITION_MEMBERS.contains(&member) => self.add_condition(member),
                _ => return false,
            },
            None => return false,
        }
        true
    }

    fn add_condition(&mut self, member: &str) {
        match &mut self.conditions {
            Conditions::Whole => {}
            Conditions::Members(members) => {
                members.insert(member.to_owned());
            }
            Conditions::None => {
                self.conditions = Conditions::Members(BTreeSet::from([member.to_owned()]));
            }
        }
    }

    fn select(&self, document: Map<String, Value>) -> Map<String, Value> {
        let members = document.into_iter().filter_map(|(name, value)| {
            if name == "status" {
                return self.select_status(value).map(|status| (name, status));
            }
            (name == "id" || self.members.contains(&name)).then_some((name, value))
        });
        members.collect()
    }

    fn select_status(&self, mut status: Value) -> Option<Value> {
        match &self.conditions {
            Conditions::None => return None,
            Conditions::Whole => {}
            Conditions::Members(members) => {
                let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
                for condition in conditions.into_iter().flatten() {
                    if let Value::Object(condition) = condition {
                        condition.retain(|name, _| members.contains(name));
                    }
                }
            }
        }
        Some(status)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(sent: &[&str]) -> Result<Fields, Fault> {
        let parameter = |value: &&str| ("fields".to_owned(), (*value).to_owned());
        Fields::of(&sent.iter().map(parameter).collect())
    }

    fn shown(sent: &[&str]) -> Value {
        let document = json!({
            "id": "i", "kind": "K", "name": "n", "owner_references": {"id": "o"},
            "status": {"conditions": [{"type": "A", "status": "True", "message": "m"}]},
        });
        let selection = fields(sent).expect("valid").selection.expect("a selection");
        let Value::Object(members) = document else {
            panic!("an object")
        };
        Value::Object(selection.select(members))
    }

    #[test]
    fn nothing_asked_is_everything() {
        for blank in [&[][..], &[""], &[" , "]] {
            assert_eq!(fields(blank).expect("valid"), Fields::default());
        }
    }

    #[test]
    fn what_is_asked_is_shown_with_the_id_and_nothing_invented() {
        assert_eq!(shown(&["name"]), json!({"id": "i", "name": "n"}));
        assert_eq!(
            shown(&["name, kind", "labels"]),
            json!({"id": "i", "kind": "K", "name": "n"})
        );
    }

    #[test]
    fn conditions_are_shown_whole_or_by_member() {
        let whole = json!([{"type": "A", "status": "True", "message": "m"}]);
        for all in [
            "status.*",
            "status.conditions",
            "status.conditions.*",
            "status.conditions.type,status.conditions",
        ] {
            assert_eq!(
                shown(&[all]),
                json!({"id": "i", "status": {"conditions": whole}})
            );
        }
        assert_eq!(
            shown(&["status.conditions.type", "status.conditions.reason"]),
            json!({"id": "i", "status": {"conditions": [{"type": "A"}]}})
        );
    }

    #[test]
    fn all_unknown_fields_are_named() {
        let fault = fields(&["nosuch,name", "status,labels.x", "owner_references"]).expect_err("x");
        assert_eq!(
            fault.detail,
            "The following field(s) doesn't exist in `Resource`: nosuch, status, labels.x, owner_references"
        );
        for field in [
            "spec.x",
            "owner_references.id",
            "status.x",
            "status.conditions.x",
            "*",
        ] {
            fields(&[field]).expect_err(field);
        }
    }
}
