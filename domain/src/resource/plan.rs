//! The decision across streams: which events each touched resource gets, or why none.

use crate::mapping::MappingFailure;
use std::collections::{BTreeMap, BTreeSet};

use crate::registry::Registry;
use crate::resource::command::{Command, References};
use crate::resource::draft::Draft;
use crate::resource::event::Event;
use crate::resource::referrers::Referrers;
use crate::resource::refusal::Refusal;
use crate::resource::state::Resource;

/// The resources that a command may concern, as loaded. See [`FamilyNeeds`] for which.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Family {
    /// The resource that the command is sent to; the default value when there is none.
    pub target: Resource,
    /// Its owner; for a creation, the owner to be. None when there is none any more.
    pub parent: Option<Resource>,
    /// Everything that it owns, directly or not, that still exists.
    pub descendants: Vec<Resource>,
    /// The resources at the other ends of references, see [`LinkNeeds`]; some may be among the
    /// others already, some may not exist.
    pub linked: Vec<Resource>,
    /// Who refers to members of the family, by the id of the member.
    pub referrers: BTreeMap<String, Referrers>,
}

impl Family {
    /// A family of one.
    pub fn alone(target: Resource) -> Self {
        Self {
            target,
            ..Self::default()
        }
    }
}

/// Which relatives of the target a command needs to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyNeeds {
    /// Id of the owner to load.
    pub parent: Option<String>,
    /// Whether to load everything that the target owns, directly or not
    /// (follow [`Resource::children`]).
    pub descendants: bool,
}

/// Which resources at the other ends of references a command needs to be loaded. Their streams take
/// part in the append, so that no reference outlives its target in a race.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkNeeds {
    /// Ids of the resources that are, were or are to be referred to.
    pub targets: BTreeSet<String>,
    /// Ids of the members that others refer to: their [`Referrers`] are needed.
    pub referred: BTreeSet<String>,
    /// Whether the referring resources themselves are needed too.
    pub sources: bool,
}

/// What happens to the live state of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: there is nothing to write.
    Unchanged,
    /// Only liveness moves: the state is to be written, the log is not.
    Liveness,
    /// Events are appended.
    Recorded,
}

/// The outcome of a command for one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamChange {
    /// The state afterwards. Of a removed resource, its last one.
    pub resource: Resource,
    /// The events to append.
    pub events: Vec<Event>,
    /// What happens to the live state.
    pub effect: Effect,
    /// Unique name to take with the append.
    pub claim: Option<String>,
    /// Unique name to give back with the append.
    pub release: Option<String>,
    /// Condition rules that failed; they changed no more than their own conditions.
    pub mapping_failures: Vec<MappingFailure>,
}

impl Command {
    /// Which relatives of the target this command needs.
    pub fn needs(&self, target: &Resource) -> FamilyNeeds {
        let owner = || target.owner.as_ref().map(|owner| owner.id.clone());
        match self {
            Self::Create(create) => FamilyNeeds {
                parent: create.parent.clone(),
                descendants: false,
            },
            Self::Patch(_) | Self::Reevaluate(_) => FamilyNeeds {
                parent: None,
                descendants: false,
            },
            Self::Report(report) => {
                let may_remove = target.is_finalizing() && report.says_finalized();
                FamilyNeeds {
                    parent: owner().filter(|_| may_remove),
                    descendants: false,
                }
            }
            Self::Delete(_) | Self::ForceDelete(_) => FamilyNeeds {
                parent: owner(),
                descendants: true,
            },
        }
    }

    /// Which ends of references this command needs beside the target and its descendants.
    pub fn links(&self, target: &Resource, descendants: &[Resource]) -> LinkNeeds {
        match self {
            Self::Create(create) => LinkNeeds {
                targets: sent(&create.references),
                ..LinkNeeds::default()
            },
            Self::Patch(patch) => match &patch.references {
                Some(references) => LinkNeeds {
                    targets: sent(references)
                        .into_iter()
                        .chain(target.referred_ids())
                        .collect(),
                    ..LinkNeeds::default()
                },
                None => LinkNeeds::default(),
            },
            Self::Delete(_) | Self::ForceDelete(_) => {
                let leaving = || std::iter::once(target).chain(descendants);
                let referred = leaving().filter(|resource| resource.inbound_references > 0);
                LinkNeeds {
                    targets: leaving().flat_map(Resource::referred_ids).collect(),
                    referred: referred.map(|resource| resource.id.clone()).collect(),
                    sources: matches!(self, Self::ForceDelete(_)),
                }
            }
            Self::Report(_) | Self::Reevaluate(_) => LinkNeeds::default(),
        }
    }
}

fn sent(references: &References) -> BTreeSet<String> {
    let ids = references
        .values()
        .flatten()
        .filter_map(|link| link.id.clone());
    ids.collect()
}

/// Decides a command. The first change is always the target's, also when nothing happens to it;
/// the changes of touched relatives follow. The caller commits all of them or none.
///
/// Conditions are recomputed here and recorded where they differ; a report that says nothing new
/// gives [`Effect::Liveness`].
///
/// # Errors
/// When the command is refused; nothing happens then, in any stream.
pub fn plan(
    command: &Command,
    family: &Family,
    registry: &Registry,
) -> Result<Vec<StreamChange>, Refusal> {
    command.validate(registry)?;
    let mut draft = Draft::of(family);
    super::decide::decide(&mut draft, command, registry)?;
    Ok(draft.into_changes())
}

/// The part of [`plan`] that concerns one stream alone, for resources without relatives.
///
/// # Errors
/// As [`plan`].
pub fn decide(
    state: &Resource,
    command: &Command,
    registry: &Registry,
) -> Result<Vec<Event>, Refusal> {
    let changes = plan(command, &Family::alone(state.clone()), registry)?;
    Ok(changes
        .into_iter()
        .next()
        .map(|change| change.events)
        .unwrap_or_default())
}
