//! A long log, made by the database.

use anyhow::{Context as _, Result};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sqlx::PgPool;

/// Events of each stream: created, and then changes of the spec, reports and conditions in turn.
const EVENTS_OF_A_STREAM: u32 = 20;

/// Over how long the log was recorded: two million events are 23 a second then, so that a time has hundreds of
/// neighbours that may have overtaken each other.
const SPAN_SECONDS: u32 = 86_400;

/// The `$1`-th events of `$2` streams, in the middle of everything that streams say.
const EVENTS: &str = "
WITH numbered AS (
    SELECT stream, $1 AS sequence, ($1 - 1)::bigint * $2 + stream AS position
    FROM generate_series(1, $2) AS stream
), timed AS (
    SELECT *, to_timestamp($3::double precision + position * $4) AS recorded_at,
        '0198c0de-0000-7000-8000-' || lpad(to_hex(stream), 12, '0') AS id
    FROM numbered
), told AS (
    SELECT *, to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS time FROM timed
)
INSERT INTO live_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
    position, recorded_at, hash)
SELECT 'resource', id, sequence, payload ->> 'type', '1', payload,
    jsonb_build_object('actor', 'user-' || stream % 100, 'correlation_id', 'request-' || position,
        'causation_id', 'request-' || position, 'command', 'PatchResource', 'source_address', '10.0.0.1'),
    position, recorded_at, ''
FROM (
    SELECT *, CASE
        WHEN sequence = 1 THEN jsonb_build_object(
            'type', 'hyperfleet.resource.created', 'id', id, 'kind', 'Cluster',
            'name', 'cluster-' || stream, 'href', '/api/hyperfleet/v1/clusters/' || id,
            'spec', jsonb_build_object('region', 'region-' || stream % 20, 'secret', repeat('x', 500)),
            'labels', jsonb_build_object('env', 'prod', 'shard', (stream % 50)::text),
            'tenancy', '{}'::jsonb, 'owner', NULL, 'references', '{}'::jsonb,
            'created_time', time, 'created_by', 'user-' || stream % 100)
        WHEN sequence % 4 = 2 THEN jsonb_build_object(
            'type', 'hyperfleet.resource.spec_changed', 'generation', sequence / 4 + 2,
            'spec', jsonb_build_object('region', 'region-' || stream % 20, 'secret', repeat('x', 500),
                'replicas', sequence),
            'updated_time', time, 'updated_by', 'user-' || stream % 100)
        WHEN sequence % 4 = 0 THEN jsonb_build_object(
            'type', 'hyperfleet.resource.conditions_changed',
            'conditions', jsonb_build_array(jsonb_build_object(
                'type', 'Reconciled', 'status', CASE WHEN sequence % 8 = 0 THEN 'True' ELSE 'False' END,
                'reason', 'Reason', 'message', repeat('m', 80), 'observed_generation', sequence / 4 + 1,
                'created_time', time, 'last_updated_time', time, 'last_transition_time', time)))
        ELSE jsonb_build_object(
            'type', 'hyperfleet.resource.adapter_status_reported',
            'status', jsonb_build_object(
                'adapter', 'adapter-' || sequence % 3, 'observed_generation', sequence / 4 + 1,
                'conditions', jsonb_build_array(jsonb_build_object(
                    'type', 'Available', 'status', 'True', 'last_transition_time', time)),
                'data', '{}'::jsonb, 'metadata', NULL, 'created_time', time, 'last_report_time', time))
        END AS payload
    FROM told
) AS written";

/// What the API looks up beside the log. States are those of clusters that were just created.
const RESOURCES: &str = "
INSERT INTO resources (id, kind, name, href, generation, spec, labels, tenancy, created_time, updated_time,
    created_by, updated_by, version, state)
SELECT aggregate_id, 'Cluster', payload ->> 'name', payload ->> 'href', 1, payload -> 'spec',
    payload -> 'labels', '{}', recorded_at, recorded_at, 'bench', 'bench', $1,
    payload - 'type' || jsonb_build_object('lifecycle', 'Active', 'generation', 1,
        'conditions', '[]'::jsonb, 'statuses', '{}'::jsonb, 'children', '{}'::jsonb,
        'updated_time', payload -> 'created_time', 'deleted_time', NULL, 'removed_time', NULL,
        'updated_by', 'bench', 'deleted_by', NULL)
FROM events WHERE sequence = 1";

/// The log that was written.
pub(super) struct Log {
    streams: u32,
    begin: DateTime<Utc>,
}

impl Log {
    /// Writes the log.
    pub(super) async fn write(pool: &PgPool, events: u32) -> Result<Self> {
        let streams = (events / EVENTS_OF_A_STREAM).max(1);
        let now: DateTime<Utc> =
            sqlx::query_scalar("SELECT date_trunc('second', clock_timestamp())")
                .fetch_one(pool)
                .await?;
        let begin = now - TimeDelta::seconds(SPAN_SECONDS.into());
        let step = f64::from(SPAN_SECONDS) / f64::from(streams * EVENTS_OF_A_STREAM + 1);
        for sequence in 1..=EVENTS_OF_A_STREAM {
            sqlx::query(EVENTS)
                .bind(i32::try_from(sequence)?)
                .bind(i32::try_from(streams)?)
                .bind(begin.timestamp())
                .bind(step)
                .execute(pool)
                .await
                .context("the log cannot be written")?;
        }
        sqlx::query(RESOURCES)
            .bind(i64::from(EVENTS_OF_A_STREAM))
            .execute(pool)
            .await?;
        sqlx::raw_sql("VACUUM (ANALYZE) live_events, resources, resource_lifetimes")
            .execute(pool)
            .await?;
        Ok(Self { streams, begin })
    }

    /// The id of some cluster. Numbers that follow each other give clusters far apart.
    pub(super) fn cluster(&self, number: u32) -> String {
        let stream = number.wrapping_mul(2_654_435_761) % self.streams + 1;
        format!("0198c0de-0000-7000-8000-{stream:012x}")
    }

    /// Some time at which every cluster existed.
    pub(super) fn time(&self, number: u32) -> String {
        let created = SPAN_SECONDS / EVENTS_OF_A_STREAM + 60;
        let after = created + number.wrapping_mul(2_246_822_519) % (SPAN_SECONDS - created);
        let time = self.begin + TimeDelta::seconds(after.into());
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}
