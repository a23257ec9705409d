//! A small world of streams in memory, and short ways to say commands.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use hyperfleet_domain::json::JsonObject;
use hyperfleet_domain::registry::{NameLength, ParentDeletePolicy, ReferenceRule};
use hyperfleet_domain::resource::{
    CreateResource, DeleteResource, Effect, Family, ForceDeleteResource, Lifecycle, PatchResource,
    ReferenceInput, Referrers, ReportAdapterStatus, ReportedCondition, StreamChange, plan,
};
use hyperfleet_domain::{Command, EntityDescriptor, Event, Refusal, Registry, Resource};
use serde_json::{Value, json};

/// The instant `seconds` after the start of the story.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

pub(crate) fn object(value: Value) -> JsonObject {
    serde_json::from_value(value).unwrap()
}

fn kind(kind: &str, plural: &str, adapters: &[&str]) -> EntityDescriptor {
    EntityDescriptor {
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        required_adapters: adapters.iter().map(|name| (*name).to_owned()).collect(),
        name_length: NameLength { min: 1, max: 20 },
        ..EntityDescriptor::default()
    }
}

fn child(
    entry: EntityDescriptor,
    parent: &str,
    policy: Option<ParentDeletePolicy>,
) -> EntityDescriptor {
    EntityDescriptor {
        parent_kind: Some(parent.to_owned()),
        on_parent_delete: policy,
        ..entry
    }
}

pub(crate) fn rule(ref_type: &str, target_kind: &str, min: usize, max: usize) -> ReferenceRule {
    ReferenceRule {
        ref_type: ref_type.to_owned(),
        target_kind: target_kind.to_owned(),
        min,
        max,
    }
}

pub(crate) fn descriptors() -> Vec<EntityDescriptor> {
    let mut plan = kind("Plan", "plans", &[]);
    plan.references = vec![
        rule("wif_config", "WifConfig", 1, 1),
        rule("chans", "Channel", 0, 0),
    ];
    vec![
        kind("Gadget", "gadgets", &["alpha", "beta-two"]),
        child(
            kind("Widget", "widgets", &["alpha"]),
            "Gadget",
            Some(ParentDeletePolicy::Cascade),
        ),
        child(kind("Orphan", "orphans", &["alpha"]), "Gadget", None),
        kind("Channel", "channels", &[]),
        child(
            kind("Version", "versions", &[]),
            "Channel",
            Some(ParentDeletePolicy::Restrict),
        ),
        kind("WifConfig", "wifconfigs", &[]),
        plan,
    ]
}

pub(crate) fn registry() -> Registry {
    Registry::new(descriptors()).unwrap()
}

/// All streams: their live states and their logs.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) live: BTreeMap<String, Resource>,
    pub(crate) logs: BTreeMap<String, Vec<Event>>,
    pub(crate) claims: BTreeSet<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(registry())
    }

    pub(crate) fn with(registry: Registry) -> Self {
        let (live, logs, claims) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self {
            registry,
            live,
            logs,
            claims,
        }
    }

    pub(crate) fn get(&self, id: &str) -> Resource {
        self.live.get(id).cloned().unwrap_or_default()
    }

    fn family(&self, id: &str, command: &Command) -> Family {
        let target = self.get(id);
        let needs = command.needs(&target);
        let mut descendants = Vec::new();
        let mut next: Vec<String> = if needs.descendants {
            target.children.keys().cloned().collect()
        } else {
            Vec::new()
        };
        while let Some(id) = next.pop() {
            let resource = self.get(&id);
            next.extend(resource.children.keys().cloned());
            descendants.push(resource);
        }
        let parent = needs.parent.and_then(|id| self.live.get(&id).cloned());
        let links = command.links(&target, &descendants);
        let mut linked: Vec<Resource> = links.targets.iter().map(|id| self.get(id)).collect();
        let mut referrers = BTreeMap::new();
        for id in links.referred {
            let of_member = Referrers::fold(&self.logs[&id]);
            if links.sources {
                linked.extend(of_member.ids().map(|id| self.get(id)));
            }
            referrers.insert(id, of_member);
        }
        Family {
            target,
            parent,
            descendants,
            linked,
            referrers,
        }
    }

    /// Carries out a command; gives the target's change.
    pub(crate) fn run(
        &mut self,
        id: &str,
        command: impl Into<Command>,
    ) -> Result<StreamChange, Refusal> {
        let command = command.into();
        let changes = plan(&command, &self.family(id, &command), &self.registry)?;
        for change in &changes {
            assert_eq!(change.effect == Effect::Recorded, !change.events.is_empty());
            let id = change.resource.id.clone();
            self.logs
                .entry(id.clone())
                .or_default()
                .extend(change.events.iter().cloned());
            self.live.insert(id, change.resource.clone());
            if let Some(released) = &change.release {
                assert!(
                    self.claims.remove(released),
                    "released but not claimed: {released}"
                );
            }
            if let Some(claimed) = &change.claim {
                assert!(
                    self.claims.insert(claimed.clone()),
                    "claimed twice: {claimed}"
                );
            }
        }
        Ok(changes.into_iter().next().unwrap())
    }

    pub(crate) fn create(&mut self, kind: &str, id: &str, parent: Option<&str>) -> Resource {
        self.run(id, Command::Create(create(kind, id, parent)))
            .unwrap()
            .resource
    }

    pub(crate) fn report(&mut self, id: &str, report: Report) -> StreamChange {
        self.run(id, report).unwrap()
    }

    pub(crate) fn delete(&mut self, id: &str, seconds: i64) -> Result<StreamChange, Refusal> {
        self.run(id, delete(seconds))
    }

    /// Every live state is, but for liveness, the fold of its log.
    pub(crate) fn assert_replays(&self) {
        for (id, live) in &self.live {
            let folded = Resource::fold(&self.logs[id]);
            assert_eq!(folded.without_liveness(), live.without_liveness());
        }
    }

    /// Every reference has a target that is not being deleted, and every target knows how many
    /// references it has.
    pub(crate) fn assert_no_dangling_reference(&self) {
        let mut inbound: BTreeMap<String, u64> = BTreeMap::new();
        for source in self.live.values().filter(|source| source.exists()) {
            for target in source.referred_ids() {
                let lifecycle = self.get(&target).lifecycle;
                assert_eq!(lifecycle, Lifecycle::Active, "{} → {target}", source.id);
                *inbound.entry(target).or_default() += 1;
            }
        }
        for (id, resource) in &self.live {
            let expected = inbound.get(id).copied().unwrap_or_default();
            assert_eq!(resource.inbound_references, expected, "{id}");
        }
    }
}

