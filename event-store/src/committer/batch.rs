//! Which waiting transactions go into one batch: those that share no stream and no claim, so that each
//! wins or loses for itself. The others keep their order and wait for the next batch.

use std::collections::{HashSet, VecDeque};

use super::Queued;

pub(super) fn take(waiting: &mut VecDeque<Queued>, maximum: usize) -> Vec<Queued> {
    let mut batch = Vec::with_capacity(waiting.len().min(maximum));
    let mut deferred = VecDeque::new();
    let mut touched: HashSet<String> = HashSet::new();
    while let Some(queued) = waiting.pop_front() {
        if batch.len() >= maximum {
            deferred.push_back(queued);
            break;
        }
        let keys = keys(&queued);
        // A deferred transaction's keys count as touched too, so that nothing overtakes it.
        let free = keys.iter().all(|key| !touched.contains(key));
        touched.extend(keys);
        if free {
            batch.push(queued);
        } else {
            deferred.push_back(queued);
        }
    }
    deferred.append(waiting);
    *waiting = deferred;
    batch
}

fn keys(queued: &Queued) -> Vec<String> {
    queued
        .appends
        .iter()
        .flat_map(|append| {
            let stream = format!(
                "stream\0{}\0{}",
                append.stream.aggregate_type, append.stream.aggregate_id
            );
            let claims = append
                .claims
                .iter()
                .chain(&append.releases)
                .map(|claim| format!("claim\0{claim}"));
            std::iter::once(stream).chain(claims)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::{Append, StreamId};
    use tokio::sync::oneshot;

    fn queued(stream: &str, claim: Option<&str>) -> Queued {
        let mut append = Append::events(StreamId::new("t", stream), 0, Vec::new());
        append.claims.extend(claim.map(str::to_owned));
        Queued {
            appends: vec![append],
            answer: oneshot::channel().0,
        }
    }

    fn streams<'a>(queued: impl IntoIterator<Item = &'a Queued>) -> Vec<String> {
        queued
            .into_iter()
            .map(|queued| queued.appends[0].stream.aggregate_id.clone())
            .collect()
    }

    #[test]
    fn different_streams_share_a_batch_and_the_same_stream_waits() {
        let mut waiting = VecDeque::from([queued("a", None), queued("b", None), queued("a", None)]);
        assert_eq!(streams(&take(&mut waiting, 10)), ["a", "b"]);
        assert_eq!(streams(&waiting), ["a"]);
    }

    #[test]
    fn the_same_claim_waits() {
        let mut waiting = VecDeque::from([queued("a", Some("n")), queued("b", Some("n"))]);
        assert_eq!(streams(&take(&mut waiting, 10)), ["a"]);
        assert_eq!(streams(&take(&mut waiting, 10)), ["b"]);
    }

    #[test]
    fn nothing_overtakes_a_deferred_transaction() {
        let mut waiting = VecDeque::from([
            queued("a", None),
            queued("a", Some("n")),
            queued("b", Some("n")),
        ]);
        assert_eq!(streams(&take(&mut waiting, 10)), ["a"]);
        assert_eq!(streams(&take(&mut waiting, 10)), ["a"]);
        assert_eq!(streams(&take(&mut waiting, 10)), ["b"]);
    }

    #[test]
    fn a_batch_has_a_maximum() {
        let mut waiting = VecDeque::from([queued("a", None), queued("b", None), queued("c", None)]);
        assert_eq!(streams(&take(&mut waiting, 2)), ["a", "b"]);
        assert_eq!(streams(&waiting), ["c"]);
    }
}
