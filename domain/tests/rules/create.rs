//! Creating resources, and what they look like.

use hyperfleet_domain::resource::{CreateResource, RefusalClass, StreamChange};
use hyperfleet_domain::{Command, Refusal, Registry};
use serde_json::json;

use super::support::*;

fn run(create: CreateResource) -> Result<StreamChange, Refusal> {
    World::with(Registry::builtin()).run("id-1", Command::Create(create))
}

fn cluster() -> CreateResource {
    CreateResource {
        name: "abc".to_owned(),
        ..create("Cluster", "id-1", None)
    }
}

#[test]
fn a_new_cluster_renders_as_the_contract_says() {
    let resource = run(cluster()).unwrap().resource;
    let text = serde_json::to_string(&resource.document()).unwrap();
    let condition = |name: &str, reason: &str, message: &str| {
        format!(
            r#"{{"type":"{name}","status":"False","reason":"{reason}","message":"{message}","observed_generation":1,"created_time":"2026-01-01T00:00:00Z","last_updated_time":"2026-01-01T00:00:00Z","last_transition_time":"2026-01-01T00:00:00Z"}}"#
        )
    };
    let reconciled = condition(
        "Reconciled",
        "ReconciledMissingAdapters",
        "Required adapters not reporting Available=True: [dns, hypershift, placement, pullsecret, validation]. Currently reporting: []",
    );
    let last_known = condition(
        "LastKnownReconciled",
        "AdaptersMissingReports",
        "Required adapters have not yet reported status",
    );
    let expected = format!(
        r#"{{"id":"id-1","kind":"Cluster","name":"abc","href":"/api/hyperfleet/v1/clusters/id-1","spec":{{"size":1}},"tenancy":{{}},"generation":1,"status":{{"conditions":[{reconciled},{last_known}]}},"created_time":"2026-01-01T00:00:00Z","updated_time":"2026-01-01T00:00:00Z","created_by":"creator","updated_by":"creator"}}"#
    );
    assert_eq!(text, expected);
}

#[test]
fn a_child_renders_its_owner_and_a_deletion_its_request() {
    let mut world = World::with(Registry::builtin());
    world.create("Cluster", "c", None);
    let pool = world.create("NodePool", "n", Some("c"));
    let document = serde_json::to_value(pool.document()).unwrap();
    assert_eq!(
        document["href"],
        "/api/hyperfleet/v1/clusters/c/nodepools/n"
    );
    let owner = json!({"id": "c", "kind": "Cluster", "href": "/api/hyperfleet/v1/clusters/c"});
    assert_eq!(document["owner_references"], owner);
    assert_eq!(world.get("c").children["n"].kind, "NodePool");
    let deleted = world.delete("n", 5).unwrap().resource;
    let document = serde_json::to_value(deleted.document()).unwrap();
    assert_eq!(document["deleted_time"], "2026-01-01T00:00:05Z");
    assert_eq!(document["deleted_by"], "deleter");
}

#[test]
fn wrong_creations_are_refused_in_the_words_of_the_contract() {
    type Change = fn(&mut CreateResource);
    let cases: [(Change, &str); 7] = [
        (|create| create.kind.clear(), "kind is required"),
        (
            |create| create.kind = "Nope".to_owned(),
            "Unknown entity kind: Nope",
        ),
        (|create| create.name.clear(), "name is required"),
        (
            |create| create.name = "ab".to_owned(),
            "name must be at least 3 characters",
        ),
        (
            |create| create.name = "a".repeat(54),
            "name must be at most 53 characters",
        ),
        (
            |create| create.name = "Abc".to_owned(),
            "name must start and end with lowercase letter or number, and contain only lowercase letters, numbers, and hyphens",
        ),
        (|create| create.spec = None, "spec is required"),
    ];
    for (change, detail) in cases {
        let mut create = cluster();
        change(&mut create);
        assert_eq!(run(create).unwrap_err().to_string(), detail);
    }
    let mismatch = Refusal::KindMismatch {
        expected: "Cluster".to_owned(),
    };
    assert_eq!(mismatch.to_string(), "kind must be 'Cluster'");
}

