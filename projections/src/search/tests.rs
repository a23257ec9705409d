//! The language against API contract v1, §3, and properties of it.

use proptest::prelude::*;

use super::*;

fn refusal(text: &str) -> String {
    match parse(text) {
        Err(error) => error.to_string(),
        Ok(predicate) => panic!("{text} is accepted: {predicate:?}"),
    }
}

fn accepted(text: &str) -> Predicate {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn text_equals(field: OwnText, value: &str) -> Predicate {
    let test = Test::Compare(Comparison::Equal, value.to_owned());
    Predicate::Text(TextField::Own(field), test)
}

fn name(value: &str) -> Predicate {
    text_equals(OwnText::Name, value)
}

#[test]
fn and_binds_tighter_than_or() {
    let expected = Predicate::Any(vec![name("a"), Predicate::All(vec![name("b"), name("c")])]);
    assert_eq!(accepted("name='a' or name='b' and name='c'"), expected);
    let grouped = Predicate::All(vec![Predicate::Any(vec![name("a"), name("b")]), name("c")]);
    assert_eq!(accepted("(name='a' or name='b') and name='c'"), grouped);
}

#[test]
fn not_before_a_field_negates_the_comparison() {
    let negated = Predicate::Not(Box::new(name("a")));
    for text in [
        "not name = 'a'",
        "not (name = 'a')",
        "NOT name == \"a\"",
        "not((name)=(`a`))",
    ] {
        assert_eq!(accepted(text), negated, "{text}");
    }
    let both = Predicate::All(vec![negated.clone(), name("b")]);
    assert_eq!(accepted("not name = 'a' and name = 'b'"), both);
    assert_eq!(
        accepted("not not name = 'a'"),
        Predicate::Not(Box::new(negated))
    );
    assert_eq!(
        accepted("not deleted_time is null"),
        accepted("deleted_time is not null")
    );
    assert_eq!(accepted("not name in ['a']"), accepted("name not in ['a']"));
    assert_eq!(
        accepted("not name between 'a' and 'b'"),
        accepted("name not between 'a' and 'b'")
    );
}

#[test]
fn both_sides_of_a_comparison_may_have_the_field() {
    assert_eq!(accepted("'a' = name"), name("a"));
    assert_eq!(accepted("1 < generation"), accepted("generation > 1"));
    assert_eq!(
        accepted("created_by != updated_by"),
        Predicate::Fields(
            Field::Text(OwnText::CreatedBy),
            Comparison::NotEqual,
            Field::Text(OwnText::UpdatedBy)
        )
    );
}

#[test]
fn texts_have_three_quotes_and_escapes() {
    for (text, expected) in [
        ("name='it\\'s'", "it's"),
        ("name=\"it's\"", "it's"),
        ("name=`\"`", "\""),
        (r"name='a\\b'", r"a\b"),
        (r"name='a\%b'", r"a\%b"),
        (r"name='a\tb\n'", "a\tb\n"),
        ("name='ü or name=1'", "ü or name=1"),
        ("name=2026-01-01", "2026-01-01"),
    ] {
        assert_eq!(accepted(text), name(expected), "{text}");
    }
}

#[test]
fn keys_of_labels_have_dots_and_slashes_and_others_stand_in_quotes() {
    let label = |key: &str| {
        Predicate::Text(
            TextField::Label(key.to_owned()),
            Test::Compare(Comparison::Equal, "x".to_owned()),
        )
    };
    assert_eq!(
        accepted("labels.app.kubernetes.io/name='x'"),
        label("app.kubernetes.io/name")
    );
    assert_eq!(
        accepted("labels['app.kubernetes.io/managed-by'] = 'x'"),
        label("app.kubernetes.io/managed-by")
    );
    assert_eq!(
        refusal("labels.a-b = 'x'"),
        "unsupported comparison operator: MINUS"
    );
}

#[test]
fn numbers_compare_as_numbers_and_words_as_text() {
    let path = || vec!["a".to_owned(), "b".to_owned()];
    let number = |decimal: &str, factor| Number {
        decimal: decimal.to_owned(),
        factor,
    };
    assert_eq!(
        accepted("spec.a.b > -1.5Ki"),
        Predicate::SpecNumber(
            path(),
            Test::Compare(Comparison::Greater, number("-1.5", 1024))
        )
    );
    assert_eq!(
        accepted("spec.a.b = True"),
        Predicate::Text(
            TextField::Spec(path()),
            Test::Compare(Comparison::Equal, "true".to_owned())
        )
    );
    assert_eq!(
        accepted("spec.a.b in [1, 2,]"),
        Predicate::SpecNumber(path(), Test::AnyOf(vec![number("1", 1), number("2", 1)]))
    );
    assert!(refusal("spec.a between 1 and 'x'").contains("either numbers or texts"));
}

#[test]
fn a_status_without_quotes_is_legal_and_matches_nothing() {
    assert_eq!(
        accepted("status.conditions.Reconciled = True"),
        Predicate::Never
    );
}

const UNKNOWN: &str = "invalid field in search or order query";
const NOT_LABEL: &str = "NOT operator is not supported with label queries";
const NOT_CONDITION: &str = "NOT operator is not supported with condition queries";
const INTEGER: &str = "field 'generation' expects an integer";
const TIME: &str = "field 'created_time' expects an RFC3339 timestamp (e.g. 2026-01-01T00:00:00Z)";
const EQUALITY: &str = "only equality operator (=) is supported for condition status queries";
const CONDITION_TIME: &str = "invalid timestamp for condition subfield: expected RFC3339 format (e.g., 2026-01-01T00:00:00Z)";
const FORMAT: &str = "invalid condition format: expected status.conditions.<Type> or status.conditions.<Type>.<subfield>";

/// The exact texts of API contract v1, §3.4 to §3.6.
const REFUSALS: &[(&str, &str)] = &[
    ("nosuch='x'", UNKNOWN),
    ("label.env='x'", UNKNOWN),
    ("spec='x'", UNKNOWN),
    ("name = nosuch", UNKNOWN),
    ("Name='x'", "Name is not a valid field name"),
    ("name[0]='x'", "name[0] is not a valid field name"),
    (
        "properties.foo='bar'",
        "properties is not a related resource of Resource",
    ),
    (
        "status.phase='x'",
        "status is not a related resource of Resource",
    ),
    ("generation='abc'", INTEGER),
    ("'abc'=generation", INTEGER),
    ("generation in [1,'a']", INTEGER),
    ("generation = 1.5", INTEGER),
    ("generation between 1 and 'a'", INTEGER),
    ("not generation = true", INTEGER),
    ("created_time = 'not-a-date'", TIME),
    ("created_time = 5", TIME),
    ("created_time in ['2020-01-01', 'x']", TIME),
    ("name = 5", "field 'name' expects a text in quotes"),
    (
        "labels.env = 5",
        "field 'labels.env' expects a text in quotes",
    ),
    ("not labels.env='prod'", NOT_LABEL),
    ("labels.env not in ['a']", NOT_LABEL),
    ("labels.env is not null", NOT_LABEL),
    ("labels.env not between 'a' and 'b'", NOT_LABEL),
    ("not (name='a' and labels.env='prod')", NOT_LABEL),
    (
        "spec.nodeCount = 3",
        "spec field segment 'nodeCount' is invalid: must contain only lowercase letters, digits, and underscores",
    ),
    (
        "status.conditions.reconciled='True'",
        "condition type 'reconciled' is invalid: must be PascalCase (e.g., Reconciled, Available)",
    ),
    ("status.conditions.A.b.c='True'", FORMAT),
    ("status.conditions='True'", FORMAT),
    (
        "status.conditions.Reconciled.created_time < '2030-01-01T00:00:00Z'",
        "condition subfield 'created_time' is not supported; use last_updated_time, last_transition_time, or observed_generation",
    ),
    ("status.conditions.Reconciled != 'True'", EQUALITY),
    ("status.conditions.Reconciled > 'True'", EQUALITY),
    (
        "status.conditions.Reconciled='Maybe'",
        "condition status 'Maybe' is invalid: must be True, False, or Unknown",
    ),
    (
        "status.conditions.Reconciled=1",
        "condition status '1' is invalid: must be True, False, or Unknown",
    ),
    (
        "status.conditions.Reconciled.last_updated_time < '2030-01-01'",
        CONDITION_TIME,
    ),
    (
        "status.conditions.Reconciled.last_transition_time = 7",
        CONDITION_TIME,
    ),
    (
        "status.conditions.Reconciled.observed_generation = 1.5",
        "expected integer value for condition subfield 'observed_generation', got 1.5",
    ),
    (
        "status.conditions.Reconciled.observed_generation = 'abc'",
        "expected integer value for condition subfield 'observed_generation', got abc",
    ),
    (
        "status.conditions.Reconciled.observed_generation < 3000000000",
        "value 3000000000 is out of 32-bit integer range for condition subfield 'observed_generation'",
    ),
    (
        "status.conditions.Reconciled in ['True']",
        "IN is not supported for condition queries; use comparison operators (=, !=, <, <=, >, >=)",
    ),
    (
        "status.conditions.Reconciled between 'A' and 'B'",
        "BETWEEN is not supported for condition queries; use comparison operators (=, !=, <, <=, >, >=)",
    ),
    (
        "status.conditions.Reconciled like 'T%'",
        "LIKE/ILIKE is not supported for condition queries; use comparison operators (=, !=, <, <=, >, >=)",
    ),
    ("not status.conditions.Reconciled='True'", NOT_CONDITION),
    ("status.conditions.Reconciled is not null", NOT_CONDITION),
    (
        "status.conditions.Reconciled not in ['True']",
        NOT_CONDITION,
    ),
    (
        "generation + 1 = 2",
        "unsupported comparison operator: PLUS",
    ),
    (
        "2 = generation * 1",
        "unsupported comparison operator: TIMES",
    ),
    (
        "name ~= 'x'",
        "unsupported comparison operator: REGEX_MATCH",
    ),
    ("len name = 3", "unsupported comparison operator: LEN"),
    ("any labels.x = 'a'", "unsupported comparison operator: ANY"),
    ("-generation = 3", "unsupported comparison operator: MINUS"),
];

#[test]
fn refusals_say_what_the_contract_says() {
    for (text, expected) in REFUSALS {
        assert_eq!(refusal(text), *expected, "{text}");
    }
}

/// Without a text of the contract: refused, with a text that helps.
#[test]
fn what_the_database_would_choke_on_is_refused_before() {
    for text in [
        "name in []",
        "name in 'a'",
        "name in ('a')",
        "name",
        "true",
        "'a'",
        "[1]",
        "'a' = 'a'",
        "1 = 1",
        "name = 'a' = 'b'",
        "name = ['a']",
        "name = not 'a'",
        "generation like '1%'",
        "name like 5",
        r"name like 'a\\'",
        "spec.x = 1e9999",
        "created_time = generation",
        "name is null is null",
        "'a' is null",
        "labels is null",
        "labels. = 'a'",
    ] {
        assert!(!refusal(text).is_empty(), "{text}");
    }
}

#[test]
fn a_fault_of_syntax_points_at_its_place() {
    for (text, message, position) in [
        (
            "name=",
            "expected a field, a value or '(', found the end",
            6,
        ),
        ("and", "expected a field, a value or '('", 1),
        ("", "expected a field, a value or '(', found the end", 1),
        (
            "name='unterminated",
            "the text that begins here has no closing quote",
            6,
        ),
        ("name='a') or (name='b'", "unexpected ')", 9),
        ("name in ('a','b')", "expected ')'", 13),
        ("name in['a']", "put a space before the '[' of a list", 8),
        ("name in ['a' 'b']", "expected ',' or ']'", 14),
        ("(name='a'", "expected ')', found the end", 10),
        ("name='ü' ? 1", "unexpected '?'", 10),
        ("name = 5x", "a number ends here; put a text in quotes", 9),
        ("name is 5", "expected null or not null", 9),
        ("name is not 5", "expected null", 13),
        (
            "generation between 1 or 2",
            "expected 'and' and the upper bound",
            22,
        ),
        ("name not like 'a'", "expected 'in' or 'between'", 10),
        ("name = null", "expected a field, a value or '('", 8),
        ("name='a\0b'", "a text must not have a NUL character", 8),
        ("labels['a' = 'b'", "unexpected '='", 11),
        (
            "labels.a[\0] = 'b'",
            "a name must not have a NUL character",
            10,
        ),
    ] {
        let Err(SearchError::Syntax {
            message: found,
            position: at,
            ..
        }) = parse(text)
        else {
            panic!("{text} is no fault of syntax: {:?}", parse(text));
        };
        assert!(found.starts_with(message), "{text}: {found}");
        assert_eq!(at, position, "{text}");
    }
    assert_eq!(
        refusal(" name='a')\tor name='b' "),
        "failed to parse search query: unexpected ')' at position 9:\nname='a') or name='b'\n        ^"
    );
}

#[test]
fn length_and_depth_are_limited() {
    let longest = format!("name='{}'", "x".repeat(MAX_LENGTH - 7));
    assert!(parse(&format!("  {longest}  ")).is_ok());
    let expected = "search query exceeds maximum length of 4096 characters";
    assert_eq!(refusal(&longest.replacen('x', "xx", 1)), expected);
    let nested = |depth| format!("{}name='a'{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert!(refusal(&nested(MAX_DEPTH + 1)).contains("nested deeper than 64 levels"));
}

/// A thread with half of what Tokio's have reads the worst that fits into the length.
#[test]
fn no_text_overflows_the_stack() {
    let worst = [
        "(".repeat(MAX_LENGTH),
        "[".repeat(MAX_LENGTH),
        "-".repeat(MAX_LENGTH),
        "not ".repeat(MAX_LENGTH / 4),
        "not(".repeat(MAX_LENGTH / 4),
        "1+".repeat(MAX_LENGTH / 2),
        "a=".repeat(MAX_LENGTH / 2 - 1) + "a",
        "a or ".repeat(MAX_LENGTH / 5 - 1) + "a",
        "a is null ".repeat(MAX_LENGTH / 10),
        "(".repeat(64) + &"a=".repeat(MAX_LENGTH / 2 - 100),
        "a in [".repeat(MAX_LENGTH / 6),
        "a between ".repeat(MAX_LENGTH / 10),
        "(a='b' or ".repeat(64) + "a='b'" + &")".repeat(64),
    ];
    let reader = std::thread::Builder::new().stack_size(1024 * 1024);
    let reading = reader.spawn(move || {
        for text in &worst {
            assert!(text.len() <= MAX_LENGTH);
            drop(parse(text));
        }
    });
    reading.expect("a thread").join().expect("no overflow");
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-zA-Z0-9_./]{0,12}",
        "(spec|status\\.conditions|properties)\\.[a-zA-Z0-9_.]{1,12}",
        "labels\\.[ -~]{1,12}",
        "[a-z]{1,3}\\[[a-z0-9,]{0,3}\\][a-z]{0,2}",
    ]
    .prop_filter("no keyword", |name| {
        !matches!(read(name), Ok(Expression::Boolean(_)) | Err(_)) || name.starts_with("labels.")
    })
}

