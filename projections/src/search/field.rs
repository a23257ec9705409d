//! What the name of a field stands for.

use super::error::SearchError;
use super::predicate::{ConditionTime, GENERATION, OwnText, TimeField};

/// What a field is, with what its name says beyond that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Text(OwnText),
    Generation,
    Time(TimeField),
    Label(String),
    Spec(Vec<String>),
    Condition(String, Part),
}

/// Which part of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Status,
    Time(ConditionTime),
    ObservedGeneration,
}

/// What the field of that name is.
pub(super) fn meaning(name: &str) -> Result<Meaning, SearchError> {
    match name.split_once('.') {
        None => own(name),
        Some(("labels", key)) if !key.is_empty() => Ok(Meaning::Label(key.to_owned())),
        Some(("labels" | "label", _)) => Err(SearchError::UnknownField),
        Some(("spec", path)) => spec(path),
        Some(("status", rest)) => match rest.split_once('.') {
            Some(("conditions", condition_path)) => condition(condition_path),
            None if rest == "conditions" => Err(SearchError::ConditionFormat),
            _ => Err(not_related("status")),
        },
        Some((first, _)) => Err(not_related(first)),
    }
}

fn not_related(part: &str) -> SearchError {
    SearchError::NotRelated {
        part: part.to_owned(),
    }
}

fn own(name: &str) -> Result<Meaning, SearchError> {
    if name == GENERATION {
        return Ok(Meaning::Generation);
    }
    if let Some(field) = OwnText::ALL.into_iter().find(|field| field.name() == name) {
        return Ok(Meaning::Text(field));
    }
    if let Some(field) = TimeField::ALL
        .into_iter()
        .find(|field| field.name() == name)
    {
        return Ok(Meaning::Time(field));
    }
    let first_is_digit = name.starts_with(|first: char| first.is_ascii_digit());
    if first_is_digit || !is_lower_snake_case(name) {
        return Err(SearchError::FieldName {
            name: name.to_owned(),
        });
    }
    Err(SearchError::UnknownField)
}

fn spec(path: &str) -> Result<Meaning, SearchError> {
    let segments: Vec<String> = path.split('.').map(str::to_owned).collect();
    match segments
        .iter()
        .find(|segment| !is_lower_snake_case(segment))
    {
        None => Ok(Meaning::Spec(segments)),
        Some(segment) => Err(SearchError::SpecSegment {
            segment: segment.clone(),
        }),
    }
}

fn is_lower_snake_case(text: &str) -> bool {
    let allowed = |character: char| {
        character == '_' || character.is_ascii_lowercase() || character.is_ascii_digit()
    };
    !text.is_empty() && text.chars().all(allowed)
}

fn condition(path: &str) -> Result<Meaning, SearchError> {
    let mut parts = path.split('.');
    let name = parts.next().unwrap_or_default();
    let is_pascal_case = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric());
    if !is_pascal_case {
        return Err(SearchError::ConditionType {
            name: name.to_owned(),
        });
    }
    let part = match (parts.next(), parts.next()) {
        (None, _) => Part::Status,
        (Some(_), Some(_)) => return Err(SearchError::ConditionFormat),
        (Some("last_updated_time"), None) => Part::Time(ConditionTime::LastUpdated),
        (Some("last_transition_time"), None) => Part::Time(ConditionTime::LastTransition),
        (Some("observed_generation"), None) => Part::ObservedGeneration,
        (Some(other), None) => {
            return Err(SearchError::ConditionSubfield {
                name: other.to_owned(),
            });
        }
    };
    Ok(Meaning::Condition(name.to_owned(), part))
}
