//! The commands of `hyperfleet replay` beside rebuilding, on a fleet that the API wrote.

use std::process::Output;
use std::time::Duration;

use hyperfleet_test_support::{TestDatabase, database, eventually};
use serde_json::{Value, json};

use crate::dev::{Dev, hyperfleet};

const DEADLINE: Duration = Duration::from_secs(30);

/// An API with two clusters and a node pool; one cluster was changed, another removed.
pub(crate) struct Fleet {
    pub(crate) database: TestDatabase,
    pub(crate) dev: Dev,
    folder: tempfile::TempDir,
    pub(crate) cluster: String,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let database = database().await;
        let dev = Dev::start_api_on(&database.url).await;
        let mut fleet = Self {
            database,
            dev,
            folder: tempfile::tempdir().unwrap(),
            cluster: String::new(),
        };
        let labels = json!({"tier": "gold"});
        let one = json!({"kind": "Cluster", "name": "one", "labels": labels, "spec": {"a": 1}});
        fleet.cluster = fleet.send(reqwest::Method::POST, "clusters", &one).await;
        let pool = json!({"kind": "NodePool", "name": "workers", "spec": {}});
        let pools = format!("clusters/{}/nodepools", fleet.cluster);
        fleet.send(reqwest::Method::POST, &pools, &pool).await;
        let two = json!({"kind": "Cluster", "name": "two", "spec": {}});
        let two = fleet.send(reqwest::Method::POST, "clusters", &two).await;
        let path = format!("clusters/{two}");
        fleet
            .send(reqwest::Method::DELETE, &path, &Value::Null)
            .await;
        let path = format!("clusters/{}", fleet.cluster);
        let change = json!({"spec": {"a": 2}});
        fleet.send(reqwest::Method::PATCH, &path, &change).await;
        fleet
    }

    /// Sends a request that must succeed; the id of the answer.
    pub(crate) async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        document: &Value,
    ) -> String {
        let url = format!("{}/api/hyperfleet/v1/{path}", self.dev.url);
        let mut request = reqwest::Client::new().request(method, url);
        if !document.is_null() {
            request = request.json(document);
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        let body: Value = answer.json().await.unwrap();
        body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) async fn replay(&self, arguments: &[&str]) -> Output {
        on(&self.database, arguments).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.replay(&[arguments, &["-o", "json"]].concat()).await;
        serde_json::from_slice(&ok(&output).stdout).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.dev.stop().await;
    }
}

async fn run(arguments: &[&str]) -> Output {
    hyperfleet()
        .arg("replay")
        .args(arguments)
        .output()
        .await
        .unwrap()
}

async fn on(database: &TestDatabase, arguments: &[&str]) -> Output {
    run(&[arguments, &["--database-url", &database.url]].concat()).await
}

#[track_caller]
pub(crate) fn ok(output: &Output) -> &Output {
    assert!(output.status.success(), "{}", said(output));
    output
}

