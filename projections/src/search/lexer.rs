//! From characters to tokens.

use std::borrow::Cow;
use std::ops::Range;

use winnow::LocatingSlice;
use winnow::ascii::{digit1, multispace0};
use winnow::combinator::{
    alt, cut_err, dispatch, fail, not, opt, peek, preceded, repeat, terminated,
};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{Location, Stream};
use winnow::token::{any, literal, one_of, take_while};

/// One word, value or sign, and where it stands, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

impl Location for Token {
    fn previous_token_end(&self) -> usize {
        self.span.end
    }

    fn current_token_start(&self) -> usize {
        self.span.start
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text(String),
    Number(String),
    Moment(String),
    Field(String),
    Keyword(Keyword),
    Sign(Sign),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    And,
    Or,
    Not,
    In,
    Like,
    ILike,
    Between,
    Is,
    Null,
    True,
    False,
    Len,
    Any,
    All,
    Sum,
}

const KEYWORDS: [(&str, Keyword); 15] = [
    ("and", Keyword::And),
    ("or", Keyword::Or),
    ("not", Keyword::Not),
    ("in", Keyword::In),
    ("like", Keyword::Like),
    ("ilike", Keyword::ILike),
    ("between", Keyword::Between),
    ("is", Keyword::Is),
    ("null", Keyword::Null),
    ("true", Keyword::True),
    ("false", Keyword::False),
    ("len", Keyword::Len),
    ("any", Keyword::Any),
    ("all", Keyword::All),
    ("sum", Keyword::Sum),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Match,
    NotMatch,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}

/// Longer signs stand before those that they begin with.
const SIGNS: [(&str, Sign); 20] = [
    ("==", Sign::Equal),
    ("=", Sign::Equal),
    ("!=", Sign::NotEqual),
    ("<>", Sign::NotEqual),
    ("<=", Sign::LessOrEqual),
    ("<", Sign::Less),
    (">=", Sign::GreaterOrEqual),
    (">", Sign::Greater),
    ("~=", Sign::Match),
    ("~!", Sign::NotMatch),
    ("(", Sign::Open),
    (")", Sign::Close),
    ("[", Sign::OpenList),
    ("]", Sign::CloseList),
    (",", Sign::Comma),
    ("+", Sign::Plus),
    ("-", Sign::Minus),
    ("*", Sign::Times),
    ("/", Sign::Divide),
    ("%", Sign::Modulo),
];

/// What is wrong, and at which byte. An empty message stands for "unexpected".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

impl<I: Stream + Location> ParserError<I> for Fault {
    type Inner = Self;

