//! `cargo xtask test`: every suite, on real parts.
//!
//! Doctests run first, so that the runner's own summary is the last output. Parts that this machine lacks
//! are named before that; with `HYPERFLEET_REQUIRE_ALL=1` they are failures.

mod suites;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::MetadataCommand;

use crate::postgres::{self, Durability, Server};
use crate::{process, pubsub, rabbitmq, tools, workspace};

use suites::Suites;

/// URL of a running server, as superuser: tests create their databases on it.
pub(crate) const DATABASE_URL: &str = "HYPERFLEET_TEST_DATABASE_URL";

/// What a machine without PostgreSQL cannot run: these crates' tests use databases.
const NEED_DATABASE: [&str; 6] = [
    "hyperfleet-event-store",
    "hyperfleet-projections",
    "hyperfleet-command-api",
    "hyperfleet-sentinel",
    "hyperfleet-tests",
    "hyperfleet-cli",
];

/// Run the tests, with everything that they need.
///
/// Suites: `all` (default), `doc` (documentation tests), the name of a crate's folder such as `domain`, or the
/// name of a test binary such as `conformance`; `--suite list` prints them. Doctests run with `all` and
/// `doc` only. A server that `HYPERFLEET_TEST_DATABASE_URL` names (superuser) is used instead of a private one.
/// `HYPERFLEET_REQUIRE_ALL=1` makes missing parts failures.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run one suite; `list` prints the names.
    #[arg(long, value_name = "NAME", default_value = "all")]
    suite: String,
    /// Run only the tests whose names contain one of these.
    filter: Vec<String>,
    /// Arguments for cargo-nextest.
    #[arg(last = true, value_name = "NEXTEST")]
    nextest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let metadata = MetadataCommand::new()
        .current_dir(workspace::root())
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let suites = Suites::of(&metadata);
    if arguments.suite == "list" {
        println!("{suites}");
        return Ok(());
    }
    let selection = suites.select(&arguments.suite)?;
    if selection.documentation && arguments.filter.is_empty() {
        process::run(workspace::cargo()?.args(["test", "--quiet", "--doc", "--workspace"]))?;
    }
    match selection.expression {
        Some(expression) => run_nextest(arguments, &expression),
        None => Ok(()),
    }
}

fn run_nextest(arguments: &Arguments, expression: &str) -> Result<()> {
    tools::require("nextest")?;
    let parts = Parts::find()?;
    let mut nextest = workspace::cargo()?;
    nextest.args(["nextest", "run", "--workspace", "--profile", "default"]);
    let (others, mut wanted) = without_expressions(&arguments.nextest);
    nextest.args(others);
    wanted.insert(0, expression.to_owned());
    if let Some(url) = parts.database_url() {
        nextest.env(DATABASE_URL, url);
    } else {
        let without = NEED_DATABASE.map(|package| format!("package({package})"));
        wanted.push(format!("not ({})", without.join(" or ")));
    }
    // Several expressions would each add tests; those of a user choose among those of the suite.
    nextest.args(["-E", &format!("({})", wanted.join(") and ("))]);
    if let Some(host) = parts.pubsub_host() {
        nextest.env(pubsub::HOST, host);
    }
    nextest.envs(parts.rabbitmq_variables());
    nextest.args(&arguments.filter);
    parts.print();
    process::run(&mut nextest).context("the tests failed")
}

/// The arguments without the expressions that choose tests, and these.
fn without_expressions(arguments: &[String]) -> (Vec<&String>, Vec<String>) {
    let (mut others, mut expressions) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let joined = ["-E", "--filterset=", "--filter-expr="]
            .iter()
            .find_map(|option| argument.strip_prefix(option));
        match argument.as_str() {
            "-E" | "--filterset" | "--filter-expr" => expressions.extend(arguments.next().cloned()),
            _ => match joined {
                Some(expression) => expressions.push(expression.to_owned()),
                None => others.push(argument),
            },
        }
    }
    (others, expressions)
}

/// What the tests run on. Dropping it stops what was started.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    external: Option<String>,
    server: Option<Server>,
    pubsub: Option<pubsub::Server>,
    rabbitmq: Option<rabbitmq::Server>,
    used: Vec<String>,
    skipped: Vec<String>,
}

