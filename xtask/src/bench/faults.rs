//! Sentinels under faults: replicas are killed, stopped and their clocks set while clusters change; then the broker
//! is away while clusters change.
//!
//! Every change is followed from its commit to a consumer. What no consumer got, what the queue does not hold for told,
//! and every command that failed is counted, and none may be.

mod journal;
mod replicas;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hyperfleet_event_store::{EventStore, EventStoreOptions};
use hyperfleet_projections::InlineProjector;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use self::journal::Journal;
use self::replicas::{Fault, Replicas};
use super::figure::{Figure, percentile};
use super::sentinel::process;
use crate::load::fleet::{Fleet, Plan as FleetPlan};
use crate::postgres::{self, Durability, Server};
use crate::rabbitmq;

/// Changes per second.
const CHANGES: u32 = 50;

/// Between two faults: longer than claims last, so that nothing is hit twice.
const BETWEEN_FAULTS: Duration = Duration::from_secs(20);

/// Clusters whose refresh comes due while the broker is away, which changes must overtake.
const REFRESHES: i64 = 5_000;

/// How long anything may take that must come to an end.
const PATIENCE: Duration = Duration::from_mins(10);

/// A claim lasts 15 s; then a sentinel looks within a second.
const TAKEOVER_SECONDS: f64 = 16.0;

/// A broker that is back has been told of everything within this.
const DRAIN_SECONDS: f64 = 60.0;

/// How long the faults, and then the outage, last, and on how many clusters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) clusters: u32,
    pub(super) duration: Duration,
}

/// A change that was committed.
struct Change {
    cluster: usize,
    generation: i32,
    committed: Instant,
}

/// What became of a number of changes.
#[derive(Default)]
struct Changes {
    made: Vec<Change>,
    failed: f64,
}

/// Measures everything.
///
/// # Errors
/// When PostgreSQL, RabbitMQ or libfaketime is missing or fails, or something does not come to an end.
pub(super) fn run(plan: Plan) -> Result<Vec<Figure>> {
    let binaries = postgres::find().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    let program = process::build()?;
    let server = Server::start(&binaries, Durability::Full)?;
    let mut rabbitmq = rabbitmq::Server::start()?;
    println!(
        "{binaries}, fsync on; RabbitMQ, {rabbitmq}; {} clusters; {CHANGES} changes/s for {:?}, twice",
        plan.clusters, plan.duration
    );
    let replicas = Replicas::start(&program, server.url(), &rabbitmq.url())?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let bench = Bench::open(server.url(), &rabbitmq.url(), plan).await?;
            let mut figures = bench.faults(replicas, &program).await?;
            let replicas = Replicas::start(&program, server.url(), &rabbitmq.url())?;
            figures.extend(bench.outage(&mut rabbitmq).await?);
            drop(replicas);
            Ok(figures)
        })
}

struct Bench {
    pool: PgPool,
    fleet: Fleet,
    journal: Journal,
    plan: Plan,
}

impl Bench {
    async fn open(database: &str, broker: &str, plan: Plan) -> Result<Self> {
        let pool = PgPool::connect(database).await?;
        hyperfleet_event_store::migrator().run(&pool).await?;
        let options = EventStoreOptions::new(database).projection(Arc::new(InlineProjector));
        let store = EventStore::open(options).await?;
        let fleet = FleetPlan {
            clusters: plan.clusters,
            node_pools: 0,
        };
        let fleet = Fleet::open(&store, fleet).await?;
        fleet.report_all("True", true).await?;
        let bench = Self {
            pool,
            fleet,
            journal: Journal::start(broker).await?,
            plan,
        };
        bench.until_nothing_is_due().await?;
        Ok(bench)
    }

    /// Kills, stops and missets replicas while clusters change.
    async fn faults(
        &self,
        mut replicas: Replicas,
        program: &std::path::Path,
    ) -> Result<Vec<Figure>> {
        let changing = self.change();
        let breaking = replicas.break_often(program, self.plan.duration, BETWEEN_FAULTS);
        let (changes, broken) = tokio::try_join!(changing, breaking)?;
        self.until_nothing_is_due().await?;
        let fenced = replicas.fenced()?;
        drop(replicas);
        let mut figures: Vec<Figure> = Fault::ALL
            .iter()
            .map(|fault| {
                let times = broken.iter().filter(|broken| *broken == fault).count();
                Figure::new(format!("replicas {}", fault.name()), count(times), "times")
            })
            .collect();
        figures.extend(self.outcome("under faults", &changes).await?);
        let waits = self.waits(&changes);
        let at = |hundredths| percentile(&waits, hundredths).unwrap_or(f64::NAN);
        figures.push(Figure::lower(
            "change to consumer under faults, p50",
            at(50) * 1000.0,
            "ms",
        ));
        figures.push(Figure::lower(
            "change to consumer under faults, p99",
            at(99),
            "s",
        ));
        let longest = waits.last().copied().unwrap_or(f64::NAN);
        figures.push(Figure::lower("longest takeover", longest, "s").target(TAKEOVER_SECONDS));
        figures.push(Figure::new(
            "late publishes that were counted",
            fenced,
            "events",
        ));
        Ok(figures)
    }

