//! Clients that send commands with keys, and send each again until it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::processes::DEADLINE;

/// Clusters of one client at a time.
const MAX_CLUSTERS: usize = 8;

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// How long one attempt waits for its answer. A stopped replica answers late; another is asked then.
const ATTEMPT: Duration = Duration::from_secs(5);

/// What all clients of a control plane share.
pub(crate) struct Shared {
    pub(crate) http: reqwest::Client,
    pub(crate) urls: Vec<String>,
    /// Clusters that every client changes.
    pub(crate) contested: Vec<String>,
}

/// What a command asks for.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Of a name that is the client's own, or of one that several ask for.
    Create {
        name: String,
        contested: bool,
    },
    CreateNodePool {
        cluster: String,
        name: String,
    },
    /// Sets the spec to a value that nothing else sets.
    Patch {
        id: String,
    },
    Report {
        id: String,
    },
    Delete {
        id: String,
    },
}

/// A command and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) key: String,
    pub(crate) operation: Operation,
    pub(crate) status: u16,
    /// Id of the resource in the answer.
    pub(crate) id: Option<String>,
    /// What the answer says that the command did.
    pub(crate) effect: String,
    /// How often it was sent.
    pub(crate) attempts: u32,
}

/// One client, with what it made.
pub(crate) struct Client {
    number: usize,
    random: StdRng,
    clusters: Vec<String>,
    sent: u64,
}

impl Client {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        Self {
            number,
            random: StdRng::seed_from_u64(seed.wrapping_add(number as u64)),
            clusters: Vec::new(),
            sent: 0,
        }
    }

    /// Sends commands until told to stop; what was begun is brought to its end.
    pub(crate) async fn work(
        mut self,
        shared: Arc<Shared>,
        round: u32,
        stop: CancellationToken,
    ) -> Result<(Self, Vec<Answered>)> {
        let mut all = Vec::new();
        while !stop.is_cancelled() {
            self.sent += 1;
            let key = format!("r{round}-c{}-{}", self.number, self.sent);
            let operation = self.choose(&shared, round, &key);
            let answered = send(&shared, &key, operation, &mut self.random).await?;
            self.learn(&answered);
            all.push(answered);
        }
        Ok((self, all))
    }

    fn choose(&mut self, shared: &Shared, round: u32, key: &str) -> Operation {
        let choice = self.random.random_range(0..100);
        let own = self.random.random_range(0..self.clusters.len().max(1));
        let Some(id) = self.clusters.get(own).cloned() else {
            return Operation::Create {
                name: key.to_owned(),
                contested: false,
            };
        };
        match choice {
            0..20 if self.clusters.len() < MAX_CLUSTERS => Operation::Create {
                name: key.to_owned(),
                contested: false,
            },
            20..25 => Operation::Create {
                name: format!("contested-{round}-{}", self.random.random_range(0..5)),
                contested: true,
            },
            25..32 => Operation::CreateNodePool {
                cluster: id,
                name: key.to_owned(),
            },
            32..42 => {
                let contested = self.random.random_range(0..shared.contested.len());
                Operation::Patch {
                    id: shared.contested[contested].clone(),
                }
            }
            42..60 => Operation::Report { id },
            60..66 => Operation::Delete { id },
            _ => Operation::Patch { id },
        }
    }

    fn learn(&mut self, answered: &Answered) {
        match (&answered.operation, &answered.id) {
            (
                Operation::Create {
                    contested: false, ..
                },
                Some(id),
            ) => {
                self.clusters.push(id.clone());
            }
            (Operation::Delete { id }, _) => self.clusters.retain(|own| own != id),
            _ => {}
        }
    }
}

/// Creates a cluster that exists before the first round.
pub(crate) async fn create(shared: &Shared, name: &str) -> Result<String> {
    let operation = Operation::Create {
        name: name.to_owned(),
        contested: false,
    };
    let mut random = StdRng::seed_from_u64(0);
    let answered = send(shared, &format!("setup-{name}"), operation, &mut random).await?;
    answered
        .id
        .with_context(|| format!("{name} was answered with {}", answered.status))
}

/// Sends a command to any replica, again and again until one answers.
async fn send(
    shared: &Shared,
    key: &str,
    operation: Operation,
    random: &mut StdRng,
) -> Result<Answered> {
    let (method, path, body) = request(&operation, key);
    let begun = Instant::now();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let url = &shared.urls[random.random_range(0..shared.urls.len())];
        let request = shared
            .http
            .request(method.clone(), format!("{url}/{path}"))
            .timeout(ATTEMPT)
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = answer(request).await;
        if let Some((status, effect, document)) = answer
            // A replica that is being killed may still say that its database went before it.
            && !matches!(status, 502..=504)
        {
            let id = document["id"].as_str().filter(|_| status < 300);
            return Ok(Answered {
                key: key.to_owned(),
                id: id.map(str::to_owned),
                operation,
                status,
                effect,
                attempts,
            });
        }
        if begun.elapsed() > DEADLINE {
            bail!(
                "{key} ({operation:?}) was not answered within {DEADLINE:?}, {attempts} attempts"
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Status, effect and body of an answer that came whole.
async fn answer(request: reqwest::RequestBuilder) -> Option<(u16, String, Value)> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let effect = answer.headers().get("hyperfleet-effect");
    let effect = effect
        .and_then(|effect| effect.to_str().ok())
        .unwrap_or_default();
    let effect = effect.to_owned();
    let body = answer.bytes().await.ok()?;
    Some((
        status,
        effect,
        serde_json::from_slice(&body).unwrap_or_default(),
    ))
}

fn request(operation: &Operation, key: &str) -> (reqwest::Method, String, Value) {
    use reqwest::Method;
    match operation {
        Operation::Create { name, .. } => (
            Method::POST,
            "clusters".to_owned(),
            json!({"kind": "Cluster", "name": name, "spec": {}}),
        ),
        Operation::CreateNodePool { cluster, name } => (
            Method::POST,
            format!("clusters/{cluster}/nodepools"),
            json!({"kind": "NodePool", "name": name, "spec": {}}),
        ),
        Operation::Patch { id } => (
            Method::PATCH,
            format!("clusters/{id}"),
            json!({"spec": {"set_by": key}}),
        ),
        Operation::Report { id } => (
            Method::PUT,
            format!("clusters/{id}/statuses"),
            json!({
                "adapter": "validation", "observed_generation": 1, "data": {"reported_by": key},
                "conditions": [
                    {"type": "Available", "status": "True", "reason": "Ready"},
                    {"type": "Applied", "status": "True", "reason": "Ready"},
                    {"type": "Health", "status": "True", "reason": "Ready"},
                ],
            }),
        ),
        Operation::Delete { id } => (Method::DELETE, format!("clusters/{id}"), Value::Null),
    }
}
