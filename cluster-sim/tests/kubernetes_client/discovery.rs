use kube::api::{Api, DynamicObject, PostParams};
use kube::discovery::{Discovery, Scope, pinned_kind};
use serde_json::json;

use crate::support::{condition, eventually, fast, namespace, object, refusal, resource, start};

#[tokio::test]
async fn the_client_discovers_built_in_and_shipped_kinds() {
    let (_handle, client) = start(fast()).await;
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let job = kube::core::GroupVersionKind::gvk("batch", "v1", "Job");
    let (resource, capabilities) = discovery.resolve_gvk(&job).unwrap();
    assert_eq!(resource.plural, "jobs");
    assert_eq!(capabilities.scope, Scope::Namespaced);
    assert!(
        capabilities
            .subresources
            .iter()
            .any(|(one, _)| one.plural.ends_with("status"))
    );
    let cluster =
        kube::core::GroupVersionKind::gvk("hypershift.openshift.io", "v1beta1", "HostedCluster");
    assert!(discovery.resolve_gvk(&cluster).is_some());
    let (namespaces, capabilities) = pinned_kind(
        &client,
        &kube::core::GroupVersionKind::gvk("", "v1", "Namespace"),
    )
    .await
    .unwrap();
    assert_eq!(
        (namespaces.plural.as_str(), capabilities.scope),
        ("namespaces", Scope::Cluster)
    );
    assert!(
        client
            .apiserver_version()
            .await
            .unwrap()
            .git_version
            .starts_with("v1.")
    );
}

#[tokio::test]
async fn a_definition_posted_at_run_time_serves_its_kind_until_it_is_deleted() {
    let (_handle, client) = start(fast()).await;
    let definitions: Api<DynamicObject> = Api::all_with(
        client.clone(),
        &resource(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
        ),
    );
    let definition = object(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "required": ["size"],
                    "properties": {"size": {"type": "integer", "minimum": 1}, "colour": {"type": "string", "default": "red"}}}}}}}]},
    }));
    let widgets: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        "default",
        &resource("example.com", "v1", "Widget", "widgets"),
    );
    let widget = |size: i64| {
        object(json!({"apiVersion": "example.com/v1", "kind": "Widget",
            "metadata": {"name": "one"}, "spec": {"size": size, "unknown": 1}}))
    };
    assert_eq!(
        refusal(widgets.create(&PostParams::default(), &widget(1)).await).0,
        404
    );

    definitions
        .create(&PostParams::default(), &definition)
        .await
        .unwrap();
    eventually("established", || async {
        let found = definitions.get("widgets.example.com").await.ok()?;
        (condition(&found, "Established")?.0 == "True").then_some(())
    })
    .await;
    let widget_kind = kube::core::GroupVersionKind::gvk("example.com", "v1", "Widget");
    let found = pinned_kind(&client, &widget_kind).await.unwrap();
    assert_eq!(found.0.plural, "widgets");

    let (code, reason, message) = refusal(widgets.create(&PostParams::default(), &widget(0)).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(message.contains("spec.size"), "{message}");
    let made = widgets
        .create(&PostParams::default(), &widget(2))
        .await
        .unwrap();
    assert_eq!(made.data["spec"], json!({"size": 2, "colour": "red"}));

    definitions
        .delete("widgets.example.com", &Default::default())
        .await
        .unwrap();
    eventually("unserved", || async {
        matches!(widgets.get_opt("one").await, Ok(None)).then_some(())
    })
    .await;
    assert!(
        definitions
            .get_opt("widgets.example.com")
            .await
            .unwrap()
            .is_none()
    );
    namespace(&client, "still-works").await;
}
