#![doc = include_str!("../README.md")]

mod convert;
mod error;
mod expression;
pub mod functions;
pub mod go_json;
mod meter;
pub mod names;
mod price;
mod result_type;

pub use convert::{Absent, NoJson, to_cel, to_json, type_name};
pub use error::{CompileError, EvaluationError};
pub use expression::{Expression, LENGTH_LIMIT, Scope};
pub use result_type::ResultType;
