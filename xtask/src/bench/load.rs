//! Writers side by side, counted over a window after a warm-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

const WARM_UP: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_millis(2500);

/// What a writer counts with and how it learns that the time is over.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    done: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Meter {
    /// Counts one success.
    pub(super) fn success(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Runs writers and returns their successes per second.
///
/// # Errors
/// When a writer fails.
pub(super) async fn per_second<Write, Writing>(writers: usize, write: Write) -> Result<f64>
where
    Write: Fn(usize, Meter) -> Writing,
    Writing: Future<Output = Result<()>> + Send + 'static,
{
    let meter = Meter::default();
    let mut running = JoinSet::new();
    for writer in 0..writers {
        running.spawn(write(writer, meter.clone()));
    }
    tokio::time::sleep(WARM_UP).await;
    let before = meter.done.load(Ordering::Relaxed);
    let started = Instant::now();
    tokio::time::sleep(WINDOW).await;
    let after = meter.done.load(Ordering::Relaxed);
    let seconds = started.elapsed().as_secs_f64();
    meter.over.store(true, Ordering::Relaxed);
    while let Some(ended) = running.join_next().await {
        ended.context("a writer stopped")??;
    }
    let done = u32::try_from(after - before).context("more successes than can be counted")?;
    Ok(f64::from(done) / seconds)
}
