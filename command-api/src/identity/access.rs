//! Which permission each route needs: one row for each method of each route.
//!
//! A route without a row is refused, so a new route serves nobody until somebody decides whom it
//! serves. The rows are made from the registry of kinds, as the routes are.

use std::collections::HashMap;

use axum::http::Method;
use hyperfleet_api_types::{BASE_PATH, VERSION_PATH};
use hyperfleet_domain::registry::Registry;

use super::roles::Permission;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without saying who they are.
    Public,
    /// Whoever has the permission.
    Needs(Permission),
}

/// The rows.
#[derive(Clone, Debug)]
pub struct AccessTable {
    rows: HashMap<String, Vec<(Method, Access)>>,
}

impl AccessTable {
    /// The rows of the routes of these kinds, and of the fixed routes.
    pub fn of(registry: &Registry) -> Self {
        let mut table = Self {
            rows: HashMap::new(),
        };
        table.add(VERSION_PATH.to_owned(), Method::GET, Access::Public);
        for document in [
            "openapi",
            "openapi/v3.1",
            "openapi.html",
            "openapi/ui/{file}",
        ] {
            table.add(at(document), Method::GET, Access::Public);
        }
        for read in ["history", "summary"] {
            table.add(at(read), Method::GET, Access::Needs(Permission::Read));
        }
        table.add_collection(&at("resources"));
        for descriptor in registry.iter() {
            table.add_collection(&at(&descriptor.plural));
            let parent = descriptor
                .parent_kind
                .as_deref()
                .and_then(|kind| registry.by_kind(kind));
            if let Some(parent) = parent {
                let nested = format!("{}/{{parent_id}}/{}", parent.plural, descriptor.plural);
                table.add_collection(&at(&nested));
            }
        }
        table
    }

    /// The row of a method of a route, by the route's template. `HEAD` is a `GET`.
    pub fn access(&self, method: &Method, template: &str) -> Option<Access> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let rows = self.rows.get(template)?;
        rows.iter()
            .find(|(row, _)| row == method)
            .map(|(_, access)| *access)
    }

    /// Every row: template, method, access.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Method, Access)> {
        self.rows.iter().flat_map(|(template, rows)| {
            rows.iter()
                .map(|(method, access)| (template.as_str(), method, *access))
        })
    }

    fn add_collection(&mut self, path: &str) {
        let one = format!("{path}/{{id}}");
        for (template, method, permission) in [
            (path.to_owned(), Method::GET, Permission::Read),
            (path.to_owned(), Method::POST, Permission::Write),
            (one.clone(), Method::GET, Permission::Read),
            (one.clone(), Method::PATCH, Permission::Write),
            (one.clone(), Method::DELETE, Permission::Write),
            (
                format!("{one}/force-delete"),
                Method::POST,
                Permission::ForceDelete,
            ),
            (format!("{one}/statuses"), Method::GET, Permission::Read),
            (
                format!("{one}/statuses"),
                Method::PUT,
                Permission::WriteStatuses,
            ),
            (format!("{one}/history"), Method::GET, Permission::Read),
        ] {
            self.add(template, method, Access::Needs(permission));
        }
    }

    fn add(&mut self, template: String, method: Method, access: Access) {
        self.rows
            .entry(template)
            .or_default()
            .push((method, access));
    }
}

fn at(path: &str) -> String {
    format!("{BASE_PATH}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_the_row_of_its_method_and_none_else() {
        let table = AccessTable::of(&Registry::builtin());
        let one = "/api/hyperfleet/v1/clusters/{parent_id}/nodepools/{id}";
        assert_eq!(
            table.access(&Method::DELETE, one),
            Some(Access::Needs(Permission::Write))
        );
        assert_eq!(
            table.access(&Method::HEAD, one),
            Some(Access::Needs(Permission::Read))
        );
        assert_eq!(table.access(&Method::PUT, one), None);
        assert_eq!(table.access(&Method::GET, "/api/hyperfleet/v1/new"), None);
    }

    #[test]
    fn only_fixed_documents_are_public() {
        let table = AccessTable::of(&Registry::builtin());
        let mut public: Vec<&str> = table
            .rows()
            .filter(|(_, _, access)| *access == Access::Public)
            .map(|(template, _, _)| template)
            .collect();
        public.sort_unstable();
        assert_eq!(
            public,
            [
                "/api/hyperfleet",
                "/api/hyperfleet/v1/openapi",
                "/api/hyperfleet/v1/openapi.html",
                "/api/hyperfleet/v1/openapi/ui/{file}",
                "/api/hyperfleet/v1/openapi/v3.1",
            ]
        );
    }
}
