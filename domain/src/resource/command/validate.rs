//! Checks of a command that need no state: the API makes them before it looks anything up.

use crate::label;
use crate::name;
use crate::registry::{EntityDescriptor, Registry};
use crate::report;
use crate::resource::refusal::Refusal;

use super::{Command, CreateResource, ForceDeleteResource, PatchResource, References};

/// Most references of one resource, over all types: each one is another stream that takes part in
/// the append.
const MAX_REFERENCES: usize = 1000;

/// Greatest length of a forced deletion's reason, in characters (API contract v1).
const REASON_MAX: usize = 1024;

impl Command {
    /// Checks what can be checked without any state, in the contract's order.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self, registry: &Registry) -> Result<(), Refusal> {
        match self {
            Self::Create(create) => create.validate(registry).map(|_| ()),
            Self::Patch(patch) => patch.validate(),
            Self::ForceDelete(force) => force.validate(),
            Self::Report(report) => report::validate(report),
            Self::Delete(_) | Self::Reevaluate(_) => Ok(()),
        }
    }
}

impl CreateResource {
    /// Checks kind, name, spec, labels and that a child kind has an owner; gives the kind's rules.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate<'a>(&self, registry: &'a Registry) -> Result<&'a EntityDescriptor, Refusal> {
        if self.kind.is_empty() {
            return Err(Refusal::KindRequired);
        }
        let descriptor = self.descriptor(registry)?;
        name::check(&self.name, descriptor.name_length)?;
        self.validate_content()?;
        self.validate_owner(descriptor, registry)?;
        Ok(descriptor)
    }

    /// The same checks in the order of the route that takes every kind: what does not depend on the
    /// kind comes first (API contract v1).
    ///
    /// # Errors
    /// The first fault.
    pub fn validate_of_any_kind(&self, registry: &Registry) -> Result<(), Refusal> {
        self.validate_content()?;
        let descriptor = self.descriptor(registry)?;
        self.validate_owner(descriptor, registry)?;
        name::check(&self.name, descriptor.name_length)
    }

    fn descriptor<'a>(&self, registry: &'a Registry) -> Result<&'a EntityDescriptor, Refusal> {
        registry
            .by_kind(&self.kind)
            .ok_or_else(|| Refusal::UnknownKind {
                kind: self.kind.clone(),
            })
    }

    fn validate_content(&self) -> Result<(), Refusal> {
        if self.spec.is_none() {
            return Err(Refusal::SpecRequired);
        }
        label::check(&self.labels)?;
        check_number(&self.references)
    }

    fn validate_owner(
        &self,
        descriptor: &EntityDescriptor,
        registry: &Registry,
    ) -> Result<(), Refusal> {
        match &descriptor.parent_kind {
            Some(parent_kind) if self.parent.is_none() => Err(Refusal::ChildKindWithoutParent {
                kind: self.kind.clone(),
                parent_plural: registry
                    .by_kind(parent_kind)
                    .map(|parent| parent.plural.clone())
                    .unwrap_or_default(),
                plural: descriptor.plural.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl PatchResource {
    /// Checks that there is something to change and that new labels are well-formed.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), Refusal> {
        if self.spec.is_none() && self.labels.is_none() && self.references.is_none() {
            return Err(Refusal::NothingToPatch);
        }
        self.labels.as_ref().map_or(Ok(()), label::check)?;
        self.references.as_ref().map_or(Ok(()), check_number)
    }
}

fn check_number(references: &References) -> Result<(), Refusal> {
    if references.values().map(Vec::len).sum::<usize>() > MAX_REFERENCES {
        return Err(Refusal::TooManyReferences {
            max: MAX_REFERENCES,
        });
    }
    Ok(())
}

impl ForceDeleteResource {
    /// Checks the reason.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), Refusal> {
        if self.reason.is_empty() {
            return Err(Refusal::ReasonRequired);
        }
        if self.reason.chars().count() > REASON_MAX {
            return Err(Refusal::ReasonTooLong { max: REASON_MAX });
        }
        Ok(())
    }
}
