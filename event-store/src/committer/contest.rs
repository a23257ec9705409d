//! Who wins in a batch. Transactions of one batch may want the same stream: the first whose versions
//! are right moves it, and the others, its rivals, then conflict without a transaction of their own, so a
//! crowd on one stream does not hold up everybody else.

use std::collections::{HashMap, HashSet};

use super::{EventText, Queued};
use crate::append::{Append, AppendError, StreamId};

/// How a transaction of a batch stands.
#[derive(Debug, PartialEq)]
pub(super) enum Standing {
    /// It is part of this commit.
    Winning,
    /// It lost, by version, by receipt or by claim.
    Lost(AppendError),
    /// An earlier transaction of the batch wants one of its streams.
    Rival,
}

/// The standings by version alone. `head` gives the version of a stream.
pub(super) fn by_version(batch: &[Queued], head: impl Fn(&StreamId) -> u64) -> Vec<Standing> {
    let mut wanted: HashSet<&StreamId> = HashSet::new();
    batch
        .iter()
        .map(|queued| {
            let free = queued
                .appends
                .iter()
                .all(|append| !wanted.contains(&append.stream));
            if free && let Some(conflict) = conflict(&queued.appends, |_, _| true, &head) {
                return Standing::Lost(conflict);
            }
            // A rival's streams are wanted too, so that nothing overtakes it.
            wanted.extend(queued.appends.iter().map(|append| &append.stream));
            if free {
                Standing::Winning
            } else {
                Standing::Rival
            }
        })
        .collect()
}

/// Decides about rivals once the winners are known: who cannot win any more has lost; who still can stays
/// a rival and waits for the next batch, and so do those who may count on it.
pub(super) fn settle_rivals(
    batch: &[Queued],
    head: impl Fn(&StreamId) -> u64,
    standings: &mut [Standing],
) {
    let moved: HashMap<&StreamId, u64> = winners(batch, standings)
        .map(|(append, _)| (&append.stream, append.version()))
        .collect();
    let version = |stream: &StreamId| moved.get(stream).copied().unwrap_or_else(|| head(stream));
    let mut waiting: HashSet<&StreamId> = HashSet::new();
    for (queued, standing) in batch.iter().zip(standings) {
        if *standing != Standing::Rival {
            continue;
        }
        // Versions only grow: an earlier rival may still bring a stream to a later version, never back.
        let lost = conflict(
            &queued.appends,
            |append, actual| append.expected < actual || !waiting.contains(&append.stream),
            version,
        );
        match lost {
            Some(conflict) => *standing = Standing::Lost(conflict),
            None => waiting.extend(queued.appends.iter().map(|append| &append.stream)),
        }
    }
}

/// What the winners append, with its events as text.
pub(super) fn winners<'a>(
    batch: &'a [Queued],
    standings: &[Standing],
) -> impl Iterator<Item = (&'a Append, &'a [EventText])> {
    batch
        .iter()
        .zip(standings)
        .filter(|(_, standing)| **standing == Standing::Winning)
        .flat_map(|(queued, _)| queued.appends.iter().zip(&queued.texts))
        .map(|(append, texts)| (append, texts.as_slice()))
}

/// The first append with another version than the expected one, if that is final.
fn conflict(
    appends: &[Append],
    is_final: impl Fn(&Append, u64) -> bool,
    version: impl Fn(&StreamId) -> u64,
) -> Option<AppendError> {
    appends.iter().find_map(|append| {
        let actual = version(&append.stream);
        (actual != append.expected && is_final(append, actual)).then(|| AppendError::Conflict {
            stream: append.stream.clone(),
            expected: append.expected,
            actual,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::NewEvent;
    use serde_json::Value;
    use tokio::sync::oneshot;

    /// A transaction of one event on each of these streams.
    fn queued(appends: &[(&str, u64)]) -> Queued {
        let event = NewEvent {
            event_type: "t".to_owned(),
            event_version: "1".to_owned(),
            payload: Value::Null,
            metadata: Value::Null,
        };
        let appends: Vec<Append> = appends
            .iter()
            .map(|&(id, expected)| {
                Append::events(StreamId::new("t", id), expected, vec![event.clone()])
            })
            .collect();
        Queued {
            texts: appends.iter().map(EventText::of).collect(),
            appends,
            receipt: None,
            answer: oneshot::channel().0,
        }
    }

    fn lost(id: &str, expected: u64, actual: u64) -> Standing {
        Standing::Lost(AppendError::Conflict {
            stream: StreamId::new("t", id),
            expected,
            actual,
        })
    }

    /// Every stream is at version 1.
    fn settled(batch: &[Queued]) -> Vec<Standing> {
        let mut standings = by_version(batch, |_| 1);
        settle_rivals(batch, |_| 1, &mut standings);
        standings
    }

    #[test]
    fn the_first_wins_and_its_rivals_conflict() {
        let batch = [
            queued(&[("a", 1)]),
            queued(&[("a", 1)]),
            queued(&[("b", 1)]),
        ];
        let expected = [Standing::Winning, lost("a", 1, 2), Standing::Winning];
        assert_eq!(settled(&batch), expected);
    }

    #[test]
    fn who_is_stale_leaves_the_stream_to_the_next() {
        let batch = [queued(&[("a", 0)]), queued(&[("a", 1)])];
        assert_eq!(settled(&batch), [lost("a", 0, 1), Standing::Winning]);
    }

    #[test]
    fn who_expects_what_the_winner_writes_waits_for_the_next_batch() {
        let batch = [queued(&[("a", 1)]), queued(&[("a", 2)])];
        assert_eq!(settled(&batch), [Standing::Winning, Standing::Rival]);
    }

    #[test]
    fn who_counts_on_a_rival_waits_with_it_and_who_is_behind_does_not() {
        let batch = [
            queued(&[("a", 1)]),
            queued(&[("a", 2)]),
            queued(&[("a", 3)]),
            queued(&[("a", 1)]),
        ];
        let expected = [
            Standing::Winning,
            Standing::Rival,
            Standing::Rival,
            lost("a", 1, 2),
        ];
        assert_eq!(settled(&batch), expected);
    }

    #[test]
    fn nothing_overtakes_a_rival() {
        let batch = [
            queued(&[("a", 1)]),
            queued(&[("a", 2), ("b", 1)]),
            queued(&[("b", 1)]),
        ];
        let expected = [Standing::Winning, Standing::Rival, Standing::Rival];
        assert_eq!(settled(&batch), expected);
    }

    #[test]
    fn rivals_of_who_lost_its_claim_wait_for_the_next_batch() {
        let batch = [
            queued(&[("a", 1)]),
            queued(&[("a", 1)]),
            queued(&[("a", 0)]),
        ];
        let mut standings = by_version(&batch, |_| 1);
        let taken = AppendError::ClaimTaken {
            key: "k".to_owned(),
        };
        standings[0] = Standing::Lost(taken.clone());
        settle_rivals(&batch, |_| 1, &mut standings);
        let expected = [Standing::Lost(taken), Standing::Rival, lost("a", 0, 1)];
        assert_eq!(standings, expected);
    }
}
