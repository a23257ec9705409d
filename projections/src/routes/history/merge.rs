//! One history of what was accepted and what changed nothing, by time.
//!
//! Each of the two keeps its own order, that of positions and that of writing; where both go on, the
//! earlier one comes first. A cursor names how far each was shown.

use hyperfleet_api_types::{HistoryEntry, HistoryItem};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::asked::Asked;
use crate::audit::{self, Entries};
use crate::error::Error;
use crate::history::{self, Events, Folds, Part};

/// How far a history was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The position of the last event; `None` before the first.
    pub(super) position: Option<u64>,
    /// The number of the last entry of the audit; `None` before the first.
    pub(super) audited: Option<u64>,
}

impl Cursor {
    /// From the values of a token.
    pub(super) fn read(values: &[Value]) -> Option<Self> {
        let number = |value: &Value| match value {
            Value::Null => Some(None),
            value => value.as_u64().map(Some),
        };
        let [position, audited] = values else {
            return None;
        };
        Some(Self {
            position: number(position)?,
            audited: number(audited)?,
        })
    }

    /// The values of a token.
    pub(super) fn written(self) -> Vec<Value> {
        vec![json!(self.position), json!(self.audited)]
    }
}

/// An event as an item.
pub(super) fn accepted(entry: HistoryEntry) -> HistoryItem {
    HistoryItem::Accepted(Box::new(entry))
}

/// The items after a cursor, and the cursor to go on with when there may be more.
pub(super) async fn read(
    pool: &PgPool,
    asked: &Asked,
    cursor: Cursor,
    mark: u64,
    folds: &mut Folds,
) -> Result<(Vec<HistoryItem>, Option<Cursor>), Error> {
    let size = asked.page.size;
    let mut events = Events::default();
    if asked.accepted {
        let part = Part {
            descending: asked.descending,
            after: cursor.position,
            offset: 0,
            size,
            mark,
        };
        events = history::page(pool, &asked.events, part, folds).await?;
    }
    let mut audited = Entries::default();
    if !asked.audited.outcomes.is_empty() {
        let part = audit::Part {
            descending: asked.descending,
            after: cursor.audited,
            size,
        };
        audited = audit::page(pool, &asked.audited, part).await?;
    }
    Ok(merge(asked, cursor, events, audited))
}

fn merge(
    asked: &Asked,
    mut cursor: Cursor,
    events: Events,
    audited: Entries,
) -> (Vec<HistoryItem>, Option<Cursor>) {
    let size = asked.page.size as usize;
    let mut items = Vec::with_capacity(size);
    let next = events.next;
    let mut events = events.entries.into_iter().peekable();
    let mut more = audited.more;
    let mut audited = audited.items.into_iter().peekable();
    // Beyond what was searched for events, nobody knows which comes first.
    let searched_until = next.and_then(|next| next.searched_until);
    while items.len() < size {
        let event_is_next = match (events.peek(), audited.peek()) {
            (Some(event), Some((_, _, entry))) => {
                if asked.descending {
                    event.time >= entry.time
                } else {
                    event.time <= entry.time
                }
            }
            (Some(_), None) => true,
            (None, Some((_, _, entry))) => {
                let is_beyond = searched_until.is_some_and(|until| {
                    if asked.descending {
                        entry.time < until
                    } else {
                        entry.time > until
                    }
                });
                if is_beyond {
                    break;
                }
                false
            }
            (None, None) => break,
        };
        if event_is_next {
            let Some(event) = events.next() else { break };
            cursor.position = Some(event.position);
            items.push(accepted(event));
        } else {
            let Some((number, outcome, entry)) = audited.next() else {
                break;
            };
            cursor.audited = Some(number);
            items.push(HistoryItem::audited(outcome, entry));
        }
    }
    if events.peek().is_none()
        && let Some(next) = next
    {
        more = true;
        if next.searched_until.is_some() {
            cursor.position = Some(next.after);
        }
    }
    more |= events.peek().is_some() || audited.peek().is_some();
    (items, more.then_some(cursor))
}
