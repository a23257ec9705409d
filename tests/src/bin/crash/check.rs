//! What must hold once the load has ended and everything that was killed is back.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use hyperfleet_event_store::{EventStore, EventStoreOptions, StreamId};
use hyperfleet_projections::replay;
use serde_json::Value;
use sqlx::{PgPool, Row as _};

use crate::clients::{Answered, Operation};
use crate::journal;
use crate::processes::{DEADLINE, Processes};
use crate::pulses::Pulse;

/// Between two looks at whether everything has come to rest.
const PAUSE: Duration = Duration::from_millis(20);

/// Violations of one kind that are shown.
const SHOWN: usize = 3;

/// Sentinels have told of the present generation of everything, the projections and the follower have read
/// to the end.
const AT_REST: &str = "
SELECT NOT EXISTS (
        SELECT FROM reconcile_queue JOIN resources ON id = resource_id
        WHERE last_published_generation IS DISTINCT FROM generation)
    AND coalesce((SELECT position FROM checkpoints WHERE name = 'fleet_summary')
        = (SELECT max(position) FROM events), false) AS rests,
    (SELECT max(position) FROM events) AS head";

/// Streams whose sequences are not 1, 2, 3 …, or whose head says something else.
const BROKEN_STREAMS: &str = "
SELECT aggregate_id, count(*) AS events, min(sequence) AS first, max(sequence) AS last, max(version) AS head
FROM events LEFT JOIN streams USING (aggregate_type, aggregate_id)
GROUP BY aggregate_type, aggregate_id
HAVING count(*) <> max(sequence) OR min(sequence) <> 1 OR max(version) IS DISTINCT FROM max(sequence)";

/// An event, as far as it is looked at.
struct Stored {
    resource: String,
    event_type: String,
    request: String,
    key: Option<String>,
    payload: Value,
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Events of the round.
    pub(crate) events: usize,
    /// What does not hold; empty when all is well.
    pub(crate) violations: Vec<String>,
}

impl Checked {
    fn say(&mut self, what: &str, found: impl IntoIterator<Item = String>) {
        let found: Vec<String> = found.into_iter().collect();
        if !found.is_empty() {
            let shown = found.iter().take(SHOWN).cloned().collect::<Vec<_>>();
            self.violations.push(format!(
                "{what}: {} times, e.g. {}",
                found.len(),
                shown.join("; ")
            ));
        }
    }
}

/// Checks rounds on one database.
pub(crate) struct Checker {
    database_url: String,
    /// Up to where earlier rounds were checked.
    position: i64,
    /// Keys whose commands had an effect in an earlier round.
    done: HashSet<String>,
}

impl Checker {
    pub(crate) fn new(database_url: String) -> Self {
        Self {
            database_url,
            position: 0,
            done: HashSet::new(),
        }
    }

    /// Waits until nothing is left to do, and then looks at everything.
    pub(crate) async fn check(
        &mut self,
        processes: &Processes,
        answered: &[Answered],
    ) -> Result<Checked> {
        let mut checked = Checked::default();
        // New connections: the old ones may have been killed with the server.
        let pool = PgPool::connect_lazy(&self.database_url)?;
        if !rest(&pool, processes).await? {
            checked.violations.push(format!(
                "not at rest within {DEADLINE:?}: something is due, or a reader of the log is behind"
            ));
        }
        let events = self.new_events(&pool).await?;
        checked.events = events.len();
        self.once(&mut checked, &events, answered);
        self.streams(&mut checked, &pool, &events).await?;
        read_models(&mut checked, &pool).await?;
        order(&mut checked, &pool, processes).await?;
        pulses(&mut checked, &pool, processes).await?;
        Ok(checked)
    }

    async fn new_events(&mut self, pool: &PgPool) -> Result<Vec<Stored>> {
        let rows = sqlx::query(
            "SELECT position, aggregate_id, event_type, metadata, payload FROM events
             WHERE position > $1 ORDER BY position",
        )
        .bind(self.position)
        .fetch_all(pool)
        .await?;
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let metadata: Value = row.try_get("metadata")?;
            let text = |member: &str| metadata[member].as_str().map(str::to_owned);
            self.position = row.try_get("position")?;
            events.push(Stored {
                resource: row.try_get("aggregate_id")?,
                event_type: row.try_get("event_type")?,
                request: text("correlation_id").unwrap_or_default(),
                key: text("idempotency_key"),
                payload: row.try_get("payload")?,
            });
        }
        Ok(events)
    }

    /// Every acknowledged command was carried out exactly once, and nothing else was.
    fn once(&mut self, checked: &mut Checked, events: &[Stored], answered: &[Answered]) {
        let mut by_key: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
        for event in events {
            if let Some(key) = &event.key {
                by_key.entry(key).or_default().push(event);
            }
        }
        let again = by_key.keys().filter(|key| self.done.contains(**key));
        checked.say(
            "a command had an effect again in a later round",
            again.map(|key| (*key).to_owned()),
        );
        let mut wrong = Vec::new();
        let mut answers: HashSet<&str> = HashSet::new();
        for answered in answered {
            answers.insert(&answered.key);
            let effects = by_key
                .get(answered.key.as_str())
                .map_or(&[][..], Vec::as_slice);
            if let Some(problem) = problem(answered, effects) {
                wrong.push(format!(
                    "{} {:?} → {}: {problem}",
                    answered.key, answered.operation, answered.status
                ));
            }
        }
        checked.say(
            "an acknowledged command was not carried out exactly once",
            wrong,
        );
        let unasked = by_key
            .keys()
            .filter(|key| !answers.contains(**key) && !key.starts_with("setup-"));
        checked.say(
            "an effect without an answer",
            unasked.map(|key| (*key).to_owned()),
        );
        self.done.extend(by_key.keys().map(|key| (*key).to_owned()));
    }

    /// Sequences have no holes, heads agree, and the hash chains of what was touched hold.
    async fn streams(&self, checked: &mut Checked, pool: &PgPool, events: &[Stored]) -> Result<()> {
        let broken = sqlx::query(BROKEN_STREAMS).fetch_all(pool).await?;
        let broken = broken.iter().map(|row| {
            let number = |column| row.try_get::<Option<i64>, _>(column).ok().flatten();
            format!(
                "{}: {:?} events from {:?} to {:?}, head {:?}",
                row.try_get::<String, _>("aggregate_id").unwrap_or_default(),
                number("events"),
                number("first"),
                number("last"),
                number("head"),
            )
        });
        checked.say("a stream has holes", broken.collect::<Vec<_>>());
        let store = EventStore::open(EventStoreOptions::new(&self.database_url)).await?;
        let touched: BTreeSet<&str> = events.iter().map(|event| event.resource.as_str()).collect();
        let mut unproven = Vec::new();
        for id in touched {
            let stream = StreamId::new(hyperfleet_projections::AGGREGATE_TYPE, id);
            if let Err(fault) = store.verify_stream(&stream).await? {
                unproven.push(format!("{id}: {fault:?}"));
            }
        }
        checked.say("a hash chain is broken", unproven);
        Ok(())
    }
}

