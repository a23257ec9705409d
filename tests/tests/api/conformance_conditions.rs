//! Conditions of a resource, step by step, as reports come in.

use chrono::{DateTime, TimeDelta, Utc};
use hyperfleet_tests::app::{Answer, Report, TestApp};
use hyperfleet_tests::registries::registry_b;
use serde_json::{Value, json};

/// A gadget and the times of its reports: `at(1)` is before `at(2)`, all within the last minutes.
struct Story {
    app: TestApp,
    path: String,
    start: DateTime<Utc>,
}

impl Story {
    async fn begin() -> Self {
        let app = TestApp::with(registry_b()).await;
        let start = app.seconds_ago(100);
        let id = app.create("gadgets", "Gadget", "g").await;
        let path = format!("gadgets/{id}");
        Self { app, path, start }
    }

    fn at(&self, seconds: i64) -> DateTime<Utc> {
        self.start + TimeDelta::seconds(seconds)
    }

    async fn report(&self, adapter: &str, generation: i32, available: &str, time: i64) {
        let report = Report::new(adapter, generation, available).at(self.at(time));
        self.app.report(&self.path, &report).await.expect(201);
    }

    async fn patch(&self, number: i32) {
        let patch = json!({"spec": {"n": number}});
        self.app.patch(&self.path, &patch).await.expect(200);
    }

    async fn read(&self) -> Answer {
        self.app.get(&self.path).await.expect(200)
    }
}

/// Whether members of a condition are these.
#[track_caller]
fn check(answer: &Answer, condition: &str, expected: &[(&str, Value)]) {
    let found = answer.condition(condition);
    for (member, value) in expected {
        assert_eq!(&found[*member], value, "{condition}.{member}: {found}");
    }
}

fn missing(condition: &str, missing: &str, reporting: &str) -> (&'static str, Value) {
    let text = format!(
        "Required adapters not reporting {condition}=True: {missing}. Currently reporting: {reporting}"
    );
    ("message", json!(text))
}

fn status(status: &str) -> (&'static str, Value) {
    ("status", json!(status))
}

fn generation(generation: i32) -> (&'static str, Value) {
    ("observed_generation", json!(generation))
}

fn updated(time: impl serde::Serialize) -> (&'static str, Value) {
    ("last_updated_time", json!(time))
}

fn moved(time: impl serde::Serialize) -> (&'static str, Value) {
    ("last_transition_time", json!(time))
}

fn reason(reason: &str) -> (&'static str, Value) {
    ("reason", json!(reason))
}

/// Up to where every required adapter reported `Available` at generation 1.
async fn reconciled() -> Story {
    let story = Story::begin().await;
    story.report("alpha", 1, "True", 1).await;
    story.report("beta-two", 1, "True", 2).await;
    story
}

#[tokio::test]
async fn case_195_to_198_until_it_is_reconciled() {
    let story = Story::begin().await;
    let created = story.read().await;
    let birth = created.body["created_time"].clone();
    let nobody = missing("Available", "[alpha, beta-two]", "[]");
    check(&created, "Reconciled", &[status("False"), nobody]);
    for condition in ["Reconciled", "LastKnownReconciled"] {
        let times = [
            updated(&birth),
            moved(&birth),
            ("created_time", birth.clone()),
        ];
        check(&created, condition, &times);
    }

    story.report("alpha", 1, "True", 1).await;
    let first = story.read().await;
    let one = missing("Available", "[beta-two]", "[alpha]");
    let expected = [status("False"), one, updated(story.at(1)), moved(&birth)];
    check(&first, "Reconciled", &expected);
    let alpha = [
        status("True"),
        generation(1),
        updated(story.at(1)),
        moved(story.at(1)),
        ("created_time", first.body["updated_time"].clone()),
    ];
    check(&first, "AlphaSuccessful", &alpha);

    story.report("beta-two", 1, "True", 2).await;
    let both = story.read().await;
    let all = [
        status("True"),
        reason("ReconciledAll"),
        updated(story.at(1)),
        moved(story.at(1)),
        ("created_time", birth.clone()),
    ];
    check(&both, "Reconciled", &all);
    check(
        &both,
        "LastKnownReconciled",
        &[status("True"), generation(1)],
    );
    let conditions = &both.body["status"]["conditions"];
    assert_eq!(conditions[2]["type"], "AlphaSuccessful");
    assert_eq!(conditions[3]["type"], "BetaTwoSuccessful");
    check(&both, "AlphaSuccessful", &alpha[4..]);

    story.report("alpha", 1, "True", 3).await;
    let later = story.read().await;
    let expected = [updated(story.at(2)), moved(story.at(1))];
    check(&later, "Reconciled", &expected);
}

