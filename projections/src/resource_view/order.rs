//! The order of a list: which columns, and a tie-breaker that makes it total.

use std::fmt::Write as _;

/// Columns that a list can be ordered by.
const COLUMNS: [&str; 16] = [
    "id",
    "kind",
    "name",
    "href",
    "created_time",
    "updated_time",
    "deleted_time",
    "created_by",
    "updated_by",
    "deleted_by",
    "generation",
    "owner_id",
    "owner_kind",
    "owner_href",
    "spec",
    "tenancy",
];

/// The order of a list. Total: equal rows are told apart by id, so pages never overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    column: &'static str,
    descending: bool,
}

/// Why an order cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// A term is not `field`, `field asc` or `field desc`.
    #[error("invalid order format '{term}': expected 'field' or 'field asc|desc'")]
    Syntax {
        /// The term as sent.
        term: String,
    },
    /// There is no such column.
    #[error("invalid field in search or order query")]
    UnknownColumn,
}

impl Default for Order {
    /// Newest first.
    fn default() -> Self {
        Self {
            terms: vec![Term {
                column: "created_time",
                descending: true,
            }],
        }
    }
}

impl Order {
    /// Reads terms like `name` or `created_time desc`; no terms give the default.
    ///
    /// # Errors
    /// When a term has another form or names no column.
    pub fn parse<'a>(terms: impl Iterator<Item = &'a str>) -> Result<Self, OrderError> {
        let terms = terms.map(parse_term).collect::<Result<Vec<_>, _>>()?;
        if terms.is_empty() {
            Ok(Self::default())
        } else {
            Ok(Self { terms })
        }
    }

    /// The `ORDER BY` list, each column with `prefix`. Safe to put into SQL: every part is a
    /// constant of this module.
    pub(crate) fn sql(&self, prefix: &str) -> String {
        let mut sql = String::new();
        for term in &self.terms {
            let direction = if term.descending { "DESC" } else { "ASC" };
            // Writing to a String cannot fail.
            let _ = write!(sql, "{prefix}{} {direction}, ", term.column);
        }
        // The tie-breaker follows the last term, so that an index on both serves the order.
        let descending = self.terms.last().is_some_and(|term| term.descending);
        let direction = if descending { "DESC" } else { "ASC" };
        let _ = write!(sql, "{prefix}id {direction}");
        sql
    }

    /// The columns and whether they descend, the tie-breaker last: the order as
    /// [`crate::keyset`] compares rows.
    pub(crate) fn directed_columns(&self) -> Vec<(&'static str, bool)> {
        let terms = self.terms.iter().map(|term| (term.column, term.descending));
        let descending = self.terms.last().is_some_and(|term| term.descending);
        terms.chain([("id", descending)]).collect()
    }

    /// The columns that the order needs, each once, the id included.
    pub(super) fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec!["id"];
        for term in &self.terms {
            if !columns.contains(&term.column) {
                columns.push(term.column);
            }
        }
        columns
    }
}

fn parse_term(text: &str) -> Result<Term, OrderError> {
    let syntax = || OrderError::Syntax {
        term: text.to_owned(),
    };
    let mut words = text.split_ascii_whitespace();
    let field = words.next().ok_or_else(syntax)?;
    let descending = match (words.next(), words.next()) {
        (None | Some("asc"), None) => false,
        (Some("desc"), None) => true,
        _ => return Err(syntax()),
    };
    let starts_well = field.starts_with(|first: char| first == '_' || first.is_ascii_lowercase());
    let allowed = |character: char| {
        character == '_' || character.is_ascii_lowercase() || character.is_ascii_digit()
    };
    if !starts_well || !field.chars().all(allowed) {
        return Err(syntax());
    }
    let column = COLUMNS.into_iter().find(|column| *column == field);
    Ok(Term {
        column: column.ok_or(OrderError::UnknownColumn)?,
        descending,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> Result<String, OrderError> {
        let terms = text
            .split(',')
            .map(str::trim)
            .filter(|term| !term.is_empty());
        Order::parse(terms).map(|order| order.sql(""))
    }

    #[test]
    fn every_order_ends_with_the_id() {
        for (text, expected) in [
            ("", "created_time DESC, id DESC"),
            ("name", "name ASC, id ASC"),
            ("name desc", "name DESC, id DESC"),
            (
                "name asc,created_time   desc",
                "name ASC, created_time DESC, id DESC",
            ),
        ] {
            assert_eq!(sql(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_but_a_field_and_a_direction_is_refused() {
        for text in [
            "name DESC",
            "name; drop table",
            "name asc x",
            "name ascending",
            "Name",
            "1a",
        ] {
            let error = sql(text).expect_err(text);
            let expected =
                format!("invalid order format '{text}': expected 'field' or 'field asc|desc'");
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(sql("nosuch"), Err(OrderError::UnknownColumn));
    }
}
