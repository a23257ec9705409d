//! Appending: order, versions, conflicts, batches.

use hyperfleet_event_store::{Append, AppendError};
use hyperfleet_test_support::database;
use serde_json::{Value, json};

use crate::fixture::{all, count, event, one, open, payloads, stream};

#[tokio::test]
async fn events_are_read_back_in_order() {
    let database = database().await;
    let store = open(&database).await;
    let first = Append::events(
        stream("a"),
        0,
        (1..=3).map(|number| event(json!(number))).collect(),
    );
    let created = store.append(vec![first]).await.unwrap();
    let moved = store.append(vec![one("a", 3, json!(4))]).await.unwrap();

    let events = store
        .read_stream(&stream("a"), 0, usize::MAX)
        .await
        .unwrap();
    assert_eq!(created.versions, [3]);
    assert_eq!(moved.versions, [4]);
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert!(events.is_sorted_by(|one, next| one.position < next.position));
    assert!(events.is_sorted_by(|one, next| one.recorded_at <= next.recorded_at));
    assert_eq!(created.position, events[2].position);
    assert_eq!(moved.position, events[3].position);
    let written: Vec<&Value> = events.iter().map(|event| &event.payload).collect();
    assert_eq!(written, [&json!(1), &json!(2), &json!(3), &json!(4)]);
    assert_eq!(events[0].metadata, json!({"actor": "test"}));
    assert_eq!(store.read_all(0, 100).await.unwrap(), events);
    assert_eq!(
        store.read_stream(&stream("a"), 1, 2).await.unwrap(),
        events[1..3]
    );
    assert_eq!(store.load(&stream("a")).await.unwrap().version, 4);
    assert_eq!(store.load(&stream("b")).await.unwrap().version, 0);
}

#[tokio::test]
async fn a_bound_beyond_every_position_has_nothing_after_it() {
    let database = database().await;
    let store = open(&database).await;
    store.append(vec![one("a", 0, json!(1))]).await.unwrap();
    assert_eq!(store.read_all(u64::MAX, 10).await.unwrap(), []);
    assert_eq!(
        store.read_stream(&stream("a"), u64::MAX, 10).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn a_conflict_names_both_versions() {
    let database = database().await;
    let store = open(&database).await;
    store.append(vec![one("a", 0, json!(1))]).await.unwrap();
    let conflict = |expected, actual| AppendError::Conflict {
        stream: stream("a"),
        expected,
        actual,
    };
    let again = store.append(vec![one("a", 0, json!(2))]).await;
    assert_eq!(again, Err(conflict(0, 1)));
    let ahead = store.append(vec![one("a", 7, json!(2))]).await;
    assert_eq!(ahead, Err(conflict(7, 1)));
    let check = Append::events(stream("a"), 2, Vec::new());
    assert_eq!(store.append(vec![check]).await, Err(conflict(2, 1)));
    assert_eq!(payloads(&store, "a").await, [json!(1)]);
}

#[tokio::test]
async fn several_streams_are_written_together_or_not_at_all() {
    let database = database().await;
    let store = open(&database).await;
    let both = |b| vec![one("a", 0, json!("a")), one("b", b, json!("b"))];
    let lost = store.append(both(1)).await;
    assert!(
        matches!(lost, Err(AppendError::Conflict { actual: 0, .. })),
        "{lost:?}"
    );
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 0);
    assert_eq!(count(&database, "SELECT count(*) FROM streams").await, 0);
    let won = store.append(both(0)).await.unwrap();
    assert_eq!(won.versions, [1, 1]);
}

#[tokio::test]
async fn losers_do_not_disturb_their_batch() {
    let database = database().await;
    let store = open(&database).await;
    let answers = all(
        &store,
        (0..200).map(|number| {
            let expected = u64::from(number % 4 == 0);
            one(&format!("s{number}"), expected, json!(number))
        }),
    )
    .await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), number % 4 == 0, "{number}: {answer:?}");
    }
    let (batches, events) = store.metrics().batches();
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 150);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let per_batch = events / batches as f64;
    assert!(
        per_batch > 2.,
        "no group commit: {events} events in {batches} batches"
    );
}

#[tokio::test]
async fn of_many_writers_of_one_version_one_wins() {
    let database = database().await;
    let (one_process, another) = (open(&database).await, open(&database).await);
    for version in 0..5 {
        let race = |number: u64| one("a", version, json!(number));
        let (answers, others) = tokio::join!(
            all(&one_process, (0..10).map(race)),
            all(&another, (10..20).map(race))
        );
        let answers: Vec<_> = answers.into_iter().chain(others).collect();
        let winners = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(winners, 1, "{answers:?}");
        let conflict = AppendError::Conflict {
            stream: stream("a"),
            expected: version,
            actual: version + 1,
        };
        let lost = answers.iter().filter_map(|answer| answer.as_ref().err());
        for error in lost {
            assert_eq!(*error, conflict);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_where_it_is() {
    let database = database().await;
    let store = open(&database).await;
    let refusal = async |appends| match store.append(appends).await {
        Err(AppendError::Invalid { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refusal(vec![one("a", 0, json!({"name": ["x", "y\0z"]}))]).await,
        "stream thing/a: the text at /name/1 has a NUL character"
    );
    assert_eq!(
        refusal(vec![one("a", 0, json!(1)), one("a", 1, json!(2))]).await,
        "stream thing/a occurs twice"
    );
    let mut typed = one("a", 0, json!(1));
    typed.events[0].event_type.push('\0');
    assert_eq!(
        refusal(vec![typed]).await,
        "stream \"a\": an event type or version has a NUL character"
    );
    assert_eq!(
        refusal(vec![Append::events(stream("a"), 0, Vec::new())]).await,
        "stream thing/a must not exist and gets no event"
    );
    assert_eq!(refusal(Vec::new()).await, "it has no stream");
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 0);
}

#[tokio::test]
async fn the_deepest_value_that_is_taken_can_be_read_again() {
    let database = database().await;
    let store = open(&database).await;
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({"in": inner}));
    store.append(vec![one("a", 0, nested(100))]).await.unwrap();
    assert_eq!(payloads(&store, "a").await, [nested(100)]);
    let deeper = store.append(vec![one("b", 0, nested(101))]).await;
    assert!(
        matches!(deeper, Err(AppendError::Invalid { .. })),
        "{deeper:?}"
    );
}

#[tokio::test]
async fn a_crowd_on_one_stream_costs_few_commits() {
    let database = database().await;
    let store = open(&database).await;
    let crowd = (0..300).map(|number| one("a", number % 3, json!(number)));
    let answers = all(&store, crowd).await;
    let winners = answers.iter().filter(|answer| answer.is_ok()).count();
    // One of each version; the second and third version only if its writer was still waiting.
    assert!((1..=3).contains(&winners), "{winners} won");
    assert_eq!(payloads(&store, "a").await.len(), winners);
    assert!(store.metrics().batches().0 <= 3);
}

#[tokio::test]
async fn appends_that_were_queued_in_order_are_applied_in_order() {
    let database = database().await;
    let store = open(&database).await;
    let answers = all(
        &store,
        (0..50).map(|number| one("a", number, json!(number))),
    )
    .await;
    for (number, answer) in (1..).zip(answers) {
        assert_eq!(answer.unwrap().versions, [number]);
    }
}
