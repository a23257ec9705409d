//! The rules of one kind.

use serde::{Deserialize, Serialize};

use super::API_BASE;
use crate::mapping::ConditionRule;

/// Length of a name when a kind sets no upper limit, in bytes.
const DEFAULT_NAME_MAX: usize = 100;

/// What the deletion of a parent does to its children of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParentDeletePolicy {
    /// The children are deleted with it.
    Cascade,
    /// Active children forbid it.
    Restrict,
}

impl ParentDeletePolicy {
    /// The policy of that name in configuration, if it is one.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "cascade" => Some(Self::Cascade),
            "restrict" => Some(Self::Restrict),
            _ => None,
        }
    }
}

/// Bounds of a name's length in bytes; 0 means that the kind sets none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NameLength {
    /// Least length.
    pub min: usize,
    /// Greatest length.
    pub max: usize,
}

impl NameLength {
    /// The upper bound that holds: 100 when the kind sets none.
    pub fn effective_max(self) -> usize {
        if self.max == 0 {
            DEFAULT_NAME_MAX
        } else {
            self.max
        }
    }
}

/// One kind of link, other than ownership, that resources of a kind may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceRule {
    /// Name of the link, unique in its kind.
    pub ref_type: String,
    /// Kind that it points to.
    pub target_kind: String,
    /// Least number of targets; 0 makes the link optional.
    #[serde(default)]
    pub min: usize,
    /// Greatest number of targets; 0 sets no limit.
    #[serde(default)]
    pub max: usize,
}

/// The rules of one kind. In configuration it is one entry of `entities`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Entry")]
pub struct EntityDescriptor {
    /// Discriminator in bodies and events, for example `NodePool`.
    pub kind: String,
    /// URL segment, for example `nodepools`.
    pub plural: String,
    /// Kind of the owner; none for a top-level kind.
    pub parent_kind: Option<String>,
    /// What deleting the owner does. None leaves the children alone, even without an owner.
    pub on_parent_delete: Option<ParentDeletePolicy>,
    /// Adapters that gate `Reconciled` and removal, in the order their conditions are shown.
    pub required_adapters: Vec<String>,
    /// Links that resources of this kind may have.
    pub references: Vec<ReferenceRule>,
    /// Bounds of the name's length.
    pub name_length: NameLength,
    /// Name of the schema that `spec` must satisfy.
    pub spec_schema_name: Option<String>,
    /// Whether a missing schema stops the start-up instead of switching validation off.
    pub require_spec_schema: bool,
    /// Conditions that are computed from the adapters' reports, beside the aggregated ones.
    pub condition_rules: Vec<ConditionRule>,
}

impl EntityDescriptor {
    /// Everything that decides which conditions a resource of this kind has, as text. When it
    /// differs from what it was, existing resources need to be evaluated again.
    pub fn rules_text(&self) -> String {
        serde_json::json!({
            "required_adapters": self.required_adapters,
            "conditions": self.condition_rules,
        })
        .to_string()
    }

    /// Whether resources of this kind have an owner.
    pub fn is_child(&self) -> bool {
        self.parent_kind.is_some()
    }

    /// The rule of a reference type, if this kind declares it.
    pub fn reference(&self, ref_type: &str) -> Option<&ReferenceRule> {
        self.references
            .iter()
            .find(|rule| rule.ref_type == ref_type)
    }

    /// Address of a resource of this kind below its owner's, or at the top level.
    pub fn href(&self, owner_href: Option<&str>, id: &str) -> String {
        format!("{}/{}/{id}", owner_href.unwrap_or(API_BASE), self.plural)
    }
}

/// The configured form of a descriptor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: String,
    plural: String,
    #[serde(default)]
    parent_kind: Option<String>,
    /// Any other text than a policy means that nothing is enforced.
    #[serde(default)]
    on_parent_delete: Option<String>,
    #[serde(default)]
    required_adapters: Vec<String>,
    #[serde(default)]
    references: Vec<ReferenceRule>,
    #[serde(default)]
    conditions: Vec<ConditionRule>,
    #[serde(default)]
    name_min_len: usize,
    #[serde(default)]
    name_max_len: usize,
    #[serde(default)]
    spec_schema_name: Option<String>,
    #[serde(default)]
    require_spec_schema: bool,
}

impl From<Entry> for EntityDescriptor {
    fn from(entry: Entry) -> Self {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            kind: entry.kind,
            plural: entry.plural,
            parent_kind: given(entry.parent_kind),
            on_parent_delete: entry
                .on_parent_delete
                .as_deref()
                .and_then(ParentDeletePolicy::named),
            required_adapters: entry.required_adapters,
            references: entry.references,
            condition_rules: entry.conditions,
            name_length: NameLength {
                min: entry.name_min_len,
                max: entry.name_max_len,
            },
            spec_schema_name: given(entry.spec_schema_name),
            require_spec_schema: entry.require_spec_schema,
        }
    }
}
