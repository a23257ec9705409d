//! From what a search says to what it asks: names, types, and which operators a field allows.

use chrono::{DateTime, Utc};

use super::error::SearchError;
use super::field::{self, Meaning, Part};
use super::predicate::{Comparison, Field, Number, Predicate, Test, TextField};
use super::syntax::{Expression, Function, Operator};
use super::value;

type Checked<T> = Result<T, SearchError>;

/// What an expression asks. `negated` says that it stands under NOT.
pub(super) fn check(expression: &Expression, negated: bool) -> Checked<Predicate> {
    let all = |parts: &[Expression]| -> Checked<Vec<Predicate>> {
        parts.iter().map(|part| check(part, negated)).collect()
    };
    match expression {
        Expression::Or(parts) => Ok(Predicate::Any(all(parts)?)),
        Expression::And(parts) => Ok(Predicate::All(all(parts)?)),
        Expression::Not(inner) => Ok(Predicate::Not(Box::new(check(inner, true)?))),
        Expression::Binary {
            operator,
            left,
            right,
        } => binary(*operator, left, right, negated),
        Expression::Between { operand, low, high } => between(operand, low, high, negated),
        Expression::IsNull(operand) => is_null(operand, negated),
        Expression::Prefix { function, .. } => Err(unsupported_function(*function)),
        Expression::Field(name) => field::meaning(name).and(Err(SearchError::NotACondition)),
        Expression::List(_)
        | Expression::Text(_)
        | Expression::Number(_)
        | Expression::Moment(_)
        | Expression::Boolean(_) => Err(SearchError::NotACondition),
    }
}

fn binary(
    operator: Operator,
    left: &Expression,
    right: &Expression,
    negated: bool,
) -> Checked<Predicate> {
    let comparison = match operator {
        Operator::Equal => Comparison::Equal,
        Operator::NotEqual => Comparison::NotEqual,
        Operator::Less => Comparison::Less,
        Operator::LessOrEqual => Comparison::LessOrEqual,
        Operator::Greater => Comparison::Greater,
        Operator::GreaterOrEqual => Comparison::GreaterOrEqual,
        Operator::In => return any_of(left, right, negated),
        Operator::Like => return like(left, right, false, negated),
        Operator::ILike => return like(left, right, true, negated),
        Operator::Match => return unsupported("REGEX_MATCH"),
        Operator::NotMatch => return unsupported("REGEX_NOT_MATCH"),
        Operator::Plus => return unsupported("PLUS"),
        Operator::Minus => return unsupported("MINUS"),
        Operator::Times => return unsupported("TIMES"),
        Operator::Divide => return unsupported("DIVIDE"),
        Operator::Modulo => return unsupported("MODULO"),
    };
    compare(left, comparison, right, negated)
}

fn unsupported<T>(name: &'static str) -> Checked<T> {
    Err(SearchError::Operator { name })
}

fn unsupported_function(function: Function) -> SearchError {
    let name = match function {
        Function::Minus => "MINUS",
        Function::Len => "LEN",
        Function::Any => "ANY",
        Function::All => "ALL",
        Function::Sum => "SUM",
    };
    SearchError::Operator { name }
}

/// The field that must stand here, by name and meaning. Labels and conditions must not be negated.
fn operand(
    expression: &Expression,
    negated: bool,
    otherwise: SearchError,
) -> Checked<(&str, Meaning)> {
    match expression {
        Expression::Field(name) => match field::meaning(name)? {
            Meaning::Label(_) if negated => Err(SearchError::NotOfLabel),
            Meaning::Condition(..) if negated => Err(SearchError::NotOfCondition),
            meaning => Ok((name, meaning)),
        },
        Expression::Prefix { function, .. } => Err(unsupported_function(*function)),
        Expression::Binary { operator, .. } if !is_comparison(*operator) => {
            // Arithmetic: say which operator it is.
            binary(*operator, expression, expression, negated).and(Err(otherwise))
        }
        _ => Err(otherwise),
    }
}

fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual
            | Operator::In
            | Operator::Like
            | Operator::ILike
    )
}

fn compare(
    left: &Expression,
    comparison: Comparison,
    right: &Expression,
    negated: bool,
) -> Checked<Predicate> {
    let is_value = |side: &Expression| side.is_single() && !matches!(side, Expression::Field(_));
    let (name, meaning, comparison, value) = match (left, right) {
        (Expression::Field(_), Expression::Field(_)) => {
            return fields(left, comparison, right, negated);
        }
        (_, value) if is_value(value) => {
            let (name, meaning) = operand(left, negated, SearchError::Comparison)?;
            (name, meaning, comparison, value)
        }
        (value, _) if is_value(value) => {
            let (name, meaning) = operand(right, negated, SearchError::Comparison)?;
            (name, meaning, comparison.mirrored(), value)
        }
        _ => {
            operand(left, negated, SearchError::Comparison)?;
            operand(right, negated, SearchError::Comparison)?;
            return Err(SearchError::Comparison);
        }
    };
    test(name, meaning, Shape::Compare(comparison), &[value])
}