#[test]
fn every_bad_label_is_listed() {
    let mut create = cluster();
    create.labels.insert("bad key".to_owned(), "v".to_owned());
    create.labels.insert("k".to_owned(), "<script>".to_owned());
    let refusal = run(create).unwrap_err();
    assert_eq!(
        (refusal.to_string().as_str(), refusal.field_errors().len()),
        ("label validation failed", 2)
    );
}

#[test]
fn a_child_needs_an_owner_that_exists_and_is_wanted() {
    let refusal = run(create("NodePool", "id-1", None)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "kind \"NodePool\" is a child kind; create it via /clusters/{id}/nodepools"
    );
    let expected = RefusalClass::Validation {
        code: "VAL-000",
        unprocessable: true,
    };
    assert_eq!(refusal.class(), expected);
    let refusal = run(create("NodePool", "id-1", Some("x"))).unwrap_err();
    assert_eq!(refusal.to_string(), "Cluster with id='x' not found");
    assert_eq!(refusal.class(), RefusalClass::NotFound);

    let mut world = World::with(Registry::builtin());
    world.create("Cluster", "c", None);
    world.delete("c", 1).unwrap();
    let create = Command::Create(create("NodePool", "n", Some("c")));
    let refusal = world.run("n", create).unwrap_err();
    assert_eq!(refusal.to_string(), "Cluster 'c' is marked for deletion");
}

#[test]
fn names_are_unique_in_their_scope() {
    let mut world = World::with(Registry::builtin());
    let claim = |world: &mut World, kind: &str, id: &str, parent: Option<&str>, tenant: &str| {
        let mut create = CreateResource {
            name: "same".to_owned(),
            ..create(kind, id, parent)
        };
        create.tenancy.insert("org".to_owned(), tenant.to_owned());
        world
            .run(id, Command::Create(create))
            .unwrap()
            .claim
            .unwrap()
    };
    let first = claim(&mut world, "Cluster", "a", None, "one");
    assert_ne!(first, claim(&mut world, "Cluster", "b", None, "two"));
    let in_a = claim(&mut world, "NodePool", "c", Some("a"), "one");
    assert_ne!(in_a, claim(&mut world, "NodePool", "d", Some("b"), "one"));
    assert_eq!(in_a, world.get("c").name_claim());
    let taken = Refusal::AlreadyExists {
        kind: "Cluster".to_owned(),
    };
    assert_eq!(taken.to_string(), "This Cluster already exists");
    assert_eq!(taken.class(), RefusalClass::Conflict { code: "CNF-001" });
}

#[test]
fn a_child_takes_the_dimensions_that_its_creator_lacks_from_its_owner() {
    let tenancy = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    for (owner, creator, expected) in [
        (
            &[("org", "a"), ("team", "x")][..],
            &[("org", "a")][..],
            &[("org", "a"), ("team", "x")][..],
        ),
        (&[("org", "a")], &[("org", "a")], &[("org", "a")]),
        (&[("org", "a")], &[], &[("org", "a")]),
        // Without isolation a stranger may add a child; it is the stranger's.
        (&[("org", "a")], &[("org", "b")], &[("org", "b")]),
        (&[], &[("org", "b")], &[("org", "b")]),
    ] {
        let mut world = World::with(Registry::builtin());
        let cluster = CreateResource {
            tenancy: tenancy(owner),
            ..create("Cluster", "c", None)
        };
        world.run("c", Command::Create(cluster)).expect("created");
        let pool = CreateResource {
            tenancy: tenancy(creator),
            ..create("NodePool", "n", Some("c"))
        };
        let pool = world.run("n", Command::Create(pool)).expect("created");
        assert_eq!(
            pool.resource.tenancy,
            tenancy(expected),
            "{owner:?} {creator:?}"
        );
    }
}
