//! Aggregation of reports (registry B, one Gadget with the adapters alpha and beta-two).

use chrono::{DateTime, TimeDelta, Utc};
use hyperfleet_domain::timestamp;
use hyperfleet_tests::app::{Answer, Report, TestApp};
use serde_json::{Value, json};

use crate::kinds;

const AVAILABLE: &str = "Required adapters not reporting Available=True";

/// A gadget and its story: `t(1)`, `t(2)` … are whole seconds of the last minutes.
struct Gadget {
    app: TestApp,
    path: String,
    begin: DateTime<Utc>,
}

impl Gadget {
    async fn create() -> Self {
        let app = TestApp::with(kinds::registry()).await;
        let id = app.create("gadgets", "Gadget", "g1").await;
        let begin = app.seconds_ago(120);
        let path = format!("gadgets/{id}");
        Self { app, path, begin }
    }

    /// Case 197: reconciled at generation 1, by reports of `t(1)` and `t(2)`.
    async fn reconciled() -> Self {
        let gadget = Self::create().await;
        gadget.report("alpha", 1, "True", 1).await;
        gadget.report("beta-two", 1, "True", 2).await;
        gadget
    }

    fn t(&self, number: i64) -> String {
        timestamp::format(&(self.begin + TimeDelta::seconds(number)))
    }

    async fn report(&self, adapter: &str, generation: i32, available: &str, number: i64) {
        let time = self.begin + TimeDelta::seconds(number);
        let report = Report::new(adapter, generation, available).at(time);
        self.app.report(&self.path, &report).await.expect(201);
    }

    async fn patch(&self, spec: Value) {
        let document = json!({"spec": spec});
        self.app.patch(&self.path, &document).await.expect(200);
    }

    async fn get(&self) -> Answer {
        self.app.get(&self.path).await.expect(200)
    }
}

