//! The condition rules of all kinds: checked together, and compiled.

use std::collections::{BTreeMap, BTreeSet};

use super::{EntityDescriptor, RegistryError};
use crate::aggregation::condition_type;
use crate::condition::{LAST_KNOWN_RECONCILED, RECONCILED};
use crate::mapping::Mapping;

/// The compiled rules of every kind that has some.
pub(super) fn compile(
    descriptors: &[EntityDescriptor],
) -> Result<BTreeMap<String, Mapping>, RegistryError> {
    let reserved = reserved(descriptors);
    let mut mappings = BTreeMap::new();
    for entry in descriptors {
        let kind = entry.kind.clone();
        let mapping = Mapping::compile(&entry.condition_rules).map_err(|(index, fault)| {
            let condition = entry.condition_rules[index].r#type.clone();
            RegistryError::ConditionRule {
                kind: kind.clone(),
                index,
                condition,
                fault,
            }
        })?;
        check_types(entry, &reserved)?;
        if !mapping.is_empty() {
            mappings.insert(kind, mapping);
        }
    }
    Ok(mappings)
}

/// The types of conditions that are aggregated for any kind, and for whom they are reserved.
fn reserved(descriptors: &[EntityDescriptor]) -> BTreeMap<String, String> {
    let adapters = descriptors
        .iter()
        .flat_map(|entry| &entry.required_adapters)
        .map(|adapter| (condition_type(adapter), format!("the adapter '{adapter}'")));
    let fixed = [RECONCILED, LAST_KNOWN_RECONCILED];
    let fixed = fixed.map(|name| (name.to_owned(), "the aggregation of reports".to_owned()));
    adapters.chain(fixed).collect()
}

fn check_types(
    entry: &EntityDescriptor,
    reserved: &BTreeMap<String, String>,
) -> Result<(), RegistryError> {
    let mut seen = BTreeSet::new();
    for (index, rule) in entry.condition_rules.iter().enumerate() {
        let (kind, condition) = (entry.kind.clone(), rule.r#type.clone());
        if let Some(owner) = reserved.get(&rule.r#type) {
            return Err(RegistryError::ReservedCondition {
                kind,
                index,
                condition,
                owner: owner.clone(),
            });
        }
        if !seen.insert(rule.r#type.as_str()) {
            return Err(RegistryError::DuplicateCondition {
                kind,
                index,
                condition,
            });
        }
    }
    Ok(())
}
