//! A read that starts after a write was acknowledged sees it, over real connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hyperfleet_api_types::client::{Client, Collection, ListOptions};
use hyperfleet_api_types::{ResourceCreateRequest, ResourcePatchRequest};
use hyperfleet_tests::app::TestApp;
use serde_json::{Map, Value};

/// Connections that write and read at the same time.
const CONNECTIONS: u32 = 16;
/// Pairs of one write and one read over all connections. The full figure is measured by the bench.
const PAIRS: u32 = 1600;

fn spec(number: u32) -> Map<String, Value> {
    Map::from_iter([("number".to_owned(), Value::from(number))])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_after_a_write_is_stale() {
    let app = TestApp::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("bound"));
    let router = app.router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let clusters = Collection::of("clusters");
    let stale = Arc::new(AtomicU32::new(0));
    let mut writers = Vec::new();
    for connection in 0..CONNECTIONS {
        let (server, clusters, stale) = (server.clone(), clusters.clone(), Arc::clone(&stale));
        writers.push(tokio::spawn(async move {
            let writer = Client::new(&server).expect("a client");
            let reader = Client::new(&server).expect("a client");
            let request = ResourceCreateRequest {
                kind: "Cluster".to_owned(),
                name: format!("cluster-{connection}"),
                spec: spec(0),
                labels: std::collections::BTreeMap::default(),
                references: std::collections::BTreeMap::default(),
            };
            let id = writer
                .create(&clusters, &request)
                .await
                .expect("created")
                .id;
            for number in 1..=PAIRS / CONNECTIONS {
                let patch = ResourcePatchRequest {
                    spec: Some(spec(number)),
                    ..Default::default()
                };
                let written = writer.patch(&clusters, &id, &patch).await.expect("patched");
                let read = reader.get(&clusters, &id).await.expect("read");
                if read != written {
                    stale.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    for writer in writers {
        writer.await.expect("no writer fails");
    }
    assert_eq!(stale.load(Ordering::Relaxed), 0);
    serving.abort();
}

#[tokio::test]
async fn the_client_explains_refusals_and_unreachable_servers() {
    let client = Client::new("http://127.0.0.1:1").expect("a client");
    let error = client
        .get(&Collection::of("clusters"), "x")
        .await
        .expect_err("unreachable");
    assert!(error.is_transient());
    assert_eq!(
        error.to_string(),
        "GET http://127.0.0.1:1/api/hyperfleet/v1/clusters/x could not be reached; is the server \
         running?"
    );
    let app = TestApp::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let client = Client::new(&format!("http://{}", listener.local_addr().expect("bound")));
    let client = client.expect("a client");
    let router = app.router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let error = client
        .get(&Collection::of("clusters"), "x")
        .await
        .expect_err("not found");
    assert!(error.is_not_found() && !error.is_transient());
    assert_eq!(
        error.to_string(),
        "Cluster with id='x' not found (HYPERFLEET-NTF-001)"
    );
    app.cluster("abc").await;
    let found = client
        .find_by_name(&Collection::of("clusters"), "abc")
        .await
        .expect("found");
    assert_eq!(found.len(), 1);
    assert_eq!(
        client
            .list_all(&Collection::of("clusters"))
            .await
            .expect("listed"),
        found
    );
    let history = client
        .history_by_name("Cluster", "abc", &ListOptions::default())
        .await;
    assert!(history.expect("read").total > 0);
    assert_eq!(client.version().await.expect("read").kind, "API");
    serving.abort();
}
