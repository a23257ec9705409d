//! What a request for a history asks for.

use hyperfleet_api_types::AuditOutcome;
use hyperfleet_api_types::problem::{Fault, codes, constraints};
use hyperfleet_domain::Event;
use serde_json::{Value, json};

use super::Call;
use super::merge::Cursor;
use crate::audit;
use crate::history::Filter;
use crate::keyset::{self, ListIdentity, TokenError};
use crate::resource_view::Page;
use crate::routes::QueryState;
use crate::routes::parameters::{self, Parameters};
use crate::routes::walk::{self, PAGE_TOKEN};

/// What stored types of events begin with; it may be left out.
const TYPE_PREFIX: &str = "hyperfleet.resource.";

/// Most labels of a filter: more than any selector in use, few enough for one look-up each.
const MAX_LABELS: usize = 20;

/// A history that is asked for.
pub(super) struct Asked {
    /// Whether events are shown.
    pub(super) accepted: bool,
    pub(super) events: Filter,
    /// What of the audit is shown; nothing without an outcome.
    pub(super) audited: audit::Filter,
    pub(super) descending: bool,
    pub(super) page: Page,
    /// Whether the page is named by its number.
    pub(super) by_number: bool,
    /// Where to go on.
    pub(super) cursor: Cursor,
    identity: ListIdentity,
}

impl Asked {
    pub(super) fn of_fleet(state: &QueryState, call: &Call) -> Result<Self, Fault> {
        let parameters = &call.parameters;
        if parameters::value(parameters, "page").is_some() {
            let message =
                "the history of the fleet is walked by page_token; it has no page numbers";
            let message = message.to_owned();
            return Err(parameters::invalid(
                "page",
                message,
                None,
                constraints::FORMAT,
            ));
        }
        let mut asked = Self::of(call)?;
        asked.by_number = false;
        let events = &mut asked.events;
        events.kind = parameters::text(parameters, "kind")?.map(str::to_owned);
        events.name = parameters::text(parameters, "name")?.map(str::to_owned);
        events.labels = labels(parameters)?;
        if let Some(kind) = &events.kind {
            parameters::require_kind(&state.registry, kind)?;
        }
        if events.generation.is_some() && (events.kind.is_none() || events.name.is_none()) {
            let message =
                "generation belongs to a resource: give kind and name too, or ask for the \
                           history of one resource"
                    .to_owned();
            return Err(parameters::invalid(
                "generation",
                message,
                None,
                constraints::REQUIRED,
            ));
        }
        asked.refuse_filters_of_events_on_the_audit(parameters)?;
        Ok(asked)
    }

    pub(super) fn of_one(call: &Call, id: &str) -> Result<Self, Fault> {
        let mut asked = Self::of(call)?;
        asked.events.resource_id = Some(id.to_owned());
        asked.audited.resource_id = Some(id.to_owned());
        asked.refuse_filters_of_events_on_the_audit(&call.parameters)?;
        Ok(asked)
    }

    fn of(call: &Call) -> Result<Self, Fault> {
        let parameters = &call.parameters;
        let (accepted, audited) = outcomes(call)?;
        let mut page = parameters::page(parameters)?;
        let identity = ListIdentity::of(call.uri.path(), parameters);
        let token = parameters.iter().find(|(name, _)| name == PAGE_TOKEN);
        let mut cursor = Cursor::default();
        if let Some((_, token)) = token {
            if parameters::value(parameters, "page").is_some() {
                let detail =
                    "page and page_token cannot be used together: the token says where to go on";
                return Err(Fault::new(codes::BAD_REQUEST, detail));
            }
            if !token.trim().is_empty() {
                let opened = keyset::open(token.trim(), identity).map_err(walk::refused)?;
                page.number = opened.0;
                cursor =
                    Cursor::read(&opened.1).ok_or_else(|| walk::refused(TokenError::Damaged))?;
            }
        }
        let text = |name| -> Result<Option<String>, Fault> {
            Ok(parameters::text(parameters, name)?.map(str::to_owned))
        };
        let (actor, request_id) = (text("actor")?, text("request_id")?);
        let (from, to) = (
            parameters::time(parameters, "from")?,
            parameters::time(parameters, "to")?,
        );
        let scope = &call.caller.scope;
        Ok(Self {
            events: Filter {
                actor: actor.clone(),
                request_id: request_id.clone(),
                from,
                to,
                types: types(parameters)?,
                generation: generation(parameters)?,
                scope: scope.clone(),
                ..Filter::default()
            },
            by_number: token.is_none() && audited.is_empty(),
            audited: audit::Filter {
                outcomes: audited,
                actor,
                request_id,
                from,
                to,
                scope: scope.clone(),
                resource_id: None,
            },
            descending: descending(parameters)?,
            accepted,
            page,
            cursor,
            identity,
        })
    }

    /// The token for going on.
    pub(super) fn token(&self, next: Cursor) -> Result<String, Fault> {
        let number = self.page.number.saturating_add(1);
        keyset::seal(self.identity, number, next.written()).map_err(walk::refused)
    }

    /// A request that changed nothing has no event, and so nothing that these ask about.
    fn refuse_filters_of_events_on_the_audit(&self, parameters: &Parameters) -> Result<(), Fault> {
        if self.audited.outcomes.is_empty() {
            return Ok(());
        }
        for name in ["kind", "name", "label", "type", "generation"] {
            if parameters::value(parameters, name).is_some() {
                let message = "asks about recorded events; use it with outcome=accepted".to_owned();
                return Err(parameters::invalid(
                    name,
                    message,
                    None,
                    constraints::FORMAT,
                ));
            }
        }
        Ok(())
    }
}

