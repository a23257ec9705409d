//! Laws that hold for every history.

use std::collections::BTreeMap;

use hyperfleet_domain::condition::{Condition, LAST_KNOWN_RECONCILED};
use hyperfleet_domain::mapping::ConditionRule;
use hyperfleet_domain::{Event, Registry, Resource};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use super::mapping::rule;
use super::support::*;

/// One step of a random history over a gadget `g` and its widget `w`.
#[derive(Debug, Clone)]
enum Step {
    Patch(&'static str, i32),
    Report {
        id: &'static str,
        adapter: &'static str,
        back: i32,
        status: &'static str,
        done: bool,
    },
    Delete(&'static str),
    Force(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || select(vec!["g", "w"]);
    let reports = (
        id(),
        select(vec!["alpha", "beta-two", "gamma"]),
        0..2i32,
        select(vec!["True", "True", "True", "False", "Unknown"]),
        any::<bool>(),
    )
        .prop_map(|(id, adapter, back, status, done)| Step::Report {
            id,
            adapter,
            back,
            status,
            done,
        });
    let step = prop_oneof![
        3 => (id(), 0..3i32).prop_map(|(id, size)| Step::Patch(id, size)),
        20 => reports,
        1 => id().prop_map(Step::Delete),
        1 => id().prop_map(Step::Force),
    ];
    prop::collection::vec(step, 1..40)
}

/// Rules that follow reports, that follow the resource, and that fail for some of both.
fn rules() -> Vec<ConditionRule> {
    let of = |adapter: &str| {
        format!("statuses.filter(s, s.adapter == '{adapter}')[0].conditions[0].status")
    };
    let seen = "statuses.exists(s, s.adapter == 'gamma')";
    vec![
        rule("Gamma", seen, &of("gamma"), "'G'", "toJson(statuses)"),
        rule("Beta", "true", &of("beta-two"), "'B'", "''"),
        rule(
            "Even",
            "true",
            "int(resource.spec.size) % 2 == 0",
            "'E'",
            "toJson(resource)",
        ),
        rule(
            "Small",
            "resource.spec.size < 2",
            "resource.generation < 4",
            "''",
            "''",
        ),
    ]
}

/// Runs a history with condition rules; gives the world and every state that each resource went
/// through.
fn play(steps: &[Step]) -> (World, BTreeMap<String, Vec<Resource>>) {
    play_with(steps, rules())
}

fn play_with(
    steps: &[Step],
    rules: Vec<ConditionRule>,
) -> (World, BTreeMap<String, Vec<Resource>>) {
    let mut kinds = descriptors();
    kinds[0].condition_rules.clone_from(&rules);
    kinds[1].condition_rules = rules;
    let mut world = World::with(Registry::new(kinds).unwrap());
    world.create("Gadget", "g", None);
    world.create("Widget", "w", Some("g"));
    let mut seen: BTreeMap<String, Vec<Resource>> = BTreeMap::new();
    for (now, step) in (1i64..).zip(steps) {
        for (id, resource) in &world.live {
            seen.entry(id.clone()).or_default().push(resource.clone());
        }
        // Refusals are part of a history: they must simply change nothing.
        let _ = match *step {
            Step::Patch(id, size) => world.run(id, patch_spec(now, json!({"size": size}))),
            Step::Delete(id) => world.delete(id, now),
            Step::Force(id) => world.run(id, force_delete(now)),
            Step::Report {
                id,
                adapter,
                back,
                status,
                done,
            } => {
                let generation = world.get(id).generation - back;
                let finalized = if done { "True" } else { "False" };
                world.run(
                    id,
                    report(adapter, generation, status, now).finalized(finalized),
                )
            }
        };
    }
    for (id, resource) in &world.live {
        seen.entry(id.clone()).or_default().push(resource.clone());
    }
    (world, seen)
}

fn changed_rightly(before: &Condition, after: &Condition) -> bool {
    before.created_time == after.created_time
        && (before.status != after.status
            || before.last_transition_time == after.last_transition_time)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_replays_to_the_live_state(steps in steps()) {
        let (world, _) = play(&steps);
        world.assert_replays();
    }

    #[test]
    fn snapshots_and_payloads_lose_nothing(steps in steps()) {
        let (world, _) = play(&steps);
        for live in world.live.values() {
            let text = serde_json::to_string(live).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Resource>(&text).unwrap(), live);
        }
        for event in world.logs.values().flatten() {
            let read = hyperfleet_domain::upcast::read(event.event_type(), event.version(), event.to_payload());
            prop_assert_eq!(&read.unwrap(), event);
        }
    }

    #[test]
    fn generations_never_fall_and_transition_times_move_with_their_status(steps in steps()) {
        let (_, seen) = play(&steps);
        for pair in seen.values().flat_map(|states| states.windows(2)) {
            let [before, after] = pair else { continue };
            prop_assert!(before.generation <= after.generation);
            for condition in &after.conditions {
                if let Some(earlier) = before.condition(&condition.r#type) {
                    prop_assert!(changed_rightly(earlier, condition), "{earlier:?} {condition:?}");
                }
            }
        }
    }

    #[test]
    fn the_last_known_state_is_lost_only_by_a_failure(steps in steps()) {
        let (world, seen) = play(&steps);
        for pair in seen.values().flat_map(|states| states.windows(2)) {
            let [before, after] = pair else { continue };
            let holds = |state: &Resource| {
                state.condition(LAST_KNOWN_RECONCILED).is_some_and(|known| known.status.is_true())
            };
            if holds(before) && !holds(after) {
                let required = &world.registry.by_kind(&after.kind).unwrap().required_adapters;
                let failed = required.iter().any(|adapter| {
                    after.statuses.get(adapter).is_some_and(|status| !status.is_true("Available"))
                });
                prop_assert!(failed);
            }
        }
    }

    #[test]
    fn any_event_applies_to_any_state(steps in steps(), order in prop::collection::vec(any::<Index>(), 0..30)) {
        let (world, _) = play(&steps);
        let all: Vec<Event> = world.logs.values().flatten().cloned().collect();
        let shuffled: Vec<&Event> = order.iter().map(|index| index.get(&all)).collect();
        let _ = Resource::fold(shuffled);
    }

    #[test]
    fn the_order_of_reports_of_different_adapters_does_not_matter(
        alpha in select(vec!["True", "False"]),
        beta in select(vec!["True", "False"]),
    ) {
        let statuses = |alpha_first: bool| {
            let mut world = World::new();
            world.create("Gadget", "g", None);
            let mut reports = vec![("alpha", alpha), ("beta-two", beta)];
            if !alpha_first {
                reports.reverse();
            }
            for (adapter, status) in reports {
                world.report("g", report(adapter, 1, status, 5));
            }
            let conditions = world.get("g").conditions.into_iter();
            conditions.map(|condition| (condition.r#type, condition.status, condition.reason)).collect::<Vec<_>>()
        };
        prop_assert_eq!(statuses(true), statuses(false));
    }

    #[test]
    fn evaluating_condition_rules_again_changes_nothing(steps in steps()) {
        let (world, seen) = play(&steps);
        for state in seen.values().flatten().filter(|state| state.exists()) {
            let mapping = world.registry.mapping(&state.kind);
            let again = mapping.evaluate(state);
            prop_assert_eq!(&again.conditions, &mapping.kept(state));
            prop_assert_eq!(&again, &mapping.evaluate(state));
        }
    }

    #[test]
    fn condition_rules_change_no_other_condition(steps in steps()) {
        let is_known = |step: &Step| !matches!(step, Step::Report { status: "Unknown", .. });
        let steps: Vec<Step> = steps.into_iter().filter(is_known).collect();
        let without_mapped = |rules: Vec<ConditionRule>| {
            let (world, _) = play_with(&steps, rules);
            let live = world.live.into_values();
            live.map(|mut state| {
                state.conditions.retain(|condition| rules_lack(&condition.r#type));
                state
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(without_mapped(rules()), without_mapped(Vec::new()));
    }

    #[test]
    fn a_failing_rule_changes_no_other_rule(steps in steps()) {
        let healthy: Vec<ConditionRule> = rules().into_iter().filter(|rule| rule.r#type != "Beta").collect();
        let mut failing = rules();
        failing[1].when = "statuses[99].adapter == ''".to_owned();
        let states = |rules| {
            let (world, _) = play_with(&steps, rules);
            let live = world.live.into_values();
            live.map(|mut state| {
                state.conditions.retain(|condition| condition.r#type != "Beta");
                state
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(states(failing), states(healthy));
    }
}

fn rules_lack(r#type: &str) -> bool {
    rules().iter().all(|rule| rule.r#type != r#type)
}
