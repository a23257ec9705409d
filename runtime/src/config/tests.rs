use std::time::Duration;

use serde_json::json;

use super::*;

const PORT: Kind = Kind::Integer { min: 0, max: 65535 };
const KEYS: &[Key] = &[
    Key::text("server.host", "Where")
        .or("localhost")
        .flags(&["server-host", "host"]),
    Key::text("server.port", "Which")
        .of(PORT)
        .or("8000")
        .flags(&["server-port"]),
    Key::text("server.tls.enabled", "Whether")
        .of(Kind::Boolean)
        .or("false"),
    Key::text("database.password", "Secret")
        .secret()
        .flags(&["db-password"]),
    Key::text("health.timeout", "How long")
        .of(Kind::Duration {
            min: Duration::from_secs(1),
            max: Duration::from_mins(2),
        })
        .or("20s"),
    Key::text("logging.level", "How much")
        .of(Kind::Choice(&["info", "debug"]))
        .or("info"),
    Key::text("logging.headers", "Which")
        .of(Kind::List)
        .or("Cookie,Authorization"),
    Key::text("tracing.name", "Name").variables(&["OTEL_NAME"]),
    Key::text("entities", "Kinds").of(Kind::Structured),
];

fn sources(text: &str) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, text).expect("written");
    let sources = Sources {
        file: Some(file),
        file_variable: "HYPERFLEET_CONFIG",
        ..Sources::default()
    };
    (folder, sources)
}

