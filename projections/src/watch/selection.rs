//! What a watcher watches.

use hyperfleet_domain::resource::Resource;

use super::change::{Change, ChangeType};
use crate::resource_view::Filter;

/// Which resources a watcher watches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// As in lists; the scope of the caller is part of it.
    pub(crate) filter: Filter,
    /// Only this one; what the filter says of kind and owner was checked.
    pub(crate) id: Option<String>,
}

impl Selection {
    /// What a change is to the watcher; `None` when it does not concern it.
    pub(super) fn concerns(&self, change: &Change) -> Option<ChangeType> {
        if !self.is_of(&change.after) {
            return None;
        }
        let has = |resource: &Resource| resource.exists() && self.selects(resource);
        match (has(&change.before), has(&change.after)) {
            (false, true) => Some(ChangeType::Added),
            (true, true) => Some(ChangeType::Modified),
            (true, false) => Some(ChangeType::Deleted),
            (false, false) => None,
        }
    }

    /// What never changes about a resource: whether it can be watched at all.
    fn is_of(&self, resource: &Resource) -> bool {
        let Filter {
            kind,
            owner_id,
            name,
            scope,
            ..
        } = &self.filter;
        let owner = resource.owner.as_ref().map(|owner| &owner.id);
        kind.as_ref().is_none_or(|kind| *kind == resource.kind)
            && self.id.as_ref().is_none_or(|id| *id == resource.id)
            && owner_id.as_ref().is_none_or(|id| Some(id) == owner)
            && name.as_ref().is_none_or(|name| *name == resource.name)
            && scope.sees(&resource.tenancy)
    }

    /// What may change about a resource.
    fn selects(&self, resource: &Resource) -> bool {
        let reference = self.filter.reference.as_ref().is_none_or(|asked| {
            let targets = resource.references.get(&asked.ref_type);
            targets.is_some_and(|targets| targets.iter().any(|one| one.id == asked.target_id))
        });
        let search = self.filter.search.as_ref();
        reference && search.is_none_or(|search| search.finds(resource))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyperfleet_domain::resource::Lifecycle;
    use hyperfleet_runtime::http::TenantScope;

    use super::*;
    use crate::search;

    fn resource(lifecycle: Lifecycle, label: &str) -> Arc<Resource> {
        Arc::new(Resource {
            lifecycle,
            kind: "Cluster".to_owned(),
            labels: [("env".to_owned(), label.to_owned())].into(),
            tenancy: [("org".to_owned(), "a".to_owned())].into(),
            ..Resource::default()
        })
    }

    fn production() -> Selection {
        Selection {
            filter: Filter {
                kind: Some("Cluster".to_owned()),
                search: Some(search::parse("labels.env='prod'").expect("valid")),
                ..Filter::default()
            },
            id: None,
        }
    }

    #[test]
    fn a_change_is_what_it_is_to_the_filter() {
        let absent = Arc::<Resource>::default();
        let active = |label| resource(Lifecycle::Active, label);
        for (before, after, expected) in [
            (absent.clone(), active("prod"), Some(ChangeType::Added)),
            (absent, active("dev"), None),
            (active("dev"), active("prod"), Some(ChangeType::Added)),
            (active("prod"), active("prod"), Some(ChangeType::Modified)),
            (active("prod"), active("dev"), Some(ChangeType::Deleted)),
            (active("dev"), active("dev"), None),
            (
                active("prod"),
                resource(Lifecycle::Removed, "prod"),
                Some(ChangeType::Deleted),
            ),
            (active("dev"), resource(Lifecycle::Removed, "dev"), None),
        ] {
            let change = Change::new(1, before, after);
            assert_eq!(production().concerns(&change), expected, "{change:?}");
        }
    }

    #[test]
    fn nothing_outside_the_scope_is_told_not_even_its_end() {
        let mut selection = production();
        selection.filter.scope = TenantScope::of([("org".to_owned(), "b".to_owned())].into());
        let active = resource(Lifecycle::Active, "prod");
        let removed = resource(Lifecycle::Removed, "prod");
        for (before, after) in [(Arc::default(), active.clone()), (active, removed)] {
            assert_eq!(selection.concerns(&Change::new(1, before, after)), None);
        }
    }
}
