//! Google Pub/Sub for tests: a server that keeps everything in memory.

use hyperfleet_runtime::{IdSource as _, UuidV7Source};

/// Names the server, `host:port`. `cargo xtask test` starts one for all suites.
pub const PUBSUB_VARIABLE: &str = "HYPERFLEET_TEST_PUBSUB_HOST";

/// A project of a test's own on the server of the run.
#[derive(Clone, Debug)]
pub struct PubSubProject {
    /// The server, `host:port`.
    pub host: String,
    /// A project that nobody else uses.
    pub project_id: String,
}

/// A project of this test's own; nothing, and a line that says so, where there is no server.
///
/// # Panics
/// When there is no server although `HYPERFLEET_REQUIRE_ALL=1`.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but their environment"
)]
#[expect(
    clippy::print_stderr,
    reason = "a test that is skipped says so, and has no other way"
)]
pub fn pubsub_project() -> Option<PubSubProject> {
    let Ok(host) = std::env::var(PUBSUB_VARIABLE) else {
        let required = std::env::var("HYPERFLEET_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "no Pub/Sub server: run the tests with `cargo xtask test`, or name one in {PUBSUB_VARIABLE}"
        );
        eprintln!("skipped: no Pub/Sub server; `cargo xtask test` starts one");
        return None;
    };
    Some(PubSubProject {
        host,
        project_id: format!("test-{}", UuidV7Source.new_id().simple()),
    })
}
