//! The fleet: clusters and node pools, created and reported on through the command handler.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hyperfleet_command_api::CommandHandler;
use hyperfleet_command_api::handler::{Reach, Target};
use hyperfleet_domain::metadata::EventMetadata;
use hyperfleet_domain::registry::{Registry, ServedKind};
use hyperfleet_domain::resource::{
    Command, CreateResource, PatchResource, ReportAdapterStatus, ReportedCondition,
};
use hyperfleet_event_store::EventStore;
use hyperfleet_runtime::{Clock as _, IdSource as _, SystemClock, UuidV7Source};
use serde_json::{Map, Value, json};
use sqlx::{PgPool, Row as _};
use tokio::task::JoinSet;

/// Enough for full batches.
const WRITERS: usize = 128;

/// Who created what belongs to the fleet.
const ACTOR: &str = "load";

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

const CLUSTER: &str = "Cluster";
const NODE_POOL: &str = "NodePool";

/// How large the fleet shall be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) clusters: u32,
    /// Of each cluster.
    pub(crate) node_pools: u32,
}

/// A cluster or node pool.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    kind: &'static str,
    generation: AtomicI32,
    /// Whether this run created it.
    is_new: bool,
}

/// A fleet, and how it is changed. Clones are the same.
#[derive(Clone)]
pub(crate) struct Fleet {
    handler: CommandHandler,
    registry: Arc<Registry>,
    /// Clusters, each followed by its node pools.
    members: Arc<[Member]>,
    /// Where the clusters are among them.
    clusters: Arc<[usize]>,
}

/// What the database has, by the names of cluster and node pool.
type Known = BTreeMap<(String, Option<String>), Member>;

impl Fleet {
    /// The fleet of the database; what is missing is created.
    pub(crate) async fn open(store: &EventStore, plan: Plan) -> Result<Self> {
        let registry = Arc::new(Registry::builtin());
        let handler = CommandHandler::new(store.clone(), Arc::clone(&registry));
        let known = Arc::new(std::sync::Mutex::new(known(store.pool()).await?));
        let families = {
            let handler = handler.clone();
            in_parallel("clusters created", plan.clusters as usize, move |number| {
                let (handler, known) = (handler.clone(), Arc::clone(&known));
                async move { family(&handler, &known, number, plan.node_pools).await }
            })
            .await?
        };
        let members: Arc<[Member]> = families.into_iter().flatten().collect();
        let clusters = members.iter().enumerate();
        let clusters = clusters.filter(|(_, member)| member.kind == CLUSTER);
        Ok(Self {
            handler,
            registry,
            clusters: clusters.map(|(index, _)| index).collect(),
            members,
        })
    }

    /// How many clusters and node pools there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// A cluster. Numbers beyond their count begin anew.
    pub(crate) fn cluster(&self, number: usize) -> usize {
        let index = number % self.clusters.len().max(1);
        self.clusters.get(index).copied().unwrap_or_default()
    }

    /// Every required adapter reports on every member, or on those that this run created.
    pub(crate) async fn report_all(&self, status: &'static str, only_new: bool) -> Result<()> {
        let fleet = self.clone();
        in_parallel("reported on", self.members.len(), move |index| {
            let fleet = fleet.clone();
            async move {
                if only_new && !fleet.member(index)?.is_new {
                    return Ok(());
                }
                fleet.report(index, status).await
            }
        })
        .await?;
        Ok(())
    }

    /// Every required adapter reports on a member.
    pub(crate) async fn report(&self, index: usize, status: &str) -> Result<()> {
        for adapter in 0..self.adapters(index)?.len() {
            self.report_of(index, adapter, status).await?;
        }
        Ok(())
    }

    /// One of its required adapters reports on a member; adapters beyond their count begin anew.
    pub(crate) async fn report_of(&self, index: usize, adapter: usize, status: &str) -> Result<()> {
        let member = self.member(index)?;
        let adapters = self.adapters(index)?;
        let adapter = adapters.get(adapter % adapters.len().max(1));
        let adapter = adapter.context("a kind without adapters")?;
        let generation = member.generation.load(Ordering::Relaxed);
        handle(
            &self.handler,
            &target(&member.id, member.kind),
            &report(adapter, generation, status),
        )
        .await
    }

    /// Changes the spec of a member; its generation after that.
    pub(crate) async fn change(&self, index: usize, turn: usize) -> Result<i32> {
        let member = self.member(index)?;
        let now = SystemClock.now();
        let mut spec = spec(index);
        spec.insert("turn".to_owned(), json!(format!("{now}/{turn}")));
        let command = Command::Patch(PatchResource {
            spec: Some(spec),
            labels: None,
            references: None,
            now,
            actor: ACTOR.to_owned(),
        });
        handle(&self.handler, &target(&member.id, member.kind), &command).await?;
        Ok(member.generation.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The id of a member.
    pub(crate) fn id(&self, index: usize) -> Result<&str> {
        Ok(&self.member(index)?.id)
    }

    fn member(&self, index: usize) -> Result<&Member> {
        self.members.get(index).context("no such member")
    }

    fn adapters(&self, index: usize) -> Result<&[String]> {
        let kind = self.registry.by_kind(self.member(index)?.kind);
        Ok(&kind.context("a kind of the registry")?.required_adapters)
    }
}

/// Does something for each number, some of them side by side; what came of each, in their order.
async fn in_parallel<Work, Working, Done>(
    what: &'static str,
    count: usize,
    work: Work,
) -> Result<Vec<Done>>
where
    Work: Fn(usize) -> Working + Clone + Send + Sync + 'static,
    Working: Future<Output = Result<Done>> + Send,
    Done: Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WRITERS {
        let (work, next) = (work.clone(), Arc::clone(&next));
        workers.spawn(async move {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, anyhow::Error>(done);
                }
                done.push((number, work(number).await?));
            }
        });
    }
    let begun = Instant::now();
    let mut progress = tokio::time::interval_at((begun + PROGRESS).into(), PROGRESS);
    let mut all = Vec::with_capacity(count);
    loop {
        tokio::select! {
            ended = workers.join_next() => match ended {
                Some(ended) => all.extend(ended.context("a writer stopped")??),
                None => break,
            },
            _ = progress.tick() => {
                let done = next.load(Ordering::Relaxed).min(count);
                println!("{what}: {done} of {count} after {} s", begun.elapsed().as_secs());
            }
        }
    }
    all.sort_unstable_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, done)| done).collect())
}

