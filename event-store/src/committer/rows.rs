//! The last statement of a batch: heads, positions and events.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::text::EventText;
use super::write::Head;
use crate::append::{Append, StreamId};
use crate::chain::{self, GENESIS};

/// Key of the position lock, among PostgreSQL's advisory locks of this database ("HFPOSITN").
const POSITION_LOCK: i64 = 0x4846_504F_5349_544E;

/// The columns of the new events and heads.
#[derive(Default)]
pub(super) struct Rows<'a> {
    types: Vec<&'a str>,
    ids: Vec<&'a str>,
    sequences: Vec<i64>,
    event_types: Vec<&'a str>,
    event_versions: Vec<&'a str>,
    payloads: Vec<&'a str>,
    metadata: Vec<&'a str>,
    hashes: Vec<Vec<u8>>,
    head_types: Vec<&'a str>,
    head_ids: Vec<&'a str>,
    head_versions: Vec<i64>,
    head_hashes: Vec<Vec<u8>>,
    head_begins: Vec<bool>,
    recorded_at: DateTime<Utc>,
}

impl<'a> Rows<'a> {
    pub(super) fn len(&self) -> usize {
        self.sequences.len()
    }

    pub(super) fn of(
        winners: &[(&'a Append, &'a [EventText])],
        heads: &HashMap<StreamId, Head>,
        recorded_at: DateTime<Utc>,
    ) -> Self {
        let mut rows = Self {
            recorded_at,
            ..Self::default()
        };
        for &(append, texts) in winners.iter().filter(|(_, texts)| !texts.is_empty()) {
            let mut hash = heads
                .get(&append.stream)
                .map_or_else(|| GENESIS.to_vec(), |head| head.hash.clone());
            let numbered = (append.expected + 1..).zip(&append.events);
            for ((sequence, event), text) in numbered.zip(texts) {
                hash = chain::hash(&hash, &text.link, recorded_at).to_vec();
                rows.types.push(&append.stream.aggregate_type);
                rows.ids.push(&append.stream.aggregate_id);
                rows.sequences.push(sequence.cast_signed());
                rows.event_types.push(&event.event_type);
                rows.event_versions.push(&event.event_version);
                rows.payloads.push(&text.payload);
                rows.metadata.push(&text.metadata);
                rows.hashes.push(hash.clone());
            }
            rows.head_types.push(&append.stream.aggregate_type);
            rows.head_ids.push(&append.stream.aggregate_id);
            rows.head_versions.push(append.version().cast_signed());
            rows.head_hashes.push(hash);
            rows.head_begins.push(append.expected == 0);
        }
        rows
    }

    /// Moves the heads and inserts the events, in the one statement that holds the position
    /// lock. A position is drawn only after the lock is held: the lock's row is joined first, and the
    /// sequence is called above the join.
    ///
    /// Returns the highest position and the transaction's id.
    pub(super) async fn insert(
        self,
        connection: &mut PgConnection,
        position_lock: bool,
    ) -> Result<(u64, String), sqlx::Error> {
        let (position, transaction): (i64, String) = sqlx::query_as(
            "WITH position_lock AS MATERIALIZED (
                 SELECT CASE WHEN $14 THEN pg_advisory_xact_lock($15) END
             ), input AS MATERIALIZED (
                 SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[],
                     $6::text[], $7::text[], $8::bytea[]) WITH ORDINALITY
                     AS input (aggregate_type, aggregate_id, sequence, event_type, event_version,
                         payload, metadata, hash, place)
             ), heads AS (
                 SELECT new.aggregate_type, new.aggregate_id, new.version, new.hash, new.begins
                 FROM UNNEST($9::text[], $10::text[], $11::bigint[], $12::bytea[], $16::bool[])
                     AS new (aggregate_type, aggregate_id, version, hash, begins)
             ), moved AS (
                 UPDATE streams AS head SET version = heads.version, hash = heads.hash
                 FROM heads WHERE NOT heads.begins AND head.aggregate_type = heads.aggregate_type
                     AND head.aggregate_id = heads.aggregate_id
             ), begun AS (
                 INSERT INTO streams (aggregate_type, aggregate_id, version, hash)
                 SELECT aggregate_type, aggregate_id, version, hash FROM heads WHERE begins
             ), inserted AS (
                 INSERT INTO live_events (aggregate_type, aggregate_id, sequence, event_type, event_version,
                     payload, metadata, hash, recorded_at, position)
                 SELECT placed.*, $13, nextval('event_position')
                 FROM (
                     SELECT aggregate_type, aggregate_id, sequence, event_type, event_version,
                         payload::jsonb, metadata::jsonb, hash
                     FROM position_lock CROSS JOIN input ORDER BY place
                 ) AS placed
                 RETURNING position
             )
             SELECT max(position), pg_current_xact_id()::text FROM inserted",
        )
        .bind(self.types)
        .bind(self.ids)
        .bind(self.sequences)
        .bind(self.event_types)
        .bind(self.event_versions)
        .bind(self.payloads)
        .bind(self.metadata)
        .bind(self.hashes)
        .bind(self.head_types)
        .bind(self.head_ids)
        .bind(self.head_versions)
        .bind(self.head_hashes)
        .bind(self.recorded_at)
        .bind(position_lock)
        .bind(POSITION_LOCK)
        .bind(self.head_begins)
        .fetch_one(connection)
        .await?;
        Ok((position.unsigned_abs(), transaction))
    }
}
