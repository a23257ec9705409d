//! How far a long command is: a bar on a terminal, lines elsewhere, both on standard error.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use hyperfleet_projections::replay::RebuildStep;
use indicatif::{ProgressBar, ProgressStyle};

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// The progress of one command.
#[derive(Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    prints: bool,
}

impl Progress {
    pub(super) fn new(is_json: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal {
            ProgressBar::no_length()
        } else {
            ProgressBar::hidden()
        };
        Self {
            bar,
            prints: !is_terminal && !is_json,
        }
    }

    /// Says what is done next, of unknown length.
    pub(super) fn step(&self, what: &str) {
        if self.prints {
            eprintln!("{what} …");
        }
        self.bar.set_style(ProgressStyle::default_spinner());
        self.bar.enable_steady_tick(TICK);
        self.bar.set_message(what.to_owned());
    }

    /// Says what is done next, of known length.
    pub(super) fn count(&self, what: &str, total: u64, done: u64) {
        if self.prints {
            eprintln!("{what}: {done} of {total} …");
        }
        let template = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_message(what.to_owned());
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// That much more is done.
    pub(super) fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Follows a rebuild.
    pub(super) fn of_rebuild(&self, name: &str) -> Arc<dyn Fn(RebuildStep) + Send + Sync> {
        let (progress, name) = (self.clone(), name.to_owned());
        Arc::new(move |step| match step {
            RebuildStep::Loading { total, done } => {
                progress.count(&format!("{name}: events"), total, done);
            }
            RebuildStep::Folded(events) => progress.advance(events),
            RebuildStep::Indexing => progress.step(&format!("{name}: making the indexes")),
            RebuildStep::Following => {
                progress.step(&format!("{name}: applying what changed meanwhile"));
            }
            RebuildStep::Comparing => {
                progress.step(&format!("{name}: comparing with the live tables"));
            }
            RebuildStep::Exchanging => progress.step(&format!("{name}: exchanging the tables")),
        })
    }
}
