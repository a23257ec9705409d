//! The search language of lists (API contract v1, §3): TSL, parsed, checked and put into SQL.
//!
//! A text becomes tokens (`lexer`), these an expression (`syntax`), and this a [`Predicate`],
//! which knows fields and types. Only a predicate becomes SQL.
//!
//! Invariants:
//! - The user's text is read on its own. The scope of a list (kind, owner) is added as a condition
//!   of its own, so no text can escape it.
//! - Values reach the database as bound values only.
//! - Every text either gives a predicate whose SQL the database can execute, or an error that says
//!   what is wrong; no text makes the database fail.
//! - Reading a text takes bounded stack and memory: [`MAX_LENGTH`], [`MAX_DEPTH`].

mod check;
mod decimal;
mod error;
mod evaluate;
mod field;
mod grammar;
pub(crate) mod keys;
mod lexer;
mod predicate;
mod sql;
mod syntax;
mod value;

#[cfg(test)]
mod tests;

pub use self::error::SearchError;
pub use self::grammar::MAX_DEPTH;
pub use self::predicate::{
    Comparison, ConditionTime, Field, Number, OwnText, Predicate, Test, TextField, TimeField,
};
pub use self::syntax::{Expression, Function, Operator};

/// Most bytes of a search, without blanks around it. That of API contract v1, which counts what
/// the server adds too; here the whole is the user's.
pub const MAX_LENGTH: usize = 4096;

/// What a search asks.
///
/// # Errors
/// When the text is not of the language, or makes no sense; see [`SearchError`].
pub fn parse(text: &str) -> Result<Predicate, SearchError> {
    check::check(&read(text)?, false)
}

/// What a search says, whether it makes sense or not. Pure, and total over all texts.
///
/// # Errors
/// [`SearchError::TooLong`] and [`SearchError::Syntax`].
pub fn read(text: &str) -> Result<Expression, SearchError> {
    let text = text.trim();
    if text.len() > MAX_LENGTH {
        return Err(SearchError::TooLong);
    }
    let tokens = lexer::tokens(text).map_err(|fault| at(text, &fault))?;
    grammar::read(&tokens).map_err(|fault| at(text, &fault))
}

/// The fault as the user is told: with the position in characters from 1.
fn at(text: &str, fault: &lexer::Fault) -> SearchError {
    let before = text.get(..fault.at).unwrap_or(text);
    let found = text[before.len()..].split_whitespace().next();
    let message = match (fault.message.as_ref(), found) {
        ("", Some(word)) => format!("unexpected '{}'", shortened(word)),
        ("", None) => "unexpected end".to_owned(),
        (message, Some(_)) => message.to_owned(),
        (message, None) => format!("{message}, found the end"),
    };
    SearchError::Syntax {
        message,
        position: before.chars().count() + 1,
        text: text.replace(char::is_control, " "),
    }
}

/// Enough of a word to recognize it.
fn shortened(word: &str) -> String {
    const SHOWN: usize = 20;
    match word.char_indices().nth(SHOWN) {
        None => word.to_owned(),
        Some((end, _)) => format!("{}…", &word[..end]),
    }
}
