//! One history of what was accepted and what was refused, by time.
//!
//! Each of the two keeps its own order, that of positions and that of writing; where both go on, the
//! earlier one comes first. A cursor names how far each was shown.

use hyperfleet_api_types::{HistoryEntry, HistoryItem};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::asked::Asked;
use crate::error::Error;
use crate::history::{self, Events, Folds, Part};
use crate::refusals::{self, Refusals};

/// How far a history was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The position of the last event; `None` before the first.
    pub(super) position: Option<u64>,
    /// The number of the last refusal; `None` before the first.
    pub(super) refusal: Option<u64>,
}

impl Cursor {
    /// From the values of a token.
    pub(super) fn read(values: &[Value]) -> Option<Self> {
        let number = |value: &Value| match value {
            Value::Null => Some(None),
            value => value.as_u64().map(Some),
        };
        let [position, refusal] = values else {
            return None;
        };
        Some(Self {
            position: number(position)?,
            refusal: number(refusal)?,
        })
    }

    /// The values of a token.
    pub(super) fn written(self) -> Vec<Value> {
        vec![json!(self.position), json!(self.refusal)]
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
    if asked.outcomes.accepted {
        let part = Part {
            descending: asked.descending,
            after: cursor.position,
            offset: 0,
            size,
            mark,
        };
        events = history::page(pool, &asked.events, part, folds).await?;
    }
    let mut refusals = Refusals::default();
    if asked.outcomes.refused {
        let part = refusals::Part {
            descending: asked.descending,
            after: cursor.refusal,
            size,
        };
        refusals = refusals::page(pool, &asked.refusals, part).await?;
    }
    Ok(merge(asked, cursor, events, refusals))
}

fn merge(
    asked: &Asked,
    mut cursor: Cursor,
    events: Events,
    refusals: Refusals,
) -> (Vec<HistoryItem>, Option<Cursor>) {
    let size = asked.page.size as usize;
    let mut items = Vec::with_capacity(size);
    let next = events.next;
    let mut events = events.entries.into_iter().peekable();
    let mut more = refusals.more;
    let mut refusals = refusals.items.into_iter().peekable();
    // Beyond what was searched for events, nobody knows which comes first.
    let searched_until = next.and_then(|next| next.searched_until);
    while items.len() < size {
        let event_is_next = match (events.peek(), refusals.peek()) {
            (Some(event), Some((_, refusal))) => {
                if asked.descending {
                    event.time >= refusal.time
                } else {
                    event.time <= refusal.time
                }
            }
            (Some(_), None) => true,
            (None, Some((_, refusal))) => {
                let is_beyond = searched_until.is_some_and(|until| {
                    if asked.descending {
                        refusal.time < until
                    } else {
                        refusal.time > until
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
            let Some((number, refusal)) = refusals.next() else {
                break;
            };
            cursor.refusal = Some(number);
            items.push(HistoryItem::Refused(Box::new(refusal)));
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
    more |= events.peek().is_some() || refusals.peek().is_some();
    (items, more.then_some(cursor))
}