/// `outcome`, comma-separated: whether events are shown, and what of the audit. That is for operators.
fn outcomes(call: &Call) -> Result<(bool, Vec<AuditOutcome>), Fault> {
    let text = parameters::value(&call.parameters, "outcome").unwrap_or("accepted");
    let (mut accepted, mut audited) = (false, Vec::new());
    for name in text.split(',').map(str::trim) {
        match (name, AuditOutcome::of(name)) {
            ("accepted", _) => accepted = true,
            ("all", _) => (accepted, audited) = (true, AuditOutcome::ALL.to_vec()),
            (_, Some(outcome)) if !audited.contains(&outcome) => audited.push(outcome),
            (_, Some(_)) => {}
            (_, None) => {
                let message = "must be accepted, refused, unchanged, replayed, several of them separated by \
                     commas, or all";
                return Err(parameters::invalid(
                    "outcome",
                    message.to_owned(),
                    Some(json!(name)),
                    constraints::FORMAT,
                ));
            }
        }
    }
    if !audited.is_empty() && !call.caller.may_operate {
        let detail = "missing permission operations:manage, which comes with the roles operator, admin: \
                      only they see what changed nothing";
        return Err(Fault::new(codes::PERMISSION_DENIED, detail));
    }
    Ok((accepted, audited))
}

fn descending(parameters: &Parameters) -> Result<bool, Fault> {
    match parameters::value(parameters, "order") {
        None | Some("asc") => Ok(false),
        Some("desc") => Ok(true),
        Some(other) => {
            let message = "must be asc (oldest first) or desc".to_owned();
            let value = Some(json!(other));
            Err(parameters::invalid(
                "order",
                message,
                value,
                constraints::FORMAT,
            ))
        }
    }
}

/// `type`: comma-separated, repeated, or both; with or without what all begin with.
fn types(parameters: &Parameters) -> Result<Vec<String>, Fault> {
    let asked = parameters
        .iter()
        .filter(|(name, _)| name == "type")
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let known = |text: &str| {
        let mut all = Event::CURRENT.iter().map(|(name, _)| *name);
        all.find(|name| *name == text || name.strip_prefix(TYPE_PREFIX) == Some(text))
    };
    asked
        .map(|text| {
            known(text).map(str::to_owned).ok_or_else(|| {
                let names: Vec<&str> = Event::CURRENT
                    .iter()
                    .filter_map(|(name, _)| name.strip_prefix(TYPE_PREFIX))
                    .collect();
                let message = format!("is no type of events; there are {}", names.join(", "));
                let value = Some(json!(text));
                parameters::invalid("type", message, value, constraints::FORMAT)
            })
        })
        .collect()
}

/// `label`: `key=value`, repeated for several.
fn labels(parameters: &Parameters) -> Result<Vec<(String, String)>, Fault> {
    let mut labels = Vec::new();
    for (name, value) in parameters {
        let value = value.trim();
        if name != "label" || value.is_empty() {
            continue;
        }
        let label = value.split_once('=').filter(|_| !value.contains('\0'));
        let label = label.filter(|_| labels.len() < MAX_LABELS);
        let Some((key, value)) = label else {
            let message = format!("must be key=value, at most {MAX_LABELS} times");
            let value = Some(Value::from(value.replace('\0', "\u{fffd}")));
            return Err(parameters::invalid(
                "label",
                message,
                value,
                constraints::FORMAT,
            ));
        };
        labels.push((key.to_owned(), value.to_owned()));
    }
    Ok(labels)
}

fn generation(parameters: &Parameters) -> Result<Option<i32>, Fault> {
    let Some(text) = parameters::value(parameters, "generation") else {
        return Ok(None);
    };
    let generation = text.parse().ok().filter(|generation| *generation >= 1);
    generation.map(Some).ok_or_else(|| {
        let message = "must be a whole number from 1".to_owned();
        parameters::invalid(
            "generation",
            message,
            Some(json!(text)),
            constraints::FORMAT,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn types_are_named_in_full_or_short() {
        let found = types(&parameters(&[
            ("type", "created,hyperfleet.resource.removed"),
            ("type", "spec_changed"),
        ]));
        let expected = [
            "hyperfleet.resource.created",
            "hyperfleet.resource.removed",
            "hyperfleet.resource.spec_changed",
        ];
        assert_eq!(found.expect("known"), expected);
        let fault = types(&parameters(&[("type", "eaten")])).expect_err("unknown");
        assert!(fault.errors[0].message.contains("spec_changed"));
    }

    #[test]
    fn labels_are_pairs() {
        let found = labels(&parameters(&[
            ("label", "a=b=c"),
            ("label", ""),
            ("x", "y=z"),
        ]));
        assert_eq!(found.expect("pairs"), [("a".to_owned(), "b=c".to_owned())]);
        assert!(labels(&parameters(&[("label", "a")])).is_err());
    }

    #[test]
    fn an_order_is_asc_or_desc() {
        assert_eq!(descending(&parameters(&[])).ok(), Some(false));
        assert_eq!(
            descending(&parameters(&[("order", "desc")])).ok(),
            Some(true)
        );
        assert!(descending(&parameters(&[("order", "name")])).is_err());
    }
}
