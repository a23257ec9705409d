//! `hyperfleet sentinel explain KIND NAME`: which rule applies, and when the next pulses are due.

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use hyperfleet_domain::Registry;
use hyperfleet_domain::registry::EntityDescriptor;
use hyperfleet_projections::reconcile_queue::{self, Entry, Priority, Selecting};
use hyperfleet_sentinel::{Decision, Policy, Schedule, SentinelConfig};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::kind;
use crate::arguments::{ExplainArguments, ReportFormat};
use crate::control_plane::read_sentinel;
use crate::{moment, output, target};

/// Decisions that are looked at for the pulses to come: a policy that never publishes must end too.
const MOST_DECISIONS: u32 = 10_000;

pub(super) async fn run(
    arguments: &ExplainArguments,
    pool: &PgPool,
    registry: &Registry,
) -> anyhow::Result<()> {
    let kind = kind(registry, &arguments.kind)?;
    let config = match &arguments.config {
        Some(file) => read_sentinel(file)?,
        None => SentinelConfig::builtin(&kind.plural, "explained", kind.parent_kind.is_some()),
    };
    if config.resource_type != kind.plural {
        bail!(
            "the configuration is for {}, not for {}",
            config.resource_type,
            kind.plural
        );
    }
    let id = id(pool, kind, &arguments.name).await?;
    let entry = reconcile_queue::entry(pool, &id).await?.with_context(|| {
        format!(
            "{} {:?} is gone: nothing is published about it",
            kind.kind, arguments.name
        )
    })?;
    let sentinels = reconcile_queue::selecting(pool, &entry.resource).await?;
    let explained = Explained::new(&config, entry, sentinels, arguments.pulses)?;
    match arguments.output {
        ReportFormat::Json => println!("{}", serde_json::to_string_pretty(&explained.document())?),
        ReportFormat::Text => explained.print(),
    }
    Ok(())
}

/// The id of the only resource of that name.
async fn id(pool: &PgPool, kind: &EntityDescriptor, name: &str) -> anyhow::Result<String> {
    if target::is_id(name) {
        return Ok(name.to_owned());
    }
    let mut ids: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM resources WHERE kind = $1 AND name = $2 AND removed_time IS NULL ORDER BY id",
    )
    .bind(&kind.kind)
    .bind(name)
    .fetch_all(pool)
    .await?;
    match ids.len() {
        0 => bail!("there is no {} named {name:?}", kind.kind),
        1 => Ok(ids.swap_remove(0)),
        _ => bail!(
            "several {} are named {name:?}; name one by id ({})",
            kind.plural,
            ids.join(", ")
        ),
    }
}

/// A pulse to come.
struct Pulse {
    time: DateTime<Utc>,
    reason: String,
}

struct Explained {
    entry: Entry,
    sentinels: Vec<Selecting>,
    is_selected: bool,
    rule: Option<(String, String)>,
    /// What a sentinel would decide that looked now.
    decision: Decision,
    pulses: Vec<Pulse>,
}

impl Explained {
    fn new(
        config: &SentinelConfig,
        entry: Entry,
        sentinels: Vec<Selecting>,
        pulses: u32,
    ) -> anyhow::Result<Self> {
        let policy = Policy::compile(config)?;
        let document = serde_json::to_value(entry.resource.document())?;
        let schedule = schedule(&entry);
        let rule = policy.rule(&document, entry.now);
        Ok(Self {
            rule: rule.map(|(name, when)| (name.to_owned(), when.trim().to_owned())),
            decision: policy.decide(&document, entry.now, &schedule),
            pulses: coming(&policy, &document, schedule, &entry, pulses),
            is_selected: config.selects(&entry.resource),
            entry,
            sentinels,
        })
    }

    fn is_held(&self) -> bool {
        self.entry
            .claimed_until
            .is_some_and(|until| until > self.entry.now)
    }

    /// What keeps the next pulse from coming, or brings it.
    fn state(&self) -> String {
        let entry = &self.entry;
        if entry.priority.is_none() {
            return "set aside: no running sentinel selects it".to_owned();
        }
        if self.is_held() {
            return "a sentinel is publishing it".to_owned();
        }
        let since = entry.now - entry.due_time;
        if since >= TimeDelta::zero() {
            let since = output::duration(since);
            return format!("due for {since}, waiting for a sentinel");
        }
        format!("waiting, due in {}", output::duration(-since))
    }

