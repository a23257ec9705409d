//! Changes and reports at set rates.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::fleet::Fleet;

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// So that changes that follow each other are of clusters far apart.
const STRIDE: usize = 7_919;

/// What is to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Changes per second.
    pub(crate) changes: u32,
    /// How long the adapters take to answer a change; `None` when they never do.
    pub(crate) answer_after: Option<Duration>,
    /// Reports per second that say what is known.
    pub(crate) reports: u32,
}

/// How long changes took to be committed, in milliseconds, since they were last looked at.
type Latencies = Arc<Mutex<Vec<f64>>>;

/// Drives the fleet for a time and prints what was done every few seconds.
pub(crate) async fn drive(fleet: &Fleet, rates: Rates, duration: Duration) -> Result<()> {
    let latencies = Latencies::default();
    let begun = Instant::now();
    let mut driving = JoinSet::new();
    if rates.changes > 0 {
        driving.spawn(change(
            fleet.clone(),
            rates,
            duration,
            Arc::clone(&latencies),
        ));
    }
    if rates.reports > 0 {
        driving.spawn(report(fleet.clone(), rates.reports, duration));
    }
    let mut progress = tokio::time::interval_at((begun + PROGRESS).into(), PROGRESS);
    loop {
        tokio::select! {
            ended = driving.join_next() => match ended {
                Some(ended) => ended.context("the load stopped")??,
                None => break,
            },
            _ = progress.tick() => print(begun, &latencies),
        }
    }
    print(begun, &latencies);
    Ok(())
}

fn print(begun: Instant, latencies: &Latencies) {
    let mut times = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
    if times.is_empty() {
        return;
    }
    times.sort_by(f64::total_cmp);
    let at = |hundredths: usize| times.get(times.len() * hundredths / 100).copied();
    println!(
        "{:>5} s: {} changes, committed within {:.1} ms (p50), {:.1} ms (p99)",
        begun.elapsed().as_secs(),
        times.len(),
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
    );
}

/// Changes one cluster after the other.
async fn change(
    fleet: Fleet,
    rates: Rates,
    duration: Duration,
    latencies: Latencies,
) -> Result<()> {
    let mut changing = JoinSet::new();
    let mut pace = pace(rates.changes);
    let end = Instant::now() + duration;
    for turn in 0.. {
        pace.tick().await;
        if Instant::now() >= end {
            break;
        }
        let (fleet, latencies) = (fleet.clone(), Arc::clone(&latencies));
        let cluster = fleet.cluster(turn * STRIDE);
        changing.spawn(async move {
            let begun = Instant::now();
            fleet.change(cluster, turn).await?;
            let took = begun.elapsed().as_secs_f64() * 1000.0;
            latencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(took);
            let Some(pause) = rates.answer_after else {
                return Ok(());
            };
            tokio::time::sleep(pause).await;
            fleet.report(cluster, "True").await
        });
        while let Some(ended) = changing.try_join_next() {
            ended.context("a change stopped")??;
        }
    }
    while let Some(ended) = changing.join_next().await {
        ended.context("a change stopped")??;
    }
    Ok(())
}

/// Lets adapters report what is known, member after member.
async fn report(fleet: Fleet, rate: u32, duration: Duration) -> Result<()> {
    let mut reporting = JoinSet::new();
    let mut pace = pace(rate);
    let end = Instant::now() + duration;
    for turn in 0.. {
        pace.tick().await;
        if Instant::now() >= end {
            break;
        }
        let fleet = fleet.clone();
        reporting.spawn(async move {
            let member = turn % fleet.len().max(1);
            fleet
                .report_of(member, turn / fleet.len().max(1), "True")
                .await
        });
        while let Some(ended) = reporting.try_join_next() {
            ended.context("a report stopped")??;
        }
    }
    while let Some(ended) = reporting.join_next().await {
        ended.context("a report stopped")??;
    }
    Ok(())
}

fn pace(rate: u32) -> tokio::time::Interval {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace
}
