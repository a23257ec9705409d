//! Who refers to a resource, as the stream of that resource tells it.

use std::collections::{BTreeMap, BTreeSet};

use crate::resource::event::{Event, ReferenceAttached};

/// Most referring resources that a refusal names; more are only counted, so that a popular target
/// does not make an endless text.
const MAX_NAMED: usize = 20;

/// A resource that refers to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Referrer {
    kind: String,
    name: String,
    ref_types: BTreeSet<String>,
}

/// The resources that refer to one, by id. The fold of that one's stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Referrers {
    sources: BTreeMap<String, Referrer>,
}

impl Referrers {
    /// Those that the stream of a resource tells of.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut referrers = Self::default();
        for event in events {
            referrers.apply(event);
        }
        referrers
    }

    /// Takes the next event of the stream.
    pub fn apply(&mut self, event: &Event) {
        if let Event::ReferenceAttached(attached) = event {
            self.attach(attached);
        }
        if let Event::ReferenceDetached(detached) = event
            && let Some(source) = self.sources.get_mut(&detached.source_id)
        {
            source.ref_types.remove(&detached.ref_type);
            if source.ref_types.is_empty() {
                self.sources.remove(&detached.source_id);
            }
        }
    }

    fn attach(&mut self, attached: &ReferenceAttached) {
        let source = self.sources.entry(attached.source_id.clone());
        let source = source.or_insert_with(|| Referrer {
            kind: attached.source_kind.clone(),
            name: attached.source_name.clone(),
            ref_types: BTreeSet::new(),
        });
        source.ref_types.insert(attached.ref_type.clone());
    }

    /// Ids of the referring resources.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// Kind and quoted name of those whose id passes, joined by commas.
    pub(super) fn text(&self, passes: impl Fn(&str) -> bool) -> String {
        let mut texts: Vec<String> = self
            .sources
            .iter()
            .filter(|(id, _)| passes(id))
            .map(|(_, source)| format!("{} \"{}\"", source.kind, source.name))
            .collect();
        let rest = texts.len().saturating_sub(MAX_NAMED);
        texts.truncate(MAX_NAMED);
        if rest > 0 {
            texts.push(format!("and {rest} more"));
        }
        texts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::event::ReferenceDetached;

    fn attached(ref_type: &str, id: usize) -> Event {
        Event::ReferenceAttached(ReferenceAttached {
            ref_type: ref_type.to_owned(),
            source_id: format!("{id:03}"),
            source_kind: "Plan".to_owned(),
            source_name: format!("p{id}"),
        })
    }

    fn detached(ref_type: &str, id: usize) -> Event {
        Event::ReferenceDetached(ReferenceDetached {
            ref_type: ref_type.to_owned(),
            source_id: format!("{id:03}"),
        })
    }

    #[test]
    fn a_source_refers_until_its_last_link_is_gone() {
        let two_links = [attached("a", 1), attached("b", 1), detached("a", 1)];
        let referrers = Referrers::fold(&two_links);
        assert_eq!(referrers.ids().collect::<Vec<_>>(), ["001"]);
        assert_eq!(referrers.text(|_| true), "Plan \"p1\"");
        let none = Referrers::fold(two_links.iter().chain(&[detached("b", 1)]));
        assert_eq!(none, Referrers::default());
    }

    #[test]
    fn a_crowd_is_counted() {
        let crowd: Vec<Event> = (0..23).map(|id| attached("a", id)).collect();
        let text = Referrers::fold(&crowd).text(|id| id != "000");
        assert!(text.starts_with("Plan \"p1\", Plan \"p2\", "), "{text}");
        assert!(text.ends_with("Plan \"p20\", and 2 more"), "{text}");
    }
}
