//! The baseline: postgres-es' own repository on its own table.

use std::convert::Infallible;

use anyhow::{Context as _, Result};
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository as _, SerializedEvent};
use cqrs_es::{Aggregate, DomainEvent};
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPool;

use super::event;
use crate::bench::load::per_second;

/// Names the aggregate type; persisting asks for nothing else.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Bench;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

impl DomainEvent for Nothing {
    fn event_type(&self) -> String {
        String::new()
    }

    fn event_version(&self) -> String {
        String::new()
    }
}

impl Aggregate for Bench {
    const TYPE: &'static str = "bench";
    type Command = ();
    type Event = Nothing;
    type Error = Infallible;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Infallible> {
        Ok(())
    }

    fn apply(&mut self, _: Nothing) {}
}

/// Creates the table that postgres-es documents.
pub(super) async fn prepare(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql(
        "CREATE TABLE events (
             aggregate_type text NOT NULL, aggregate_id text NOT NULL,
             sequence bigint NOT NULL CHECK (sequence >= 0),
             event_type text NOT NULL, event_version text NOT NULL,
             payload json NOT NULL, metadata json NOT NULL,
             PRIMARY KEY (aggregate_type, aggregate_id, sequence))",
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// One event per transaction; nothing is loaded, which is its best case.
pub(super) async fn appends_per_second(pool: &PgPool, round: usize, writers: usize) -> Result<f64> {
    per_second(writers, |writer, meter| {
        let repository = PostgresEventRepository::new(pool.clone());
        async move {
            let id = format!("own-{round}-{writers}-{writer}");
            let mut sequence = 0;
            while !meter.is_over() {
                sequence += 1;
                let new = event();
                let serialized = SerializedEvent::new(
                    id.clone(),
                    sequence,
                    Bench::TYPE.to_owned(),
                    new.event_type,
                    new.event_version,
                    new.payload,
                    new.metadata,
                );
                let persisted = repository.persist::<Bench>(&[serialized], None).await;
                persisted.context("postgres-es failed")?;
                meter.success();
            }
            Ok(())
        }
    })
    .await
}
