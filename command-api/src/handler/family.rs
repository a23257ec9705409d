//! Loading the resources that a command concerns, with the versions that the append must meet.

use std::collections::BTreeMap;

use hyperfleet_domain::resource::{Command, Family, Refusal, Resource};
use hyperfleet_domain::upcast;
use hyperfleet_event_store::{EventStore, RecordedEvent, StreamId};
use serde::Deserialize as _;

use super::{CommandError, Target};

/// A family as it was loaded.
pub(super) struct LoadedFamily {
    family: Family,
    versions: BTreeMap<String, u64>,
}

impl LoadedFamily {
    /// Loads the target and the relatives that the command needs.
    pub(super) async fn load(
        store: &EventStore,
        target: &Target,
        command: &Command,
    ) -> Result<Self, CommandError> {
        let mut loader = Loader {
            store,
            versions: BTreeMap::new(),
        };
        loader.require_owner(target).await?;
        let resource = loader.load(&target.id).await?;
        let creates = matches!(command, Command::Create(_));
        // On a nested route ownership is checked before the sender, on a flat one there is none.
        if target.owner.is_some() && !creates {
            require_target(&resource, target)?;
        }
        if target.reach.only_reports && !matches!(command, Command::Report(_)) {
            return Err(CommandError::OnlyReports);
        }
        if !creates {
            require_target(&resource, target)?;
        }
        let needs = command.needs(&resource);
        let parent = match &needs.parent {
            Some(id) => Some(loader.load(id).await?).filter(Resource::exists),
            None => None,
        };
        let descendants = if needs.descendants {
            loader.descendants(&resource).await?
        } else {
            Vec::new()
        };
        Ok(Self {
            family: Family {
                target: resource,
                parent,
                descendants,
            },
            versions: loader.versions,
        })
    }

    pub(super) fn family(&self) -> &Family {
        &self.family
    }

    /// The version of a stream as loaded; 0 when it did not exist.
    pub(super) fn version(&self, id: &str) -> u64 {
        self.versions.get(id).copied().unwrap_or_default()
    }
}

/// The stream of a resource.
pub(super) fn stream(id: &str) -> StreamId {
    StreamId::new("resource", id)
}

struct Loader<'a> {
    store: &'a EventStore,
    versions: BTreeMap<String, u64>,
}

impl Loader<'_> {
    async fn require_owner(&mut self, target: &Target) -> Result<(), CommandError> {
        let Some(owner) = target.owner.as_ref().filter(|owner| owner.must_exist) else {
            return Ok(());
        };
        let found = self.load(&owner.id).await?;
        let is_seen = target.reach.scope.sees(&found.tenancy);
        if found.exists() && found.kind == owner.kind && is_seen {
            return Ok(());
        }
        Err(Refusal::NotFound {
            kind: owner.kind.clone(),
            id: owner.id.clone(),
        }
        .into())
    }

    async fn load(&mut self, id: &str) -> Result<Resource, CommandError> {
        // No id has a NUL character, and PostgreSQL cannot be asked for one.
        if id.contains('\0') {
            return Ok(Resource::default());
        }
        let loaded = self.store.load(&stream(id)).await?;
        self.versions.insert(id.to_owned(), loaded.version);
        let mut resource = match &loaded.snapshot {
            Some(state) => {
                Resource::deserialize(state).map_err(|source| CommandError::UnreadableState {
                    id: id.to_owned(),
                    source,
                })?
            }
            None => Resource::default(),
        };
        for recorded in &loaded.events {
            resource = resource.evolve(&read_event(id, recorded)?);
        }
        Ok(resource)
    }

    /// Everything that `ancestor` owns, directly or not, that still exists.
    async fn descendants(&mut self, ancestor: &Resource) -> Result<Vec<Resource>, CommandError> {
        let mut waiting: Vec<String> = ancestor.children.keys().cloned().collect();
        let mut found = Vec::new();
        while let Some(id) = waiting.pop() {
            let resource = self.load(&id).await?;
            waiting.extend(resource.children.keys().cloned());
            if resource.exists() {
                found.push(resource);
            }
        }
        Ok(found)
    }
}

fn read_event(
    id: &str,
    recorded: &RecordedEvent,
) -> Result<hyperfleet_domain::resource::Event, CommandError> {
    upcast::read(
        &recorded.event_type,
        &recorded.event_version,
        recorded.payload.clone(),
    )
    .map_err(|source| CommandError::UnreadableEvent {
        id: id.to_owned(),
        sequence: recorded.sequence,
        source,
    })
}

/// The target exists for the sender, is of the route's kind, and is owned by whom the route names.
fn require_target(resource: &Resource, target: &Target) -> Result<(), CommandError> {
    let owner = resource.owner.as_ref().map(|owner| owner.id.as_str());
    let expected_owner = target.owner.as_ref().map(|owner| owner.id.as_str());
    let is_target = resource.exists()
        && resource.kind == target.kind
        && target.reach.scope.sees(&resource.tenancy)
        && (expected_owner.is_none() || owner == expected_owner);
    if is_target {
        return Ok(());
    }
    Err(Refusal::NotFound {
        kind: target.kind.clone(),
        id: target.id.clone(),
    }
    .into())
}