fn complaint(text: &str) -> String {
    let (folder, sources) = sources(text);
    let error = sources.read(KEYS).expect_err(text).to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn every_default_of_a_table_is_acceptable() {
    let settings = Sources::default().read(KEYS).expect("read");
    assert_eq!(settings.text("server.host"), "localhost");
    assert_eq!(settings.integer::<u16>("server.port"), 8000);
    assert_eq!(settings.duration("health.timeout"), Duration::from_secs(20));
    assert_eq!(
        settings.list("logging.headers"),
        ["Cookie", "Authorization"]
    );
    assert!(settings.structured("entities").is_none());
}

#[test]
fn case_241_flags_win_over_the_environment_and_that_over_the_file() {
    let (_folder, mut sources) = sources("server:\n  port: 1\n  host: file\n");
    let read = |sources: &Sources| sources.read(KEYS).expect("read");
    let settings = read(&sources);
    assert_eq!(settings.integer::<u16>("server.port"), 1);
    assert!(
        matches!(settings.get("server.port").origin, Origin::File { position, .. } if position.line == 2)
    );
    let set = |sources: &mut Sources, name: &str, value: &str| {
        sources
            .environment
            .insert(name.to_owned(), value.to_owned());
    };
    set(&mut sources, "HYPERFLEET_SERVER_PORT", "2");
    assert_eq!(read(&sources).integer::<u16>("server.port"), 2);
    sources.flags.push(GivenFlag {
        path: "server.port",
        name: "server-port".to_owned(),
        values: vec!["3".to_owned()],
    });
    let settings = read(&sources);
    assert_eq!(settings.integer::<u16>("server.port"), 3);
    assert_eq!(
        settings.get("server.port").origin.to_string(),
        "--server-port"
    );
    assert_eq!(settings.text("server.host"), "file");
    set(&mut sources, "HYPERFLEET_SERVER_HOST", "");
    set(&mut sources, "OTEL_NAME", "n");
    let settings = read(&sources);
    assert_eq!(
        settings.text("server.host"),
        "file",
        "an empty variable sets nothing"
    );
    assert_eq!(settings.text("tracing.name"), "n");
}

#[test]
fn case_240_an_unknown_key_is_named_with_its_place_and_the_nearest_one() {
    for (text, expected) in [
        (
            "server:\n  prot: 1\n",
            "config.yaml:2:3: unknown key `server.prot`; did you mean `server.port`?",
        ),
        (
            "sever: {}\n",
            "config.yaml:1:1: unknown key `sever`; did you mean `server`?",
        ),
        (
            "port: 1\n",
            "config.yaml:1:1: unknown key `port`; did you mean `server.port`?",
        ),
        (
            "server:\n  tls:\n    zzz: 1\n",
            "config.yaml:3:5: unknown key `server.tls.zzz`; remove it",
        ),
        (
            "server:\n  port: eighty\n",
            "config.yaml:2:9: `server.port` must be a whole number, not \"eighty\"",
        ),
        (
            "server:\n  port: 70000\n",
            "config.yaml:2:9: `server.port` must be between 0 and 65535, not 70000",
        ),
        (
            "server: 5\n",
            "config.yaml:1:9: `server` must be a section with keys, not a scalar",
        ),
        (
            "server:\n  host: [a]\n",
            "config.yaml:2:9: `server.host` must be one value, not a sequence",
        ),
        (
            "health: {timeout: 5}\n",
            "config.yaml:1:19: `health.timeout` must be a duration: \"5\" is not a duration: write a number and a unit, for example 500ms, 30s, 5m or 1h30m",
        ),
        (
            "health: {timeout: 3m}\n",
            "config.yaml:1:19: `health.timeout` must be between 1 s and 120 s, not 3m",
        ),
        (
            "logging: {level: loud}\n",
            "config.yaml:1:18: `logging.level` must be one of info, debug, not \"loud\"",
        ),
        ("server:\n  port: 1\n  port: 2\n", "config.yaml:3:3: "),
        ("a: [\n", "config.yaml:1:4: unclosed bracket"),
    ] {
        let said = complaint(text);
        assert!(
            said.starts_with(expected),
            "{said}\n instead of\n{expected}"
        );
    }
}

#[test]
fn a_secret_comes_from_a_file_and_is_never_shown() {
    let (folder, mut sources) = sources("");
    let secret = folder.path().join("password");
    std::fs::write(&secret, "hunter2\n").expect("written");
    let variable = "HYPERFLEET_DATABASE_PASSWORD_FILE".to_owned();
    sources
        .environment
        .insert(variable, secret.display().to_string());
    let settings = sources.read(KEYS).expect("read");
    assert_eq!(settings.text("database.password"), "hunter2");
    let dump = settings.document();
    assert_eq!(dump["database"]["password"], "***REDACTED***");
    assert_eq!(
        dump["server"],
        json!({"host": "localhost", "port": 8000, "tls": {"enabled": false}})
    );
    let plain = ("HYPERFLEET_DATABASE_PASSWORD".to_owned(), "x".to_owned());
    sources.environment.extend([plain]);
    let said = sources.read(KEYS).expect_err("both").to_string();
    assert!(
        said.contains("set one of them") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_named_file_must_exist_and_a_default_one_need_not() {
    let mut sources = Sources {
        file_variable: "HYPERFLEET_CONFIG",
        default_files: vec!["/nonexistent/a.yaml".into()],
        ..Sources::default()
    };
    assert!(sources.read(KEYS).expect("read").file().is_none());
    let variable = "HYPERFLEET_CONFIG".to_owned();
    sources
        .environment
        .insert(variable, "/nonexistent/b.yaml".to_owned());
    let said = sources.read(KEYS).expect_err("missing").to_string();
    assert_eq!(
        said,
        "/nonexistent/b.yaml does not exist; HYPERFLEET_CONFIG names it as the configuration"
    );
    sources.file = Some("/nonexistent/c.yaml".into());
    let said = sources.read(KEYS).expect_err("missing").to_string();
    assert!(
        said.starts_with("/nonexistent/c.yaml does not exist; --config"),
        "{said}"
    );
}

#[test]
fn a_misspelt_variable_is_noticed() {
    let mut sources = Sources::default();
    for name in [
        "HYPERFLEET_SERVER_PROT",
        "HYPERFLEET_SERVER_PORT",
        "HYPERFLEET_ADAPTER_CONFIG",
        "HOME",
    ] {
        sources.environment.insert(name.to_owned(), "1".to_owned());
    }
    let expected = (
        "HYPERFLEET_SERVER_PROT".to_owned(),
        "HYPERFLEET_SERVER_PORT".to_owned(),
    );
    assert_eq!(sources.misspelt_variables(KEYS), [expected]);
}
