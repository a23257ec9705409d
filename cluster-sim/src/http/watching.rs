//! Watches: a stream of JSON lines that follows the log of changes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::reading::{only, shown};
use super::{Call, Context};
use crate::selector::Selector;
use crate::status::ApiError;
use crate::store::watch_log::Scope;
use crate::store::{Shared, Target};

/// How long a watch lasts when the client does not say; Kubernetes picks 30 to 60 minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(45);

/// No watch lasts longer, whatever the client asks for.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

struct Watch {
    shared: Shared,
    changed: watch::Receiver<u64>,
    stop: CancellationToken,
    scope: Scope,
    target: Target,
    metadata_only: bool,
    bookmarks: bool,
    bookmark_interval: Duration,
    ends: Instant,
    /// Everything up to this version has been sent (or was not for this watcher).
    seen: u64,
    queue: VecDeque<Bytes>,
    over: bool,
}

pub(super) fn watch(context: &Context, target: &Target, call: &Call) -> Result<Response, ApiError> {
    let fields = if target.name.is_empty() {
        call.parameter("fieldSelector").to_owned()
    } else {
        only(target)
    };
    let selector = Selector::parse(call.parameter("labelSelector"), &fields)?;
    let asked = match call.parameter("resourceVersion") {
        "" => 0,
        number => number
            .parse()
            .map_err(|_| ApiError::bad_request(format!("invalid resource version {number:?}")))?,
    };
    let timeout =
        match call.parameter("timeoutSeconds") {
            "" | "0" => DEFAULT_TIMEOUT,
            number => Duration::from_secs(number.parse().map_err(|_| {
                ApiError::bad_request(format!("invalid timeoutSeconds {number:?}"))
            })?),
        };
    let changed = context.shared.subscribe();
    let store = context.shared.read();
    let mut watch = Watch {
        shared: context.shared.clone(),
        changed,
        stop: context.stop.clone(),
        scope: Scope {
            group: target.kind.group.clone(),
            plural: target.kind.plural.clone(),
            namespace: target.namespace.clone(),
            selector,
        },
        metadata_only: call.metadata_only(),
        target: target.clone(),
        bookmarks: call.flag("allowWatchBookmarks"),
        bookmark_interval: store.config.bookmark_interval,
        ends: Instant::now() + timeout.min(LONGEST_TIMEOUT),
        seen: asked,
        queue: VecDeque::new(),
        over: false,
    };
    let initial = call.flag("sendInitialEvents");
    if initial || asked == 0 {
        for (_, stored) in store.list(&target.kind.group, &target.kind.plural, &target.namespace) {
            if watch.scope.selector.matches(&stored.object) {
                let object = shown(&stored.object, target, call);
                watch.push("ADDED", &object);
            }
        }
        watch.seen = store.version();
    }
    if initial && watch.bookmarks {
        let marker = json!({"k8s.io/initial-events-end": "true"});
        watch.push_bookmark(marker);
    }
    drop(store);
    let lines = stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, Infallible>(line), watch))
    });
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        Body::from_stream(lines),
    )
        .into_response())
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.queue.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            self.changed.mark_unchanged();
            self.fetch();
            if !self.queue.is_empty() {
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends) => return None,
                () = tokio::time::sleep(self.bookmark_interval), if self.bookmarks => {
                    self.push_bookmark(Value::Null);
                }
                changed = self.changed.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
            }
        }
    }

    /// Queues what happened since `seen`.
    fn fetch(&mut self) {
        let shared = self.shared.clone();
        let store = shared.read();
        match store.log.since(self.seen, &self.scope) {
            Ok(events) => {
                self.seen = store.version();
                drop(store);
                for event in events {
                    let object = self.shown(&event.object);
                    self.push(event.kind, &object);
                }
            }
            Err(oldest) => {
                let refusal = ApiError::expired(self.seen, oldest).to_value();
                self.push("ERROR", &refusal);
                self.over = true;
            }
        }
    }

    fn shown(&self, object: &Arc<Value>) -> Arc<Value> {
        if self.metadata_only {
            return Arc::new(json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object.get("metadata").cloned().unwrap_or_default(),
            }));
        }
        crate::store::present_in(object, &self.target.kind, &self.target.version)
    }

    fn push_bookmark(&mut self, annotations: Value) {
        let mut metadata =
            json!({"resourceVersion": self.seen.to_string(), "creationTimestamp": null});
        if !annotations.is_null() {
            metadata["annotations"] = annotations;
        }
        let object = json!({
            "kind": self.target.kind.kind,
            "apiVersion": self.target.kind.api_version(&self.target.version),
            "metadata": metadata,
        });
        self.push("BOOKMARK", &object);
    }

    fn push(&mut self, kind: &str, object: &Value) {
        let mut line = json!({"type": kind, "object": object}).to_string();
        line.push('\n');
        self.queue.push_back(Bytes::from(line));
    }
}