/// Two fields of the resource itself, of the same sort.
fn fields(
    left: &Expression,
    comparison: Comparison,
    right: &Expression,
    negated: bool,
) -> Checked<Predicate> {
    let (left_name, left) = operand(left, negated, SearchError::Comparison)?;
    let (right_name, right) = operand(right, negated, SearchError::Comparison)?;
    let (left, right) = match (left, right) {
        (Meaning::Text(left), Meaning::Text(right)) => (Field::Text(left), Field::Text(right)),
        (Meaning::Time(left), Meaning::Time(right)) => (Field::Time(left), Field::Time(right)),
        (Meaning::Generation, Meaning::Generation) => (Field::Generation, Field::Generation),
        _ => {
            return Err(SearchError::Fields {
                left: left_name.to_owned(),
                right: right_name.to_owned(),
            });
        }
    };
    Ok(Predicate::Fields(left, comparison, right))
}

fn any_of(left: &Expression, right: &Expression, negated: bool) -> Checked<Predicate> {
    let (name, meaning) = operand(left, negated, SearchError::InList)?;
    match right {
        Expression::List(values) if !values.is_empty() => {
            let values: Vec<&Expression> = values.iter().collect();
            test(name, meaning, Shape::AnyOf, &values)
        }
        _ => Err(SearchError::InList),
    }
}

fn between(
    left: &Expression,
    low: &Expression,
    high: &Expression,
    negated: bool,
) -> Checked<Predicate> {
    let (name, meaning) = operand(left, negated, SearchError::Comparison)?;
    test(name, meaning, Shape::Between, &[low, high])
}

