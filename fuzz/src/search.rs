//! Searches: what is printed is read as the same; the SQL is made of constants and bound values only,
//! and binds nothing that PostgreSQL refuses; an error tells what is wrong, and where.

mod predicate;
mod sql;

use hyperfleet_projections::search::{self, Expression, MAX_DEPTH, MAX_LENGTH, SearchError};

/// The input is a search.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let read = search::read(text);
    match &read {
        Ok(expression) => is_printed_as_the_same(expression),
        Err(error) => is_told(text, error),
    }
    match search::parse(text) {
        Ok(asked) => {
            assert!(read.is_ok(), "{text:?} is unreadable, yet asks {asked:?}");
            predicate::check(&asked, false);
            sql::check(&asked);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says nothing");
            if let Err(unreadable) = read {
                assert_eq!(error, unreadable);
            }
        }
    }
}

/// Unless it gets too long, or by its parentheses too deep, which a flat expression cannot.
fn is_printed_as_the_same(expression: &Expression) {
    let printed = expression.to_string();
    if printed.len() > MAX_LENGTH {
        return;
    }
    match search::read(&printed) {
        Ok(again) => assert_eq!(&again, expression, "printed as {printed:?}"),
        Err(error) => {
            let is_deep = height(expression) > MAX_DEPTH / 2;
            let says_so = error.to_string().contains("nested deeper");
            assert!(is_deep && says_so, "printed as {printed:?}: {error}");
        }
    }
}

fn height(expression: &Expression) -> usize {
    let of_all = |parts: &[Expression]| parts.iter().map(height).max().unwrap_or_default();
    let below = match expression {
        Expression::Or(parts) | Expression::And(parts) | Expression::List(parts) => of_all(parts),
        Expression::Not(inner) | Expression::IsNull(inner) => height(inner),
        Expression::Binary { left, right, .. } => height(left).max(height(right)),
        Expression::Between { operand, low, high } => {
            height(operand).max(height(low)).max(height(high))
        }
        Expression::Prefix { operand, .. } => height(operand),
        Expression::Field(_)
        | Expression::Text(_)
        | Expression::Number(_)
        | Expression::Moment(_)
        | Expression::Boolean(_) => 0,
    };
    below + 1
}

/// What is wrong with a text that is not of the language.
fn is_told(text: &str, error: &SearchError) {
    let sent = text.trim();
    match error {
        SearchError::TooLong => assert!(sent.len() > MAX_LENGTH),
        SearchError::Syntax {
            message,
            position,
            text: shown,
        } => {
            assert!(sent.len() <= MAX_LENGTH);
            assert!(!message.is_empty(), "an error says nothing");
            let characters = sent.chars().count();
            assert!(
                (1..=characters + 1).contains(position),
                "position {position} of {characters}"
            );
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert_eq!(shown.chars().count(), characters, "{shown:?}");
        }
        other => panic!("{text:?} is unreadable because of {other:?}"),
    }
}
