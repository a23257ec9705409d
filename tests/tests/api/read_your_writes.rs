//! A read that starts after a write was acknowledged sees it, over real connections.

use hyperfleet_api_types::client::{Client, Collection, HistoryOf};
use hyperfleet_tests::app::TestApp;
use hyperfleet_tests::read_your_writes::{Load, stale_reads};

/// Enough to meet a race, few enough for every run; `read-your-writes` runs the full load.
const LOAD: Load = Load {
    connections: 16,
    pairs: 800,
};

#[tokio::test(flavor = "multi_thread")]
async fn no_read_after_a_write_is_stale() {
    let app = TestApp::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("bound"));
    let router = app.router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(
        stale_reads(&server, LOAD).await.expect("no request fails"),
        0
    );
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
    let named = [("kind", "Cluster".to_owned()), ("name", "abc".to_owned())];
    let history = client.history(HistoryOf::Fleet, &named).await;
    assert!(!history.expect("read").items.is_empty());
    assert_eq!(client.version().await.expect("read").kind, "API");
    serving.abort();
}
