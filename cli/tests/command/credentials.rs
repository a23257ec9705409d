//! User commands say who their user is, and keep the token to themselves.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::dev::hyperfleet;

/// Answers one request with an empty list; what was sent.
async fn request_of(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let mut command = hyperfleet();
    command
        .args(["get", "clusters", "--server", &server])
        .args(arguments)
        .envs(variables.iter().copied());
    let asked = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let body = r#"{"items":[],"page":1,"size":0,"total":0}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    };
    let (output, head) = tokio::join!(command.output(), asked);
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    head
}

#[tokio::test]
async fn a_token_and_headers_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "from-file\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, variables, expected) in [
        (
            &["--token", "t"][..],
            &[][..],
            "authorization: Bearer t\r\n",
        ),
        (
            &["--token-file", file],
            &[],
            "authorization: Bearer from-file\r\n",
        ),
        (
            &[],
            &[("HYPERFLEET_TOKEN", "v")],
            "authorization: Bearer v\r\n",
        ),
        (
            &[],
            &[("HYPERFLEET_TOKEN_FILE", file)],
            "authorization: Bearer from-file\r\n",
        ),
        (&["--header", "X-Org=a"], &[], "x-org: a\r\n"),
        (
            &["--header", "X-Org=a", "--header", "X-Team=b=c"],
            &[],
            "x-team: b=c\r\n",
        ),
    ] {
        let head = request_of(arguments, variables).await;
        assert!(head.contains(expected), "{arguments:?}: {head}");
    }
    let head = request_of(&[], &[]).await;
    assert!(!head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn credentials_that_cannot_be_sent_are_named_and_not_shown() {
    for (arguments, expected) in [
        (&["--header", "secret"][..], "X-Org=acme"),
        (&["--header", "no name=x"], "no name"),
        (&["--token", "secret\n\u{1}"], "the token"),
        (
            &["--token-file", "/nonexistent/token"],
            "/nonexistent/token",
        ),
        (
            &["--token", "secret", "--token-file", "x"],
            "cannot be used with",
        ),
    ] {
        let mut command = hyperfleet();
        command.args(["get", "clusters"]).args(arguments);
        let output = command.output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(expected), "{said}");
        assert!(
            arguments[0] == "--header" || !said.contains("secret"),
            "{said}"
        );
    }
}
