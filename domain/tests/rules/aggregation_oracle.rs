//! The aggregated conditions of any state, against the contract's sentences written down once more
//! (API contract v1, sections 6.2 to 6.5), in their order and without sharing code.

use chrono::{DateTime, Utc};
use hyperfleet_domain::adapter_status::{AdapterCondition, AdapterConditionStatus, AdapterStatus};
use hyperfleet_domain::aggregation::aggregate;
use hyperfleet_domain::condition::{Condition, ConditionStatus};
use hyperfleet_domain::json::JsonObject;
use hyperfleet_domain::resource::{Child, Lifecycle, Resource};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::support::at;

type Facts = (i32, AdapterConditionStatus, bool, i64);

fn status((generation, available, finalized, seconds): Facts, adapter: &str) -> AdapterStatus {
    let condition = |name: &str, status| AdapterCondition {
        r#type: name.to_owned(),
        status,
        reason: Some(format!("{name}-{adapter}")),
        message: None,
        last_transition_time: at(seconds),
    };
    let finalized = if finalized {
        AdapterConditionStatus::True
    } else {
        AdapterConditionStatus::False
    };
    AdapterStatus {
        adapter: adapter.to_owned(),
        observed_generation: generation,
        conditions: vec![
            condition("Available", available),
            condition("Finalized", finalized),
        ],
        data: JsonObject::new(),
        metadata: None,
        created_time: at(0),
        last_report_time: at(seconds),
    }
}

fn facts() -> impl Strategy<Value = Option<Facts>> {
    use AdapterConditionStatus::{False, True, Unknown};
    let one = (
        1..4i32,
        select(vec![True, True, True, False, Unknown]),
        any::<bool>(),
        0..50i64,
    );
    prop::option::weighted(0.85, one)
}

fn previous(name: &'static str) -> impl Strategy<Value = Option<Condition>> {
    let one = (any::<bool>(), 1..4i32, 0..20i64, 0..50i64, 0..50i64).prop_map(
        move |(holds, generation, created, updated, transition)| Condition {
            r#type: name.to_owned(),
            status: holds.into(),
            reason: None,
            message: None,
            observed_generation: generation,
            created_time: at(created),
            last_updated_time: at(updated),
            last_transition_time: at(transition),
        },
    );
    prop::option::weighted(0.7, one)
}

prop_compose! {
    fn states()(
        reports in (facts(), facts(), facts()),
        conditions in (previous("Reconciled"), previous("LastKnownReconciled"), previous("AlphaSuccessful"), previous("BetaTwoSuccessful")),
        generation in 1..4i32,
        deleting in any::<bool>(),
        children in prop::collection::vec(any::<bool>(), 0..3),
        updated in 0..50i64,
    ) -> Resource {
        let mut state = Resource { lifecycle: Lifecycle::Active, generation, updated_time: at(updated), ..Resource::default() };
        for (facts, adapter) in [(reports.0, "alpha"), (reports.1, "beta-two"), (reports.2, "gamma")] {
            if let Some(facts) = facts {
                state.statuses.insert(adapter.to_owned(), status(facts, adapter));
            }
        }
        state.conditions = [conditions.0, conditions.1, conditions.2, conditions.3].into_iter().flatten().collect();
        state.deleted_time = deleting.then(|| at(updated));
        for (number, deleting) in children.into_iter().enumerate() {
            state.children.insert(number.to_string(), Child { kind: "Widget".to_owned(), deleting });
        }
        state
    }
}

/// 6.2: one usable report.
struct Snapshot<'a> {
    status: &'a AdapterStatus,
    available: bool,
}

struct Oracle<'a> {
    state: &'a Resource,
    required: &'a [String],
    snapshots: Vec<Option<Snapshot<'a>>>,
}

impl<'a> Oracle<'a> {
    fn new(state: &'a Resource, required: &'a [String]) -> Self {
        let snapshots = required.iter().map(|adapter| {
            let status = state.statuses.get(adapter)?;
            let available = status.conditions[0].status;
            let usable = status.observed_generation <= state.generation
                && available != AdapterConditionStatus::Unknown;
            let available = available == AdapterConditionStatus::True;
            usable.then_some(Snapshot { status, available })
        });
        let snapshots = snapshots.collect();
        Self {
            state,
            required,
            snapshots,
        }
    }

