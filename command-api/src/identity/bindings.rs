//! Which roles a caller has.

use std::collections::BTreeSet;

use regex::Regex;

use super::claims::{self, Claims};
use super::config::{AuthorizationConfig, BindingConfig};
use super::roles::Role;

/// The bindings of roles, ready to be matched.
pub(super) struct Bindings {
    bindings: Vec<Binding>,
    groups_claim: String,
}

struct Binding {
    role: Role,
    subjects: Vec<Pattern>,
    claims: Vec<(String, Vec<Pattern>)>,
    groups: Vec<Pattern>,
}

/// A text in which `*` stands for any characters, and everything else for itself.
struct Pattern(Regex);

impl Pattern {
    fn new(text: &str) -> Result<Self, regex::Error> {
        let parts: Vec<String> = text.split('*').map(regex::escape).collect();
        Regex::new(&format!("(?s)^{}$", parts.join(".*"))).map(Self)
    }

    fn all(texts: &[String]) -> Result<Vec<Self>, regex::Error> {
        texts.iter().map(|text| Self::new(text)).collect()
    }
}

/// Whether one of the patterns matches one of the texts.
fn any(patterns: &[Pattern], texts: &[String]) -> bool {
    let matches = |pattern: &Pattern| texts.iter().any(|text| pattern.0.is_match(text));
    patterns.iter().any(matches)
}

impl Bindings {
    pub(super) fn new(config: &AuthorizationConfig) -> Result<Self, regex::Error> {
        Ok(Self {
            bindings: config
                .bindings
                .iter()
                .map(Binding::new)
                .collect::<Result<_, _>>()?,
            groups_claim: config.groups_claim.clone(),
        })
    }

    /// The roles of a caller with this name (empty when there is none) and these claims.
    pub(super) fn roles(&self, actor: &str, claims: &Claims) -> BTreeSet<Role> {
        let subject: Vec<String> = Some(actor)
            .filter(|actor| !actor.is_empty())
            .map(str::to_owned)
            .into_iter()
            .collect();
        let groups = claims::texts(claims, &self.groups_claim);
        self.bindings
            .iter()
            .filter(|binding| binding.holds(&subject, &groups, claims))
            .map(|binding| binding.role)
            .collect()
    }
}

impl Binding {
    fn new(config: &BindingConfig) -> Result<Self, regex::Error> {
        let claims = config.claims.iter().map(|(claim, accepted)| {
            Pattern::all(accepted.values()).map(|patterns| (claim.clone(), patterns))
        });
        Ok(Self {
            role: config.role,
            subjects: Pattern::all(&config.subjects)?,
            claims: claims.collect::<Result<_, _>>()?,
            groups: Pattern::all(&config.groups)?,
        })
    }

    /// Every criterion that is stated is met.
    fn holds(&self, subject: &[String], groups: &[String], claims: &Claims) -> bool {
        let meets =
            |patterns: &[Pattern], texts: &[String]| patterns.is_empty() || any(patterns, texts);
        meets(&self.subjects, subject)
            && meets(&self.groups, groups)
            && self
                .claims
                .iter()
                .all(|(claim, patterns)| any(patterns, &claims::texts(claims, claim)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn roles(bindings: &serde_json::Value, actor: &str, claims: serde_json::Value) -> Vec<Role> {
        let config = serde_json::from_value(json!({"bindings": bindings})).expect("valid");
        let claims = serde_json::from_value(claims).expect("an object");
        let bindings = Bindings::new(&config).expect("valid patterns");
        bindings.roles(actor, &claims).into_iter().collect()
    }

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_is_special() {
        let bindings = json!([{"role": "viewer", "subjects": ["*@example.com"]}]);
        assert_eq!(roles(&bindings, "a@example.com", json!({})), [Role::Viewer]);
        for stranger in ["a@exampleXcom", "a@example.com.evil", "", "A@EXAMPLE.COM"] {
            assert!(
                roles(&bindings, stranger, json!({})).is_empty(),
                "{stranger}"
            );
        }
    }

    #[test]
    fn every_stated_criterion_must_be_met() {
        let bindings = json!([
            {"role": "operator", "subjects": ["*"], "groups": ["sre"], "claims": {"env": ["prod", "stage"]}},
            {"role": "viewer", "groups": ["sre"]},
            {"role": "admin", "claims": {"root": "true"}},
        ]);
        let both = json!({"groups": ["dev", "sre"], "env": "stage"});
        assert_eq!(
            roles(&bindings, "a", both.clone()),
            [Role::Viewer, Role::Operator]
        );
        assert_eq!(roles(&bindings, "", both), [Role::Viewer]);
        assert_eq!(
            roles(&bindings, "a", json!({"groups": "sre"})),
            [Role::Viewer]
        );
        assert!(roles(&bindings, "a", json!({"env": "prod"})).is_empty());
        assert_eq!(roles(&bindings, "a", json!({"root": true})), [Role::Admin]);
    }
}
