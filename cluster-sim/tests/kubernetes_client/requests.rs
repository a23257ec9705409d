use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ListParams, ObjectMeta, PostParams};

use crate::support::{config_map, fast, namespace, refusal, start};

#[tokio::test]
async fn refusals_have_the_shape_that_kubernetes_gives_them() {
    let (_handle, client) = start(fast()).await;
    let create = PostParams::default();
    let nowhere: Api<ConfigMap> = Api::namespaced(client.clone(), "nowhere");
    assert_eq!(
        refusal(nowhere.create(&create, &config_map("m")).await),
        (
            404,
            "NotFound".into(),
            "namespaces \"nowhere\" not found".into()
        )
    );
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    assert_eq!(
        refusal(maps.get("m").await),
        (404, "NotFound".into(), "configmaps \"m\" not found".into())
    );
    let (code, reason, message) = refusal(maps.create(&create, &config_map("Not_A_Name")).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(
        message.starts_with("ConfigMap \"Not_A_Name\" is invalid: metadata.name"),
        "{message}"
    );
    let made = maps.create(&create, &config_map("m")).await.unwrap();
    assert_eq!(
        refusal(maps.create(&create, &config_map("m")).await).1,
        "AlreadyExists"
    );
    let mut label = config_map("n");
    label.metadata.labels = Some([("a".to_owned(), "no spaces".to_owned())].into());
    assert_eq!(refusal(maps.create(&create, &label).await).0, 422);

    let mut newer = made.clone();
    newer.data = None;
    maps.replace("m", &create, &newer).await.unwrap();
    let (code, reason, _) = refusal(maps.replace("m", &create, &made).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
}

#[tokio::test]
async fn selectors_lists_generated_names_and_dry_runs() {
    let (_handle, client) = start(fast()).await;
    namespace(&client, "other").await;
    let create = PostParams::default();
    for (space, name, tier) in [
        ("default", "a", "front"),
        ("default", "b", "back"),
        ("other", "a", "front"),
    ] {
        let mut map = config_map(name);
        map.metadata.labels = Some([("tier".to_owned(), tier.to_owned())].into());
        Api::<ConfigMap>::namespaced(client.clone(), space)
            .create(&create, &map)
            .await
            .unwrap();
    }
    let all: Api<ConfigMap> = Api::all(client.clone());
    let count = async |parameters: ListParams| all.list(&parameters).await.unwrap().items.len();
    assert_eq!(count(ListParams::default()).await, 3);
    assert_eq!(
        count(ListParams::default().labels("tier in (front)")).await,
        2
    );
    assert_eq!(count(ListParams::default().labels("tier!=front")).await, 1);
    assert_eq!(
        count(ListParams::default().fields("metadata.name=a,metadata.namespace=other")).await,
        1
    );
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    assert_eq!(
        maps.list_metadata(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        2
    );

    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    maps.create(&dry, &config_map("ghost")).await.unwrap();
    assert!(maps.get_opt("ghost").await.unwrap().is_none());

    let secrets: Api<Secret> = Api::namespaced(client, "default");
    let secret = Secret {
        metadata: ObjectMeta {
            generate_name: Some("key-".into()),
            ..ObjectMeta::default()
        },
        string_data: Some([("token".to_owned(), "hush".to_owned())].into()),
        ..Secret::default()
    };
    let made = secrets.create(&create, &secret).await.unwrap();
    assert!(made.metadata.name.unwrap().starts_with("key-"));
    assert_eq!(made.data.unwrap()["token"].0, b"hush");
    maps.delete_collection(
        &Default::default(),
        &ListParams::default().labels("tier=back"),
    )
    .await
    .unwrap();
    assert_eq!(count(ListParams::default()).await, 2);
}

#[tokio::test]
async fn nonsense_is_refused_and_harms_nobody() {
    let (handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &config_map("m"))
        .await
        .unwrap();
    let http = reqwest::Client::new();
    let url = format!("{}/api/v1/namespaces/default/configmaps", handle.url());
    for (kind, body) in [
        ("merge-patch+json", "5"),
        ("merge-patch+json", "{"),
        (
            "json-patch+json",
            r#"[{"op": "replace", "path": "", "value": "gone"}]"#,
        ),
        ("strategic-merge-patch+json", "[]"),
        ("apply-patch+yaml", "- a list"),
        ("apply-patch+yaml", "a: b: c"),
    ] {
        let answer = http
            .patch(format!("{url}/m?fieldManager=me"))
            .header("content-type", format!("application/{kind}"))
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 400, "{kind} {body}");
        assert_eq!(
            answer.json::<serde_json::Value>().await.unwrap()["kind"],
            "Status"
        );
    }
    for body in ["", "null", "[]", "\"text\"", r#"{"metadata": 5}"#] {
        let answer = http.post(&url).body(body).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{body}");
    }
    let endless = format!("{url}?watch=true&timeoutSeconds=18446744073709551615");
    assert_eq!(http.get(endless).send().await.unwrap().status(), 200);
    let large = http
        .post(&url)
        .body(vec![b' '; 4 * 1024 * 1024])
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), 413);
    assert_eq!(maps.get("m").await.unwrap().data, config_map("m").data);
}
