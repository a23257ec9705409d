//! Walking lists by token.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use hyperfleet_tests::app::{Answer, TestApp};
use serde_json::{Value, json};

use hyperfleet_tests::registries::registry_b;

/// One page of a walk; the first without a token.
async fn page(app: &TestApp, list: &str, token: &str) -> Answer {
    let glue = if list.contains('?') { '&' } else { '?' };
    app.get(&format!("{list}{glue}page_token={token}"))
        .await
        .expect(200)
}

/// The ids of a walk, in order.
async fn walk(app: &TestApp, list: &str) -> Vec<String> {
    let (mut ids, mut token) = (Vec::new(), String::new());
    for number in 1.. {
        let answer = page(app, list, &token).await;
        assert_eq!(answer.body["page"], number);
        ids.extend(ids_of(&answer));
        match answer.body.get("next_page_token") {
            Some(next) => next.as_str().expect("a text").clone_into(&mut token),
            None => return ids,
        }
        assert!(!answer.header("link").is_empty());
    }
    unreachable!("pages are numbered without end")
}

fn ids_of(answer: &Answer) -> Vec<String> {
    let items = answer.body["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn pages_by_number_stay_as_they_were_and_link_to_the_next() {
    let app = TestApp::start().await;
    let ids =
        join_all((0..5).map(|number| app.cluster(["a00", "b00", "c00", "d00", "e00"][number])))
            .await;
    let first = app
        .get("clusters?size=2&order=name&page=1")
        .await
        .expect(200);
    let members: BTreeSet<&String> = first.body.as_object().expect("an object").keys().collect();
    let expected: Vec<String> = ["items", "page", "size", "total"].map(str::to_owned).into();
    assert_eq!(members, expected.iter().collect());
    let link = first.header("link").to_owned();
    let next = link
        .strip_prefix("</api/hyperfleet/v1/")
        .and_then(|rest| rest.strip_suffix(">; rel=\"next\""))
        .expect("a link to the next page");
    assert!(
        next.starts_with("clusters?size=2&order=name&page_token="),
        "{next}"
    );
    let second = app.get(next).await.expect(200);
    assert_eq!(ids_of(&second), ids[2..4]);
    assert_eq!(
        (&second.body["page"], &second.body["total"]),
        (&json!(2), &json!(5))
    );
    assert_eq!(
        app.get("clusters?size=2&order=name&page=3")
            .await
            .expect(200)
            .header("link"),
        ""
    );
    assert_eq!(
        app.get("clusters?size=5").await.expect(200).header("link"),
        ""
    );
    assert_eq!(
        app.get("clusters?page=9").await.expect(200).header("link"),
        ""
    );
}

#[tokio::test]
async fn every_order_can_be_walked_nulls_included() {
    let app = TestApp::with(registry_b()).await;
    let gadgets = [
        app.create("gadgets", "Gadget", "g1").await,
        app.create("gadgets", "Gadget", "g2").await,
    ];
    for (number, name) in ["w1", "w2", "w3", "w4", "w5", "w6", "w7"]
        .iter()
        .enumerate()
    {
        let owner = &gadgets[number % 2];
        let body = json!({"kind": "Widget", "name": name, "spec": {"n": number % 3}});
        let widget = app
            .post(&format!("gadgets/{owner}/widgets"), &body)
            .await
            .expect(201);
        let path = format!("widgets/{}", widget.id());
        if number % 2 == 0 {
            app.patch(&path, &json!({"labels": {"n": "1"}}))
                .await
                .expect(200);
        }
        if number % 3 == 0 {
            app.delete(&path).await.expect(202);
        }
    }
    let columns = [
        "id",
        "kind",
        "name",
        "href",
        "created_time",
        "updated_time",
        "deleted_time",
        "created_by",
        "updated_by",
        "deleted_by",
        "generation",
        "owner_id",
        "owner_kind",
        "owner_href",
        "spec",
        "tenancy",
    ];
    for column in columns {
        for order in [
            format!("{column}%20asc"),
            format!("{column}%20desc"),
            format!("deleted_time%20desc,{column}"),
            format!("generation,{column}%20desc,deleted_by"),
        ] {
            let whole = app
                .get(&format!("widgets?size=100&order={order}"))
                .await
                .expect(200);
            for size in [1, 3, 7] {
                let walked = walk(&app, &format!("widgets?size={size}&order={order}")).await;
                assert_eq!(walked, ids_of(&whole), "{order}, {size} a page");
            }
        }
    }
    let nested = walk(&app, &format!("gadgets/{}/widgets?size=1", gadgets[0])).await;
    assert_eq!(nested.len(), 4);
}

#[tokio::test]
async fn a_token_that_cannot_be_used_is_told_why() {
    let app = TestApp::start().await;
    for name in ["aaa", "bbb", "ccc"] {
        app.cluster(name).await;
    }
    let first = page(&app, "clusters?size=1", "").await;
    let token = first.text_of("next_page_token").to_owned();
    app.get(&format!("clusters?size=2&page_token={token}"))
        .await
        .expect(200);
    let other =
        "it belongs to another list: path, order and filters must stay the same from page to page";
    let damaged = format!("{}A", &token[..token.len() - 1]);
    let damaged = if damaged == token {
        format!("{}B", &token[..token.len() - 1])
    } else {
        damaged
    };
    for (path, reason) in [
        (format!("clusters?order=name&page_token={token}"), other),
        (format!("clusters?name=aaa&page_token={token}"), other),
        (format!("nodepools?page_token={token}"), other),
        (
            format!("clusters?page_token={damaged}"),
            "it was damaged on its way",
        ),
        (
            "clusters?page_token=%21".to_owned(),
            "it is not a token of this API",
        ),
        (
            "clusters?page_token=AAAA".to_owned(),
            "it was given by another version of this API",
        ),
    ] {
        let detail = format!("invalid page_token: {reason}");
        app.get(&path).await.expect_problem(400, "VAL-005", &detail);
    }
    let both = app
        .get(&format!("clusters?page=2&page_token={token}"))
        .await;
    both.expect_problem(
        400,
        "VAL-005",
        "page and page_token cannot be used together: the token says where to go on",
    );
    let long = format!("clusters?page_token={}", "A".repeat(5000));
    let detail = "invalid page_token: it is longer than 4096 characters";
    app.get(&long).await.expect_problem(400, "VAL-005", detail);
}

#[tokio::test]
async fn a_spec_too_long_for_a_token_is_refused_while_walking_only() {
    let app = TestApp::start().await;
    for name in ["aaa", "bbb"] {
        let body = json!({"kind": "Cluster", "name": name, "spec": {"text": name.repeat(2000)}});
        app.post("clusters", &body).await.expect(201);
    }
    let by_number = app.get("clusters?size=1&order=spec").await.expect(200);
    assert_eq!(
        (by_number.header("link"), &by_number.body["total"]),
        ("", &json!(2))
    );
    let detail = "invalid page_token: the values that the list is ordered by are too long for a token; \
                  choose another order";
    let walked = app.get("clusters?size=1&order=spec&page_token=").await;
    walked.expect_problem(400, "VAL-005", detail);
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_among_writers_repeats_nothing_and_skips_nothing_that_was_there_throughout() {
    let app = TestApp::with(registry_b()).await;
    let mut numbers = Numbers(7);
    let mut live: BTreeMap<String, String> = BTreeMap::new();
    let mut next_name = 0;
    for _ in 0..30 {
        create(&app, &mut live, &mut next_name, &mut numbers).await;
    }
    for (round, order) in [
        "created_time%20desc",
        "created_time",
        "name",
        "name%20desc",
        "kind,name%20desc",
        "id",
    ]
    .iter()
    .cycle()
    .take(24)
    .enumerate()
    {
        let list = format!("channels?size={}&order={order}", 1 + numbers.below(9));
        let mut throughout: BTreeSet<String> = live.keys().cloned().collect();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let answer = page(&app, &list, &token).await;
            seen.extend(ids_of(&answer));
            let Some(next) = answer.body.get("next_page_token").and_then(Value::as_str) else {
                break;
            };
            next.clone_into(&mut token);
            for _ in 0..numbers.below(4) {
                create(&app, &mut live, &mut next_name, &mut numbers).await;
            }
            for _ in 0..numbers.below(4) {
                let Some(id) = live
                    .keys()
                    .nth(usize::try_from(numbers.below(live.len() as u64)).unwrap_or(0))
                    .cloned()
                else {
                    continue;
                };
                app.delete(&format!("channels/{id}")).await.expect(202);
                live.remove(&id);
                throughout.remove(&id);
            }
        }
        let unique: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(
            unique.len(),
            seen.len(),
            "round {round}, {order}: shown twice"
        );
        let skipped: Vec<_> = throughout.difference(&unique).collect();
        assert!(
            skipped.is_empty(),
            "round {round}, {order}: skipped {skipped:?}"
        );
        while live.len() < 30 {
            create(&app, &mut live, &mut next_name, &mut numbers).await;
        }
    }
}

/// Creates a channel whose name falls anywhere among the others.
async fn create(
    app: &TestApp,
    live: &mut BTreeMap<String, String>,
    next_name: &mut u32,
    numbers: &mut Numbers,
) {
    *next_name += 1;
    let name = format!("c{}-{next_name}", numbers.below(1000));
    let id = app.create("channels", "Channel", &name).await;
    live.insert(id, name);
}
