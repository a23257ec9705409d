//! The initial state: pages of the resource view, each with the position that it is of.
//!
//! Nothing is held between two pages, no transaction and no connection, so a slow watcher costs nobody
//! anything. Each page is of a later position than the one before; what changed in between is told
//! afterwards, and [`Pages`] knows which of it a page has already. So once the changes up to the last
//! page's position are told, the watcher has exactly the state of that position.

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use sqlx::{PgPool, Row as _};

use super::change::Change;
use super::selection::Selection;
use crate::error::Error;
use crate::keyset;
use crate::resource_view::{Order, read_state, unsigned};
use crate::statement::{Bind, Binds};

/// Resources in one page: some hundred kilobytes.
const PAGE: usize = 200;

/// One page.
pub(super) struct Page {
    /// The position of the log that it is of.
    pub(super) position: u64,
    pub(super) resources: Vec<Resource>,
    /// Whether there is no other after it.
    pub(super) is_last: bool,
}

/// The page after a resource, in the default order of lists.
pub(super) async fn page(
    pool: &PgPool,
    selection: &Selection,
    after: Option<&Resource>,
) -> Result<Page, Error> {
    let order = Order::default();
    let mut binds = Binds::default();
    let mut condition = selection.filter.sql(&mut binds);
    if let Some(id) = &selection.id {
        condition = format!("{condition} AND id = {}", binds.text(id));
    }
    if let Some(after) = after {
        let place = keyset::Position::of(after, &order);
        condition = format!("{condition} AND {}", place.condition(&order, &mut binds));
    }
    let limit = binds.add(Bind::Integer(i64::try_from(PAGE).unwrap_or(i64::MAX)));
    // One statement sees one state of the database, so the position belongs to the rows.
    let sql = format!(
        "SELECT log.head, page.id, page.state
         FROM (SELECT coalesce(max(position), 0) AS head FROM live_events) AS log
         LEFT JOIN (
             SELECT id, created_time, state FROM resources WHERE {condition}
             ORDER BY {} LIMIT {limit}
         ) AS page ON true
         ORDER BY {}",
        order.sql(""),
        order.sql("page.")
    );
    let is_prepared = selection.filter.search.is_none() && selection.filter.reference.is_none();
    let query = binds.query(&sql).persistent(is_prepared);
    let rows = query.fetch_all(pool).await?;
    let head: i64 = rows.first().map_or(Ok(0), |row| row.try_get("head"))?;
    let mut resources = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: Option<String> = row.try_get("id")?;
        if let Some(id) = id {
            resources.push(read_state(&id, row)?);
        }
    }
    Ok(Page {
        position: unsigned("position", head)?,
        is_last: resources.len() < PAGE,
        resources,
    })
}

/// Which part of the initial state is of which position.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// In the order of the list: the last place of a page, `None` for all the rest, and its position.
    pages: Vec<(Option<Place>, u64)>,
}

/// A place in the default order of lists, which goes down.
type Place = (DateTime<Utc>, String);

impl Pages {
    pub(super) fn add(&mut self, page: &Page) {
        let last = page.resources.last().filter(|_| !page.is_last);
        let place = last.map(|last| (last.created_time, last.id.clone()));
        self.pages.push((place, page.position));
    }

    /// Position of the last page.
    pub(super) fn position(&self) -> u64 {
        self.pages.last().map_or(0, |(_, position)| *position)
    }

    /// Whether the initial state has this change already.
    pub(super) fn have(&self, change: &Change) -> bool {
        let resource = &change.after;
        let page = self.pages.partition_point(|(last, _)| {
            last.as_ref().is_some_and(|(time, id)| {
                (*time, id.as_str()) > (resource.created_time, resource.id.as_str())
            })
        });
        self.pages
            .get(page)
            .is_some_and(|(_, position)| change.position <= *position)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn resource(second: i64, id: &str) -> Resource {
        Resource {
            id: id.to_owned(),
            created_time: DateTime::from_timestamp(second, 0).expect("in range"),
            ..Resource::default()
        }
    }

    #[test]
    fn a_page_has_what_changed_in_its_part_until_its_position() {
        let mut pages = Pages::default();
        for (resources, position, is_last) in [
            (vec![resource(9, "i"), resource(7, "g")], 10, false),
            (vec![resource(7, "f"), resource(3, "c")], 20, true),
        ] {
            pages.add(&Page {
                position,
                resources,
                is_last,
            });
        }
        assert_eq!(pages.position(), 20);
        for (changed, position, expected) in [
            (resource(12, "z"), 10, true),
            (resource(12, "z"), 11, false),
            (resource(7, "g"), 10, true),
            (resource(7, "g"), 15, false),
            (resource(7, "f"), 15, true),
            (resource(1, "a"), 20, true),
            (resource(1, "a"), 21, false),
        ] {
            let change = Change::new(position, Arc::default(), Arc::new(changed));
            assert_eq!(pages.have(&change), expected, "{change:?}");
        }
    }
}
