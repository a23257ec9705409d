//! Which waiting transactions go into one batch: those that share no claim and no receipt, so that
//! each is won or lost within one transaction. The others keep their order and wait for the next batch. Who shares a
//! stream may share a batch; see `contest`.

use std::collections::{HashSet, VecDeque};

use super::Queued;

pub(super) fn take(waiting: &mut VecDeque<Queued>, maximum: usize) -> Vec<Queued> {
    let mut batch = Vec::with_capacity(waiting.len().min(maximum));
    let mut deferred = VecDeque::new();
    let mut wanted: HashSet<String> = HashSet::new();
    let mut receipts: HashSet<String> = HashSet::new();
    while let Some(queued) = waiting.pop_front() {
        if batch.len() >= maximum {
            deferred.push_back(queued);
            break;
        }
        let claims = || {
            queued
                .appends
                .iter()
                .flat_map(|append| append.claims.iter().chain(&append.releases))
        };
        let receipt = || queued.receipt.as_ref().map(|receipt| &receipt.key);
        let free = claims().all(|key| !wanted.contains(key))
            && receipt().is_none_or(|key| !receipts.contains(key));
        // A deferred transaction's keys are wanted too, so that nothing overtakes it.
        wanted.extend(claims().cloned());
        receipts.extend(receipt().cloned());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::{Append, StreamId};
    use tokio::sync::oneshot;

    fn queued(stream: &str, claim: Option<&str>) -> Queued {
        let mut append = Append::events(StreamId::new("t", stream), 0, Vec::new());
        append.claims.extend(claim.map(str::to_owned));
        Queued {
            texts: vec![Vec::new()],
            appends: vec![append],
            receipt: None,
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
    fn the_same_claim_waits() {
        let mut waiting = VecDeque::from([
            queued("a", Some("n")),
            queued("b", Some("n")),
            queued("c", Some("m")),
        ]);
        assert_eq!(streams(&take(&mut waiting, 10)), ["a", "c"]);
        assert_eq!(streams(&take(&mut waiting, 10)), ["b"]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn the_same_receipt_waits() {
        let keyed = |stream: &str| Queued {
            receipt: Some(crate::receipt::Receipt {
                key: "k".to_owned(),
                value: serde_json::Value::Null,
                lifetime: std::time::Duration::from_secs(1),
            }),
            ..queued(stream, None)
        };
        let mut waiting = VecDeque::from([keyed("a"), keyed("b"), queued("c", Some("k"))]);
        assert_eq!(streams(&take(&mut waiting, 10)), ["a", "c"]);
        assert_eq!(streams(&waiting), ["b"]);
    }

    #[test]
    fn a_batch_has_a_maximum() {
        let mut waiting = VecDeque::from([queued("a", None), queued("b", None), queued("c", None)]);
        assert_eq!(streams(&take(&mut waiting, 2)), ["a", "b"]);
        assert_eq!(streams(&waiting), ["c"]);
    }
}
