//! Walking a list by position instead of by page number: "after this row, in this order".
//!
//! Invariants:
//! - a walk never shows a row twice and never skips one that was there throughout, whatever is
//!   created and removed meanwhile, as long as the values that it is ordered by stay the same
//!   (those of `created_time`, `name` and `id` always do);
//! - a token says where a list goes on, never what it holds: kind, owner, filters and the caller's
//!   rights are taken from each request anew, so a forged token shows nothing more;
//! - a token is good for the list that it was given for, and refused with the reason elsewhere.

mod token;

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use serde_json::Value;

pub use self::token::{ListIdentity, MAX_TOKEN_BYTES, TokenError, decode, encode};
pub(crate) use self::token::{open, seal};
use crate::resource_view::Order;
use crate::statement::{Bind, Binds};

/// A value that rows are ordered by.
#[derive(Clone, Debug, PartialEq)]
pub enum SortValue {
    /// No value. PostgreSQL orders it after every value.
    Null,
    /// A text, compared by bytes.
    Text(String),
    /// A time, in whole microseconds.
    Time(DateTime<Utc>),
    /// An integer.
    Integer(i32),
    /// A JSON value, in PostgreSQL's order of `jsonb`.
    Json(Value),
}

/// A row's place in an order: its value of each column, the tie-breaker last.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    values: Vec<SortValue>,
}

impl Position {
    /// The place of a resource.
    pub fn of(resource: &Resource, order: &Order) -> Self {
        let columns = order.directed_columns().into_iter();
        Self {
            values: columns
                .map(|(column, _)| sort_value(column, resource))
                .collect(),
        }
    }

    /// What holds for the rows after this one. Nulls are written out.
    pub(crate) fn condition(&self, order: &Order, binds: &mut Binds) -> String {
        let columns = order.directed_columns();
        let places = self.values.iter().map(|value| {
            let bound = match value {
                SortValue::Null => return None,
                SortValue::Text(text) => Bind::Text(text.clone()),
                SortValue::Time(time) => Bind::Time(*time),
                SortValue::Integer(number) => Bind::Integer((*number).into()),
                SortValue::Json(json) => Bind::Json(json.clone()),
            };
            Some(binds.add(bound))
        });
        let rows = Rows {
            places: &places.collect::<Vec<_>>(),
            columns: &columns,
        };
        rows.compared().unwrap_or_else(|| rows.spelled_out())
    }
}

struct Rows<'a> {
    columns: &'a [(&'static str, bool)],
    /// What stands for the position's values; `None` for null.
    places: &'a [Option<String>],
}

impl Rows<'_> {
    /// One comparison of rows, which an index serves: only where all columns go the same way and
    /// none can be null.
    fn compared(&self) -> Option<String> {
        let (_, descending) = *self.columns.first()?;
        let simple = self
            .columns
            .iter()
            .all(|(column, other)| *other == descending && !is_nullable(column));
        if !simple {
            return None;
        }
        let columns: Vec<&str> = self.columns.iter().map(|(column, _)| *column).collect();
        let places: Option<Vec<&str>> = self.places.iter().map(Option::as_deref).collect();
        let operator = if descending { "<" } else { ">" };
        Some(format!(
            "({}) {operator} ({})",
            columns.join(", "),
            places?.join(", ")
        ))
    }

    /// After in the first column; or equal there and after in the second; and so on.
    fn spelled_out(&self) -> String {
        let alternatives: Vec<String> = (0..self.columns.len())
            .map(|last| {
                let equal = (0..last).map(|index| self.equal(index));
                let parts: Vec<String> = equal.chain([self.after(last)]).collect();
                format!("({})", parts.join(" AND "))
            })
            .collect();
        format!("({})", alternatives.join(" OR "))
    }

    fn equal(&self, index: usize) -> String {
        let (column, _) = self.columns[index];
        match &self.places[index] {
            None => format!("{column} IS NULL"),
            Some(place) => format!("{column} = {place}"),
        }
    }

    /// Nulls come last when ascending and first when descending.
    fn after(&self, index: usize) -> String {
        let (column, descending) = self.columns[index];
        match (&self.places[index], descending) {
            (None, false) => "false".to_owned(),
            (None, true) => format!("{column} IS NOT NULL"),
            (Some(place), true) => format!("{column} < {place}"),
            (Some(place), false) if is_nullable(column) => {
                format!("({column} > {place} OR {column} IS NULL)")
            }
            (Some(place), false) => format!("{column} > {place}"),
        }
    }
}

/// Whether a column of the resource view can be null.
fn is_nullable(column: &str) -> bool {
    matches!(
        column,
        "deleted_time" | "deleted_by" | "owner_id" | "owner_kind" | "owner_href"
    )
}

fn sort_value(column: &str, resource: &Resource) -> SortValue {
    let text = |text: &str| SortValue::Text(text.to_owned());
    let optional = |value: Option<&String>| value.map_or(SortValue::Null, |value| text(value));
    let owner = resource.owner.as_ref();
    match column {
        "kind" => text(&resource.kind),
        "name" => text(&resource.name),
        "href" => text(&resource.href),
        "created_time" => SortValue::Time(resource.created_time),
        "updated_time" => SortValue::Time(resource.updated_time),
        "deleted_time" => resource
            .deleted_time
            .map_or(SortValue::Null, SortValue::Time),
        "created_by" => text(&resource.created_by),
        "updated_by" => text(&resource.updated_by),
        "deleted_by" => optional(resource.deleted_by.as_ref()),
        "generation" => SortValue::Integer(resource.generation),
        "owner_id" => optional(owner.map(|owner| &owner.id)),
        "owner_kind" => optional(owner.map(|owner| &owner.kind)),
        "owner_href" => optional(owner.map(|owner| &owner.href)),
        "spec" => SortValue::Json(Value::Object(resource.spec.clone())),
        "tenancy" => SortValue::Json(
            resource
                .tenancy
                .iter()
                .map(|(key, value)| (key.clone(), Value::from(value.clone())))
                .collect(),
        ),
        // The tie-breaker.
        _ => text(&resource.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(order: &str, resource: &Resource) -> String {
        let order = Order::parse(order.split(',')).expect("an order");
        let mut binds = Binds::default();
        for scope in ["kind", "limit", "offset"] {
            binds.text(scope);
        }
        Position::of(resource, &order).condition(&order, &mut binds)
    }

    #[test]
    fn an_order_of_one_direction_is_one_comparison() {
        let resource = Resource::default();
        assert_eq!(
            sql("created_time desc", &resource),
            "(created_time, id) < ($4, $5)"
        );
        assert_eq!(
            sql("kind,name", &resource),
            "(kind, name, id) > ($4, $5, $6)"
        );
    }

    #[test]
    fn nulls_come_last_ascending_and_first_descending() {
        let mut resource = Resource::default();
        assert_eq!(
            sql("deleted_time", &resource),
            "((false) OR (deleted_time IS NULL AND id > $4))"
        );
        assert_eq!(
            sql("name,deleted_time desc", &resource),
            "((name > $4) OR (name = $4 AND deleted_time IS NOT NULL) \
             OR (name = $4 AND deleted_time IS NULL AND id < $5))"
        );
        resource.deleted_time = Some(DateTime::UNIX_EPOCH);
        assert_eq!(
            sql("deleted_time", &resource),
            "(((deleted_time > $4 OR deleted_time IS NULL)) OR (deleted_time = $4 AND id > $5))"
        );
    }
}
