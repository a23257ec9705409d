//! From tokens to an expression: precedence climbing, by API contract v1, §3.3.
//!
//! Invariants:
//! - The stack that parsing takes is bounded: see [`MAX_DEPTH`].
//! - `not` binds tighter than a comparison, yet negates it: `not name = 'x'` says `not (name = 'x')`.

use winnow::combinator::{Infix, Postfix, Prefix, expression, opt, separated};
use winnow::error::ErrMode;
use winnow::prelude::*;
use winnow::stream::{Location as _, Stateful, TokenSlice};
use winnow::token::{any, one_of};

use super::lexer::{self, Fault, Keyword, Kind, Sign, Token};
use super::syntax::{Expression, Function, Operator};

/// How deep parentheses, prefixes and operators may nest. Far beyond what anybody writes, and a
/// small part of a thread's stack.
pub const MAX_DEPTH: usize = 64;

/// Powers of the operators, weakest first. An operator that joins to the left reserves the next
/// power for its right side.
const OR: i64 = 10;
const AND: i64 = 20;
const COMPARISON: i64 = 30;
const SUM: i64 = 40;
const PRODUCT: i64 = 50;
const NOT: i64 = 60;
const SIGN: i64 = 70;

/// How deep the parser is in, and how many operators other than `and` and `or` were applied to
/// what is itself composed.
#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    open: usize,
    chained: usize,
}

type Input<'t> = Stateful<TokenSlice<'t, Token>, Nesting>;
type Failure = ErrMode<Fault>;
type Parsed<T> = Result<T, Failure>;

/// The expression that these tokens say, all of them.
pub(super) fn read(tokens: &[Token]) -> Result<Expression, Fault> {
    let end = tokens.last().map_or(0, |token| token.span.end);
    let mut input = Stateful {
        input: TokenSlice::new(tokens),
        state: Nesting::default(),
    };
    let read = from_power(&mut input, 0).map_err(|error| lexer::fault(error, end))?;
    match input.input.first() {
        None => Ok(read),
        Some(token) => Err(Fault::new(token.span.start, "")),
    }
}

/// An expression whose operators bind at least as tight as `power`.
fn from_power(input: &mut Input<'_>, power: i64) -> Parsed<Expression> {
    expression(operand)
        .prefix(prefix)
        .postfix(postfix)
        .infix(infix)
        .current_precedence_level(power)
        .parse_next(input)
}

/// A field, a value, a list, or an expression in parentheses.
fn operand(input: &mut Input<'_>) -> Parsed<Expression> {
    let token = any.parse_next(input)?;
    match &token.kind {
        Kind::Text(text) => Ok(Expression::Text(text.clone())),
        Kind::Number(text) => Ok(Expression::Number(text.clone())),
        Kind::Moment(text) => Ok(Expression::Moment(text.clone())),
        Kind::Field(name) => Ok(Expression::Field(name.clone())),
        Kind::Keyword(Keyword::True) => Ok(Expression::Boolean(true)),
        Kind::Keyword(Keyword::False) => Ok(Expression::Boolean(false)),
        Kind::Sign(Sign::Open) => {
            enter(input, token)?;
            let inner = from_power(input, 0).map_err(ErrMode::cut)?;
            closing(Sign::Close).parse_next(input)?;
            leave(input);
            Ok(inner)
        }
        Kind::Sign(Sign::OpenList) => {
            enter(input, token)?;
            let values = list_values(input)?;
            leave(input);
            Ok(Expression::List(values))
        }
        _ => Err(ErrMode::Backtrack(expected_operand(token.span.start))),
    }
}

fn list_values(input: &mut Input<'_>) -> Parsed<Vec<Expression>> {
    let mut comma = opt(sign(Sign::Comma));
    let value = |input: &mut Input<'_>| from_power(input, 0);
    let values: Vec<Expression> = separated(0.., value, sign(Sign::Comma)).parse_next(input)?;
    if !values.is_empty() {
        comma.parse_next(input)?;
    }
    closing(Sign::CloseList).parse_next(input)?;
    Ok(values)
}

fn sign<'t>(expected: Sign) -> impl Parser<Input<'t>, &'t Token, Failure> {
    one_of(move |token: &Token| token.kind == Kind::Sign(expected))
}

/// A sign that must come now; the fault says so.
fn closing<'t>(expected: Sign) -> impl Parser<Input<'t>, (), Failure> {
    let message = if expected == Sign::Close {
        "expected ')'"
    } else {
        "expected ',' or ']'"
    };
    move |input: &mut Input<'t>| {
        let at = input.current_token_start();
        let found = opt(sign(expected)).parse_next(input)?;
        found
            .map(drop)
            .ok_or_else(|| ErrMode::Cut(Fault::new(at, message)))
    }
}

fn expected_operand(at: usize) -> Fault {
    Fault::new(at, "expected a field, a value or '('")
}