/// Status, observed generation, last update and transition of a condition.
fn brief(gadget: &Answer, r#type: &str) -> (String, i64, String, String) {
    let condition = gadget.condition(r#type);
    let text = |member: &str| condition[member].as_str().unwrap_or_default().to_owned();
    (
        text("status"),
        condition["observed_generation"].as_i64().unwrap_or(-1),
        text("last_updated_time"),
        text("last_transition_time"),
    )
}

fn is(
    status: &str,
    generation: i64,
    updated: &str,
    transition: &str,
) -> (String, i64, String, String) {
    (
        status.to_owned(),
        generation,
        updated.to_owned(),
        transition.to_owned(),
    )
}

fn types(gadget: &Answer) -> Vec<&str> {
    let conditions = gadget.body["status"]["conditions"].as_array();
    let types = conditions.into_iter().flatten();
    types
        .filter_map(|condition| condition["type"].as_str())
        .collect()
}

#[tokio::test]
async fn case_195_to_198_from_created_to_reconciled() {
    let gadget = Gadget::create().await;
    let new = gadget.get().await;
    let created = new.text_of("created_time").to_owned();
    for name in ["Reconciled", "LastKnownReconciled"] {
        assert_eq!(brief(&new, name), is("False", 1, &created, &created));
        assert_eq!(new.condition(name)["created_time"], json!(created));
    }
    let message = format!("{AVAILABLE}: [alpha, beta-two]. Currently reporting: []");
    assert_eq!(new.condition("Reconciled")["message"], json!(message));

    gadget.report("alpha", 1, "True", 1).await;
    let first = gadget.get().await;
    let t1 = gadget.t(1);
    assert_eq!(brief(&first, "Reconciled"), is("False", 1, &t1, &created));
    let message = format!("{AVAILABLE}: [beta-two]. Currently reporting: [alpha]");
    assert_eq!(first.condition("Reconciled")["message"], json!(message));
    assert_eq!(brief(&first, "AlphaSuccessful"), is("True", 1, &t1, &t1));
    let since = &first.condition("AlphaSuccessful")["created_time"];
    assert_eq!(since, &first.body["updated_time"]);

    gadget.report("beta-two", 1, "True", 2).await;
    let second = gadget.get().await;
    assert_eq!(brief(&second, "Reconciled"), is("True", 1, &t1, &t1));
    assert_eq!(second.condition("Reconciled")["reason"], "ReconciledAll");
    let (holds, generation, ..) = brief(&second, "LastKnownReconciled");
    assert_eq!((holds.as_str(), generation), ("True", 1));
    let expected = [
        "Reconciled",
        "LastKnownReconciled",
        "AlphaSuccessful",
        "BetaTwoSuccessful",
    ];
    assert_eq!(types(&second), expected);
    for name in ["Reconciled", "LastKnownReconciled", "AlphaSuccessful"] {
        let since = &second.condition(name)["created_time"];
        assert_eq!(since, &json!(created), "{name}");
    }

    gadget.report("alpha", 1, "True", 3).await;
    let third = gadget.get().await;
    assert_eq!(
        brief(&third, "Reconciled"),
        is("True", 1, &gadget.t(2), &t1)
    );
}

#[tokio::test]
async fn case_199_to_202_a_new_generation_fails() {
    let gadget = Gadget::reconciled().await;
    gadget.report("alpha", 1, "True", 3).await;
    let before = gadget.get().await;
    gadget.patch(json!({"size": 2})).await;
    let patched = gadget.get().await;
    let updated = patched.text_of("updated_time").to_owned();
    assert_eq!(
        brief(&patched, "Reconciled"),
        is("False", 2, &updated, &updated)
    );
    let known = is("True", 1, &gadget.t(2), &gadget.t(1));
    assert_eq!(brief(&patched, "LastKnownReconciled"), known);
    let alpha = patched.condition("AlphaSuccessful");
    assert_eq!(alpha, before.condition("AlphaSuccessful"));

    gadget.report("alpha", 2, "True", 4).await;
    let half = gadget.get().await;
    let message = format!("{AVAILABLE}: [beta-two]. Currently reporting: [alpha, beta-two]");
    assert_eq!(half.condition("Reconciled")["message"], json!(message));
    assert_eq!(brief(&half, "LastKnownReconciled"), known);

    gadget.report("alpha", 2, "False", 5).await;
    let failed = gadget.get().await;
    assert_eq!(brief(&failed, "LastKnownReconciled"), known);
    let t5 = gadget.t(5);
    assert_eq!(brief(&failed, "AlphaSuccessful"), is("False", 2, &t5, &t5));

    gadget.report("beta-two", 1, "False", 6).await;
    let lost = gadget.get().await;
    let known = lost.condition("LastKnownReconciled");
    assert_eq!(known["reason"], "AdapterReportedNotAvailable");
    assert_eq!(
        brief(&lost, "LastKnownReconciled"),
        is("False", 2, &t5, &t5)
    );
}

#[tokio::test]
async fn case_203_and_204_reconciled_again_and_lost_again() {
    let gadget = Gadget::reconciled().await;
    gadget.patch(json!({"size": 2})).await;
    gadget.report("alpha", 2, "True", 7).await;
    gadget.report("beta-two", 2, "True", 8).await;
    let both = gadget.get().await;
    let (t7, t8) = (gadget.t(7), gadget.t(8));
    assert_eq!(brief(&both, "Reconciled"), is("True", 2, &t7, &t7));
    let (holds, generation, ..) = brief(&both, "LastKnownReconciled");
    assert_eq!((holds.as_str(), generation), ("True", 2));
    gadget.report("alpha", 2, "False", 9).await;
    let lost = gadget.get().await;
    assert_eq!(brief(&lost, "Reconciled"), is("False", 2, &t8, &t8));
    assert_eq!(lost.condition("LastKnownReconciled")["status"], "False");
}

#[tokio::test]
async fn case_205_adapters_at_different_generations() {
    let gadget = Gadget::create().await;
    gadget.report("alpha", 1, "True", 1).await;
    gadget.patch(json!({"size": 2})).await;
    gadget.report("beta-two", 2, "True", 2).await;
    let mixed = gadget.get().await;
    let known = mixed.condition("LastKnownReconciled");
    assert_eq!(known["status"], "False");
    assert_eq!(known["reason"], "AdaptersNotAtSameGeneration");
    assert_eq!(known["observed_generation"], 2);
}

#[tokio::test]
async fn case_206_and_207_what_is_taken_from_a_report() {
    let gadget = Gadget::create().await;
    let mut report = Report::new("alpha", 1, "False")
        .finalized("True")
        .document();
    report["conditions"][0]["reason"] = json!("Broken");
    report["conditions"][0]["message"] = json!("it is broken");
    let statuses = format!("{}/statuses", gadget.path);
    gadget.app.put(&statuses, &report).await.expect(201);
    let reported = gadget.get().await;
    let alpha = reported.condition("AlphaSuccessful");
    assert_eq!(alpha["reason"], "Broken");
    assert_eq!(alpha["message"], "it is broken");
    for name in ["Ready", "Available", "Applied", "Health", "Finalized"] {
        assert_eq!(reported.condition(name), &Value::Null, "{name}");
    }
}

#[tokio::test]
async fn case_208_a_kind_without_adapters() {
    let app = TestApp::with(kinds::registry()).await;
    let path = format!("channels/{}", app.create("channels", "Channel", "c").await);
    let new = app.get(&path).await.expect(200);
    assert_eq!(new.body["status"]["conditions"], json!([]));
    let report = Report::new("any", 1, "True");
    app.report(&path, &report).await.expect(201);
    let reported = app.get(&path).await.expect(200);
    let reconciled = reported.condition("Reconciled");
    assert_eq!(reconciled["status"], "False");
    let message = format!("{AVAILABLE}: []. Currently reporting: []");
    assert_eq!(reconciled["message"], json!(message));
}

#[tokio::test]
async fn case_209_a_deletion_starts_over() {
    let gadget = Gadget::reconciled().await;
    gadget.app.delete(&gadget.path).await.expect(202);
    let deleting = gadget.get().await;
    let updated = deleting.text_of("updated_time");
    let (status, generation, _, transition) = brief(&deleting, "Reconciled");
    assert_eq!((status.as_str(), generation), ("False", 2));
    assert_eq!(transition, updated);
    assert_eq!(
        deleting.condition("Reconciled")["message"],
        "Required adapters not reporting Finalized=True: [alpha, beta-two]. Currently reporting: [alpha, beta-two]"
    );
}
