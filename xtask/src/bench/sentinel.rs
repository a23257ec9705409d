//! Sentinels as processes of their own, on a fleet of any size, with a real broker.
//!
//! The fleet is made through the real event path. Then: how fast one sentinel publishes everything that is due; what
//! it costs when nothing happens; how long it takes from the commit of a change until a consumer has its event, which
//! is later than the broker's confirmation; what a tenant notices of another one's storm; and how many events a
//! second one, two and four replicas publish. No statement may read a table of the fleet as a whole meanwhile, and
//! PostgreSQL counts that.

mod broker;
pub(super) mod process;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hyperfleet_event_store::{EventStore, EventStoreOptions};
use hyperfleet_projections::InlineProjector;
use sqlx::{PgPool, Row as _};

use self::broker::{Broker, Received};
use self::process::Replicas;
use super::figure::{Figure, percentile};
use crate::load::fleet::{Fleet, Plan};
use crate::postgres::{self, Durability, Server};
use crate::rabbitmq;

/// Node pools of each cluster.
const NODE_POOLS: u32 = 3;

/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(20);

/// Changes per second.
const CHANGES: u32 = 50;

/// For how long.
const CHANGING: Duration = Duration::from_mins(1);

/// Resources that become due at once.
const STORM: i64 = 20_000;

/// How long anything may take that must come to an end.
const PATIENCE: Duration = Duration::from_mins(20);

/// Targets: from commit to consumer at the 50th and 99th percentile, in milliseconds; share of a core of idle
/// sentinels; memory of one, in MiB.
const P50: f64 = 15.0;
const P99: f64 = 50.0;
const IDLE_CORE: f64 = 0.25;
const MEMORY: f64 = 200.0;

/// Measures everything.
///
/// # Errors
/// When PostgreSQL or RabbitMQ is missing or fails, or an event does not come.
pub(super) fn run(clusters: u32) -> Result<Vec<Figure>> {
    let binaries = postgres::find().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    let program = process::build()?;
    let server = Server::start(&binaries, Durability::Full)?;
    let rabbitmq = rabbitmq::Server::start()?;
    println!(
        "{binaries}, fsync on; RabbitMQ, {rabbitmq}; {clusters} clusters with {NODE_POOLS} node pools each"
    );
    let plan = Plan {
        clusters,
        node_pools: NODE_POOLS,
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let broker = rabbitmq.url();
            let bench = Bench::open(server.url(), &broker, &program, plan).await?;
            bench.measure().await
        })
}

struct Bench<'a> {
    pool: PgPool,
    fleet: Fleet,
    broker: Broker,
    program: &'a std::path::Path,
    database: &'a str,
    broker_url: &'a str,
}

