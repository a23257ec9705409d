//! Links other than ownership.

use hyperfleet_domain::resource::{
    CreateResource, Lifecycle, PatchResource, ReferenceInput, ReferenceTarget, References,
};
use hyperfleet_domain::{Command, Refusal, Resource};

use super::support::*;

fn link(kind: &str, id: Option<&str>) -> ReferenceInput {
    ReferenceInput {
        id: id.map(str::to_owned),
        kind: kind.to_owned(),
    }
}

fn plan_with(links: &[(&str, ReferenceInput)]) -> CreateResource {
    let mut create = create("Plan", "p", None);
    for (ref_type, link) in links {
        create
            .references
            .entry((*ref_type).to_owned())
            .or_default()
            .push(link.clone());
    }
    for (id, kind, lifecycle) in [
        ("w", "WifConfig", Lifecycle::Active),
        ("v", "WifConfig", Lifecycle::Active),
        ("gone", "WifConfig", Lifecycle::Finalizing),
        ("c", "Channel", Lifecycle::Active),
    ] {
        let target = ReferenceTarget {
            kind: kind.to_owned(),
            lifecycle,
        };
        create.targets.insert(id.to_owned(), target);
    }
    create
}

fn run(links: &[(&str, ReferenceInput)]) -> Result<Resource, Refusal> {
    let command = Command::Create(plan_with(links));
    World::new().run("p", command).map(|change| change.resource)
}

#[test]
fn valid_references_are_stored_with_flat_addresses() {
    let plan = run(&[("wif_config", link("WifConfig", Some("w")))]).unwrap();
    assert_eq!(
        plan.references["wif_config"][0].href,
        "/api/hyperfleet/v1/wifconfigs/w"
    );
}

#[test]
fn wrong_references_are_refused_in_the_words_of_the_contract() {
    let good = || ("wif_config", link("WifConfig", Some("w")));
    let wif = |id: &str| vec![("wif_config", link("WifConfig", Some(id)))];
    let cases = [
        (
            vec![],
            "required reference type \"wif_config\" missing for Plan (min 1)",
        ),
        (
            vec![good(), ("foo", link("X", Some("x")))],
            "unknown reference type \"foo\" for Plan",
        ),
        (
            vec![good(), ("wif_config", link("WifConfig", Some("v")))],
            "reference type \"wif_config\" for Plan exceeds max count 1 (got 2)",
        ),
        (
            vec![
                good(),
                ("chans", link("Channel", Some("c"))),
                ("chans", link("Channel", Some("c"))),
            ],
            "reference type \"chans\": duplicate target id \"c\"",
        ),
        (
            vec![("wif_config", link("WifConfig", None))],
            "reference type \"wif_config\": id is required",
        ),
        (
            vec![("wif_config", link("Channel", Some("c")))],
            "reference type \"wif_config\": kind \"Channel\" does not match expected target kind \"WifConfig\"",
        ),
        (
            wif("none"),
            "reference type \"wif_config\": target WifConfig \"none\" not found",
        ),
        (
            wif("gone"),
            "reference type \"wif_config\": target WifConfig \"gone\" is marked for deletion",
        ),
    ];
    for (links, detail) in cases {
        assert_eq!(run(&links).unwrap_err().to_string(), detail);
    }
}

#[test]
fn sending_identical_references_is_a_change_and_none_breaks_the_minimum() {
    let mut world = World::new();
    let create = plan_with(&[("wif_config", link("WifConfig", Some("w")))]);
    world.run("p", Command::Create(create.clone())).unwrap();
    let send = |references: References| {
        let targets = create.targets.clone();
        Command::Patch(PatchResource {
            references: Some(references),
            targets,
            ..patch(5)
        })
    };
    let change = world.run("p", send(create.references.clone())).unwrap();
    assert_eq!(change.resource.generation, 2);
    let refusal = world.run("p", send(References::new())).unwrap_err();
    assert!(matches!(refusal, Refusal::ReferenceMissing { .. }));
}