    fn document(&self) -> Value {
        let entry = &self.entry;
        json!({
            "id": entry.resource.id, "kind": entry.resource.kind, "name": entry.resource.name,
            "generation": entry.resource.generation, "labels": entry.resource.labels,
            "state": self.state(),
            "due_time": moment::written(entry.due_time),
            "priority": entry.priority.map(Priority::name),
            "claimed_until": entry.claimed_until.filter(|_| self.is_held()).map(moment::written),
            "attempt": entry.attempt,
            "last_published_time": entry.last_published_time.map(moment::written),
            "last_published_generation": entry.last_published_generation,
            "selected_by_configuration": self.is_selected,
            "sentinels": self.sentinels.iter().map(|one| json!({
                "name": one.name, "seen_time": moment::written(one.seen_time)
            })).collect::<Vec<_>>(),
            "rule": self.rule.as_ref().map(|(name, when)| json!({"name": name, "when": when})),
            "decision": {
                "publish": self.decision.publish, "reason": self.decision.reason,
                "next_due": moment::written(self.decision.next_due), "warning": self.decision.warning,
            },
            "pulses": self.pulses.iter().map(|pulse| json!({
                "time": moment::written(pulse.time), "reason": pulse.reason
            })).collect::<Vec<_>>(),
        })
    }

    fn print(&self) {
        let entry = &self.entry;
        let resource = &entry.resource;
        println!(
            "{}/{} ({}), generation {}",
            resource.kind.to_lowercase(),
            resource.name,
            resource.id,
            resource.generation
        );
        let line = |what: &str, value: &str| println!("  {what:<14} {value}");
        line("state", &self.state());
        if let Some(priority) = entry.priority {
            line("priority", priority.name());
        }
        match &self.rule {
            Some((name, when)) => line("rule", &format!("{name}: {}", when.replace('\n', " "))),
            None => line("rule", "none applies"),
        }
        let decision = if self.decision.publish {
            "publish"
        } else {
            "wait"
        };
        line(
            "decided now",
            &format!("{decision}: {}", self.decision.reason),
        );
        if let Some(warning) = &self.decision.warning {
            line("warning", warning);
        }
        match (entry.last_published_time, entry.last_published_generation) {
            (Some(time), Some(generation)) => line(
                "last pulse",
                &format!(
                    "{} ago, of generation {generation}; {} since it last changed",
                    output::duration(entry.now - time),
                    entry.attempt
                ),
            ),
            _ => line("last pulse", "none yet"),
        }
        if self.sentinels.is_empty() {
            line("sentinels", "NONE that runs selects it");
        }
        for sentinel in &self.sentinels {
            let seen = output::duration(entry.now - sentinel.seen_time);
            line("sentinel", &format!("{}, seen {seen} ago", sentinel.name));
        }
        if !self.is_selected {
            line("note", "this configuration does not select it");
        }
        let mut before = entry.now;
        for (number, pulse) in self.pulses.iter().enumerate() {
            let what = if number == 0 { "next pulses" } else { "" };
            let pause = output::duration(pulse.time - before);
            line(
                what,
                &format!(
                    "{}  +{pause}  {}",
                    moment::written(pulse.time),
                    pulse.reason
                ),
            );
            before = pulse.time;
        }
        if !self.pulses.is_empty() {
            line("", "as long as nothing changes and sentinels keep up");
        }
    }
}

fn schedule(entry: &Entry) -> Schedule {
    Schedule {
        attempt: u32::try_from(entry.attempt).unwrap_or_default(),
        last_published_generation: entry.last_published_generation.map(i64::from),
        last_published_time: entry.last_published_time,
    }
}

/// The next pulses when nothing changes.
fn coming(
    policy: &Policy,
    document: &Value,
    mut schedule: Schedule,
    entry: &Entry,
    count: u32,
) -> Vec<Pulse> {
    let mut pulses = Vec::new();
    let mut time = entry.due_time.max(entry.now);
    for _ in 0..MOST_DECISIONS {
        if pulses.len() >= count as usize {
            break;
        }
        let decision = policy.decide(document, time, &schedule);
        if decision.publish {
            schedule.attempt = schedule.attempt.saturating_add(1);
            schedule.last_published_generation = document["generation"].as_i64();
            schedule.last_published_time = Some(time);
            pulses.push(Pulse {
                time,
                reason: decision.reason.into_owned(),
            });
        }
        // A decision that is due at once again would never end.
        time = decision.next_due.max(time + TimeDelta::milliseconds(1));
    }
    pulses
}
