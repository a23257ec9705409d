//! Rebuilding a read model beside the live one, and putting it in its place.
//!
//! Invariants:
//! - Until the exchange commits, the live tables are untouched; a crash at any moment before leaves them
//!   as they were, and one after leaves the new ones complete.
//! - Progress commits with what was written by it, so a killed rebuild goes on where it was.
//! - What changes meanwhile is noted by the database in the transaction that changes it, liveness included,
//!   and by the log; both are empty when the exchange commits.
//! - One rebuild at a time: its session holds an advisory lock, which ends with the session.

mod fleet_summary;
mod follow;
mod load;
mod resource_view;

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};

use super::Report;
use super::shadow::Shadow;
use crate::error::Error;

/// Key of the lock that one rebuild holds, among PostgreSQL's advisory locks of this database ("HFREBULD").
const LOCK: i64 = 0x4846_5245_4255_4C44;

/// How often an exchange is tried that readers or writers do not let through.
const EXCHANGE_ATTEMPTS: u32 = 30;

/// Pause after an exchange that was not let through; it grows with each.
const EXCHANGE_PAUSE: Duration = Duration::from_millis(100);

/// Why a read model was not rebuilt. The live tables are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There is no such read model.
    #[error("there is no read model {0:?} to rebuild; there are: {names}", names = ReadModel::NAMES.join(", "))]
    Unknown(String),
    /// Another process is rebuilding.
    #[error("another process is rebuilding a read model of this database; wait for it to end")]
    Busy,
    /// The schema was migrated since the rebuild began.
    #[error(
        "the database was migrated since {0} was made, so its tables no longer fit; abandon them and begin anew"
    )]
    Migrated(String),
    /// Views show the live tables.
    #[error(
        "these views show the tables that are to be replaced, and would go on to show the old ones: {0}; drop them and make them again after the rebuild"
    )]
    Views(String),
    /// There is nothing to go back to.
    #[error("no previous tables of {0} are kept")]
    NoPrevious(&'static str),
    /// A rebuild has begun and would be lost.
    #[error("a rebuild of {0} has begun; finish or abandon it first")]
    Begun(&'static str),
    /// Readers or writers never let the exchange through.
    #[error(
        "the live tables were in use all the time; nothing is lost, run the command again when there is less to do"
    )]
    InUse(#[source] Error),
    /// The database or the log could not be used.
    #[error("the read model was not rebuilt")]
    Failed(#[from] Error),
}

impl From<sqlx::Error> for RebuildError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A read model that can be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadModel {
    /// Resources, their conditions and adapter statuses, the kept counts, and the reconcile queue's rows.
    ResourceView,
    /// The counts over the fleet.
    FleetSummary,
}

impl ReadModel {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ResourceView, Self::FleetSummary];

    /// Their names.
    pub const NAMES: [&str; 2] = ["resource_view", "fleet_summary"];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResourceView => Self::NAMES[0],
            Self::FleetSummary => Self::NAMES[1],
        }
    }

    /// The one of that name; dashes will do.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, RebuildError> {
        let wanted = name.replace('-', "_");
        let found = Self::ALL.into_iter().find(|model| model.name() == wanted);
        found.ok_or_else(|| RebuildError::Unknown(name.to_owned()))
    }

    fn tables(self) -> &'static [&'static str] {
        match self {
            Self::ResourceView => &resource_view::TABLES,
            Self::FleetSummary => &fleet_summary::TABLES,
        }
    }
}

/// How to rebuild.
#[derive(Clone)]
pub struct RebuildOptions {
    /// How many parts of the log are folded side by side.
    pub jobs: usize,
    /// Build and compare, then leave the live tables as they are.
    pub is_dry_run: bool,
    /// Told of what is done.
    pub observer: Arc<dyn Fn(RebuildStep) + Send + Sync>,
}

impl std::fmt::Debug for RebuildOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RebuildOptions")
            .field("jobs", &self.jobs)
            .field("is_dry_run", &self.is_dry_run)
            .finish_non_exhaustive()
    }
}

impl Default for RebuildOptions {
    /// One job: quick enough, and on two cores it leaves one to readers.
    fn default() -> Self {
        Self {
            jobs: 1,
            is_dry_run: false,
            observer: Arc::new(|_| ()),
        }
    }
}

/// What a rebuild is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebuildStep {
    /// It begins to write, or goes on: events in all, and events that an earlier run folded.
    Loading {
        /// Events in the log.
        total: u64,
        /// Events that are done.
        done: u64,
    },
    /// That many more events are folded.
    Folded(u64),
    /// It makes the indexes.
    Indexing,
    /// It applies what changed meanwhile.
    Following,
    /// It compares the new tables with the live ones.
    Comparing,
    /// It puts the new tables in the place of the live ones.
    Exchanging,
}

/// What a rebuild did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Resources that were folded, removed ones included.
    pub resources: u64,
    /// Events that were folded, by this run and the ones that it went on from.
    pub events: u64,
    /// How the new rows differ from the live ones, of what did not change meanwhile.
    pub differences: Report,
    /// Whether the new tables are live now.
    pub is_live: bool,
}

