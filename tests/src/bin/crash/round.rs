//! Rounds: load, kills at random moments, and the check.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::check::{Checked, Checker};
use crate::clients::{self, Answered, Client, Shared};
use crate::processes::{Processes, Programs, Victim};
use crate::say;

/// How long clients send in one round.
const LOAD: Duration = Duration::from_millis(1200);

/// Rounds on one database: a check reads all of it, so it is not to grow for ever.
const ROUNDS_PER_DATABASE: u32 = 10;

/// Clusters that all clients change.
const CONTESTED: usize = 3;

/// How many rounds, and of what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// How many rounds.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Seed of what clients send and of what is killed when.
    #[arg(long)]
    seed: Option<u64>,
    /// Clients at the same time.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// The bug that is planted in the programs; then the rounds end when it is caught, and fail when it is not.
    #[arg(long)]
    planted: Option<String>,
    /// The `hyperfleet` to run.
    #[arg(long)]
    hyperfleet: PathBuf,
    /// Where to write what the rounds did, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What all rounds did.
#[derive(Debug, Default, serde::Serialize)]
struct Totals {
    rounds: u32,
    seed: u64,
    commands: usize,
    refused: usize,
    sent_again: usize,
    events: usize,
    kills: usize,
    seconds: f64,
    /// In which round a planted bug was caught, and how.
    caught: Option<(u32, String)>,
}

/// A control plane and who works on it.
struct Stage {
    folder: TempDir,
    processes: Processes,
    shared: Arc<Shared>,
    clients: Vec<Client>,
    checker: Checker,
}

pub(crate) async fn run(plan: Plan) -> Result<()> {
    let seed = plan.seed.unwrap_or_else(rand::random);
    let planted = plan
        .planted
        .as_deref()
        .map_or_else(String::new, |bug| format!(", planted: {bug}"));
    say(&format!(
        "{} rounds of {} clients, seed {seed}{planted}",
        plan.rounds, plan.clients
    ));
    let begun = Instant::now();
    let mut random = StdRng::seed_from_u64(seed);
    let mut totals = Totals {
        seed,
        ..Totals::default()
    };
    let mut stage: Option<Stage> = None;
    for round in 0..plan.rounds {
        if round % ROUNDS_PER_DATABASE == 0 {
            if let Some(stage) = stage.take() {
                stage.processes.stop().await?;
            }
            stage = Some(Stage::new(&plan, seed.wrapping_add(round.into())).await?);
        }
        let Some(stage) = &mut stage else { continue };
        let outcome = stage.round(round, &mut random, &mut totals).await;
        totals.rounds = round + 1;
        let violations = match outcome {
            Ok(checked) => checked.violations,
            // A command that nobody answers is one, too.
            Err(error) => vec![format!("{error:#}")],
        };
        if violations.is_empty() {
            continue;
        }
        for violation in &violations {
            say(&format!("  {violation}"));
        }
        if plan.planted.is_some() {
            totals.caught = Some((round + 1, violations.join("; ")));
            break;
        }
        let folder = stage.folder.path().display().to_string();
        stage.folder.disable_cleanup(true);
        bail!(
            "round {} of seed {seed} failed; the data is kept in {folder}",
            round + 1
        );
    }
    if let Some(stage) = stage {
        stage.processes.stop().await?;
    }
    totals.seconds = begun.elapsed().as_secs_f64();
    end(&plan, &totals)
}

fn end(plan: &Plan, totals: &Totals) -> Result<()> {
    if let Some(file) = &plan.json {
        std::fs::write(file, serde_json::to_string_pretty(totals)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let Totals {
        rounds,
        commands,
        refused,
        sent_again,
        events,
        kills,
        seconds,
        ..
    } = totals;
    let summary = format!(
        "{rounds} rounds in {seconds:.0} s: {commands} commands ({refused} refused, {sent_again} sent again), \
         {events} events, {kills} kills"
    );
    let line = match (&plan.planted, &totals.caught) {
        (None, _) => format!("{summary}; nothing lost, nothing twice, nothing out of order"),
        (Some(bug), Some((round, _))) => format!("{bug} was caught in round {round}; {summary}"),
        (Some(bug), None) => bail!("{bug} was not caught: {summary}"),
    };
    say(&line);
    Ok(())
}

impl Stage {
    async fn new(plan: &Plan, seed: u64) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("hyperfleet-crash-")
            .tempdir()?;
        let programs = Programs {
            hyperfleet: plan.hyperfleet.clone(),
            planted: plan.planted.clone(),
        };
        let processes = Processes::start(programs, folder.path()).await?;
        let mut shared = Shared {
            http: reqwest::Client::new(),
            urls: processes.urls(),
            contested: Vec::new(),
        };
        for number in 0..CONTESTED {
            let id = clients::create(&shared, &format!("shared-{number}")).await?;
            shared.contested.push(id);
        }
        Ok(Self {
            checker: Checker::new(processes.database_url()),
            folder,
            processes,
            shared: Arc::new(shared),
            clients: (0..plan.clients)
                .map(|number| Client::new(number, seed))
                .collect(),
        })
    }

    async fn round(
        &mut self,
        round: u32,
        random: &mut StdRng,
        totals: &mut Totals,
    ) -> Result<Checked> {
        let stop = CancellationToken::new();
        let working: Vec<_> = self
            .clients
            .drain(..)
            .map(|client| tokio::spawn(client.work(Arc::clone(&self.shared), round, stop.clone())))
            .collect();
        let told = faults(&mut self.processes, random).await?;
        stop.cancel();
        let mut answered: Vec<Answered> = Vec::new();
        for work in working {
            let (client, answers) = work.await??;
            self.clients.push(client);
            answered.extend(answers);
        }
        self.processes.ready().await?;
        let begun = Instant::now();
        let checked = self.checker.check(&self.processes, &answered).await?;
        let refused = answered
            .iter()
            .filter(|answer| answer.status >= 400)
            .count();
        let again = answered.iter().filter(|answer| answer.attempts > 1).count();
        totals.commands += answered.len();
        totals.refused += refused;
        totals.sent_again += again;
        totals.events += checked.events;
        totals.kills += told.len();
        say(&format!(
            "round {}: {} commands ({refused} refused, {again} sent again), {} events; {}; checked in {:.1} s",
            round + 1,
            answered.len(),
            checked.events,
            told.join(", "),
            begun.elapsed().as_secs_f64(),
        ));
        Ok(checked)
    }
}

/// Kills and stops processes while clients work, and tells what and when.
async fn faults(processes: &mut Processes, random: &mut StdRng) -> Result<Vec<String>> {
    let begun = Instant::now();
    let count = random.random_range(1..=3);
    let mut moments: Vec<Duration> = (0..count)
        .map(|_| LOAD.mul_f64(random.random_range(0.1..0.95)))
        .collect();
    moments.sort_unstable();
    let mut told = Vec::new();
    for moment in moments {
        tokio::time::sleep(moment.saturating_sub(begun.elapsed())).await;
        let at = begun.elapsed().as_millis();
        if random.random_bool(0.2) {
            let replica = random.random_range(0..2);
            processes.pause(replica).await?;
            told.push(format!("api-{replica} stopped at {at} ms"));
            continue;
        }
        let victim = Victim::ALL[random.random_range(0..Victim::ALL.len())];
        processes.kill(victim).await?;
        told.push(format!("{} killed at {at} ms", victim.name()));
    }
    tokio::time::sleep(LOAD.saturating_sub(begun.elapsed())).await;
    Ok(told)
}
