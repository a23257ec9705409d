//! Loading the resources that a command concerns, with the versions that the append must meet.

use std::collections::BTreeMap;

use hyperfleet_domain::resource::{Command, Family, LinkNeeds, Referrers, Refusal, Resource};
use hyperfleet_domain::upcast;
use hyperfleet_event_store::{EventStore, RecordedEvent, StreamId};
use hyperfleet_runtime::http::TenantScope;
use serde::Deserialize as _;

use super::{CommandError, Target};

/// Events read at a time when a stream is folded from its beginning.
const READ_BATCH: usize = 500;

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
        let mut loader = Loader::new(store);
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
        let links = command.links(&resource, &descendants);
        let (linked, referrers) = loader.linked(links, &target.reach.scope).await?;
        Ok(Self {
            family: Family {
                target: resource,
                parent,
                descendants,
                linked,
                referrers,
            },
            versions: loader
                .loaded
                .into_iter()
                .map(|(id, (_, version))| (id, version))
                .collect(),
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

/// The target alone, as it is now: for routes that must know its kind before they read the body.
pub(super) async fn target(store: &EventStore, target: &Target) -> Result<Resource, CommandError> {
    let mut loader = Loader::new(store);
    loader.require_owner(target).await?;
    let resource = loader.load(&target.id).await?;
    require_target(&resource, target)?;
    Ok(resource)
}

/// Loads each stream at most once, so that what is decided and the version that it must still have
/// belong together, also when a resource plays several parts.
struct Loader<'a> {
    store: &'a EventStore,
    loaded: BTreeMap<String, (Resource, u64)>,
}

impl<'a> Loader<'a> {
    fn new(store: &'a EventStore) -> Self {
        Self {
            store,
            loaded: BTreeMap::new(),
        }
    }

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
        if let Some((resource, _)) = self.loaded.get(id) {
            return Ok(resource.clone());
        }
        let loaded = self.store.load(&stream(id)).await?;
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
        let known = (resource.clone(), loaded.version);
        self.loaded.insert(id.to_owned(), known);
        Ok(resource)
    }

    /// The resources at the other ends of references, and who refers to the family.
    async fn linked(
        &mut self,
        needs: LinkNeeds,
        scope: &TenantScope,
    ) -> Result<(Vec<Resource>, BTreeMap<String, Referrers>), CommandError> {
        let mut linked = Vec::new();
        for id in &needs.targets {
            let resource = self.load(id).await?;
            // What the sender does not see is no target, like what does not exist.
            if scope.sees(&resource.tenancy) {
                linked.push(resource);
            }
        }
        let mut referrers = BTreeMap::new();
        for id in needs.referred {
            let of_member = self.referrers(&id).await?;
            if needs.sources {
                for source in of_member.ids() {
                    linked.push(self.load(source).await?);
                }
            }
            referrers.insert(id, of_member);
        }
        Ok((linked, referrers))
    }

    /// Who refers to a resource that was loaded, as of the version that it was loaded at.
    async fn referrers(&self, id: &str) -> Result<Referrers, CommandError> {
        let version = self.loaded.get(id).map_or(0, |(_, version)| *version);
        let (stream, mut after) = (stream(id), 0);
        let mut referrers = Referrers::default();
        while after < version {
            let events = self.store.read_stream(&stream, after, READ_BATCH).await?;
            let Some(last) = events.last() else { break };
            after = last.sequence;
            for recorded in events.iter().filter(|event| event.sequence <= version) {
                referrers.apply(&read_event(id, recorded)?);
            }
        }
        Ok(referrers)
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
        && target.kind.serves(&resource.kind)
        && target.reach.scope.sees(&resource.tenancy)
        && (expected_owner.is_none() || owner == expected_owner);
    if is_target {
        return Ok(());
    }
    Err(Refusal::NotFound {
        kind: target.kind.name().to_owned(),
        id: target.id.clone(),
    }
    .into())
}
