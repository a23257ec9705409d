//! Config Connector's DNS kinds: `Ready` after a delay, name servers for zones.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Outcome, anchor_plus, condition, delay, observed};
use crate::config::SimConfig;
use crate::object::{
    self, Key, Stored, add_finalizer, child, has_finalizer, remove_finalizer, set_condition,
};
use crate::store::Store;

const FINALIZER: &str = "cnrm.cloud.google.com/finalizer";

pub(super) fn due(stored: &Stored, config: &SimConfig) -> Option<DateTime<Utc>> {
    let object = &stored.object;
    if object::is_deleting(object) {
        return has_finalizer(object, FINALIZER)
            .then(|| anchor_plus(stored, delay(object, config.deletion_delay)));
    }
    if object.pointer("/status/conditions").is_none() {
        return Some(stored.anchor);
    }
    let settled = observed(object) == object::generation(object);
    (!settled && Outcome::of(object) != Outcome::Never)
        .then(|| anchor_plus(stored, delay(object, config.config_connector_delay)))
}

pub(super) fn act(store: &mut Store, key: &Key, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    store.control(key, false, |object| {
        if object::is_deleting(object) {
            remove_finalizer(object, FINALIZER);
            return;
        }
        if object.pointer("/status/conditions").is_none() {
            add_finalizer(object, FINALIZER);
            let waiting = condition("Ready", "False", "Updating", "Update in progress");
            set_condition(child(object, "status"), waiting, now);
            return;
        }
        let generation = object::generation(object);
        let failed = Outcome::of(object) == Outcome::Failed;
        let status = child(object, "status");
        status.insert("observedGeneration".into(), generation.into());
        if failed {
            let row = condition(
                "Ready",
                "False",
                "UpdateFailed",
                "Update call failed: permission denied",
            );
            set_condition(status, row, now);
            return;
        }
        if key.plural == "dnsmanagedzones" {
            // Any stable choice will do; Cloud DNS gives each zone one of a few name server sets.
            let set = char::from(b'a' + u8::try_from(key.name.len() % 5).unwrap_or_default());
            let servers: Vec<String> = (1..=4)
                .map(|one| format!("ns-cloud-{set}{one}.googledomains.com."))
                .collect();
            status.insert("nameServers".into(), json!(servers));
            status.insert("managedZoneId".into(), (1_000_000 + generation).into());
        }
        let row = condition("Ready", "True", "UpToDate", "The resource is up to date");
        set_condition(status, row, now);
    });
    None
}