impl<'a> Bench<'a> {
    async fn open(
        database: &'a str,
        broker_url: &'a str,
        program: &'a std::path::Path,
        plan: Plan,
    ) -> Result<Self> {
        let pool = PgPool::connect(database).await?;
        hyperfleet_event_store::migrator().run(&pool).await?;
        let options = EventStoreOptions::new(database).projection(Arc::new(InlineProjector));
        let store = EventStore::open(options).await?;
        let begun = Instant::now();
        let fleet = Fleet::open(&store, plan).await?;
        fleet.report_all("True", true).await?;
        println!(
            "{} resources after {} s",
            fleet.len(),
            begun.elapsed().as_secs()
        );
        for statement in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
            sqlx::raw_sql(statement).execute(&pool).await?;
        }
        let broker = Broker::connect(broker_url).await?;
        Ok(Self {
            pool,
            fleet,
            broker,
            program,
            database,
            broker_url,
        })
    }

    fn replicas(&self, count: usize) -> Result<Replicas> {
        Replicas::start(self.program, self.database, self.broker_url, count)
    }

    async fn measure(&self) -> Result<Vec<Figure>> {
        let one = self.replicas(1)?;
        let due = self.due().await?;
        let took = self.until_nothing_is_due().await?;
        let mut figures = vec![Figure::new(
            format!("{due} due at once, 1 sentinel"),
            per_second(due, took),
            "events/s",
        )];
        let scans = self.scans().await?;
        let used = one.processor_time()?;
        tokio::time::sleep(IDLE).await;
        let used = one.processor_time()?.saturating_sub(used).as_secs_f64() / IDLE.as_secs_f64();
        figures.push(Figure::lower("idle, both sentinels", used, "of a core").target(IDLE_CORE));
        let latencies = self.changes(CHANGES, CHANGING).await?;
        figures.extend(latency("change to consumer", &latencies, true));
        figures.push(
            Figure::lower("memory of a sentinel process", one.memory()?, "MiB").target(MEMORY),
        );
        let scanned = self.scans().await? - scans;
        figures.push(
            Figure::lower("whole reads of a table of the fleet", scanned, "scans").target(0.0),
        );
        self.storm("org=storm", 0).await?;
        let latencies = self.changes(CHANGES, Duration::from_secs(10)).await?;
        figures.extend(latency(
            "change of a tenant in another one's storm",
            &latencies,
            false,
        ));
        self.until_nothing_is_due().await?;
        drop(one);
        for count in [1, 2, 4] {
            self.storm("", 3).await?;
            let replicas = self.replicas(count)?;
            // Connecting is not what is measured.
            let due = self.until_some_are_published().await?;
            let took = self.until_nothing_is_due().await?;
            let name = format!("storm of {STORM}, {count} replicas");
            figures.push(Figure::new(name, per_second(due, took), "events/s"));
            drop(replicas);
        }
        Ok(figures)
    }

    /// How many rows are due.
    async fn due(&self) -> Result<i64> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM reconcile_queue WHERE priority < 4 AND due_time <= now()",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Whether any is, without reading the others.
    async fn is_anything_due(&self) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM unnest('{Cluster,NodePool}'::text[]) AS kind,
                 generate_series(0, 3) AS priority, LATERAL (
                     SELECT FROM reconcile_queue AS queue WHERE queue.kind = kind.kind
                         AND queue.priority = priority.priority AND queue.due_time <= now() LIMIT 1) AS due)",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    async fn until_nothing_is_due(&self) -> Result<Duration> {
        let begun = Instant::now();
        while self.is_anything_due().await? {
            ensure!(
                begun.elapsed() < PATIENCE,
                "the sentinels do not come to an end"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(begun.elapsed())
    }

    /// Waits until the replicas have begun; how many rows are left.
    async fn until_some_are_published(&self) -> Result<i64> {
        let begun = Instant::now();
        loop {
            let due = self.due().await?;
            if due < STORM {
                return Ok(due);
            }
            ensure!(begun.elapsed() < PATIENCE, "the replicas do not begin");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Makes many clusters due at once, as their refreshes would.
    async fn storm(&self, tenant: &str, priority: i16) -> Result<()> {
        sqlx::query(
            "UPDATE reconcile_queue SET due_time = now(), last_published_time = now() - interval '2 hours',
                 priority = $3, tenant = $2
             WHERE resource_id IN (SELECT resource_id FROM reconcile_queue WHERE kind = 'Cluster'
                 ORDER BY resource_id DESC LIMIT $1)",
        )
        .bind(STORM)
        .bind(tenant)
        .bind(priority)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Changes clusters at a rate; from the commit of each to its consumer, in milliseconds.
    async fn changes(&self, rate: u32, duration: Duration) -> Result<Vec<f64>> {
        let received = self.broker.consume().await?;
        let count = u64::from(rate) * duration.as_secs();
        let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
        let mut changing = tokio::task::JoinSet::new();
        for number in 0..usize::try_from(count)? {
            pace.tick().await;
            let fleet = self.fleet.clone();
            changing.spawn(async move {
                // From the beginning on; storms are at the end.
                let cluster = fleet.cluster(number);
                let generation = fleet.change(cluster, number).await?;
                anyhow::Ok((fleet.id(cluster)?.to_owned(), generation, Instant::now()))
            });
        }
        let mut latencies = Vec::new();
        while let Some(changed) = changing.join_next().await {
            let (id, generation, committed) = changed.context("a change stopped")??;
            let arrived = until_received(&received, &id, generation).await?;
            let waited = arrived.saturating_duration_since(committed);
            latencies.push(waited.as_secs_f64() * 1000.0);
        }
        self.broker.forget(received).await?;
        latencies.sort_by(f64::total_cmp);
        Ok(latencies)
    }

    /// How often a table of the fleet was read as a whole.
    async fn scans(&self) -> Result<f64> {
        // Counters are written when their process is idle.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let row = sqlx::query(
            "SELECT coalesce(sum(seq_scan), 0)::float8 AS scans FROM pg_stat_user_tables
             WHERE relname IN ('reconcile_queue', 'resources', 'resource_conditions', 'adapter_statuses')",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get("scans")?)
    }
}

async fn until_received(received: &Received, id: &str, generation: i32) -> Result<Instant> {
    let begun = Instant::now();
    loop {
        if let Some(arrived) = received.time(id, generation) {
            return Ok(arrived);
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "no event of generation {generation} of {id}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn per_second(count: i64, took: Duration) -> f64 {
    let count = u32::try_from(count).map_or(f64::INFINITY, f64::from);
    count / took.as_secs_f64()
}

fn latency(name: &str, sorted: &[f64], has_targets: bool) -> Vec<Figure> {
    let figure = |hundredths: usize, target: f64| {
        let time = percentile(sorted, hundredths).unwrap_or(f64::NAN);
        let figure = Figure::lower(format!("{name}, p{hundredths}"), time, "ms");
        if has_targets {
            figure.target(target)
        } else {
            figure
        }
    };
    vec![figure(50, P50), figure(99, P99)]
}