    /// Takes the broker away while clusters change, and brings it back.
    async fn outage(&self, broker: &mut rabbitmq::Server) -> Result<Vec<Figure>> {
        tokio::task::block_in_place(|| broker.stop())?;
        let changes = self.change().await?;
        let refreshes = self.make_refreshes_due().await?;
        tokio::task::block_in_place(|| broker.start_again())?;
        let back = Instant::now();
        self.until_nothing_is_due().await?;
        let drained = back.elapsed().as_secs_f64();
        let mut figures = vec![Figure::new(
            "refreshes that waited for the broker",
            refreshes,
            "clusters",
        )];
        figures.extend(self.outcome("while the broker was away", &changes).await?);
        let told = self.arrivals(&changes).max();
        let told = told.map_or(f64::NAN, |told| {
            told.saturating_duration_since(back).as_secs_f64()
        });
        figures.push(Figure::lower("broker back to every change told", told, "s").target(drained));
        figures
            .push(Figure::lower("broker back to nothing due", drained, "s").target(DRAIN_SECONDS));
        Ok(figures)
    }

    /// Changes one cluster after the other at a steady rate.
    async fn change(&self) -> Result<Changes> {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / CHANGES);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut changing = JoinSet::new();
        let end = Instant::now() + self.plan.duration;
        for number in 0.. {
            pace.tick().await;
            if Instant::now() >= end {
                break;
            }
            let fleet = self.fleet.clone();
            changing.spawn(async move {
                let cluster = fleet.cluster(number);
                let generation = fleet.change(cluster, number).await?;
                anyhow::Ok(Change {
                    cluster,
                    generation,
                    committed: Instant::now(),
                })
            });
        }
        let mut changes = Changes::default();
        while let Some(ended) = changing.join_next().await {
            match ended.context("a change stopped")? {
                Ok(change) => changes.made.push(change),
                Err(error) => {
                    println!("a command failed: {error:#}");
                    changes.failed += 1.0;
                }
            }
        }
        Ok(changes)
    }

    /// Commands that failed, changes that no consumer got, and what the queue holds for untold.
    async fn outcome(&self, when: &str, changes: &Changes) -> Result<Vec<Figure>> {
        let begun = Instant::now();
        // What is published last may still be on its way.
        while self.arrivals(changes).count() < newest(changes).len()
            && begun.elapsed() < Duration::from_secs(10)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let lost = newest(changes).len() - self.arrivals(changes).count();
        let untold: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM reconcile_queue JOIN resources ON id = resource_id
             WHERE last_published_generation IS DISTINCT FROM generation",
        )
        .fetch_one(&self.pool)
        .await?;
        let untold = usize::try_from(untold)?;
        Ok(vec![
            Figure::new(
                format!("changes {when}"),
                count(changes.made.len()),
                "changes",
            ),
            Figure::lower(
                format!("commands that failed {when}"),
                changes.failed,
                "commands",
            )
            .target(0.0),
            Figure::lower(format!("changes lost {when}"), count(lost), "clusters").target(0.0),
            Figure::lower(
                format!("generations untold {when}"),
                count(untold),
                "clusters",
            )
            .target(0.0),
        ])
    }

    /// How long consumers waited for each change, or for a later one of the same cluster, in seconds and in order.
    fn waits(&self, changes: &Changes) -> Vec<f64> {
        let mut waits: Vec<f64> = changes
            .made
            .iter()
            .filter_map(|change| {
                let arrived = self.arrival(change.cluster, change.generation)?;
                Some(
                    arrived
                        .saturating_duration_since(change.committed)
                        .as_secs_f64(),
                )
            })
            .collect();
        waits.sort_by(f64::total_cmp);
        waits
    }

    /// When the newest generations arrived, of those that did.
    fn arrivals<'a>(&'a self, changes: &'a Changes) -> impl Iterator<Item = Instant> + 'a {
        let newest = newest(changes).into_iter();
        newest.filter_map(|(cluster, generation)| self.arrival(cluster, generation))
    }

    fn arrival(&self, cluster: usize, generation: i32) -> Option<Instant> {
        self.journal.time(self.fleet.id(cluster).ok()?, generation)
    }

    async fn make_refreshes_due(&self) -> Result<f64> {
        let made = sqlx::query(
            "UPDATE reconcile_queue SET due_time = now(), priority = 3, last_published_time = now() - interval '2 hours'
             WHERE resource_id IN (SELECT resource_id FROM reconcile_queue JOIN resources ON id = resource_id
                 WHERE last_published_generation = generation LIMIT $1)",
        )
        .bind(REFRESHES)
        .execute(&self.pool)
        .await?;
        Ok(count(usize::try_from(made.rows_affected())?))
    }

    async fn until_nothing_is_due(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let due: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM reconcile_queue JOIN resources ON id = resource_id
                     WHERE last_published_generation IS DISTINCT FROM generation
                         OR (priority = 3 AND due_time <= now()))",
            )
            .fetch_one(&self.pool)
            .await?;
            if !due {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "the sentinels do not come to an end"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The newest generation of each changed cluster.
fn newest(changes: &Changes) -> BTreeMap<usize, i32> {
    let mut newest = BTreeMap::new();
    for change in &changes.made {
        let known = newest.entry(change.cluster).or_insert(change.generation);
        *known = change.generation.max(*known);
    }
    newest
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
