//! SQL text under construction, and the values that it binds.
//!
//! Invariant: what a caller sent reaches the database as a bound value, never as text.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

/// A value to bind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bind {
    Text(String),
    Texts(Vec<String>),
    Integer(i64),
    Integers(Vec<i64>),
    Time(DateTime<Utc>),
    Times(Vec<DateTime<Utc>>),
    Json(Value),
}

/// The values of a statement, in the order of their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Binds(Vec<Bind>);

impl Binds {
    /// Adds a value; its placeholder, which may be used more than once.
    pub(crate) fn add(&mut self, value: Bind) -> String {
        self.0.push(value);
        format!("${}", self.0.len())
    }

    /// Adds a text; its placeholder.
    pub(crate) fn text(&mut self, value: impl Into<String>) -> String {
        self.add(Bind::Text(value.into()))
    }

    /// How many values there are; the greatest number of a placeholder.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The query with every value bound.
    pub(crate) fn query(self, sql: &str) -> Query<'_, Postgres, PgArguments> {
        let mut query = sqlx::query(sql);
        for value in self.0 {
            query = match value {
                Bind::Text(value) => query.bind(value),
                Bind::Texts(values) => query.bind(values),
                Bind::Integer(value) => query.bind(value),
                Bind::Integers(values) => query.bind(values),
                Bind::Time(value) => query.bind(value),
                Bind::Times(values) => query.bind(values),
                Bind::Json(value) => query.bind(value),
            };
        }
        query
    }
}
