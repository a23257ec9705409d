//! RabbitMQ for tests: a virtual host for each, on the server of the run.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use hyperfleet_runtime::{IdSource as _, UuidV7Source};

/// Names the server, `host:port`. `cargo xtask test` starts one for all suites. User and password are `guest`.
pub const RABBITMQ_VARIABLE: &str = "HYPERFLEET_TEST_RABBITMQ_HOST";

/// Names the server's management interface, `host:port`.
pub const RABBITMQ_MANAGEMENT_VARIABLE: &str = "HYPERFLEET_TEST_RABBITMQ_MANAGEMENT";

/// `guest:guest`, as HTTP has it.
const CREDENTIALS: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// How long making a virtual host may take on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// A virtual host of a test's own.
#[derive(Clone, Debug)]
pub struct RabbitMq {
    /// The server, `host:port`.
    pub host: String,
    /// The virtual host, which nobody else uses.
    pub vhost: String,
    /// The management interface, `host:port`.
    management: String,
}

impl RabbitMq {
    /// URL of the virtual host.
    pub fn url(&self) -> String {
        self.url_at(&self.host)
    }

    /// URL of the virtual host for a user of its own with these permissions, patterns of names.
    ///
    /// # Panics
    /// When the server does not make one.
    pub fn url_of_user(&self, configure: &str, write: &str, read: &str) -> String {
        let user = format!("user-{}", UuidV7Source.new_id().simple());
        let made = r#"{"password":"guest","tags":""}"#;
        let allowed = format!(r#"{{"configure":"{configure}","write":"{write}","read":"{read}"}}"#);
        for (path, body) in [
            (format!("users/{user}"), made),
            (format!("permissions/{}/{user}", self.vhost), &allowed),
        ] {
            let answer = put(&self.management, &path, body);
            let answer = answer.unwrap_or_else(|error| error.to_string());
            assert!(
                answer.starts_with("HTTP/1.1 201"),
                "RabbitMQ did not make {path}: {answer}"
            );
        }
        format!("amqp://{user}:guest@{}/{}", self.host, self.vhost)
    }

    /// URL of the virtual host by another way to the server, such as a relay.
    pub fn url_at(&self, host: &str) -> String {
        format!("amqp://guest:guest@{host}/{}", self.vhost)
    }
}

/// A virtual host of this test's own; nothing, and a line that says so, where there is no server.
///
/// # Panics
/// When the server does not make one, or there is no server although `HYPERFLEET_REQUIRE_ALL=1`.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but their environment"
)]
#[expect(
    clippy::print_stderr,
    reason = "a test that is skipped says so, and has no other way"
)]
pub fn rabbitmq() -> Option<RabbitMq> {
    let host = std::env::var(RABBITMQ_VARIABLE);
    let management = std::env::var(RABBITMQ_MANAGEMENT_VARIABLE);
    let (Ok(host), Ok(management)) = (host, management) else {
        let required = std::env::var("HYPERFLEET_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "no RabbitMQ: run the tests with `cargo xtask test`, or name a server in {RABBITMQ_VARIABLE} and \
             {RABBITMQ_MANAGEMENT_VARIABLE}"
        );
        eprintln!("skipped: no RabbitMQ; `cargo xtask test` starts one");
        return None;
    };
    let vhost = format!("test-{}", UuidV7Source.new_id().simple());
    let answer = put(&management, &format!("vhosts/{vhost}"), "");
    let answer = answer.unwrap_or_else(|error| error.to_string());
    assert!(
        answer.starts_with("HTTP/1.1 201"),
        "RabbitMQ at {management} did not make a virtual host: {answer}"
    );
    Some(RabbitMq {
        host,
        vhost,
        management,
    })
}

/// What the management interface answers.
fn put(management: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(management)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(
        stream,
        "PUT /api/{path} HTTP/1.1\r\nHost: {management}\r\nAuthorization: Basic {CREDENTIALS}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
