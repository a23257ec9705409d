//! The typed client's watch against a real server that goes away and comes back.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyperfleet_api_types::client::{Client, Collection, Watch, WatchEvent, WatchOptions};
use hyperfleet_projections::WatchOptions as Limits;
use hyperfleet_runtime::http::serve;
use hyperfleet_tests::app::TestApp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start_anywhere(router: Router) -> Self {
        Self::start(router, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start(router: Router, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let stop = CancellationToken::new();
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(serve(listener, router, stop.clone(), Duration::ZERO));
        Self {
            address,
            stop,
            task,
        }
    }

    pub(crate) async fn stop(self) -> SocketAddr {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("a clean end");
        self.address
    }
}

async fn next(watch: &mut Watch) -> WatchEvent {
    loop {
        let event = tokio::time::timeout(DEADLINE, watch.next()).await;
        let event = event
            .expect("an event in time")
            .expect("a watch that goes on");
        if !matches!(event, WatchEvent::Bookmark { .. }) {
            return event;
        }
    }
}

async fn next_name(watch: &mut Watch) -> String {
    match next(watch).await {
        WatchEvent::Added(cluster) => cluster.name,
        // No name, so the test fails and shows it.
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_by_itself_and_says_when_it_begins_anew() {
    let app = TestApp::with_watches(Limits {
        catch_up: 30,
        ..Limits::default()
    })
    .await;
    let server = Server::start_anywhere(app.router()).await;
    let client = Client::new(&format!("http://{}", server.address)).expect("an address");
    let clusters = Collection::of("clusters");
    app.cluster("one").await;
    let mut watch = client.watch(&clusters, &WatchOptions::default());
    assert_eq!(next_name(&mut watch).await, "one");
    app.cluster("two").await;
    assert_eq!(next_name(&mut watch).await, "two");
    // Cut off, and little happens until the server is back: nothing is told twice.
    let address = server.stop().await;
    app.cluster("three").await;
    let server = Server::start(app.router(), address).await;
    assert_eq!(next_name(&mut watch).await, "three");
    // Cut off, and more happens than can be gone on with, elsewhere: it begins anew.
    let address = server.stop().await;
    let beside = app.beside().await;
    for number in 0..30 {
        beside.cluster(&format!("c-{number}")).await;
    }
    let server = Server::start(beside.router(), address).await;
    assert_eq!(next(&mut watch).await, WatchEvent::Restarted);
    let mut names = Vec::new();
    for _ in 0..33 {
        names.push(next_name(&mut watch).await);
    }
    assert_eq!((names[0].as_str(), names[32].as_str()), ("c-29", "one"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_trying_again_cannot_mend_is_an_error() {
    let app = TestApp::start().await;
    let server = Server::start_anywhere(app.router()).await;
    let client = Client::new(&format!("http://{}", server.address)).expect("an address");
    let clusters = Collection::of("clusters");
    let invalid = WatchOptions {
        search: Some("nosuch=1".to_owned()),
        ..WatchOptions::default()
    };
    let error = client
        .watch(&clusters, &invalid)
        .next()
        .await
        .expect_err("refused");
    assert_eq!(error.status(), Some(400));
    let mut one = client.watch_one(&clusters, "019b7600-0000-7000-8000-000000000000");
    assert!(one.next().await.expect_err("refused").is_not_found());
    // A server that was never reached.
    server.stop().await;
    let error = client
        .watch(&clusters, &WatchOptions::default())
        .next()
        .await;
    assert!(error.expect_err("nobody is there").is_transient());
}