fn enter(input: &mut Input<'_>, token: &Token) -> Parsed<()> {
    input.state.open += 1;
    if input.state.open > MAX_DEPTH {
        return Err(too_deep(token.span.start));
    }
    Ok(())
}

fn leave(input: &mut Input<'_>) {
    input.state.open = input.state.open.saturating_sub(1);
}

fn too_deep(at: usize) -> Failure {
    ErrMode::Cut(Fault::new(
        at,
        format!("nested deeper than {MAX_DEPTH} levels"),
    ))
}

fn prefix<'t>(input: &mut Input<'t>) -> Parsed<Prefix<Input<'t>, Expression, Failure>> {
    let at = input.current_token_start();
    let missing = |_: Failure| ErrMode::Backtrack(expected_operand(at));
    let token: &Token = any.parse_next(input).map_err(missing)?;
    let found = match token.kind {
        Kind::Keyword(Keyword::Not) => Prefix(NOT, |input: &mut Input<'t>, operand| {
            leave(input);
            Ok(Expression::Not(Box::new(operand)))
        }),
        Kind::Keyword(Keyword::Len) => Prefix(NOT, |input: &mut Input<'t>, operand| {
            Ok(function(input, Function::Len, operand))
        }),
        Kind::Keyword(Keyword::Any) => Prefix(NOT, |input: &mut Input<'t>, operand| {
            Ok(function(input, Function::Any, operand))
        }),
        Kind::Keyword(Keyword::All) => Prefix(NOT, |input: &mut Input<'t>, operand| {
            Ok(function(input, Function::All, operand))
        }),
        Kind::Keyword(Keyword::Sum) => Prefix(NOT, |input: &mut Input<'t>, operand| {
            Ok(function(input, Function::Sum, operand))
        }),
        Kind::Sign(Sign::Minus) => Prefix(SIGN, |input: &mut Input<'t>, operand| {
            Ok(function(input, Function::Minus, operand))
        }),
        _ => return Err(ErrMode::Backtrack(expected_operand(token.span.start))),
    };
    enter(input, token)?;
    Ok(found)
}

fn function(input: &mut Input<'_>, function: Function, operand: Expression) -> Expression {
    leave(input);
    match operand {
        Expression::Number(text) if function == Function::Minus && !text.starts_with('-') => {
            Expression::Number(format!("-{text}"))
        }
        operand => Expression::Prefix {
            function,
            operand: Box::new(operand),
        },
    }
}

/// `is [not] null` and `[not] between … and …`.
fn postfix<'t>(input: &mut Input<'t>) -> Parsed<Postfix<Input<'t>, Expression, Failure>> {
    let is_null: fn(&mut Input<'t>, Expression) -> Parsed<Expression> = |input, operand| {
        let negated = opt(keyword(Keyword::Not)).parse_next(input)?.is_some();
        let at = input.current_token_start();
        if opt(keyword(Keyword::Null)).parse_next(input)?.is_none() {
            let expected = if negated { "null" } else { "null or not null" };
            return Err(ErrMode::Cut(Fault::new(at, format!("expected {expected}"))));
        }
        let compared = negatable(operand, |operand| Expression::IsNull(Box::new(operand)));
        chain(input, compared).map(|compared| negate_if(negated, compared))
    };
    let token: &Token = any.parse_next(input)?;
    match token.kind {
        Kind::Keyword(Keyword::Is) => Ok(Postfix(COMPARISON, is_null)),
        Kind::Keyword(Keyword::Between) => Ok(Postfix(COMPARISON, |input, operand| {
            between(input, operand, false)
        })),
        Kind::Keyword(Keyword::Not)
            if opt(keyword(Keyword::Between)).parse_next(input)?.is_some() =>
        {
            Ok(Postfix(COMPARISON, |input, operand| {
                between(input, operand, true)
            }))
        }
        _ => Err(ErrMode::Backtrack(Fault::new(token.span.start, ""))),
    }
}

fn between(input: &mut Input<'_>, operand: Expression, negated: bool) -> Parsed<Expression> {
    let low = Box::new(from_power(input, SUM)?);
    let at = input.current_token_start();
    if opt(keyword(Keyword::And)).parse_next(input)?.is_none() {
        let message = "expected 'and' and the upper bound";
        return Err(ErrMode::Cut(Fault::new(at, message)));
    }
    let high = Box::new(from_power(input, SUM)?);
    let compared = negatable(operand, |operand| Expression::Between {
        operand: Box::new(operand),
        low,
        high,
    });
    chain(input, compared).map(|compared| negate_if(negated, compared))
}

fn keyword<'t>(expected: Keyword) -> impl Parser<Input<'t>, &'t Token, Failure> {
    one_of(move |token: &Token| token.kind == Kind::Keyword(expected))
}

fn negate_if(negated: bool, expression: Expression) -> Expression {
    if negated {
        Expression::Not(Box::new(expression))
    } else {
        expression
    }
}