/// Everything that was printed.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy;
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Asserts how a command ended, and that it said something.
#[track_caller]
pub(crate) fn ended(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

fn flip(file: &str, line: usize, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let flipped = lines[line - 1].replacen(from, to, 1);
    assert_ne!(flipped, lines[line - 1]);
    lines[line - 1] = flipped;
    std::fs::write(file, lines.join("\n")).unwrap();
}

/// A key pair, and the fleet's heads signed with it.
struct Signed {
    public: String,
    heads: String,
}

impl Signed {
    async fn of(fleet: &Fleet) -> Self {
        let (key, heads) = (fleet.file("key"), fleet.file("heads.json"));
        ok(&run(&["keygen", "--key", &key]).await);
        ended(
            &run(&["keygen", "--key", &key]).await,
            2,
            &["there already"],
        );
        let signed = fleet.replay(&["heads", "--key", &key]).await;
        std::fs::write(&heads, &ok(&signed).stdout).unwrap();
        let public = format!("{key}.pub");
        Self { public, heads }
    }

    /// Arguments that compare with these heads.
    fn arguments(&self) -> [&str; 4] {
        ["--heads", &self.heads, "--public-key", &self.public]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_carried_to_another_database() {
    let fleet = Fleet::start().await;
    let log = fleet.file("log");
    ok(&fleet.replay(&["export", &log]).await);
    let again = fleet.replay(&["export", &log]).await;
    ended(&again, 2, &["there already", "--force"]);
    let copy = database().await;
    let looked = on(&copy, &["import", &log, "--dry-run"]).await;
    ended(&looked, 0, &["whole"]);
    let imported = on(&copy, &["import", &log]).await;
    ended(&imported, 0, &["read models are built"]);
    ended(&on(&copy, &["import", &log]).await, 2, &["not empty"]);
    ended(&on(&copy, &["verify"]).await, 0, &["equal"]);
    assert_eq!(rows(&fleet.database).await, rows(&copy).await);
    // Of a copy that was tampered with, the line is named, and nothing is imported.
    flip(&log, 3, "\"payload\":{", "\"payload\":{\"x\":1,");
    let verified = run(&["verify", "--export", &log]).await;
    ended(&verified, 1, &["line 3", "altered"]);
    let empty = database().await;
    let refused = on(&empty, &["import", &log]).await;
    ended(&refused, 2, &["line 3", "altered"]);
    assert_eq!(rows(&empty).await, Vec::<Value>::new());
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_checks_a_copy_without_a_database() {
    let fleet = Fleet::start().await;
    let signed = Signed::of(&fleet).await;
    let log = fleet.file("log");
    ok(&fleet.replay(&["export", &log]).await);
    let verify = ["verify", "--export", log.as_str()];
    let verified = run(&[&verify[..], &signed.arguments()].concat()).await;
    ended(&verified, 0, &["every chain is whole", "0 differences"]);
    let live = [&["verify"][..], &signed.arguments()].concat();
    ended(&fleet.replay(&live).await, 0, &["0 differences"]);
    // Heads that were touched, or signed by another key, are not trusted.
    let (forged, other) = (fleet.file("forged"), fleet.file("other"));
    std::fs::copy(&signed.heads, &forged).unwrap();
    flip(&forged, 1, "\"position\":", "\"position\":1");
    ok(&run(&["keygen", "--key", &other]).await);
    for (heads, public) in [
        (forged, signed.public.clone()),
        (signed.heads.clone(), format!("{other}.pub")),
    ] {
        let untrusted = Signed { public, heads };
        let verified = run(&[&verify[..], &untrusted.arguments()].concat()).await;
        ended(&verified, 2, &["cannot trust"]);
    }
    // A history that is whole in itself, but not the signed one.
    let elsewhere = Fleet::start().await;
    ok(&elsewhere.replay(&["export", &log, "--force"]).await);
    let verified = run(&[&verify[..], &signed.arguments()].concat()).await;
    ended(&verified, 1, &["not as signed", "missing"]);
    elsewhere.stop().await;
    fleet.stop().await;
}

/// What users see of a fleet.
async fn rows(database: &TestDatabase) -> Vec<Value> {
    sqlx::query_scalar("SELECT to_jsonb(resources) FROM resources ORDER BY id")
        .fetch_all(&database.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_database_is_named() {
    let fleet = Fleet::start().await;
    ended(
        &fleet.replay(&["verify", "--chains"]).await,
        0,
        &["every chain is whole"],
    );
    for (damage, code, words) in [
        (
            "UPDATE live_events SET payload = jsonb_set(payload, '{spec,a}', '3') WHERE sequence > 1
                 AND event_type LIKE '%spec_changed'",
            1,
            ["altered", "position"],
        ),
        (
            "UPDATE live_events SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1) WHERE sequence = 1
                 AND payload ->> 'name' = 'two'",
            1,
            ["event 1: altered", "position"],
        ),
    ] {
        let done = sqlx::query(damage).execute(&fleet.database.pool).await;
        assert_eq!(done.unwrap().rows_affected(), 1, "{damage}");
        ended(&fleet.replay(&["verify", "--chains"]).await, code, &words);
    }
    let output = fleet.replay(&["verify", "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let faults = report["chain_faults"].as_array().unwrap();
    assert_eq!(faults.len(), 2, "{report}");
    assert!(
        faults[0]["position"].is_i64() && faults[0]["sequence"].is_u64(),
        "{report}"
    );
    assert_eq!(
        report["difference_count"], 1,
        "the fold tells another spec: {report}"
    );
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_shown_and_compared() {
    let fleet = Fleet::start().await;
    let (before, after) = ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    ended(
        &fleet.replay(&["at", before, "one"]).await,
        2,
        &["did not exist"],
    );
    ended(
        &fleet.replay(&["at", before, "nobody"]).await,
        2,
        &["never was"],
    );
    ended(&fleet.replay(&["at", "noon"]).await, 2, &["RFC 3339"]);
    let now = fleet.json(&["at", after, "one"]).await;
    assert_eq!(
        (&now["spec"]["a"], &now["generation"]),
        (&json!(2), &json!(2))
    );
    let all = fleet.json(&["at", after]).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    let created: String = sqlx::query_scalar(
        "SELECT to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
         FROM events WHERE aggregate_id = $1 AND sequence = 1",
    )
    .bind(&fleet.cluster)
    .fetch_one(&fleet.database.pool)
    .await
    .unwrap();
    let then = fleet.json(&["at", &created, &fleet.cluster]).await;
    assert_eq!(
        (&then["spec"]["a"], &then["removed"]),
        (&json!(1), &json!(false))
    );
    let arguments = [
        "diff", "one", "--from", &created, "--to", after, "-o", "json",
    ];
    let changed = fleet.replay(&arguments).await;
    assert_eq!(changed.status.code(), Some(1), "{}", said(&changed));
    let changed: Value = serde_json::from_slice(&changed.stdout).unwrap();
    let patch = changed["changes"][0]["patch"].as_array().unwrap();
    let step = json!({"op": "replace", "path": "/spec/a", "value": 2});
    assert!(patch.contains(&step), "{changed}");
    let same = ["diff", "one", "--from-version", "1", "--to-version", "1"];
    ended(&fleet.replay(&same).await, 0, &[]);
    let whole = ["diff", "--from", before, "--to", after];
    ended(
        &fleet.replay(&whole).await,
        1,
        &["cluster/one created", "3 resource(s)"],
    );
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_made_due_after_the_count_was_shown() {
    let fleet = Fleet::start().await;
    let later = "UPDATE reconcile_queue SET due_time = now() + interval '1 hour', attempt = 3";
    sqlx::query(later)
        .execute(&fleet.database.pool)
        .await
        .unwrap();
    let gold = ["repulse", "--selector", "tier=gold"];
    ended(
        &fleet.replay(&gold).await,
        2,
        &["1 resources would be made due", "--yes"],
    );
    ended(
        &fleet.replay(&[&gold[..], &["--dry-run"]].concat()).await,
        0,
        &["1 resources would"],
    );
    assert_eq!(due(&fleet).await, 0);
    ended(
        &fleet.replay(&[&gold[..], &["--yes"]].concat()).await,
        0,
        &["1 of 1 resources"],
    );
    assert_eq!(due(&fleet).await, 1);
    let unknown = ["repulse", "--all", "--kind", "Nothing"];
    ended(
        &fleet.replay(&unknown).await,
        2,
        &["there is no kind", "Cluster"],
    );
    ended(
        &fleet.replay(&["repulse", "--yes"]).await,
        2,
        &["--selector"],
    );
    ended(
        &fleet
            .replay(&["repulse", "--search", "name =", "--yes"])
            .await,
        2,
        &["search"],
    );
    let document = fleet
        .json(&["repulse", "--all", "--kind", "nodepools", "--yes"])
        .await;
    assert_eq!(document["made_due"], 1);
    assert_eq!(due(&fleet).await, 2);
    fleet.stop().await;
}

async fn due(fleet: &Fleet) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM reconcile_queue WHERE due_time <= now() AND attempt = 0",
    )
    .fetch_one(&fleet.database.pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_is_counted_beside_the_current_one() {
    let fleet = Fleet::start().await;
    let policy = fleet.file("policy.yaml");
    let text = "clients: {broker: {topic: t}}\nresource_type: clusters\npolicy:\n  - {name: often, when: 'true', interval: 1s}\n";
    std::fs::write(&policy, text).unwrap();
    let (hour_ago, to): (String, String) = sqlx::query_as(
        "SELECT to_char(now() AT TIME ZONE 'UTC' - interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
             to_char(now() AT TIME ZONE 'UTC' + interval '1 minute', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    )
    .fetch_one(&fleet.database.pool)
    .await
    .unwrap();
    let window = ["--from", hour_ago.as_str(), "--to", to.as_str()];
    let arguments = [&["simulate", "--policy", policy.as_str()][..], &window].concat();
    let document = fleet.json(&arguments).await;
    assert_eq!(document["resources"], 2);
    let pulses = |index: usize| document["policies"][index]["pulses"].as_u64().unwrap();
    assert!(pulses(0) >= 2 && pulses(1) > 5 * pulses(0), "{document}");
    std::fs::write(
        &policy,
        "clients: {broker: {topic: t}}\nresource_type: nothings\n",
    )
    .unwrap();
    ended(
        &fleet.replay(&arguments).await,
        2,
        &["no kind with the plural"],
    );
    fleet.stop().await;
}

/// The only projection.
const SUMMARY: &str = "fleet_summary";

impl Fleet {
    async fn status(&self) -> Value {
        let document = self.json(&["status"]).await;
        document["projections"][0].clone()
    }

    pub(crate) async fn until_caught_up(&self) {
        eventually(DEADLINE, "nothing is behind", async || {
            let status = self.status().await;
            status["lag_events"] == 0 && status["waiting"] == 0
        })
        .await;
    }

    /// Two changes of the cluster, the first of which no version of this program wrote.
    async fn change_with_poison(&self) {
        let poison = "UPDATE live_events SET event_version = '99' WHERE position = (
            SELECT max(position) FROM events WHERE aggregate_id = $1)";
        let path = format!("clusters/{}", self.cluster);
        for a in [3, 4] {
            let change = json!({"spec": {"a": a}});
            self.send(reqwest::Method::PATCH, &path, &change).await;
            if a == 3 {
                let done = sqlx::query(poison).bind(&self.cluster);
                done.execute(&self.database.pool).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_is_paused_and_what_it_cannot_apply_is_dealt_with() {
    let fleet = Fleet::start().await;
    fleet.until_caught_up().await;
    let unknown = fleet.replay(&["pause", "nothing"]).await;
    ended(&unknown, 2, &["fleet_summary"]);
    ended(&fleet.replay(&["pause", SUMMARY]).await, 0, &["is paused"]);
    fleet.change_with_poison().await;
    let paused = fleet.status().await;
    assert!(paused["lag_events"].as_u64() > Some(0), "{paused}");
    assert!(paused["paused_at"].is_string(), "{paused}");
    ended(&fleet.replay(&["resume", SUMMARY]).await, 0, &["goes on"]);
    let parked = eventually(DEADLINE, "the event is parked", async || {
        let document = fleet.json(&["parked", "list"]).await;
        let first = document["parked"][0].clone();
        first["error"].is_string().then_some(first)
    })
    .await;
    let position = parked["position"].to_string();
    let parked = async |command: &str, more: &[&str]| {
        let named = ["parked", command, SUMMARY];
        fleet.replay(&[&named[..], more].concat()).await
    };
    let shown = parked("show", &[&position]).await;
    ended(&shown, 0, &["unknown version '99'", "\"payload\""]);
    let retried = parked("retry", &[&position]).await;
    ended(&retried, 1, &["1 failed again"]);
    let looked = parked("skip", &[&position, "--dry-run"]).await;
    ended(&looked, 0, &["would skip"]);
    ended(&parked("retry", &["7777"]).await, 2, &["no failed event"]);
    let mended = "UPDATE live_events SET event_version = '1' WHERE event_version = '99'";
    let mended = sqlx::query(mended).execute(&fleet.database.pool).await;
    assert_eq!(mended.unwrap().rows_affected(), 1);
    ended(&parked("retry", &[]).await, 0, &["0 failed again"]);
    let listed = fleet.replay(&["parked", "list"]).await;
    ended(&listed, 0, &["nothing is parked"]);
    fleet.until_caught_up().await;
    ended(&fleet.replay(&["verify"]).await, 0, &["equal"]);
    fleet.stop().await;
}