#[tokio::test]
async fn case_199_to_202_a_new_generation_and_its_failures() {
    let story = reconciled().await;
    story.report("alpha", 1, "True", 3).await;
    let before = story.read().await;
    story.patch(2).await;
    let patched = story.read().await;
    let now = patched.body["updated_time"].clone();
    let expected = [status("False"), generation(2), updated(&now), moved(&now)];
    check(&patched, "Reconciled", &expected);
    let known = [status("True"), generation(1), updated(story.at(2))];
    check(&patched, "LastKnownReconciled", &known);
    assert_eq!(
        patched.condition("AlphaSuccessful"),
        before.condition("AlphaSuccessful")
    );

    story.report("alpha", 2, "True", 4).await;
    let one = story.read().await;
    let waiting = missing("Available", "[beta-two]", "[alpha, beta-two]");
    check(&one, "Reconciled", &[status("False"), waiting]);
    check(&one, "LastKnownReconciled", &known[..2]);

    story.report("alpha", 2, "False", 5).await;
    let failed = story.read().await;
    check(&failed, "LastKnownReconciled", &known[..2]);
    let alpha = [status("False"), generation(2), moved(story.at(5))];
    check(&failed, "AlphaSuccessful", &alpha);

    story.report("beta-two", 1, "False", 6).await;
    let lost = story.read().await;
    let expected = [
        status("False"),
        reason("AdapterReportedNotAvailable"),
        generation(2),
        updated(story.at(5)),
    ];
    check(&lost, "LastKnownReconciled", &expected);
}

#[tokio::test]
async fn case_203_and_204_reconciled_again_and_lost_without_a_new_generation() {
    let story = reconciled().await;
    story.patch(2).await;
    story.report("alpha", 2, "False", 5).await;
    story.report("beta-two", 1, "False", 6).await;
    story.report("alpha", 2, "True", 7).await;
    story.report("beta-two", 2, "True", 8).await;
    let both = story.read().await;
    let expected = [status("True"), generation(2), moved(story.at(7))];
    check(&both, "Reconciled", &expected);
    check(&both, "LastKnownReconciled", &expected[..2]);
    story.report("alpha", 2, "False", 9).await;
    let lost = story.read().await;
    // The earliest report at this generation is now that of beta-two.
    let expected = [status("False"), updated(story.at(8)), moved(story.at(8))];
    check(&lost, "Reconciled", &expected);
    check(&lost, "LastKnownReconciled", &[status("False")]);
}

#[tokio::test]
async fn case_205_adapters_at_different_generations() {
    let story = Story::begin().await;
    story.report("alpha", 1, "True", 1).await;
    story.patch(2).await;
    story.report("beta-two", 2, "True", 2).await;
    let expected = [
        status("False"),
        reason("AdaptersNotAtSameGeneration"),
        generation(2),
    ];
    check(&story.read().await, "LastKnownReconciled", &expected);
}

#[tokio::test]
async fn case_206_and_207_what_is_copied_and_what_is_not_there() {
    let story = Story::begin().await;
    let mut document = Report::new("alpha", 1, "False").at(story.at(1)).document();
    document["conditions"][0]["reason"] = json!("QuotaExceeded");
    document["conditions"][0]["message"] = json!("no more networks");
    document["conditions"]
        .as_array_mut()
        .expect("conditions")
        .push(json!({"type": "Finalized", "status": "False"}));
    let statuses = format!("{}/statuses", story.path);
    story.app.put(&statuses, &document).await.expect(201);
    story.report("gamma", 1, "True", 2).await;
    let read = story.read().await;
    let expected = [
        status("False"),
        reason("QuotaExceeded"),
        ("message", json!("no more networks")),
    ];
    check(&read, "AlphaSuccessful", &expected);
    for absent in [
        "Ready",
        "Available",
        "Applied",
        "Health",
        "Finalized",
        "GammaSuccessful",
    ] {
        assert_eq!(read.condition(absent), &Value::Null, "{absent}");
    }
}

#[tokio::test]
async fn case_208_a_kind_without_adapters() {
    let app = TestApp::with(registry_b()).await;
    let path = format!("channels/{}", app.create("channels", "Channel", "x").await);
    let created = app.get(&path).await.expect(200);
    assert_eq!(created.body["status"]["conditions"], json!([]));
    let unknown = Report::new("a", 1, "Unknown").at(app.seconds_ago(10));
    app.report(&path, &unknown).await.expect(201);
    let same = app.get(&path).await.expect(200);
    assert_eq!(same.body["status"]["conditions"], json!([]));
    app.report(&path, &Report::new("a", 1, "True"))
        .await
        .expect(201);
    let reported = app.get(&path).await.expect(200);
    let expected = [status("False"), missing("Available", "[]", "[]")];
    check(&reported, "Reconciled", &expected);
    check(&reported, "LastKnownReconciled", &[status("False")]);
}

#[tokio::test]
async fn case_209_a_deletion_of_what_was_reconciled() {
    let story = reconciled().await;
    let marked = story.app.delete(&story.path).await.expect(202);
    let now = marked.body["updated_time"].clone();
    let expected = [
        status("False"),
        moved(&now),
        missing("Finalized", "[alpha, beta-two]", "[alpha, beta-two]"),
    ];
    check(&marked, "Reconciled", &expected);
    check(&story.read().await, "Reconciled", &expected);
}