type Fold<'t> = fn(&mut Input<'t>, Expression, Expression) -> Parsed<Expression>;

fn infix<'t>(input: &mut Input<'t>) -> Parsed<Infix<Input<'t>, Expression, Failure>> {
    let token: &Token = any.parse_next(input)?;
    let (power, fold): (i64, Fold<'t>) = match token.kind {
        Kind::Keyword(Keyword::Or) => (OR, |_, left, right| Ok(left.or(right))),
        Kind::Keyword(Keyword::And) => (AND, |_, left, right| Ok(left.and(right))),
        Kind::Keyword(Keyword::Like) => (COMPARISON, |i, l, r| binary(i, Operator::Like, l, r)),
        Kind::Keyword(Keyword::ILike) => (COMPARISON, |i, l, r| binary(i, Operator::ILike, l, r)),
        Kind::Keyword(Keyword::In) => (COMPARISON, |i, l, r| binary(i, Operator::In, l, r)),
        Kind::Keyword(Keyword::Not) => {
            let at = input.current_token_start();
            if opt(keyword(Keyword::In)).parse_next(input)?.is_none() {
                let message = "expected 'in' or 'between'; to negate another operator, \
                               write 'not' before the field";
                return Err(ErrMode::Cut(Fault::new(at, message)));
            }
            (COMPARISON, |i, l, r| {
                binary(i, Operator::In, l, r).map(|found| negate_if(true, found))
            })
        }
        Kind::Sign(sign) => signed(sign, token)?,
        _ => return Err(ErrMode::Backtrack(Fault::new(token.span.start, ""))),
    };
    Ok(Infix::Left(power, fold))
}

/// The operators that are signs.
fn signed<'t>(sign: Sign, token: &Token) -> Parsed<(i64, Fold<'t>)> {
    let found: (i64, Fold<'t>) = match sign {
        Sign::Equal => (COMPARISON, |i, l, r| binary(i, Operator::Equal, l, r)),
        Sign::NotEqual => (COMPARISON, |i, l, r| binary(i, Operator::NotEqual, l, r)),
        Sign::Less => (COMPARISON, |i, l, r| binary(i, Operator::Less, l, r)),
        Sign::LessOrEqual => (COMPARISON, |i, l, r| binary(i, Operator::LessOrEqual, l, r)),
        Sign::Greater => (COMPARISON, |i, l, r| binary(i, Operator::Greater, l, r)),
        Sign::GreaterOrEqual => (COMPARISON, |i, l, r| {
            binary(i, Operator::GreaterOrEqual, l, r)
        }),
        Sign::Match => (COMPARISON, |i, l, r| binary(i, Operator::Match, l, r)),
        Sign::NotMatch => (COMPARISON, |i, l, r| binary(i, Operator::NotMatch, l, r)),
        Sign::Plus => (SUM, |i, l, r| binary(i, Operator::Plus, l, r)),
        Sign::Minus => (SUM, |i, l, r| binary(i, Operator::Minus, l, r)),
        Sign::Times => (PRODUCT, |i, l, r| binary(i, Operator::Times, l, r)),
        Sign::Divide => (PRODUCT, |i, l, r| binary(i, Operator::Divide, l, r)),
        Sign::Modulo => (PRODUCT, |i, l, r| binary(i, Operator::Modulo, l, r)),
        Sign::Open | Sign::Close | Sign::OpenList | Sign::CloseList | Sign::Comma => {
            return Err(ErrMode::Backtrack(Fault::new(token.span.start, "")));
        }
    };
    Ok(found)
}

fn binary(
    input: &mut Input<'_>,
    operator: Operator,
    left: Expression,
    right: Expression,
) -> Parsed<Expression> {
    let found = negatable(left, |left| Expression::Binary {
        operator,
        left: Box::new(left),
        right: Box::new(right),
    });
    chain(input, found)
}

/// Applies `compare` to what `not` stands before, and negates the outcome instead.
fn negatable(operand: Expression, compare: impl FnOnce(Expression) -> Expression) -> Expression {
    match operand {
        Expression::Not(inner) if names_something(&inner) => {
            Expression::Not(Box::new(negatable(*inner, compare)))
        }
        operand => compare(operand),
    }
}

fn names_something(expression: &Expression) -> bool {
    match expression {
        Expression::Not(inner) => names_something(inner),
        other => other.is_single(),
    }
}

/// Counts operators whose left side is composed: every one makes the expression one deeper.
fn chain(input: &mut Input<'_>, expression: Expression) -> Parsed<Expression> {
    let left = match &expression {
        Expression::Binary { left, .. } => Some(left),
        Expression::Between { operand, .. } | Expression::IsNull(operand) => Some(operand),
        _ => None,
    };
    if left.is_some_and(|left| !left.is_single()) {
        input.state.chained += 1;
        if input.state.chained > MAX_DEPTH {
            return Err(too_deep(input.current_token_start()));
        }
    }
    Ok(expression)
}
