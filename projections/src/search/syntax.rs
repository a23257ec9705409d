//! What a search says, before it is known whether it makes sense.
//!
//! The display of an expression is read back as the same expression.

use std::fmt;

/// An expression of the search language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// At least one holds. Never directly within another.
    Or(Vec<Expression>),
    /// All hold. Never directly within another.
    And(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// Two operands and what stands between them.
    Binary {
        /// What stands between.
        operator: Operator,
        /// The left operand.
        left: Box<Expression>,
        /// The right operand.
        right: Box<Expression>,
    },
    /// An operand is within two bounds, both included.
    Between {
        /// The operand.
        operand: Box<Expression>,
        /// The lower bound.
        low: Box<Expression>,
        /// The upper bound.
        high: Box<Expression>,
    },
    /// An operand has no value.
    IsNull(Box<Expression>),
    /// A function or sign before its operand.
    Prefix {
        /// The function.
        function: Function,
        /// The operand.
        operand: Box<Expression>,
    },
    /// Values in brackets.
    List(Vec<Expression>),
    /// A field by its dotted name.
    Field(String),
    /// A text in quotes.
    Text(String),
    /// A number as written, with its sign and suffix.
    Number(String),
    /// A date or a timestamp without quotes, as written.
    Moment(String),
    /// `true` or `false`.
    Boolean(bool),
}

/// What stands between two operands, except `and` and `or`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=` or `==`.
    Equal,
    /// `!=` or `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `like`.
    Like,
    /// `ilike`.
    ILike,
    /// `in`.
    In,
    /// `~=`.
    Match,
    /// `~!`.
    NotMatch,
    /// `+`.
    Plus,
    /// `-`.
    Minus,
    /// `*`.
    Times,
    /// `/`.
    Divide,
    /// `%`.
    Modulo,
}

impl Operator {
    fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Like => "like",
            Self::ILike => "ilike",
            Self::In => "in",
            Self::Match => "~=",
            Self::NotMatch => "~!",
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

/// What stands before an operand, except `not`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `-`; a number takes its sign itself.
    Minus,
    /// `len`.
    Len,
    /// `any`.
    Any,
    /// `all`.
    All,
    /// `sum`.
    Sum,
}

impl Function {
    fn symbol(self) -> &'static str {
        match self {
            Self::Minus => "-",
            Self::Len => "len ",
            Self::Any => "any ",
            Self::All => "all ",
            Self::Sum => "sum ",
        }
    }
}

impl Expression {
    /// Both hold; what is already a conjunction is continued.
    pub fn and(self, other: Self) -> Self {
        let mut parts = match self {
            Self::And(parts) => parts,
            one => vec![one],
        };
        match other {
            Self::And(more) => parts.extend(more),
            one => parts.push(one),
        }
        Self::And(parts)
    }

    /// At least one holds; what is already a disjunction is continued.
    pub fn or(self, other: Self) -> Self {
        let mut parts = match self {
            Self::Or(parts) => parts,
            one => vec![one],
        };
        match other {
            Self::Or(more) => parts.extend(more),
            one => parts.push(one),
        }
        Self::Or(parts)
    }

    /// Whether it is a single field or value, not something composed.
    pub(super) fn is_single(&self) -> bool {
        matches!(
            self,
            Self::Field(_) | Self::Text(_) | Self::Number(_) | Self::Moment(_) | Self::Boolean(_)
        )
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(parts) => separated(formatter, parts, " or "),
            Self::And(parts) => separated(formatter, parts, " and "),
            Self::Not(inner) => write!(formatter, "not {}", Operand(inner)),
            Self::Binary {
                operator,
                left,
                right,
            } => {
                let symbol = operator.symbol();
                write!(formatter, "{} {symbol} {}", Operand(left), Operand(right))
            }
            Self::Between { operand, low, high } => {
                let (operand, low, high) = (Operand(operand), Operand(low), Operand(high));
                write!(formatter, "{operand} between {low} and {high}")
            }
            Self::IsNull(operand) => write!(formatter, "{} is null", Operand(operand)),
            Self::Prefix { function, operand } => {
                write!(formatter, "{}{}", function.symbol(), Operand(operand))
            }
            Self::List(values) => {
                formatter.write_str("[")?;
                separated(formatter, values, ", ")?;
                formatter.write_str("]")
            }
            Self::Field(name) => field(formatter, name),
            Self::Text(text) => quoted(formatter, text),
            Self::Number(text) | Self::Moment(text) => formatter.write_str(text),
            Self::Boolean(value) => write!(formatter, "{value}"),
        }
    }
}

/// An expression as an operand: in parentheses when it is composed, or begins with a sign.
struct Operand<'a>(&'a Expression);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expression::Number(text) if text.starts_with('-') => write!(formatter, "({text})"),
            list @ Expression::List(_) => write!(formatter, "{list}"),
            single if single.is_single() => write!(formatter, "{single}"),
            composed => write!(formatter, "({composed})"),
        }
    }
}

fn separated(
    formatter: &mut fmt::Formatter<'_>,
    parts: &[Expression],
    separator: &str,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            formatter.write_str(separator)?;
        }
        write!(formatter, "{}", Operand(part))?;
    }
    Ok(())
}

/// A label whose key is no identifier stands in brackets and quotes.
fn field(formatter: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_./".contains(character);
    match name.strip_prefix("labels.") {
        Some(key) if !key.chars().all(plain) => {
            formatter.write_str("labels[")?;
            quoted(formatter, key)?;
            formatter.write_str("]")
        }
        _ => formatter.write_str(name),
    }
}

fn quoted(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    write!(formatter, "'{escaped}'")
}
