//! What the command says to wrong input, a missing server and a refused address.

use crate::dev::hyperfleet;

async fn complaint(arguments: &[&str]) -> String {
    let output = hyperfleet().args(arguments).output().await.unwrap();
    assert!(!output.status.success(), "{arguments:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_missing_server_is_named() {
    let said = complaint(&["get", "clusters", "--server", "http://127.0.0.1:9"]).await;
    assert!(
        said.contains("http://127.0.0.1:9") && said.contains("is the server running?"),
        "{said}"
    );
}

#[tokio::test]
async fn a_broken_file_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.json");
    std::fs::write(&file, "{\"kind\": \"Cluster\",\n oops}").unwrap();
    let said = complaint(&["create", "-f", file.to_str().unwrap()]).await;
    assert!(
        said.contains("broken.json") && said.contains("line 2"),
        "{said}"
    );
    let said = complaint(&["create", "-f", "/nonexistent/cluster.json"]).await;
    assert!(said.contains("/nonexistent/cluster.json"), "{said}");
}

#[tokio::test]
async fn listening_beyond_loopback_without_authentication_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    for role in ["dev", "api"] {
        let said = complaint(&[
            role,
            "--host",
            "0.0.0.0",
            "--data-dir",
            data_dir.to_str().unwrap(),
        ])
        .await;
        assert!(
            said.contains("--insecure") && said.contains("server.jwt"),
            "{said}"
        );
    }
    assert!(!data_dir.exists(), "nothing is made before the refusal");
}

#[tokio::test]
async fn a_node_pool_needs_to_say_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = crate::dev::node_pool_file(folder.path(), "workers");
    let said = complaint(&[
        "create",
        "-f",
        file.to_str().unwrap(),
        "--server",
        "http://127.0.0.1:9",
    ])
    .await;
    assert!(said.contains("--parent"), "{said}");
}

#[tokio::test]
async fn an_unreachable_database_is_named_without_its_password() {
    let said = complaint(&[
        "migrate",
        "--database-url",
        "postgres://me:secret@127.0.0.1:9/fleet",
    ])
    .await;
    assert!(
        said.contains("127.0.0.1:9/fleet") && !said.contains("secret"),
        "{said}"
    );
}

#[tokio::test]
async fn completions_and_help_need_nothing() {
    for arguments in [
        &["completions", "bash"][..],
        &["--help"],
        &["create", "--help"],
        &["version"],
    ] {
        let output = hyperfleet().args(arguments).output().await.unwrap();
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
}
