//! From what a search asks to SQL over `resources`.
//!
//! Every value is bound; names of columns are constants of this crate. Only names of fields decide
//! the text.

use super::keys;
use super::predicate::{Comparison, Number, Predicate, Test, TextField};
use crate::statement::{Bind, Binds};

/// Texts of the spec that are read as numbers: such that the database can hold any of them.
const NUMBER_PATTERN: &str = r"'^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$'";
pub(super) const NUMBER_LENGTH: usize = 1000;

impl Comparison {
    fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Predicate {
    /// The condition on a row of `resources` as PostgreSQL gets it, and how many values `$1`, `$2`, …
    /// it binds. Lists put it beside their own scope; this is for looking at it.
    pub fn to_sql(&self) -> (String, usize) {
        let mut binds = Binds::default();
        let sql = self.sql("true", &mut binds);
        (sql, binds.len())
    }

    /// A condition on a row of `resources`. `scope` is the condition that holds beside it in any
    /// case: where a search is answered from several indexes, each part is narrowed by it.
    pub(crate) fn sql(&self, scope: &str, binds: &mut Binds) -> String {
        match self {
            Self::All(parts) => all(parts, scope, binds),
            Self::Any(parts) => any(parts, scope, binds),
            Self::Not(inner) => format!("NOT ({})", inner.sql(scope, binds)),
            Self::Never => "false".to_owned(),
            Self::Text(TextField::Label(key), Test::Compare(Comparison::Equal, value)) => {
                has_keys("@>", vec![keys::label(key, value)], binds)
            }
            Self::Text(TextField::Label(key), Test::AnyOf(values)) => {
                let keys = values.iter().map(|value| keys::label(key, value)).collect();
                has_keys("&&", keys, binds)
            }
            Self::Text(field, test) => text_test(&field.sql(binds), test, binds),
            Self::Like {
                field,
                pattern,
                ignore_case,
            } => {
                let operator = if *ignore_case { "ILIKE" } else { "LIKE" };
                let field = field.sql(binds);
                format!("{field} {operator} {}", binds.text(pattern))
            }
            Self::SpecNumber(path, test) => number_test(path, test, binds),
            Self::Generation(test) => apply(
                "generation",
                test,
                |value| binds_integer(*value),
                |values| Bind::Integers(values.to_vec()),
                binds,
            ),
            Self::Time(field, test) => apply(
                field.name(),
                test,
                |value| Bind::Time(*value),
                |values| Bind::Times(values.to_vec()),
                binds,
            ),
            Self::Fields(left, comparison, right) => {
                format!("{} {} {}", left.name(), comparison.sql(), right.name())
            }
            Self::Condition { r#type, status } => {
                has_keys("@>", vec![keys::condition(r#type, status)], binds)
            }
            Self::NoCondition { r#type } => {
                let statuses = ["True", "False"].map(|status| keys::condition(r#type, status));
                format!("NOT {}", has_keys("&&", statuses.to_vec(), binds))
            }
            Self::ConditionTime {
                r#type,
                time,
                comparison,
                value,
            } => condition_part(r#type, time.name(), *comparison, Bind::Time(*value), binds),
            Self::ConditionGeneration {
                r#type,
                comparison,
                value,
            } => {
                let value = binds_integer(i64::from(*value));
                condition_part(r#type, "observed_generation", *comparison, value, binds)
            }
        }
    }

    /// Whether another table than `resources` is asked, which cannot be combined by OR within one
    /// scan.
    fn asks_conditions(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::asks_conditions),
            Self::ConditionTime { .. } | Self::ConditionGeneration { .. } => true,
            _ => false,
        }
    }
}

fn binds_integer(value: i64) -> Bind {
    Bind::Integer(value)
}

/// What is asked of `resources` alone comes first, and narrows the rest.
fn all(parts: &[Predicate], scope: &str, binds: &mut Binds) -> String {
    let (other, own): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.asks_conditions());
    let mut whole = String::new();
    for part in own.into_iter().chain(other) {
        let narrowed = if whole.is_empty() {
            scope.to_owned()
        } else {
            format!("{scope} AND {whole}")
        };
        let part = part.sql(&narrowed, binds);
        if !whole.is_empty() {
            whole.push_str(" AND ");
        }
        whole.push_str(&part);
    }
    format!("({whole})")
}

/// Parts that ask other tables are each looked up from their own index, and their ids put together.
fn any(parts: &[Predicate], scope: &str, binds: &mut Binds) -> String {
    let (other, own): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.asks_conditions());
    let own: Vec<String> = own.iter().map(|part| part.sql(scope, binds)).collect();
    let own = (!own.is_empty()).then(|| format!("({})", own.join(" OR ")));
    if other.is_empty() {
        return own.unwrap_or_else(|| "false".to_owned());
    }
    let other = other.iter().map(|part| part.sql(scope, binds));
    let selects: Vec<String> = own
        .into_iter()
        .chain(other)
        .map(|part| format!("SELECT id FROM resources WHERE {scope} AND {part}"))
        .collect();
    format!("id IN ({})", selects.join(" UNION ALL "))
}

fn has_keys(operator: &str, keys: Vec<String>, binds: &mut Binds) -> String {
    format!("search_keys {operator} {}", binds.add(Bind::Texts(keys)))
}

fn condition_part(
    r#type: &str,
    column: &str,
    comparison: Comparison,
    value: Bind,
    binds: &mut Binds,
) -> String {
    let r#type = binds.text(r#type);
    let value = binds.add(value);
    let comparison = comparison.sql();
    format!(
        "id IN (SELECT resource_id FROM resource_conditions \
         WHERE type = {type} AND {column} {comparison} {value})"
    )
}

impl TextField {
    /// The text, which compares by its bytes.
    fn sql(&self, binds: &mut Binds) -> String {
        match self {
            Self::Own(field) => field.name().to_owned(),
            Self::Label(key) => format!("(labels ->> {}) COLLATE \"C\"", binds.text(key)),
            Self::Spec(path) => {
                let path = binds.add(Bind::Texts(path.clone()));
                format!("(spec #>> {path}) COLLATE \"C\"")
            }
        }
    }
}

fn text_test(field: &str, test: &Test<String>, binds: &mut Binds) -> String {
    apply(
        field,
        test,
        |value| Bind::Text(value.clone()),
        |values| Bind::Texts(values.to_vec()),
        binds,
    )
}

fn apply<T>(
    field: &str,
    test: &Test<T>,
    one: impl Fn(&T) -> Bind,
    many: impl Fn(&[T]) -> Bind,
    binds: &mut Binds,
) -> String {
    match test {
        Test::Compare(comparison, value) => {
            format!("{field} {} {}", comparison.sql(), binds.add(one(value)))
        }
        Test::AnyOf(values) => format!("{field} = ANY({})", binds.add(many(values))),
        Test::Between(low, high) => {
            let (low, high) = (binds.add(one(low)), binds.add(one(high)));
            format!("{field} BETWEEN {low} AND {high}")
        }
        Test::IsNull => format!("{field} IS NULL"),
    }
}

/// A number, or a text that says one, at a path of the spec; anything else is absent.
fn number_test(path: &[String], test: &Test<Number>, binds: &mut Binds) -> String {
    let path = binds.add(Bind::Texts(path.to_vec()));
    let text = format!("(spec #>> {path})");
    let field = format!(
        "CASE jsonb_typeof(spec #> {path}) \
         WHEN 'number' THEN {text}::numeric \
         WHEN 'string' THEN CASE WHEN length({text}) <= {NUMBER_LENGTH} \
         AND {text} ~ {NUMBER_PATTERN} THEN {text}::numeric END END"
    );
    let mut number = |number: &Number| {
        let decimal = binds.text(&number.decimal);
        format!("({decimal}::text::numeric * {})", number.factor)
    };
    match test {
        Test::Compare(comparison, value) => {
            format!("({field}) {} {}", comparison.sql(), number(value))
        }
        Test::AnyOf(values) => {
            let values: Vec<String> = values.iter().map(number).collect();
            format!("({field}) IN ({})", values.join(", "))
        }
        Test::Between(low, high) => {
            format!("({field}) BETWEEN {} AND {}", number(low), number(high))
        }
        Test::IsNull => format!("({field}) IS NULL"),
    }
}