pub(crate) fn create(kind: &str, id: &str, parent: Option<&str>) -> CreateResource {
    CreateResource {
        id: id.to_owned(),
        kind: kind.to_owned(),
        name: format!("name-{id}"),
        spec: Some(object(json!({"size": 1}))),
        labels: BTreeMap::new(),
        references: BTreeMap::new(),
        tenancy: BTreeMap::new(),
        parent: parent.map(str::to_owned),
        now: at(0),
        actor: "creator".to_owned(),
    }
}

pub(crate) fn patch(seconds: i64) -> PatchResource {
    PatchResource {
        spec: None,
        labels: None,
        references: None,
        now: at(seconds),
        actor: "changer".to_owned(),
    }
}

/// A reference as a user sends it.
pub(crate) fn link(kind: &str, id: Option<&str>) -> ReferenceInput {
    ReferenceInput {
        id: id.map(str::to_owned),
        kind: kind.to_owned(),
    }
}

pub(crate) fn patch_spec(seconds: i64, spec: Value) -> Command {
    Command::Patch(PatchResource {
        spec: Some(object(spec)),
        ..patch(seconds)
    })
}

pub(crate) fn delete(seconds: i64) -> Command {
    let (now, actor) = (at(seconds), "deleter".to_owned());
    Command::Delete(DeleteResource { now, actor })
}

pub(crate) fn force_delete(seconds: i64) -> Command {
    let (now, actor) = (at(seconds), "forcer".to_owned());
    Command::ForceDelete(ForceDeleteResource {
        reason: "stuck".to_owned(),
        now,
        actor,
    })
}

/// A report in the making; converts to the command, arriving at its observation time.
pub(crate) struct Report(pub(crate) ReportAdapterStatus);

pub(crate) fn report(adapter: &str, generation: i32, available: &str, seconds: i64) -> Report {
    let condition = |name: &str, status: &str| ReportedCondition {
        r#type: name.to_owned(),
        status: status.to_owned(),
        reason: None,
        message: None,
    };
    Report(ReportAdapterStatus {
        adapter: adapter.to_owned(),
        observed_generation: generation,
        observed_time: Some(at(seconds)),
        conditions: vec![
            condition("Available", available),
            condition("Applied", "True"),
            condition("Health", "True"),
        ],
        data: JsonObject::new(),
        metadata: None,
        now: at(seconds),
    })
}

impl Report {
    pub(crate) fn finalized(mut self, status: &str) -> Self {
        let mut condition = self.0.conditions[0].clone();
        "Finalized".clone_into(&mut condition.r#type);
        status.clone_into(&mut condition.status);
        self.0.conditions.push(condition);
        self
    }

    pub(crate) fn without(mut self, r#type: &str) -> Self {
        self.0
            .conditions
            .retain(|condition| condition.r#type != r#type);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut ReportAdapterStatus)) -> Self {
        change(&mut self.0);
        self
    }
}

impl From<Report> for Command {
    fn from(report: Report) -> Self {
        Self::Report(report.0)
    }
}
