//! Links other than ownership: what is refused, and that targets know of them.

use hyperfleet_domain::resource::{
    CreateResource, Lifecycle, PatchResource, References, RefusalClass,
};
use hyperfleet_domain::{Command, Event, Refusal, Resource};
use proptest::prelude::*;
use proptest::sample::select;

use super::support::*;

/// A world with what a plan may refer to: two configurations and two channels.
fn world() -> World {
    let mut world = World::new();
    for (kind, id) in [
        ("WifConfig", "w"),
        ("WifConfig", "v"),
        ("Channel", "c"),
        ("Channel", "d"),
    ] {
        world.create(kind, id, None);
    }
    world
}

fn plan_with(id: &str, links: &[(&str, Option<&str>)]) -> CreateResource {
    let mut create = create("Plan", id, None);
    create.references = references(links);
    create
}

fn references(links: &[(&str, Option<&str>)]) -> References {
    let mut references = References::new();
    for (ref_type, id) in links {
        let kind = if *ref_type == "wif_config" {
            "WifConfig"
        } else {
            "Channel"
        };
        let links = references.entry((*ref_type).to_owned()).or_default();
        links.push(link(kind, *id));
    }
    references
}

fn refer(seconds: i64, links: &[(&str, Option<&str>)]) -> Command {
    Command::Patch(PatchResource {
        references: Some(references(links)),
        ..patch(seconds)
    })
}

fn with_plan() -> World {
    let mut world = world();
    let links = [("wif_config", Some("w")), ("chans", Some("c"))];
    world
        .run("p", Command::Create(plan_with("p", &links)))
        .unwrap();
    world
}

fn last_event(world: &World, id: &str) -> &'static str {
    let event = world.logs[id].last().unwrap().event_type();
    event.strip_prefix("hyperfleet.resource.").unwrap()
}

fn active(world: &World, id: &str) -> Resource {
    let resource = world.get(id);
    assert_eq!(resource.lifecycle, Lifecycle::Active);
    resource
}

#[test]
fn valid_references_are_stored_with_flat_addresses_and_told_to_their_targets() {
    let world = with_plan();
    let plan = active(&world, "p");
    assert_eq!(
        plan.references["wif_config"][0].href,
        "/api/hyperfleet/v1/wifconfigs/w"
    );
    let attached = world.logs["w"].last().unwrap();
    let Event::ReferenceAttached(attached) = attached else {
        panic!("{attached:?}")
    };
    assert_eq!(attached.ref_type, "wif_config");
    assert_eq!(
        (attached.source_id.as_str(), attached.source_kind.as_str()),
        ("p", "Plan")
    );
    assert_eq!(attached.source_name, "name-p");
    assert_eq!(active(&world, "w").inbound_references, 1);
    world.assert_no_dangling_reference();
    world.assert_replays();
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
        // An id of another kind is no target either.
        (
            wif("c"),
            "reference type \"wif_config\": target WifConfig \"c\" not found",
        ),
    ];
    for (links, detail) in cases {
        let mut world = world();
        let mut command = create("Plan", "p", None);
        for (ref_type, link) in links {
            let of_type = command.references.entry(ref_type.to_owned()).or_default();
            of_type.push(link);
        }
        let refusal = world.run("p", Command::Create(command)).unwrap_err();
        assert_eq!(refusal.to_string(), detail);
        assert!(matches!(refusal.class(), RefusalClass::Validation { .. }));
        assert_eq!(active(&world, "w").inbound_references, 0);
    }
}

#[test]
fn a_target_that_is_being_deleted_is_refused() {
    let mut registry = descriptors();
    for entry in &mut registry {
        if entry.kind == "WifConfig" {
            entry.required_adapters = vec!["alpha".to_owned()];
        }
    }
    let mut world = World::with(hyperfleet_domain::Registry::new(registry).unwrap());
    world.create("WifConfig", "w", None);
    world.delete("w", 1).unwrap();
    let create = plan_with("p", &[("wif_config", Some("w"))]);
    assert_eq!(
        world
            .run("p", Command::Create(create))
            .unwrap_err()
            .to_string(),
        "reference type \"wif_config\": target WifConfig \"w\" is marked for deletion"
    );
}

#[test]
fn sending_identical_references_is_a_change_that_targets_do_not_hear_of() {
    let mut world = with_plan();
    let events = world.logs["w"].len();
    let same = refer(5, &[("wif_config", Some("w")), ("chans", Some("c"))]);
    let change = world.run("p", same).unwrap();
    assert_eq!(change.resource.generation, 2);
    assert_eq!(world.logs["w"].len(), events);
    let refusal = world.run("p", refer(6, &[])).unwrap_err();
    assert!(matches!(refusal, Refusal::ReferenceMissing { .. }));
    world.assert_no_dangling_reference();
}

#[test]
fn a_patch_tells_old_and_new_targets() {
    let mut world = with_plan();
    let change = world
        .run("p", refer(5, &[("wif_config", Some("v"))]))
        .unwrap();
    assert!(!change.resource.references.contains_key("chans"));
    assert_eq!(last_event(&world, "w"), "reference_detached");
    assert_eq!(last_event(&world, "c"), "reference_detached");
    assert_eq!(last_event(&world, "v"), "reference_attached");
    world.assert_no_dangling_reference();
    world.delete("w", 6).unwrap();
    world.delete("c", 7).unwrap();
}

