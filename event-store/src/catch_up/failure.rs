//! Whose fault a failure is: what may pass by itself, the events, or the projection.

use sqlx::error::DatabaseError;

use super::ApplyError;
use crate::error::is_connection_failure;

/// SQLSTATE classes of what may pass by itself: no resources, a server that stops or cannot reach its disk,
/// a conflict with another transaction, a lock that was not free, and a server that does not take writes just now.
const TRANSIENT: [&str; 6] = ["40", "53", "55", "57", "58", "25006"];

/// SQLSTATE classes that no event causes: wrong or missing tables and rights, a wrong use of
/// transactions, a damaged database. Parking would only pass every event by.
const OF_THE_PROJECTION: [&str; 6] = ["0A", "25", "28", "3F", "42", "XX"];

/// Why events were not applied.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may succeed when it is tried again.
    Transient(ApplyError),
    /// One of the events cannot be applied.
    Event(ApplyError),
    /// No event can be applied, whatever it says.
    Projection(ApplyError),
}

impl Failure {
    pub(super) fn of(error: ApplyError) -> Self {
        match database_error(error.as_ref()) {
            Some(database) if is_connection_failure(database) => Self::Transient(error),
            Some(sqlx::Error::Database(database)) if is_of(database.as_ref(), &TRANSIENT) => {
                Self::Transient(error)
            }
            Some(sqlx::Error::Database(database))
                if is_of(database.as_ref(), &OF_THE_PROJECTION) =>
            {
                Self::Projection(error)
            }
            _ => Self::Event(error),
        }
    }

    /// For metrics and logs.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Transient(_) => "transient",
            Self::Event(_) => "event",
            Self::Projection(_) => "projection",
        }
    }

    pub(super) fn into_error(self) -> ApplyError {
        match self {
            Self::Transient(error) | Self::Event(error) | Self::Projection(error) => error,
        }
    }
}

/// What the runner itself asked of the database concerns no event.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match Self::of(error.into()) {
            Self::Event(error) => Self::Projection(error),
            other => other,
        }
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Database(error) => error.into(),
            // The log itself is damaged: passing it by would hide it.
            damaged @ crate::Error::Damaged { .. } => Self::Projection(damaged.into()),
        }
    }
}

/// What the database said, if it was the database.
fn database_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a sqlx::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn is_of(error: &dyn DatabaseError, classes: &[&str]) -> bool {
    error
        .code()
        .is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[derive(Debug, thiserror::Error)]
    #[error("the read model could not be changed")]
    struct Wrapped(#[source] sqlx::Error);

    #[test]
    fn a_lost_connection_is_found_below_other_errors() {
        let error = Wrapped(sqlx::Error::PoolTimedOut);
        assert_eq!(Failure::of(error.into()).class(), "transient");
    }

    #[test]
    fn what_is_not_the_database_is_the_event() {
        assert_eq!(Failure::of("unknown version".into()).class(), "event");
        let missing = Wrapped(sqlx::Error::RowNotFound);
        assert_eq!(Failure::of(missing.into()).class(), "event");
    }

    #[test]
    fn what_the_runner_asks_is_never_the_event() {
        let failure = Failure::from(sqlx::Error::RowNotFound);
        assert_eq!(failure.class(), "projection");
    }
}
