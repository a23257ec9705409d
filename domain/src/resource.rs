//! The one aggregate: a resource of any registered kind.
//!
//! Invariants: [`plan`] decides, purely, from commands that carry every input; [`Resource::evolve`]
//! only applies what was recorded and never recomputes a rule; the stream of a resource knows its
//! children, so that every conflict between an owner and a child is a version conflict.

mod aggregate;
mod command;
mod decide;
mod document;
mod draft;
mod event;
mod evolve;
mod plan;
mod refusal;
mod state;

pub use aggregate::SingleStreamCommand;
pub use command::{
    Command, CreateResource, DeleteResource, ForceDeleteResource, InboundReference, PatchResource,
    ReevaluateConditions, ReferenceInput, ReferenceTarget, References, ReportAdapterStatus,
    ReportedCondition,
};
pub use document::ResourceDocument;
pub use event::{
    AdapterStatusReported, ChildAttached, ChildDeletionRequested, ChildDetached, ConditionsChanged,
    DeletionRequested, Event, LabelsChanged, ReferencesChanged, ResourceCreated,
    ResourceForceRemoved, ResourceRemoved, SpecChanged,
};
pub use plan::{Effect, Family, FamilyNeeds, StreamChange, decide, plan};
pub use refusal::{Discard, FieldError, Refusal, RefusalClass};
pub use state::{Child, Lifecycle, ObjectReference, Resource};
