//! `hyperfleet replay simulate`: how many pulses another policy would have sent over the recorded history.
//!
//! Each resource is followed on its own, with the sentinel's own decisions: an event that makes it due begins
//! its attempts anew, a decision says when to look again. Left out is what the log does not know: pulses that were
//! late, liveness between changes, and that a change of a parent makes its children due.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, Utc};
use hyperfleet_domain::Registry;
use hyperfleet_event_store::EventStore;
use hyperfleet_projections::replay::past::{self, Timeline};
use hyperfleet_sentinel::{Policy, Schedule, SentinelConfig};
use serde_json::json;

use super::progress::Progress;
use super::{Outcome, print_json};
use crate::arguments::SimulateArguments;
use crate::output;

/// Decisions on one resource, at most: a policy that never waits must not make this run for ever.
const MOST_DECISIONS: u64 = 1_000_000;

/// A policy, and what it did.
struct Tried {
    name: &'static str,
    config: SentinelConfig,
    policy: Policy,
    pulses: u64,
    decisions: u64,
    by_reason: std::collections::BTreeMap<String, u64>,
}

impl Tried {
    fn new(name: &'static str, config: SentinelConfig) -> anyhow::Result<Self> {
        let policy = Policy::compile(&config)
            .with_context(|| format!("the {name} policy cannot be used"))?;
        Ok(Self {
            name,
            config,
            policy,
            pulses: 0,
            decisions: 0,
            by_reason: std::collections::BTreeMap::new(),
        })
    }

    /// Follows one resource through its past.
    fn follow(
        &mut self,
        timeline: &Timeline,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let mut schedule = Schedule::default();
        let mut due: Option<DateTime<Utc>> = None;
        let mut decisions = 0;
        for (index, state) in timeline.states.iter().enumerate() {
            let next = timeline.states.get(index + 1);
            let end = next.map_or(to, |next| next.recorded_at.min(to));
            if state.makes_due {
                schedule.attempt = 0;
                due = Some(state.recorded_at);
            }
            if !state.resource.exists() || !self.config.selects(&state.resource) {
                continue;
            }
            let document = serde_json::to_value(state.resource.document())?;
            while let Some(now) = due
                .map(|due| due.max(state.recorded_at))
                .filter(|now| *now < end)
            {
                decisions += 1;
                ensure!(
                    decisions <= MOST_DECISIONS,
                    "the {} policy decides on {} more than {MOST_DECISIONS} times; does it ever wait?",
                    self.name,
                    timeline.id
                );
                let decision = self.policy.decide(&document, now, &schedule);
                if decision.publish {
                    schedule.attempt = schedule.attempt.saturating_add(1);
                    schedule.last_published_generation = Some(state.resource.generation.into());
                    schedule.last_published_time = Some(now);
                    if now >= from {
                        self.pulses += 1;
                        *self
                            .by_reason
                            .entry(decision.reason.into_owned())
                            .or_default() += 1;
                    }
                }
                // A decision that is due at once again would never end.
                due = Some(
                    decision
                        .next_due
                        .max(now + chrono::TimeDelta::milliseconds(1)),
                );
            }
        }
        self.decisions += decisions;
        Ok(())
    }
}

pub(super) async fn run(
    arguments: &SimulateArguments,
    store: &EventStore,
    registry: &Arc<Registry>,
) -> anyhow::Result<Outcome> {
    let (from, to) = (arguments.from, arguments.to);
    ensure!(from < to, "--from must come before --to");
    let wanted = read(&arguments.policy)?;
    let Some(kind) = registry
        .iter()
        .find(|kind| kind.plural == wanted.resource_type)
    else {
        bail!(
            "{}: there is no kind with the plural {:?}",
            arguments.policy.display(),
            wanted.resource_type
        );
    };
    let current = match &arguments.current {
        Some(file) => read(file)?,
        None => SentinelConfig::builtin(&kind.plural, "simulated", kind.parent_kind.is_some()),
    };
    ensure!(
        current.resource_type == wanted.resource_type,
        "the two policies are for different kinds: {} and {}",
        current.resource_type,
        wanted.resource_type
    );
    let mut tried = [
        Tried::new("current", current)?,
        Tried::new("wanted", wanted)?,
    ];
    let progress = Progress::new(arguments.database.is_json());
    progress.step("following every resource through its past");
    let mut resources = 0;
    let mut after = String::new();
    loop {
        let (timelines, last) = past::timelines(store.pool(), &kind.kind, &after).await?;
        for timeline in &timelines {
            resources += 1;
            for tried in &mut tried {
                tried.follow(timeline, from, to)?;
            }
        }
        let Some(last) = last else { break };
        after = last;
    }
    progress.end();
    print(arguments, &kind.kind, resources, &tried)
}

fn print(
    arguments: &SimulateArguments,
    kind: &str,
    resources: u64,
    tried: &[Tried; 2],
) -> anyhow::Result<Outcome> {
    if arguments.database.is_json() {
        let policies = tried.each_ref().map(|tried| {
            json!({"policy": tried.name, "pulses": tried.pulses, "decisions": tried.decisions,
                "by_reason": tried.by_reason})
        });
        print_json(
            &json!({"kind": kind, "resources": resources, "from": arguments.from,
            "to": arguments.to, "policies": policies}),
        )?;
        return Ok(Outcome::Well);
    }
    println!(
        "{resources} resources of kind {kind} from {} to {}",
        arguments.from.to_rfc3339(),
        arguments.to.to_rfc3339()
    );
    let mut rows = Vec::new();
    for tried in tried {
        rows.push(vec![
            tried.name.to_owned(),
            "all".to_owned(),
            tried.pulses.to_string(),
        ]);
        for (reason, pulses) in &tried.by_reason {
            rows.push(vec![
                tried.name.to_owned(),
                reason.clone(),
                pulses.to_string(),
            ]);
        }
    }
    print!("{}", output::table(&["POLICY", "REASON", "PULSES"], &rows));
    Ok(Outcome::Well)
}

fn read(file: &Path) -> anyhow::Result<SentinelConfig> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let config =
        SentinelConfig::parse(&text).with_context(|| format!("cannot use {}", file.display()))?;
    Ok(config)
}