#[test]
fn a_referenced_resource_is_kept_until_its_referrers_are_gone() {
    let mut world = with_plan();
    let second = plan_with("q", &[("wif_config", Some("w"))]);
    world.run("q", Command::Create(second)).unwrap();
    assert_eq!(
        world.delete("w", 1).unwrap_err().to_string(),
        "cannot delete WifConfig \"name-w\": referenced by Plan \"name-p\", Plan \"name-q\" — remove the reference(s) before deleting"
    );
    world.delete("p", 2).unwrap();
    world.assert_no_dangling_reference();
    world.delete("w", 3).unwrap_err();
    world.delete("q", 4).unwrap();
    assert_eq!(
        world.delete("w", 5).unwrap().resource.lifecycle,
        Lifecycle::Removed
    );
    world.assert_replays();
}

/// Plans that are owned by a gadget, cascade with it, and may refer to each other's siblings.
fn family_of_plans() -> World {
    let mut registry = descriptors();
    for entry in &mut registry {
        match entry.kind.as_str() {
            "Widget" => entry.references = vec![rule("peers", "Widget", 0, 0)],
            "Plan" => entry.references.push(rule("orphans", "Orphan", 0, 0)),
            _ => {}
        }
    }
    let mut world = World::with(hyperfleet_domain::Registry::new(registry).unwrap());
    world.create("Gadget", "g", None);
    world.create("WifConfig", "w", None);
    world
}

#[test]
fn references_within_a_tree_do_not_hold_up_its_deletion() {
    for (referring, referred) in [("a", "b"), ("b", "a"), ("a", "a")] {
        let mut world = family_of_plans();
        world.create("Widget", "a", Some("g"));
        world.create("Widget", "b", Some("g"));
        let peers = References::from([("peers".to_owned(), vec![link("Widget", Some(referred))])]);
        let refer = PatchResource {
            references: Some(peers),
            ..patch(1)
        };
        world.run(referring, Command::Patch(refer)).unwrap();
        world.assert_no_dangling_reference();
        world.delete("g", 2).unwrap();
        assert!(world.get("a").is_finalizing() && world.get("b").is_finalizing());
        world.assert_no_dangling_reference();
        world.assert_replays();
    }
}

#[test]
fn removal_by_force_drops_references_without_a_new_generation() {
    let mut world = family_of_plans();
    world.create("Orphan", "o", Some("g"));
    let mut plan = plan_with("p", &[("wif_config", Some("w"))]);
    let orphan = vec![link("Orphan", Some("o"))];
    plan.references.insert("orphans".to_owned(), orphan);
    world.run("p", Command::Create(plan)).unwrap();
    world.delete("g", 1).unwrap();
    world.run("g", force_delete(2)).unwrap();
    let plan = active(&world, "p");
    assert!(!plan.references.contains_key("orphans"));
    assert!(plan.references.contains_key("wif_config"));
    assert_eq!((plan.generation, plan.updated_time), (1, at(0)));
    assert_eq!(last_event(&world, "p"), "reference_dropped");
    world.assert_no_dangling_reference();
    world.assert_replays();
}

#[test]
fn too_many_references_are_refused() {
    let mut world = world();
    let mut create = plan_with("p", &[("wif_config", Some("w"))]);
    let many = (0..1000).map(|n| link("Channel", Some(&format!("c{n}"))));
    create.references.insert("chans".to_owned(), many.collect());
    let refusal = world.run("p", Command::Create(create)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "references must name at most 1000 targets in all"
    );
}

/// One step of a random history over two plans and what they may refer to.
#[derive(Debug, Clone)]
enum Step {
    Create(&'static str, &'static str, Vec<&'static str>),
    Refer(&'static str, &'static str, Vec<&'static str>),
    Delete(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let plan = || select(vec!["p", "q"]);
    let wif = || select(vec!["w", "v"]);
    let channels = || prop::sample::subsequence(vec!["c", "d"], 0..=2);
    let step = prop_oneof![
        2 => (plan(), wif(), channels()).prop_map(|(p, w, c)| Step::Create(p, w, c)),
        3 => (plan(), wif(), channels()).prop_map(|(p, w, c)| Step::Refer(p, w, c)),
        2 => select(vec!["p", "q", "w", "v", "c", "d"]).prop_map(Step::Delete),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_leaves_a_dangling_reference(steps in steps()) {
        let mut world = world();
        for (now, step) in (1i64..).zip(steps) {
            let links = |wif: &'static str, channels: &[&'static str]| {
                let mut links = vec![("wif_config", Some(wif))];
                links.extend(channels.iter().map(|id| ("chans", Some(*id))));
                links
            };
            // Refusals are part of a history: they must simply change nothing.
            let _ = match step {
                Step::Create(id, wif, channels) => {
                    world.run(id, Command::Create(plan_with(id, &links(wif, &channels))))
                }
                Step::Refer(id, wif, channels) => world.run(id, refer(now, &links(wif, &channels))),
                Step::Delete(id) => world.delete(id, now),
            };
            world.assert_no_dangling_reference();
        }
        world.assert_replays();
    }
}
