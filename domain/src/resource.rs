//! The one aggregate: a resource of any registered kind.
//!
//! Invariants: [`plan`] decides, purely, from commands that carry every input; [`Resource::evolve`]
//! only applies what was recorded and never recomputes a rule; the stream of a resource knows its
//! children and how often it is referred to, so that every conflict between an owner and a child, or
//! between a reference and its target, is a version conflict.

mod aggregate;
mod command;
mod decide;
mod document;
mod draft;
mod event;
mod evolve;
mod plan;
mod referrers;
mod refusal;
mod state;

pub use aggregate::SingleStreamCommand;
pub use command::{
    Command, CreateResource, DeleteResource, ForceDeleteResource, PatchResource,
    ReevaluateConditions, ReferenceInput, References, ReportAdapterStatus, ReportedCondition,
};
pub use document::ResourceDocument;
pub use event::{
    AdapterStatusReported, ChildAttached, ChildDeletionRequested, ChildDetached, ConditionsChanged,
    DeletionRequested, Event, LabelsChanged, ReferenceAttached, ReferenceDetached,
    ReferenceDropped, ReferencesChanged, ResourceCreated, ResourceForceRemoved, ResourceRemoved,
    SpecChanged,
};
pub use plan::{Effect, Family, FamilyNeeds, LinkNeeds, StreamChange, decide, plan};
pub use referrers::Referrers;
pub use refusal::{Discard, FieldError, Refusal, RefusalClass};
pub use state::{Child, Lifecycle, ObjectReference, Resource};