    fn from_input(input: &I) -> Self {
        Self::new(input.current_token_start(), "")
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

type Input<'t> = LocatingSlice<&'t str>;
type Parsed<T> = Result<T, ErrMode<Fault>>;

/// The tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut all = preceded(multispace0, repeat(0.., terminated(token, multispace0)));
    let mut input = LocatingSlice::new(text);
    let tokens = all
        .parse_next(&mut input)
        .map_err(|error: ErrMode<Fault>| fault(error, text.len()))?;
    if input.is_empty() {
        Ok(tokens)
    } else {
        Err(Fault::new(input.current_token_start(), ""))
    }
}

/// The fault of a failed parser. Nothing is parsed piece by piece, so that no input is "incomplete".
pub(super) fn fault(error: ErrMode<Fault>, end: usize) -> Fault {
    match error {
        ErrMode::Backtrack(fault) | ErrMode::Cut(fault) => fault,
        ErrMode::Incomplete(_) => Fault::new(end, ""),
    }
}

fn cut<T>(at: usize, message: &'static str) -> Parsed<T> {
    Err(ErrMode::Cut(Fault::new(at, message)))
}

fn token(input: &mut Input<'_>) -> Parsed<Token> {
    let (kind, span) = dispatch! {peek(any);
        '\'' | '"' | '`' => text.map(Kind::Text),
        '0'..='9' => alt((moment.map(Kind::Moment), number.map(Kind::Number))),
        'a'..='z' | 'A'..='Z' | '_' => word,
        _ => sign.map(Kind::Sign),
    }
    .with_span()
    .parse_next(input)?;
    Ok(Token { kind, span })
}

fn sign(input: &mut Input<'_>) -> Parsed<Sign> {
    let found = SIGNS.iter().find(|(text, _)| input.starts_with(text));
    let Some((text, sign)) = found else {
        return fail.parse_next(input);
    };
    literal(*text).value(*sign).parse_next(input)
}

/// A text in quotes. A backslash takes the meaning from a quote or backslash and writes a line end
/// or tab as `n`, `r`, `t`; before anything else it stands for itself, so that patterns of LIKE
/// can escape `%` and `_`.
fn text(input: &mut Input<'_>) -> Parsed<String> {
    let start = input.current_token_start();
    let quote = any.parse_next(input)?;
    let mut text = String::new();
    loop {
        let at = input.current_token_start();
        match input.next_token() {
            None => return cut(start, "the text that begins here has no closing quote"),
            Some(end) if end == quote => return Ok(text),
            Some('\0') => return cut(at, "a text must not have a NUL character"),
            Some('\\') => match input.next_token() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some(quoted @ ('\\' | '\'' | '"' | '`')) => text.push(quoted),
                Some('\0') => return cut(at, "a text must not have a NUL character"),
                Some(other) => text.extend(['\\', other]),
                None => return cut(start, "the text that begins here has no closing quote"),
            },
            Some(character) => text.push(character),
        }
    }
}

/// A date, or a date and time with an offset. Whether there is such a day is checked with the field.
fn moment(input: &mut Input<'_>) -> Parsed<String> {
    fn digits<'t>(count: usize) -> impl Parser<Input<'t>, &'t str, ErrMode<Fault>> {
        take_while(count..=count, '0'..='9')
    }
    let date = (digits(4), '-', digits(2), '-', digits(2));
    let fraction = opt(('.', digit1));
    let zone = alt((
        one_of(['Z', 'z']).void(),
        (one_of(['+', '-']), digits(2), ':', digits(2)).void(),
    ));
    let time = (
        one_of(['T', 't']),
        digits(2),
        ':',
        digits(2),
        ':',
        digits(2),
        fraction,
        zone,
    );
    terminated((date, opt(time)).take(), not(one_of(continues_word)))
        .map(str::to_owned)
        .parse_next(input)
}

/// A number with exponent or suffix.
fn number(input: &mut Input<'_>) -> Parsed<String> {
    let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1).void();
    let suffix = (one_of(['k', 'K', 'M', 'G', 'T', 'P']), opt('i')).void();
    let number = (digit1, opt(('.', digit1)), opt(alt((exponent, suffix)))).take();
    let number = number.map(str::to_owned).parse_next(input)?;
    if peek(opt(one_of(continues_word)))
        .parse_next(input)?
        .is_some()
    {
        let at = input.current_token_start();
        return cut(at, "a number ends here; put a text in quotes");
    }
    Ok(number)
}

fn continues_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_./".contains(character)
}

/// A keyword or the name of a field. Brackets that follow at once belong to the name; those of
/// `labels` may hold a key in quotes, for keys that are no identifiers.
fn word(input: &mut Input<'_>) -> Parsed<Kind> {
    let in_brackets = take_while(0.., |character: char| {
        !character.is_whitespace() && !"[]'\"`".contains(character)
    });
    let brackets = ('[', in_brackets, ']', take_while(0.., continues_word));
    let brackets = repeat::<_, _, (), _, _>(0.., brackets.void());
    let mut word = (take_while(1.., continues_word), brackets).take();
    let start = input.current_token_start();
    let word = word.parse_next(input)?;
    if let Some(at) = word.find('\0') {
        return cut(start + at, "a name must not have a NUL character");
    }
    let mut opens_list = peek(opt(('[', opt(one_of(['\'', '"', '`'])))));
    match opens_list.parse_next(input)? {
        Some((_, Some(_))) if word == "labels" => {
            '['.parse_next(input)?;
            let key = text(input)?;
            cut_err(']').parse_next(input)?;
            return Ok(Kind::Field(format!("labels.{key}")));
        }
        Some(_) => {
            let at = input.current_token_start();
            return cut(at, "put a space before the '[' of a list");
        }
        None => {}
    }
    let keyword = KEYWORDS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word));
    Ok(keyword.map_or_else(
        || Kind::Field(word.to_owned()),
        |(_, keyword)| Kind::Keyword(*keyword),
    ))
}
