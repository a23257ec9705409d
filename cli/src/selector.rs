//! Label selectors as kubectl has them, put into the search language of the API.

use anyhow::{Context as _, bail, ensure};

/// The search that finds what a selector selects: every requirement, separated by commas.
///
/// As in kubectl, `key!=value` and `key notin (…)` also select what has no such label; the search
/// language's own `!=` does not.
pub(crate) fn search(selector: &str) -> anyhow::Result<String> {
    let requirements: Vec<String> = split(selector)
        .into_iter()
        .map(|part| requirement(part).with_context(|| format!("selector {selector:?}")))
        .collect::<anyhow::Result<_>>()?;
    Ok(requirements.join(" and "))
}

/// Splits at the commas outside parentheses.
fn split(selector: &str) -> Vec<&str> {
    let mut open = false;
    selector
        .split(|character| {
            match character {
                '(' => open = true,
                ')' => open = false,
                _ => {}
            }
            character == ',' && !open
        })
        .map(str::trim)
        .collect()
}

fn requirement(text: &str) -> anyhow::Result<String> {
    if let Some(key) = text.strip_prefix('!') {
        return Ok(format!("{} is null", label(key)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        let (label, value) = (label(key)?, value_of(value)?);
        return Ok(format!("({label} != {value} or {label} is null)"));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(format!("{} = {}", label(key)?, value_of(value)?));
    }
    if let Some((start, list)) = text.split_once('(') {
        let list = list.strip_suffix(')').context("a list has no ')'")?;
        let values: Vec<String> = list.split(',').map(value_of).collect::<Result<_, _>>()?;
        let words: Vec<&str> = start.split_whitespace().collect();
        return match words[..] {
            [key, "in"] => Ok(format!("{} in [{}]", label(key)?, values.join(", "))),
            [key, "notin"] => {
                let label = label(key)?;
                let others: Vec<String> = values
                    .iter()
                    .map(|value| format!("{label} != {value}"))
                    .collect();
                Ok(format!("({label} is null or {})", others.join(" and ")))
            }
            _ => bail!("before a list stands `key in` or `key notin`, not {start:?}"),
        };
    }
    // Every text is at least the empty one.
    Ok(format!("{} >= ''", label(text)?))
}

/// A label as the search language names it; keys with hyphens stand in quotes.
fn label(key: &str) -> anyhow::Result<String> {
    let key = key.trim();
    let allowed = |character: char| character.is_ascii_alphanumeric() || "._/-".contains(character);
    ensure!(
        !key.is_empty() && key.chars().all(allowed),
        "{key:?} is no label key"
    );
    Ok(if key.contains('-') {
        format!("labels['{key}']")
    } else {
        format!("labels.{key}")
    })
}

fn value_of(text: &str) -> anyhow::Result<String> {
    let text = text.trim();
    let allowed = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    ensure!(text.chars().all(allowed), "{text:?} is no label value");
    Ok(format!("'{text}'"))
}

#[cfg(test)]
mod tests {
    use hyperfleet_projections::search;

    #[test]
    fn a_selector_becomes_a_search() {
        for (selector, expected) in [
            ("env=prod", "labels.env = 'prod'"),
            ("env==prod", "labels.env = 'prod'"),
            (
                " env = prod , tier= ",
                "labels.env = 'prod' and labels.tier = ''",
            ),
            ("env!=prod", "(labels.env != 'prod' or labels.env is null)"),
            ("my-key=x", "labels['my-key'] = 'x'"),
            ("example.com/a_b", "labels.example.com/a_b >= ''"),
            ("!env", "labels.env is null"),
            (
                "env in (a, b),x",
                "labels.env in ['a', 'b'] and labels.x >= ''",
            ),
            (
                "env notin (a,b)",
                "(labels.env is null or labels.env != 'a' and labels.env != 'b')",
            ),
        ] {
            let search = super::search(selector).expect(selector);
            assert_eq!(search, expected);
            search::parse(&search).expect(selector);
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for selector in [
            "",
            "a,,b",
            "=x",
            "env in a",
            "env in (a",
            "env like (a)",
            "a='x'",
            "a b",
        ] {
            assert!(super::search(selector).is_err(), "{selector}");
        }
    }
}
