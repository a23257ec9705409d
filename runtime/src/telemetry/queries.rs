//! Counting database statements. sqlx has no hook but its log: each statement is an event with its text and
//! its time, which a layer of its own reads, whatever the level of the log is. Failures are announced the
//! same way by whoever meets them, with [`database_failed`].

use std::fmt;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

const STATEMENTS: &str = "sqlx::query";
const FAILURES: &str = "hyperfleet::database";

const DURATION: (&str, &str) = (
    "hyperfleet_db_query_duration_seconds",
    "Time of one database statement, in seconds",
);
const ERRORS: (&str, &str) = (
    "hyperfleet_db_errors_total",
    "Failures of the database, by the operation that met them and kind",
);
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Tables that may be a label; others count as `other`, so that labels stay bounded.
const TABLES: [&str; 15] = [
    "adapter_statuses",
    "audit_requests",
    "checkpoints",
    "claims",
    "events",
    "fleet_summary",
    "fleet_summary_members",
    "live_events",
    "reconcile_queue",
    "resource_conditions",
    "resource_labels",
    "resource_lifetimes",
    "resource_references",
    "resources",
    "streams",
];

/// The metrics of a process's database statements.
#[derive(Clone, Debug)]
pub struct DatabaseMetrics {
    component: String,
    version: String,
    duration: HistogramVec,
    errors: IntCounterVec,
}

impl DatabaseMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When they are registered there already.
    pub fn register(
        registry: &Registry,
        component: &str,
        version: &str,
    ) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new(DURATION.0, DURATION.1).buckets(BUCKETS.to_vec());
        let duration = HistogramVec::new(options, &["operation", "table", "component", "version"])?;
        let labels = ["operation", "error_type", "component", "version"];
        let errors = IntCounterVec::new(Opts::new(ERRORS.0, ERRORS.1), &labels)?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        Ok(Self {
            component: component.to_owned(),
            version: version.to_owned(),
            duration,
            errors,
        })
    }

    fn statement(&self, text: &str, seconds: f64) {
        let (operation, table) = classify(text);
        let labels = [operation, table, &self.component, &self.version];
        self.duration.with_label_values(&labels).observe(seconds);
    }

    fn failure(&self, operation: &str, error_type: &str) {
        let labels = [operation, error_type, &self.component, &self.version];
        self.errors.with_label_values(&labels).inc();
    }
}

/// Announces a failure of the database, to be counted. `operation` is `query`, `commit` or the like.
pub fn database_failed(operation: &'static str, error: &sqlx::Error) {
    let error_type = match error {
        sqlx::Error::PoolTimedOut => "timeout",
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => "connection_error",
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("57014" | "55P03") => "timeout",
            Some(code) if code.starts_with("23") => "constraint_violation",
            Some(code)
                if ["08", "53", "57"]
                    .iter()
                    .any(|class| code.starts_with(class)) =>
            {
                "connection_error"
            }
            _ => "other",
        },
        _ => "other",
    };
    tracing::debug!(target: FAILURES, operation, error_type, "the database failed");
}

/// Operation and table of a statement, as labels.
fn classify(text: &str) -> (&'static str, &'static str) {
    let mut words = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default().to_ascii_uppercase();
    let (operation, before_table) = match first.as_str() {
        "SELECT" => ("query", "FROM"),
        "INSERT" => ("create", "INTO"),
        "UPDATE" => ("update", "UPDATE"),
        "DELETE" => ("delete", "FROM"),
        _ => ("raw", "FROM"),
    };
    let mut words = std::iter::once(first.as_str()).chain(words);
    let table = words
        .find(|word| word.eq_ignore_ascii_case(before_table))
        .and_then(|_| words.find_map(|word| TABLES.iter().find(|table| **table == word)));
    (operation, table.copied().unwrap_or("other"))
}

/// A layer that counts, and sees nothing but what it counts.
pub(super) fn counting<S>(metrics: DatabaseMetrics) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let seen = Targets::new()
        .with_target(STATEMENTS, Level::DEBUG)
        .with_target(FAILURES, Level::DEBUG);
    Counting(metrics).with_filter(seen)
}

struct Counting(DatabaseMetrics);

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        if event.metadata().target() == FAILURES {
            self.0.failure(&seen.operation, &seen.error_type);
            return;
        }
        // A short statement stands in the summary alone.
        let text = if seen.statement.is_empty() {
            &seen.summary
        } else {
            &seen.statement
        };
        self.0.statement(text, seen.seconds);
    }
}

#[derive(Default)]
struct Seen {
    summary: String,
    statement: String,
    operation: String,
    error_type: String,
    seconds: f64,
}

impl Visit for Seen {
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.seconds = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let kept = match field.name() {
            "summary" => &mut self.summary,
            "db.statement" => &mut self.statement,
            "operation" => &mut self.operation,
            "error_type" => &mut self.error_type,
            _ => return,
        };
        value.clone_into(kept);
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn statements_are_labelled_by_what_they_do() {
        for (text, expected) in [
            (
                "SELECT state FROM resources WHERE id = $1",
                ("query", "resources"),
            ),
            (
                "\nINSERT INTO adapter_statuses AS stored (a)",
                ("create", "adapter_statuses"),
            ),
            (
                "UPDATE reconcile_queue SET a = 1",
                ("update", "reconcile_queue"),
            ),
            ("DELETE FROM claims", ("delete", "claims")),
            (
                "SELECT total.total FROM (SELECT count(*) FROM resources)",
                ("query", "resources"),
            ),
            (
                "WITH a AS (SELECT 1 FROM streams) SELECT 1",
                ("raw", "streams"),
            ),
            ("SELECT 1", ("query", "other")),
            ("BEGIN", ("raw", "other")),
        ] {
            assert_eq!(classify(text), expected, "{text}");
        }
    }

    #[test]
    fn statements_and_failures_are_counted_below_the_level_of_the_log() {
        let registry = Registry::new();
        let metrics = DatabaseMetrics::register(&registry, "api", "1").expect("registered");
        let subscriber = tracing_subscriber::registry().with(counting(metrics));
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "sqlx::query", summary = "SELECT 1", elapsed_secs = 0.5);
            tracing::debug!(target: "elsewhere", summary = "SELECT 1", elapsed_secs = 0.5);
            database_failed("query", &sqlx::Error::PoolTimedOut);
        });
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text");
        assert!(text.contains(r#"hyperfleet_db_query_duration_seconds_sum{component="api",operation="query",table="other",version="1"} 0.5"#), "{text}");
        assert!(
            text.contains(r#"error_type="timeout",operation="query",version="1"} 1"#),
            "{text}"
        );
    }
}