/// What earlier runs created.
async fn known(pool: &PgPool) -> Result<Known> {
    let rows = sqlx::query(
        "SELECT resource.id, resource.kind, resource.name, resource.generation, owner.name AS owner
         FROM resources AS resource LEFT JOIN resources AS owner ON owner.id = resource.owner_id
         WHERE resource.created_by = $1 AND resource.removed_time IS NULL
             AND resource.deleted_time IS NULL AND resource.kind IN ($2, $3)",
    )
    .bind(ACTOR)
    .bind(CLUSTER)
    .bind(NODE_POOL)
    .fetch_all(pool)
    .await?;
    let mut known = Known::new();
    for row in rows {
        let name: String = row.try_get("name")?;
        let owner: Option<String> = row.try_get("owner")?;
        let is_cluster = row.try_get::<String, _>("kind")? == CLUSTER;
        let member = Member {
            id: row.try_get("id")?,
            kind: if is_cluster { CLUSTER } else { NODE_POOL },
            generation: AtomicI32::new(row.try_get("generation")?),
            is_new: false,
        };
        let names = match owner {
            Some(owner) => (owner, Some(name)),
            None => (name, None),
        };
        known.insert(names, member);
    }
    Ok(known)
}

/// A cluster and its node pools.
async fn family(
    handler: &CommandHandler,
    known: &std::sync::Mutex<Known>,
    number: usize,
    node_pools: u32,
) -> Result<Vec<Member>> {
    let name = format!("load-{number:07}");
    let take = |node_pool: Option<String>| {
        let mut known = known.lock().ok()?;
        known.remove(&(name.clone(), node_pool))
    };
    let cluster = match take(None) {
        Some(cluster) => cluster,
        None => create(handler, CLUSTER, &name, None, number).await?,
    };
    let mut family = vec![cluster];
    for node_pool in 0..node_pools {
        let pool_name = format!("pool-{node_pool}");
        let parent = family.first().map(|cluster| cluster.id.clone());
        family.push(match take(Some(pool_name.clone())) {
            Some(member) => member,
            None => create(handler, NODE_POOL, &pool_name, parent, number).await?,
        });
    }
    Ok(family)
}

async fn create(
    handler: &CommandHandler,
    kind: &'static str,
    name: &str,
    parent: Option<String>,
    number: usize,
) -> Result<Member> {
    let id = UuidV7Source.new_id().to_string();
    let labels = [
        (
            "env",
            if number.is_multiple_of(2) {
                "prod"
            } else {
                "dev"
            }
            .to_owned(),
        ),
        ("shard", (number % 50).to_string()),
    ];
    let command = Command::Create(CreateResource {
        id: id.clone(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        spec: Some(spec(number)),
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        references: BTreeMap::new(),
        tenancy: BTreeMap::new(),
        parent,
        now: SystemClock.now(),
        actor: ACTOR.to_owned(),
    });
    handle(handler, &target(&id, kind), &command).await?;
    Ok(Member {
        id,
        kind,
        generation: AtomicI32::new(1),
        is_new: true,
    })
}

/// About as wide as real ones.
fn spec(number: usize) -> Map<String, Value> {
    let members = [
        ("region", json!(format!("region-{}", number % 20))),
        ("replicas", json!(number % 17)),
        (
            "release",
            json!({"image": format!("registry.example/release:4.{}.0", number % 9)}),
        ),
        (
            "platform",
            json!({"type": "GCP", "gcp": {"project": format!("project-{number}"), "network": "default"}}),
        ),
    ];
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What adapters say: the three conditions of the contract, with texts of usual length.
fn report(adapter: &str, generation: i32, status: &str) -> Command {
    let condition = |r#type: &str| ReportedCondition {
        r#type: r#type.to_owned(),
        status: status.to_owned(),
        reason: Some("ResourcesApplied".to_owned()),
        message: Some(format!(
            "{adapter}: what was asked for is as observed, {status}"
        )),
    };
    Command::Report(ReportAdapterStatus {
        adapter: adapter.to_owned(),
        observed_generation: generation,
        observed_time: None,
        conditions: ["Available", "Applied", "Health"].map(condition).into(),
        data: Map::new(),
        metadata: None,
        now: SystemClock.now(),
    })
}

fn target(id: &str, kind: &str) -> Target {
    Target {
        kind: ServedKind::One(kind.to_owned()),
        id: id.to_owned(),
        owner: None,
        reach: Reach::default(),
    }
}

async fn handle(handler: &CommandHandler, target: &Target, command: &Command) -> Result<()> {
    let metadata = EventMetadata {
        actor: ACTOR.to_owned(),
        command: command.name().to_owned(),
        ..EventMetadata::default()
    };
    handler.handle(target, command, &metadata).await?;
    Ok(())
}
