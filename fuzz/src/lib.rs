//! What must hold for every input from outside; see README.md.
//!
//! Each module is a target: its `check` panics when something does not hold. The checks are written
//! from the contract, apart from the code that they check.

pub mod body;
pub mod label;
pub mod name;
pub mod page_token;
pub mod problem;
pub mod search;

/// Panics when something does not hold for an input.
pub type Check = fn(&[u8]);

/// Every target: its name, which is also that of its corpus, and its check.
pub const TARGETS: [(&str, Check); 6] = [
    ("body", body::check),
    ("label", label::check),
    ("name", name::check),
    ("page_token", page_token::check),
    ("problem", problem::check),
    ("search", search::check),
];