/// Rebuilds a read model from the log beside the live one, compares, and puts it in its place. Goes on with
/// a rebuild that was interrupted. The tables that were live are kept, see [`roll_back`] and
/// [`drop_previous`].
///
/// # Errors
/// See [`RebuildError`]; the live tables are as they were then.
pub async fn rebuild(
    pool: &PgPool,
    model: ReadModel,
    options: &RebuildOptions,
) -> Result<Rebuilt, RebuildError> {
    let (mut session, shadow) = begin(pool, model).await?;
    let rebuilt = match model {
        ReadModel::ResourceView => resource_view::rebuild(pool, &shadow, options).await,
        ReadModel::FleetSummary => fleet_summary::rebuild(pool, &shadow, options).await,
    };
    end(&mut session).await;
    rebuilt
}

/// Puts the previous tables of a read model in the place of the live ones, after applying to them what
/// happened since. The tables that were live are kept as the previous ones.
///
/// # Errors
/// See [`RebuildError`]; the live tables are as they were then.
pub async fn roll_back(
    pool: &PgPool,
    model: ReadModel,
    options: &RebuildOptions,
) -> Result<Rebuilt, RebuildError> {
    let (mut session, shadow) = begin(pool, model).await?;
    let rolled_back = async {
        if !shadow.has_previous(&mut session).await? {
            return Err(RebuildError::NoPrevious(model.name()));
        }
        if shadow.is_in_the_making(&mut session).await? {
            return Err(RebuildError::Begun(model.name()));
        }
        match model {
            ReadModel::ResourceView => resource_view::roll_back(pool, &shadow, options).await,
            ReadModel::FleetSummary => fleet_summary::roll_back(pool, &shadow, options).await,
        }
    }
    .await;
    end(&mut session).await;
    rolled_back
}

/// Forgets a rebuild that was begun. Returns whether there was one.
///
/// # Errors
/// When another process rebuilds, or the database cannot answer.
pub async fn abandon(pool: &PgPool, model: ReadModel) -> Result<bool, RebuildError> {
    let (mut session, shadow) = begin(pool, model).await?;
    let abandoned = async {
        let was_there = shadow.is_in_the_making(&mut session).await?;
        forget(pool, &shadow).await?;
        Ok(was_there)
    }
    .await;
    end(&mut session).await;
    abandoned
}

/// Forgets the tables in the making, and a projection that fills them.
async fn forget(pool: &PgPool, shadow: &Shadow) -> Result<(), RebuildError> {
    exchange(async || {
        let mut transaction = pool.begin().await?;
        shadow.abandon(&mut transaction).await?;
        if shadow.tables == fleet_summary::TABLES {
            fleet_summary::forget(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    })
    .await
}

/// Deletes the tables that were live before the last exchange. Returns whether there were any.
///
/// # Errors
/// When another process rebuilds, or the database cannot answer.
pub async fn drop_previous(pool: &PgPool, model: ReadModel) -> Result<bool, RebuildError> {
    let (mut session, shadow) = begin(pool, model).await?;
    let dropped = shadow.drop_previous(&mut session).await;
    end(&mut session).await;
    Ok(dropped?)
}

/// Takes the lock of rebuilds.
async fn begin(
    pool: &PgPool,
    model: ReadModel,
) -> Result<(PoolConnection<Postgres>, Shadow), RebuildError> {
    let mut session = pool.acquire().await?;
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *session)
        .await?;
    if !locked {
        return Err(RebuildError::Busy);
    }
    match Shadow::of(&mut session, model.name(), model.tables()).await {
        Ok(shadow) => Ok((session, shadow)),
        Err(error) => {
            end(&mut session).await;
            Err(error.into())
        }
    }
}

/// Gives the lock back; a lost connection has given it back already.
async fn end(session: &mut PoolConnection<Postgres>) {
    let unlocked = sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(LOCK)
        .execute(&mut **session)
        .await;
    if unlocked.is_err() {
        // The connection is not fit for others.
        let _ = session.ping().await;
    }
}

/// Tries what needs the live tables for itself until it goes through.
async fn exchange<Attempt>(attempt: Attempt) -> Result<(), RebuildError>
where
    Attempt: AsyncFn() -> Result<bool, RebuildError>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        let kept_out = match attempt().await {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(RebuildError::Failed(error)) if is_in_use(&error) => Some(error),
            Err(other) => return Err(other),
        };
        if tries >= EXCHANGE_ATTEMPTS {
            let error = kept_out.unwrap_or_else(|| Error::Database(sqlx::Error::PoolTimedOut));
            return Err(RebuildError::InUse(error));
        }
        tokio::time::sleep(EXCHANGE_PAUSE * tries).await;
    }
}

/// Whether nobody verifies, who would not see the new tables; nobody begins to until the transaction ends.
async fn may_exchange(connection: &mut PgConnection) -> Result<bool, Error> {
    let locked = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(super::VERIFY_LOCK)
        .fetch_one(connection)
        .await?;
    Ok(locked)
}

/// Whether a lock was not to be had, or somebody had to give way.
fn is_in_use(error: &Error) -> bool {
    let Error::Database(sqlx::Error::Database(error)) = error else {
        return false;
    };
    error
        .code()
        .is_some_and(|code| ["55P03", "40P01"].contains(&&*code))
}
