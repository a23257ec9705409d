//! `hyperfleet sentinel dry-run -c FILE`: a policy decides on the live fleet, and nothing is published.

use std::collections::BTreeMap;

use anyhow::Context as _;
use hyperfleet_domain::Registry;
use hyperfleet_projections::reconcile_queue::{self, Entry};
use hyperfleet_sentinel::{Payload, Policy, Schedule};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::kind;
use crate::arguments::{DryRunArguments, ReportFormat};
use crate::control_plane::read_sentinel;
use crate::output;

/// Resources read at a time.
const PAGE: u32 = 500;

/// Warnings that are shown; more are counted.
const WARNINGS: usize = 10;

/// What the policy did.
#[derive(Default)]
struct Decided {
    resources: u64,
    unselected: u64,
    publish: u64,
    by_reason: BTreeMap<String, u64>,
    by_rule: BTreeMap<String, u64>,
    published: Vec<(String, String, String, Value)>,
    warnings: Vec<String>,
    warning_count: u64,
}

pub(super) async fn run(
    arguments: &DryRunArguments,
    pool: &PgPool,
    registry: &Registry,
) -> anyhow::Result<()> {
    let config = read_sentinel(&arguments.config)?;
    let place = || format!("cannot use {}", arguments.config.display());
    let kind = kind(registry, &config.resource_type).with_context(place)?;
    let policy = Policy::compile(&config).with_context(place)?;
    let payload = Payload::compile(&config.message_data).with_context(place)?;
    let mut decided = Decided::default();
    let mut after = String::new();
    loop {
        let entries = reconcile_queue::entries(pool, &kind.kind, &after, PAGE).await?;
        let Some(last) = entries.last() else {
            break;
        };
        after.clone_from(&last.resource.id);
        for entry in &entries {
            if config.selects(&entry.resource) {
                decided.decide(entry, &policy, &payload, arguments.limit)?;
            } else {
                decided.unselected += 1;
            }
        }
    }
    match arguments.output {
        ReportFormat::Json => println!("{}", serde_json::to_string_pretty(&decided.document())?),
        ReportFormat::Text => decided.print(&kind.plural),
    }
    Ok(())
}

impl Decided {
    fn decide(
        &mut self,
        entry: &Entry,
        policy: &Policy,
        payload: &Payload,
        limit: usize,
    ) -> anyhow::Result<()> {
        let document = serde_json::to_value(entry.resource.document())?;
        let schedule = Schedule {
            attempt: u32::try_from(entry.attempt).unwrap_or_default(),
            last_published_generation: entry.last_published_generation.map(i64::from),
            last_published_time: entry.last_published_time,
        };
        let decision = policy.decide(&document, entry.now, &schedule);
        let rule = policy.rule(&document, entry.now);
        let rule = rule.map_or("-", |(name, _)| name);
        self.resources += 1;
        *self.by_rule.entry(rule.to_owned()).or_default() += 1;
        let reason = decision.reason.to_string();
        *self.by_reason.entry(reason.clone()).or_default() += 1;
        let mut warnings: Vec<String> = decision.warning.into_iter().collect();
        if decision.publish {
            self.publish += 1;
            let built = payload.build(&document, &reason);
            warnings.extend(built.warnings);
            if self.published.len() < limit {
                let (id, name) = (entry.resource.id.clone(), entry.resource.name.clone());
                self.published.push((name, id, reason, built.data));
            }
        }
        self.warning_count += warnings.len() as u64;
        for warning in warnings {
            if self.warnings.len() < WARNINGS {
                self.warnings
                    .push(format!("{}: {warning}", entry.resource.name));
            }
        }
        Ok(())
    }

    fn document(&self) -> Value {
        json!({
            "selected": self.resources, "not_selected": self.unselected, "publish_now": self.publish,
            "by_rule": self.by_rule, "by_reason": self.by_reason,
            "published": self.published.iter().map(|(name, id, reason, data)| json!({
                "name": name, "id": id, "reason": reason, "data": data
            })).collect::<Vec<_>>(),
            "warning_count": self.warning_count, "warnings": self.warnings,
        })
    }

    fn print(&self, plural: &str) {
        println!(
            "{} {plural} selected, {} not; {} would be published now",
            self.resources, self.unselected, self.publish
        );
        let counts = |counts: &BTreeMap<String, u64>| -> Vec<Vec<String>> {
            let counts = counts.iter();
            counts
                .map(|(name, count)| vec![name.clone(), count.to_string()])
                .collect()
        };
        println!();
        print!(
            "{}",
            output::table(&["RULE THAT APPLIES", "RESOURCES"], &counts(&self.by_rule))
        );
        println!();
        print!(
            "{}",
            output::table(&["DECISION NOW", "RESOURCES"], &counts(&self.by_reason))
        );
        if !self.published.is_empty() {
            println!();
            let rows: Vec<Vec<String>> = self
                .published
                .iter()
                .map(|(name, id, reason, data)| {
                    vec![name.clone(), id.clone(), reason.clone(), data.to_string()]
                })
                .collect();
            print!(
                "{}",
                output::table(&["PUBLISHED", "ID", "REASON", "DATA"], &rows)
            );
        }
        for warning in &self.warnings {
            println!("warning: {warning}");
        }
        let rest = self
            .warning_count
            .saturating_sub(self.warnings.len() as u64);
        if rest > 0 {
            println!("and {rest} more warnings");
        }
    }
}