impl Parts {
    /// Finds or starts what the tests need.
    ///
    /// # Errors
    /// When a part is required and missing, or cannot be started.
    pub(crate) fn find() -> Result<Self> {
        let mut parts = Self::default();
        parts.find_pubsub()?;
        parts.find_rabbitmq()?;
        if let Some(url) = std::env::var_os(DATABASE_URL) {
            let url = url
                .into_string()
                .ok()
                .context("HYPERFLEET_TEST_DATABASE_URL is not UTF-8")?;
            parts.used.push(format!("PostgreSQL of {DATABASE_URL}"));
            parts.external = Some(url);
            return Ok(parts);
        }
        let Some(binaries) = find_or_install()? else {
            parts.skipped.push(format!(
                "PostgreSQL 14 or newer (Debian, Ubuntu: package `postgresql`); without it these are skipped: {}",
                NEED_DATABASE.join(", ")
            ));
            return Ok(parts);
        };
        let server = Server::start(&binaries, Durability::None)?;
        parts.used.push(format!("{binaries}, a private server"));
        parts.server = Some(server);
        Ok(parts)
    }

    fn find_pubsub(&mut self) -> Result<()> {
        match pubsub::Server::start() {
            Ok(server) => {
                self.used.push(format!("Pub/Sub in memory, {server}"));
                self.pubsub = Some(server);
            }
            Err(error) if workspace::everything_is_required() => {
                return Err(error.context("Pub/Sub in memory is missing"));
            }
            Err(error) => self.skipped.push(format!(
                "Pub/Sub in memory; without it the tests named pubsub are skipped: {error:#}"
            )),
        }
        Ok(())
    }

    fn find_rabbitmq(&mut self) -> Result<()> {
        match rabbitmq::Server::start() {
            Ok(server) => {
                self.used.push(format!("RabbitMQ, {server}"));
                self.rabbitmq = Some(server);
            }
            Err(error) if workspace::everything_is_required() => {
                return Err(error.context("RabbitMQ is missing"));
            }
            Err(error) => self.skipped.push(format!(
                "RabbitMQ; without it the tests named rabbitmq are skipped: {error:#}"
            )),
        }
        Ok(())
    }

    /// The variables that name the RabbitMQ server; none when this machine has none.
    pub(crate) fn rabbitmq_variables(&self) -> Vec<(&'static str, &str)> {
        let variables = self.rabbitmq.iter().map(rabbitmq::Server::variables);
        variables.flatten().collect()
    }

    /// `host:port` of the Pub/Sub server; none when this machine has none.
    pub(crate) fn pubsub_host(&self) -> Option<&str> {
        self.pubsub.as_ref().map(pubsub::Server::host)
    }

    /// URL of the database server; none when this machine has no PostgreSQL.
    pub(crate) fn database_url(&self) -> Option<&str> {
        let private = self.server.as_ref().map(Server::url);
        self.external.as_deref().or(private)
    }

    pub(crate) fn print(&self) {
        for part in &self.used {
            println!("part: {part}");
        }
        for part in &self.skipped {
            println!("SKIPPED, missing: {part}");
        }
    }
}

fn find_or_install() -> Result<Option<postgres::Binaries>> {
    if let Some(binaries) = postgres::find() {
        return Ok(Some(binaries));
    }
    let required = workspace::everything_is_required();
    let on_a_build_machine = std::env::var_os("CI").is_some();
    if required || on_a_build_machine {
        println!("installing PostgreSQL");
        if let Err(error) = postgres::install() {
            println!("note: PostgreSQL was not installed: {error:#}");
        }
    }
    let found = postgres::find();
    if found.is_none() && required {
        bail!(
            "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`) or unset HYPERFLEET_REQUIRE_ALL"
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_taken_out_in_every_form() {
        let arguments = [
            "-j1",
            "-E",
            "test(a)",
            "--filterset=test(b)",
            "-Etest(c)",
            "--no-fail-fast",
        ];
        let arguments = arguments.map(str::to_owned);
        let (others, expressions) = without_expressions(&arguments);
        assert_eq!(others, ["-j1", "--no-fail-fast"]);
        assert_eq!(expressions, ["test(a)", "test(b)", "test(c)"]);
    }
}
