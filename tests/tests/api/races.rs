//! Races between writers in two processes' worth of event stores on one database.
//!
//! `HYPERFLEET_RACE_ROUNDS` asks for more rounds of the property on parents and children.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{join, join_all, try_join_all};
use hyperfleet_tests::app::{Answer, Report, TestApp};
use serde_json::{Value, json};

use hyperfleet_tests::registries::registry_b;

/// Rounds in the ordinary suite.
const ROUNDS: usize = 300;

/// Rounds at the same time, so that strangers share batches and locks as they do in production.
const LANES: usize = 8;

#[expect(
    clippy::disallowed_methods,
    reason = "how a person asks for more rounds"
)]
fn rounds() -> usize {
    let asked = std::env::var("HYPERFLEET_RACE_ROUNDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// Two processes' worth of the API.
async fn two(app: TestApp) -> [TestApp; 2] {
    let beside = app.beside().await;
    [app, beside]
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_patches_give_fifty_generations() {
    let apps = two(TestApp::start().await).await;
    for (name, processes) in [("one", 1), ("two", 2)] {
        let path = format!("clusters/{}", apps[0].cluster(name).await);
        let patches: Vec<_> = (0..50).map(|n| json!({"spec": {"n": n}})).collect();
        let sent = patches.iter().enumerate();
        let answers =
            join_all(sent.map(|(n, patch)| apps[n % processes].patch(&path, patch))).await;
        let generations: BTreeSet<_> = answers
            .into_iter()
            .map(|answer| answer.expect(200).body["generation"].as_i64())
            .collect();
        assert_eq!(generations, (2..=51).map(Some).collect());
        assert_eq!(apps[0].get(&path).await.expect(200).body["generation"], 51);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_parallel_creates_in_two_processes_one_wins() {
    let apps = two(TestApp::start().await).await;
    for round in 0..5 {
        let body = json!({"kind": "Cluster", "name": format!("race-{round}"), "spec": {}});
        let sent = (0..100).map(|number| apps[number % 2].post("clusters", &body));
        let answers = join_all(sent).await;
        let count = |status| {
            answers
                .iter()
                .filter(|answer| answer.status == status)
                .count()
        };
        assert_eq!((count(201), count(409)), (1, 99));
    }
    assert_eq!(apps[0].get("clusters").await.expect(200).body["total"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_report_is_lost_among_changes_and_reports_of_others() {
    let apps = two(TestApp::start().await).await;
    let path = format!("clusters/{}", apps[0].cluster("abc").await);
    let adapters = ["validation", "dns", "pullsecret", "hypershift", "placement"];
    for round in 0..60_usize {
        let time =
            apps[0].seconds_ago(100) + chrono::TimeDelta::seconds(round.try_into().unwrap_or(0));
        // In each round other adapters change their mind; the rest only say "still so".
        let reports: Vec<_> = adapters
            .iter()
            .enumerate()
            .map(|(number, adapter)| {
                let changes = (round + number) % 3 == 0 && round % 2 == 0;
                let available = if changes { "False" } else { "True" };
                Report::new(adapter, 1, available).at(time)
            })
            .collect();
        let sent = reports.iter().enumerate();
        let answers = join_all(sent.map(|(n, report)| apps[n % 2].report(&path, report))).await;
        for answer in answers {
            answer.expect(201);
        }
        let list = apps[0].get(&format!("{path}/statuses")).await.expect(200);
        let statuses = list.body["items"].as_array().expect("items");
        assert_eq!(statuses.len(), adapters.len());
        for report in &reports {
            let status = statuses
                .iter()
                .find(|status| status["adapter"] == report.adapter);
            let status = status.expect("the adapter reported");
            assert_eq!(
                status["last_report_time"],
                json!(time),
                "round {round}: {status}"
            );
            assert_eq!(
                status["conditions"][0]["status"], report.available,
                "round {round}"
            );
        }
    }
}

/// Case: criterion 4 of the REST contract. Each round races the creation of children with the
/// deletion of their parent, with a parent that takes its children along and one that refuses to go
/// before them.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_races_the_deletion_of_its_parent_is_never_an_orphan() {
    let apps = two(TestApp::with(registry_b()).await).await;
    let rounds = rounds();
    let started = std::time::Instant::now();
    let lanes = (0..LANES).map(|lane| {
        let apps = &apps;
        async move {
            let mut outcomes = [0_usize; 3];
            for round in (lane..rounds).step_by(LANES) {
                let outcome = if round % 2 == 0 {
                    cascading_round(apps, round).await?
                } else {
                    restricting_round(apps, round).await?
                };
                outcomes[outcome] += 1;
            }
            Ok::<_, String>(outcomes)
        }
    });
    let outcomes = try_join_all(lanes).await.expect("no orphan");
    let sum = |which: usize| outcomes.iter().map(|lane| lane[which]).sum::<usize>();
    println!(
        "{rounds} rounds in {:.1} s: children first {}, parent first {}, mixed {}",
        started.elapsed().as_secs_f64(),
        sum(0),
        sum(1),
        sum(2)
    );
}

/// Deletes a parent while two children are created, one in each process.
async fn race(
    apps: &[TestApp; 2],
    round: usize,
    (parents, parent_kind): (&str, &str),
    (children, child_kind): (&str, &str),
) -> (String, Answer, Vec<Answer>) {
    let name = format!("p{round}");
    let parent = apps[round / 2 % 2]
        .create(parents, parent_kind, &name)
        .await;
    let path = format!("{parents}/{parent}");
    let nested = format!("{path}/{children}");
    let bodies = ["c1", "c2"].map(|name| json!({"kind": child_kind, "name": name, "spec": {}}));
    let creations = join_all(
        bodies
            .iter()
            .zip(apps)
            .map(|(body, app)| app.post(&nested, body)),
    );
    let deletion = async {
        // The deletion starts before, between and after the creations, from round to round.
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        apps[round / 3 % 2].delete(&path).await
    };
    let (creations, deletion) = futures::join!(creations, deletion);
    (path, deletion, creations)
}

/// How many children were created: all, none or some.
fn outcome(creations: &[Answer]) -> usize {
    let created = creations
        .iter()
        .filter(|answer| answer.status == 201)
        .count();
    match created {
        0 => 1,
        created if created == creations.len() => 0,
        _ => 2,
    }
}

async fn cascading_round(apps: &[TestApp; 2], round: usize) -> Result<usize, String> {
    let (path, deletion, creations) =
        race(apps, round, ("gadgets", "Gadget"), ("widgets", "Widget")).await;
    let complain = |what: &str| Err(format!("round {round}, {path}: {what}"));
    if deletion.status != 202 {
        return complain(&deletion.text);
    }
    if let Some(odd) = creations
        .iter()
        .find(|answer| ![201, 409].contains(&answer.status))
    {
        return complain(&odd.text);
    }
    let created: BTreeSet<String> = creations
        .iter()
        .filter(|answer| answer.status == 201)
        .map(Answer::id)
        .collect();
    let list = apps[1].get(&format!("{path}/widgets")).await;
    let items = list.body["items"].as_array().cloned().unwrap_or_default();
    let id = |item: &Value| item["id"].as_str().unwrap_or_default().to_owned();
    if items.iter().map(id).collect::<BTreeSet<_>>() != created {
        return complain(&format!("acknowledged {created:?}, listed {}", list.text));
    }
    if !items
        .iter()
        .all(|item| item["deleted_time"] == deletion.body["deleted_time"])
    {
        return complain(&format!("an orphan among {}", list.text));
    }
    Ok(outcome(&creations))
}

async fn restricting_round(apps: &[TestApp; 2], round: usize) -> Result<usize, String> {
    let (path, deletion, creations) = race(
        apps,
        round,
        ("channels", "Channel"),
        ("versions", "Version"),
    )
    .await;
    let complain = |what: &str| Err(format!("round {round}, {path}: {what}"));
    let created = creations
        .iter()
        .filter(|answer| answer.status == 201)
        .count();
    let parent = apps[0].get(&path).await.status;
    match (deletion.status, created, parent) {
        (202, 0, 404) | (409, 1.., 200) => Ok(outcome(&creations)),
        _ => complain(&format!(
            "deletion {}, {created} children, parent {parent}: {:?}",
            deletion.text,
            creations
                .iter()
                .map(|answer| &answer.text)
                .collect::<Vec<_>>()
        )),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_is_always_that_of_the_items_beside_it() {
    let apps = two(TestApp::start().await).await;
    let writers = (0..8).map(|lane| {
        let app = &apps[lane % 2];
        async move {
            for round in 0..10 {
                let path = format!(
                    "clusters/{}",
                    app.cluster(&format!("c-{lane}-{round}")).await
                );
                app.delete(&path).await.expect(202);
                let reason = json!({"reason": "over"});
                let gone = app.post(&format!("{path}/force-delete"), &reason).await;
                gone.expect(204);
            }
            app.cluster(&format!("left-{lane}")).await;
        }
    });
    let is_over = AtomicBool::new(false);
    let readers = ["clusters?size=100", "resources?size=100"].map(|path| {
        let (app, is_over) = (&apps[0], &is_over);
        async move {
            let mut totals = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                let list = app.get(path).await.expect(200);
                assert_eq!(list.body["total"], list.items().len(), "{path}");
                totals.insert(list.items().len());
            }
            totals
        }
    });
    let writing = async {
        join_all(writers).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let ((), totals) = join(writing, join_all(readers)).await;
    assert!(totals.iter().all(|totals| totals.len() > 1), "{totals:?}");
    for path in ["clusters", "clusters?page=2&size=5", "resources"] {
        assert_eq!(apps[1].get(path).await.expect(200).body["total"], 8);
    }
}