fn single() -> impl Strategy<Value = Expression> {
    prop_oneof![
        field().prop_map(Expression::Field),
        "[^\0]{0,12}".prop_map(Expression::Text),
        "-?[0-9]{1,5}(\\.[0-9]{1,3})?(e[+-]?[0-9]{1,2}|[kMGTP]i?)?".prop_map(Expression::Number),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2}))?"
            .prop_map(Expression::Moment),
        any::<bool>().prop_map(Expression::Boolean),
    ]
}

fn operator() -> impl Strategy<Value = Operator> {
    prop::sample::select(vec![
        Operator::Equal,
        Operator::NotEqual,
        Operator::Less,
        Operator::LessOrEqual,
        Operator::Greater,
        Operator::GreaterOrEqual,
        Operator::Like,
        Operator::ILike,
        Operator::In,
        Operator::Match,
        Operator::NotMatch,
        Operator::Plus,
        Operator::Minus,
        Operator::Times,
        Operator::Divide,
        Operator::Modulo,
    ])
}

fn function() -> impl Strategy<Value = Function> {
    prop::sample::select(vec![
        Function::Len,
        Function::Any,
        Function::All,
        Function::Sum,
    ])
}

/// Expressions as the grammar makes them: an operator never has a negation on its left, which it
/// would be applied within.
fn expression() -> impl Strategy<Value = Expression> {
    single().prop_recursive(5, 40, 4, |inner| {
        let left = inner
            .clone()
            .prop_filter("a negation", |left| !matches!(left, Expression::Not(_)));
        let boxed = |strategy: BoxedStrategy<Expression>| strategy.prop_map(Box::new);
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left.and(right)),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left.or(right)),
            boxed(inner.clone().boxed()).prop_map(Expression::Not),
            (
                operator(),
                boxed(left.clone().boxed()),
                boxed(inner.clone().boxed())
            )
                .prop_map(|(operator, left, right)| Expression::Binary {
                    operator,
                    left,
                    right
                }),
            (
                boxed(left.clone().boxed()),
                boxed(inner.clone().boxed()),
                boxed(inner.clone().boxed())
            )
                .prop_map(|(operand, low, high)| Expression::Between {
                    operand,
                    low,
                    high
                }),
            boxed(left.boxed()).prop_map(Expression::IsNull),
            (function(), boxed(inner.clone().boxed()))
                .prop_map(|(function, operand)| Expression::Prefix { function, operand }),
            prop::collection::vec(inner, 0..3).prop_map(Expression::List),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(expression in expression()) {
        let printed = expression.to_string();
        prop_assume!(printed.len() <= MAX_LENGTH);
        prop_assert_eq!(read(&printed), Ok(expression), "{}", printed);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        drop(parse(&text));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(parse(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn no_words_of_the_language_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "and", "or", "not", "in", "like", "ilike", "between", "is", "null", "true", "len",
                "(", ")", "[", "]", ",", "=", "!=", "<", ">=", "~=", "+", "-", "*", "'a'", "1",
                "1.5", "2020-01-01", "name", "generation", "labels.a", "spec.a.b", "created_time",
                "status.conditions.A", "status.conditions.A.last_updated_time", "labels['x-y']",
            ]),
            0..30,
        )
    ) {
        drop(parse(&words.join(" ")));
    }
}