    fn present(&self) -> impl Iterator<Item = &Snapshot<'a>> {
        self.snapshots.iter().flatten()
    }

    fn earliest(&self, generation: i32) -> Option<DateTime<Utc>> {
        let at = self
            .present()
            .filter(|snapshot| snapshot.status.observed_generation == generation);
        at.map(|snapshot| snapshot.status.last_report_time).min()
    }

    fn condition(
        &self,
        name: &str,
        holds: bool,
        generation: i32,
        updated: DateTime<Utc>,
        changed: DateTime<Utc>,
    ) -> Condition {
        let previous = self.state.condition(name);
        let unchanged = previous.filter(|previous| previous.status.is_true() == holds);
        Condition {
            r#type: name.to_owned(),
            status: ConditionStatus::from(holds),
            reason: None,
            message: None,
            observed_generation: generation,
            created_time: previous
                .map_or(self.state.updated_time, |previous| previous.created_time),
            last_updated_time: updated,
            last_transition_time: unchanged
                .map_or(changed, |previous| previous.last_transition_time),
        }
    }

    /// 6.3.
    fn reconciled(&self) -> Condition {
        let state = self.state;
        let deleting = state.deleted_time.is_some();
        let active_child = state.children.values().any(|child| !child.deleting);
        let is_done = |snapshot: &Option<Snapshot<'_>>| {
            snapshot.as_ref().is_some_and(|snapshot| {
                let finalized =
                    snapshot.status.conditions[1].status == AdapterConditionStatus::True;
                let done = if deleting {
                    finalized
                } else {
                    snapshot.available
                };
                snapshot.status.observed_generation == state.generation && done
            })
        };
        let ok = !self.required.is_empty() && self.snapshots.iter().all(is_done);
        let holds = ok && !(deleting && active_child);
        let updated = self
            .earliest(state.generation)
            .unwrap_or(state.updated_time);
        let changed = match state.condition("Reconciled") {
            Some(previous)
                if previous.status.is_true()
                    && !holds
                    && state.generation > previous.observed_generation =>
            {
                state.updated_time
            }
            _ => updated,
        };
        let names = |wanted: &dyn Fn(&Option<Snapshot<'_>>) -> bool| {
            let mut names: Vec<&str> = self
                .required
                .iter()
                .zip(&self.snapshots)
                .filter(|(_, snapshot)| wanted(snapshot))
                .map(|(name, _)| name.as_str())
                .collect();
            names.sort_unstable();
            format!("[{}]", names.join(", "))
        };
        let (reason, message) = if holds {
            ("ReconciledAll", "All required adapters reported Available=True or Finalized=True at the current generation".to_owned())
        } else if deleting && ok {
            ("ReconciledWaitingForChildren", "Deletion in progress. All required adapters reported Finalized=True but child resources still exist".to_owned())
        } else {
            let awaited = if deleting { "Finalized" } else { "Available" };
            let (pending, reporting) = (
                names(&|snapshot| !is_done(snapshot)),
                names(&|snapshot| snapshot.is_some()),
            );
            (
                "ReconciledMissingAdapters",
                format!(
                    "Required adapters not reporting {awaited}=True: {pending}. Currently reporting: {reporting}"
                ),
            )
        };
        let mut condition = self.condition("Reconciled", holds, state.generation, updated, changed);
        condition.reason = Some(reason.to_owned());
        condition.message = Some(message);
        condition
    }

    /// 6.4.
    fn last_known(&self) -> Condition {
        let state = self.state;
        let previous = state.condition("LastKnownReconciled");
        let was_true = previous.is_some_and(|previous| previous.status.is_true());
        let missing = self.snapshots.iter().any(Option::is_none);
        let generations: Vec<i32> = self
            .present()
            .map(|snapshot| snapshot.status.observed_generation)
            .collect();
        let all_true = !missing && self.present().all(|snapshot| snapshot.available);
        let mixed = generations.windows(2).any(|pair| pair[0] != pair[1]);
        let false_at = |generation: i32| {
            self.present().any(|snapshot| {
                !snapshot.available && snapshot.status.observed_generation == generation
            })
        };
        let none = self.required.is_empty();
        let holds = if none || missing {
            false
        } else if all_true && !mixed {
            true
        } else if all_true {
            was_true
        } else {
            was_true && !previous.is_some_and(|previous| false_at(previous.observed_generation))
        };
        let uniform = !none && all_true && !mixed;
        let before = previous.map_or(1, |previous| previous.observed_generation);
        let generation = if none {
            1
        } else if holds && uniform {
            generations[0]
        } else if holds {
            before
        } else {
            generations.iter().copied().max().unwrap_or(before)
        };
        let kept = previous.map_or(state.updated_time, |previous| previous.last_updated_time);
        let updated = if none {
            state.updated_time
        } else if uniform || (!holds && false_at(generation)) {
            self.earliest(generation).unwrap_or(kept)
        } else {
            kept
        };
        let (reason, message) = if holds {
            (
                "AllAdaptersReconciled",
                "All required adapters report Available=True for the tracked generation",
            )
        } else if none || missing {
            (
                "AdaptersMissingReports",
                "Required adapters have not yet reported status",
            )
        } else if !all_true {
            (
                "AdapterReportedNotAvailable",
                "One or more required adapters report Available=False",
            )
        } else {
            (
                "AdaptersNotAtSameGeneration",
                "Required adapters do not report a consistent Available state",
            )
        };
        let mut condition =
            self.condition("LastKnownReconciled", holds, generation, updated, updated);
        condition.reason = Some(reason.to_owned());
        condition.message = Some(message.to_owned());
        condition
    }

    /// 6.5.
    fn successful(&self) -> impl Iterator<Item = Condition> {
        self.present().map(|snapshot| {
            let name = match snapshot.status.adapter.as_str() {
                "alpha" => "AlphaSuccessful",
                "beta-two" => "BetaTwoSuccessful",
                _ => "GammaSuccessful",
            };
            let observed = snapshot.status.last_report_time;
            let generation = snapshot.status.observed_generation;
            let mut condition =
                self.condition(name, snapshot.available, generation, observed, observed);
            condition
                .reason
                .clone_from(&snapshot.status.conditions[0].reason);
            condition
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conditions_are_what_the_contract_says(
        state in states(),
        required in subsequence(vec!["beta-two".to_owned(), "alpha".to_owned(), "gamma".to_owned()], 0..=3),
    ) {
        let oracle = Oracle::new(&state, &required);
        let mut expected = vec![oracle.reconciled(), oracle.last_known()];
        expected.extend(oracle.successful());
        prop_assert_eq!(aggregate(&state, &required), expected);
    }
}