async fn rest(pool: &PgPool, processes: &Processes) -> Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        // The database may be starting again.
        if let Ok(row) = sqlx::query(AT_REST).fetch_one(pool).await {
            let (rests, head): (bool, Option<i64>) = (row.try_get("rests")?, row.try_get("head")?);
            let seen: Vec<i64> = journal::read(&processes.positions())?;
            if rests && seen.last().copied() >= head {
                return Ok(true);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(false)
}

async fn read_models(checked: &mut Checked, pool: &PgPool) -> Result<()> {
    let report = replay::verify(pool).await?;
    let differences = report.differences.iter();
    let differences = differences.map(|found| format!("{} {}", found.subject, found.what));
    checked.say("a read model is not the fold of the log", differences);
    Ok(())
}

/// The follower saw every event, in order, and none twice.
async fn order(checked: &mut Checked, pool: &PgPool, processes: &Processes) -> Result<()> {
    let stored: Vec<i64> = sqlx::query_scalar("SELECT position FROM events ORDER BY position")
        .fetch_all(pool)
        .await?;
    let seen: Vec<i64> = journal::read(&processes.positions())?;
    let unordered = seen.windows(2).filter(|pair| pair[0] >= pair[1]);
    checked.say(
        "a follower saw events out of order",
        unordered.map(|pair| format!("{} before {}", pair[0], pair[1])),
    );
    let seen: HashSet<i64> = seen.into_iter().collect();
    let missed = stored.iter().filter(|position| !seen.contains(position));
    checked.say("a follower never saw an event", missed.map(i64::to_string));
    Ok(())
}

/// Every live resource was told of at its present generation.
async fn pulses(checked: &mut Checked, pool: &PgPool, processes: &Processes) -> Result<()> {
    let pulses: Vec<Pulse> = journal::read(&processes.pulses())?;
    let told: HashSet<(String, i64)> = pulses
        .into_iter()
        .map(|pulse| (pulse.id, pulse.generation))
        .collect();
    let live: Vec<(String, i64)> = sqlx::query_as(
        "SELECT id, generation::bigint FROM resources JOIN reconcile_queue ON id = resource_id",
    )
    .fetch_all(pool)
    .await?;
    let lost = live.into_iter().filter(|resource| !told.contains(resource));
    checked.say(
        "a pulse was lost",
        lost.map(|(id, generation)| format!("{id} at generation {generation}")),
    );
    Ok(())
}

/// What is wrong with the effects of an acknowledged command.
fn problem(answered: &Answered, effects: &[&Stored]) -> Option<String> {
    let requests: BTreeSet<&str> = effects.iter().map(|event| event.request.as_str()).collect();
    if requests.len() > 1 {
        return Some(format!("carried out by {} requests", requests.len()));
    }
    let expected = match &answered.operation {
        Operation::Create {
            contested: true, ..
        } => [201, 409].as_slice(),
        Operation::Create { .. } | Operation::CreateNodePool { .. } => &[201],
        Operation::Patch { .. } => &[200],
        Operation::Report { .. } => &[201, 204],
        Operation::Delete { .. } => &[202],
    };
    if !expected.contains(&answered.status) {
        return Some(format!("expected {expected:?}"));
    }
    let count = |event_type: &str, resource: &str| {
        let of_type = effects.iter().filter(|event| {
            event.event_type == format!("hyperfleet.resource.{event_type}")
                && event.resource == resource
        });
        of_type.count()
    };
    let id = answered.id.as_deref().unwrap_or_default();
    let (wanted, found) = match (&answered.operation, answered.status) {
        (_, 409) | (Operation::Report { .. }, 204) => (0, effects.len()),
        (Operation::Create { .. } | Operation::CreateNodePool { .. }, _) => {
            (1, count("created", id))
        }
        (Operation::Patch { id }, _) => {
            let set = effects
                .iter()
                .any(|event| event.payload.to_string().contains(&answered.key));
            (1, if set { count("spec_changed", id) } else { 0 })
        }
        (Operation::Delete { id }, _) => (1, count("deletion_requested", id)),
        (Operation::Report { id }, _) => (1, count("adapter_status_reported", id)),
    };
    (wanted != found).then(|| {
        format!(
            "{found} effects instead of {wanted}, answer says {:?}",
            answered.effect
        )
    })
}
