//! The SQL of a search has no text of the user: only words and signs of this list, and placeholders.

use std::collections::BTreeSet;

use hyperfleet_projections::search::Predicate;

/// Every word that a condition may have, blanks between them.
const WORDS: &str = "\
    ALL AND ANY BETWEEN CASE COLLATE END FROM ILIKE IN IS LIKE NOT NULL OR SELECT THEN UNION WHEN WHERE \
    true false text numeric length jsonb_typeof \
    resources id name kind href created_by updated_by deleted_by owner_id owner_kind owner_href \
    generation created_time updated_time deleted_time search_keys labels spec \
    resource_conditions resource_id type observed_generation last_updated_time last_transition_time";

/// Every quoted text.
const QUOTED: [&str; 4] = [
    "\"C\"",
    "'number'",
    "'string'",
    r"'^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$'",
];

/// Every character of the operators and between them.
const SIGNS: &str = "()=<>@&-#:*~, ";

pub(super) fn check(predicate: &Predicate) {
    let (sql, values) = predicate.to_sql();
    let mut rest = sql.clone();
    for quoted in QUOTED {
        rest = rest.replace(quoted, " ");
    }
    let words: BTreeSet<&str> = WORDS.split(' ').collect();
    let mut placeholders = BTreeSet::new();
    let is_part = |character: char| character.is_alphanumeric() || "_$".contains(character);
    for word in rest.split(|character| !is_part(character)) {
        if let Some(number) = word.strip_prefix('$') {
            placeholders.insert(number.parse::<usize>().expect("a placeholder has a number"));
        } else if !word.is_empty() && !word.bytes().all(|byte| byte.is_ascii_digit()) {
            assert!(words.contains(word), "{word:?} in {sql}");
        }
    }
    for sign in rest.chars().filter(|character| !is_part(*character)) {
        assert!(SIGNS.contains(sign), "{sign:?} in {sql}");
    }
    let all: BTreeSet<usize> = (1..=values).collect();
    assert_eq!(placeholders, all, "{sql}");
    assert_eq!(sql.matches('(').count(), sql.matches(')').count(), "{sql}");
}