fn is_null(left: &Expression, negated: bool) -> Checked<Predicate> {
    let (_, meaning) = operand(left, negated, SearchError::NullOperand)?;
    Ok(match meaning {
        Meaning::Text(field) => Predicate::Text(TextField::Own(field), Test::IsNull),
        Meaning::Label(key) => Predicate::Text(TextField::Label(key), Test::IsNull),
        Meaning::Spec(path) => Predicate::Text(TextField::Spec(path), Test::IsNull),
        Meaning::Generation => Predicate::Generation(Test::IsNull),
        Meaning::Time(field) => Predicate::Time(field, Test::IsNull),
        // A condition always has all its parts.
        Meaning::Condition(name, _) => Predicate::NoCondition { r#type: name },
    })
}

fn like(
    left: &Expression,
    right: &Expression,
    ignore_case: bool,
    negated: bool,
) -> Checked<Predicate> {
    let operator = if ignore_case { "ILIKE" } else { "LIKE" };
    let refused = || SearchError::LikeOperands { operator };
    let (_, meaning) = operand(left, negated, refused())?;
    let field = match meaning {
        Meaning::Text(field) => TextField::Own(field),
        Meaning::Label(key) => TextField::Label(key),
        Meaning::Spec(path) => TextField::Spec(path),
        Meaning::Condition(..) => {
            return Err(SearchError::ConditionOperator {
                operator: "LIKE/ILIKE",
            });
        }
        Meaning::Generation | Meaning::Time(_) => return Err(refused()),
    };
    let pattern = value::text(right).ok_or_else(refused)?;
    let backslashes = pattern.len() - pattern.trim_end_matches('\\').len();
    if backslashes % 2 == 1 {
        return Err(SearchError::LikePattern);
    }
    Ok(Predicate::Like {
        field,
        pattern: pattern.to_owned(),
        ignore_case,
    })
}

/// Which test, before its values are read.
#[derive(Clone, Copy)]
enum Shape {
    Compare(Comparison),
    AnyOf,
    Between,
}

impl Shape {
    /// The test with these values: one to compare with, two as bounds.
    fn test<T>(self, values: Vec<T>) -> Checked<Test<T>> {
        let mut values = values.into_iter();
        let mut next = || values.next().ok_or(SearchError::Comparison);
        Ok(match self {
            Self::Compare(comparison) => Test::Compare(comparison, next()?),
            Self::Between => Test::Between(next()?, next()?),
            Self::AnyOf => Test::AnyOf(values.collect()),
        })
    }
}

fn test(name: &str, meaning: Meaning, shape: Shape, values: &[&Expression]) -> Checked<Predicate> {
    let not_text = || SearchError::NotText {
        field: name.to_owned(),
    };
    match meaning {
        Meaning::Text(field) => {
            let values = read(values, value::text, not_text)?;
            Ok(Predicate::Text(TextField::Own(field), shape.test(values)?))
        }
        Meaning::Label(key) => {
            let values = read(values, value::text_or_boolean, not_text)?;
            Ok(Predicate::Text(TextField::Label(key), shape.test(values)?))
        }
        Meaning::Spec(path) => test_spec(name, path, shape, values),
        Meaning::Generation => {
            let refused = || SearchError::NotInteger {
                field: super::predicate::GENERATION,
            };
            let integer = |value: &Expression| value::integer(value);
            let values = values
                .iter()
                .map(|value| integer(value).ok_or_else(refused))
                .collect::<Checked<Vec<i64>>>()?;
            Ok(Predicate::Generation(shape.test(values)?))
        }
        Meaning::Time(field) => {
            let refused = || SearchError::NotTime {
                field: field.name(),
            };
            let values = values
                .iter()
                .map(|value| value::time(value, true).ok_or_else(refused))
                .collect::<Checked<Vec<DateTime<Utc>>>>()?;
            Ok(Predicate::Time(field, shape.test(values)?))
        }
        Meaning::Condition(condition, part) => match (shape, values) {
            (Shape::Compare(comparison), [value]) => {
                compare_condition(condition, part, comparison, value)
            }
            (Shape::AnyOf | Shape::Compare(_), _) => {
                Err(SearchError::ConditionOperator { operator: "IN" })
            }
            (Shape::Between, _) => Err(SearchError::ConditionOperator {
                operator: "BETWEEN",
            }),
        },
    }
}

fn read(
    values: &[&Expression],
    one: fn(&Expression) -> Option<&str>,
    refused: impl Fn() -> SearchError,
) -> Checked<Vec<String>> {
    let owned = |value: &&Expression| one(value).map(str::to_owned).ok_or_else(&refused);
    values.iter().map(owned).collect()
}

/// Numbers compare as numbers, everything else as text.
fn test_spec(
    name: &str,
    path: Vec<String>,
    shape: Shape,
    values: &[&Expression],
) -> Checked<Predicate> {
    let numbers: Vec<Number> = values
        .iter()
        .filter_map(|value| value::number(value))
        .collect::<Checked<_>>()?;
    if numbers.len() == values.len() {
        return Ok(Predicate::SpecNumber(path, shape.test(numbers)?));
    }
    let field = || name.to_owned();
    if !numbers.is_empty() {
        return Err(SearchError::Mixed { field: field() });
    }
    let values = read(values, value::text_or_boolean, || SearchError::NotText {
        field: field(),
    })?;
    Ok(Predicate::Text(TextField::Spec(path), shape.test(values)?))
}

fn compare_condition(
    condition: String,
    part: Part,
    comparison: Comparison,
    value: &Expression,
) -> Checked<Predicate> {
    match part {
        Part::Status if comparison != Comparison::Equal => Err(SearchError::ConditionEquality),
        Part::Status => match value {
            // Statuses are texts, so no status equals the word without quotes.
            Expression::Boolean(_) => Ok(Predicate::Never),
            Expression::Text(status) if is_status(status) => Ok(Predicate::Condition {
                r#type: condition,
                status: status.clone(),
            }),
            other => Err(SearchError::ConditionStatus {
                value: value::shown(other),
            }),
        },
        Part::Time(time) => Ok(Predicate::ConditionTime {
            r#type: condition,
            time,
            comparison,
            value: value::time(value, false).ok_or(SearchError::ConditionTime)?,
        }),
        Part::ObservedGeneration => Ok(Predicate::ConditionGeneration {
            r#type: condition,
            comparison,
            value: observed_generation(value)?,
        }),
    }
}

fn is_status(text: &str) -> bool {
    matches!(text, "True" | "False" | "Unknown")
}

/// A whole number, also in quotes.
fn observed_generation(value: &Expression) -> Checked<i32> {
    let integer = match value {
        Expression::Text(text) => text.trim().parse::<i64>().ok(),
        other => value::integer(other),
    };
    let shown = || value::shown(value);
    let integer = integer.ok_or_else(|| SearchError::ConditionGeneration { value: shown() })?;
    i32::try_from(integer).map_err(|_| SearchError::ConditionGenerationRange { value: shown() })
}
