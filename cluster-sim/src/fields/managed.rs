//! `metadata.managedFields`: reading, writing, and the two ways in which it changes.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::merge::{merge, remove, strip_nulls, within};
use super::{FieldSet, ListRules, difference, from_fields_v1, leaves, readable, to_fields_v1};
use crate::object::{metadata, text, timestamp};

/// Who writes, and through which door.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    /// `status` or empty.
    pub(crate) subresource: String,
    pub(crate) api_version: String,
    pub(crate) now: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    manager: String,
    operation: String,
    subresource: String,
    api_version: String,
    time: String,
    fields: FieldSet,
}

impl Entry {
    fn is(&self, writer: &Writer, operation: &str) -> bool {
        self.manager == writer.manager
            && self.subresource == writer.subresource
            && self.operation == operation
    }
}

fn entries(object: &Value) -> Vec<Entry> {
    let list = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|entry| Entry {
            manager: text(entry, "/manager").into(),
            operation: text(entry, "/operation").into(),
            subresource: text(entry, "/subresource").into(),
            api_version: text(entry, "/apiVersion").into(),
            time: text(entry, "/time").into(),
            fields: entry
                .get("fieldsV1")
                .map(from_fields_v1)
                .unwrap_or_default(),
        })
        .collect()
}

fn set_entries(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    let list: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut value = json!({
                "manager": entry.manager, "operation": entry.operation,
                "apiVersion": entry.api_version, "time": entry.time, "fieldsType": "FieldsV1",
                "fieldsV1": to_fields_v1(&entry.fields),
            });
            if !entry.subresource.is_empty() {
                value["subresource"] = entry.subresource.as_str().into();
            }
            value
        })
        .collect();
    if list.is_empty() {
        metadata(object).remove("managedFields");
    } else {
        metadata(object).insert("managedFields".into(), list.into());
    }
}

fn entry_of<'a>(entries: &'a mut Vec<Entry>, writer: &Writer, operation: &str) -> &'a mut Entry {
    let index = entries
        .iter()
        .position(|entry| entry.is(writer, operation))
        .unwrap_or_else(|| {
            entries.push(Entry {
                manager: writer.manager.clone(),
                operation: operation.to_owned(),
                subresource: writer.subresource.clone(),
                api_version: writer.api_version.clone(),
                time: String::new(),
                fields: FieldSet::new(),
            });
            entries.len() - 1
        });
    &mut entries[index]
}

/// Records an imperative write: the writer takes over what it changed, and everybody loses what is gone.
pub(crate) fn record_update(
    old: Option<&Value>,
    new: &mut Value,
    writer: &Writer,
    rules: &ListRules,
) {
    let old_leaves = old.map(|old| leaves(old, rules)).unwrap_or_default();
    let new_leaves = leaves(new, rules);
    let (changed, removed) = difference(&old_leaves, &new_leaves);
    let mut all = old.map(entries).unwrap_or_default();
    if !changed.is_empty() || !removed.is_empty() {
        for entry in &mut all {
            entry.fields.retain(|path| !removed.contains(path));
            if !entry.is(writer, "Update") {
                entry.fields.retain(|path| !changed.contains(path));
            }
        }
        let own = entry_of(&mut all, writer, "Update");
        own.fields.extend(changed);
        own.time = timestamp(writer.now);
    }
    set_entries(new, all);
}

/// Applies `config` on behalf of the writer. Returns the object after it, or the conflicts as (manager, field).
pub(crate) fn apply(
    live: Option<&Value>,
    config: &Value,
    writer: &Writer,
    force: bool,
    rules: &ListRules,
) -> Result<Value, Vec<(String, String)>> {
    let mut config = config.clone();
    strip_nulls(&mut config);
    metadata(&mut config).remove("managedFields");
    let applied: FieldSet = leaves(&config, rules).into_keys().collect();
    let mut all = live.map(entries).unwrap_or_default();
    let mut merged = live.cloned().unwrap_or_else(|| json!({}));
    merge(&mut merged, &config, &[], rules);

    let before = live.map(|live| leaves(live, rules)).unwrap_or_default();
    let (changed, removed) = difference(&before, &leaves(&merged, rules));
    let mut conflicts = Vec::new();
    for entry in &mut all {
        if entry.is(writer, "Apply") {
            continue;
        }
        let lost: Vec<_> = entry
            .fields
            .iter()
            .filter(|path| changed.contains(*path) || removed.contains(*path))
            .cloned()
            .collect();
        for path in lost {
            let verb = if entry.operation == "Update" {
                " using "
            } else {
                ""
            };
            let version = if verb.is_empty() {
                ""
            } else {
                entry.api_version.as_str()
            };
            conflicts.push((
                format!("{:?}{verb}{version}", entry.manager),
                readable(&path),
            ));
            entry.fields.remove(&path);
        }
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }

    let previous = all
        .iter()
        .find(|entry| entry.is(writer, "Apply"))
        .map(|entry| entry.fields.clone())
        .unwrap_or_default();
    // Parents sort before children: a keyed item goes as a whole, before its key member could make it unfindable.
    for path in previous.difference(&applied) {
        let owned_elsewhere = all
            .iter()
            .filter(|entry| !entry.is(writer, "Apply"))
            .any(|entry| entry.fields.iter().any(|other| within(other, path)));
        let still_applied = applied.iter().any(|kept| within(kept, path));
        if !owned_elsewhere && !still_applied {
            remove(&mut merged, path);
        }
    }
    let mut after = merged.clone();
    let own = entry_of(&mut all, writer, "Apply");
    if own.fields != applied || own.time.is_empty() {
        own.fields = applied;
        own.time = timestamp(writer.now);
        own.api_version.clone_from(&writer.api_version);
    } else if live.is_some_and(|live| leaves(live, rules) != leaves(&merged, rules)) {
        own.time = timestamp(writer.now);
    }
    set_entries(&mut after, all);
    Ok(after)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::{Value, json};

    use super::{Writer, apply, record_update};
    use crate::fields::ListRules;

    fn writer(manager: &str) -> Writer {
        Writer {
            manager: manager.into(),
            subresource: String::new(),
            api_version: "v1".into(),
            now: DateTime::UNIX_EPOCH,
        }
    }

    fn applied(live: Option<&Value>, config: &Value, manager: &str) -> Value {
        apply(live, config, &writer(manager), false, &ListRules::Builtin).unwrap()
    }

    #[test]
    fn the_same_configuration_again_changes_nothing() {
        let config = json!({"kind": "Pod", "metadata": {"labels": {"a": "1"}}, "spec": {"containers": [
            {"name": "one", "image": "i", "ports": [{"containerPort": 80}]}]}});
        let first = applied(None, &config, "alpha");
        assert_eq!(applied(Some(&first), &config, "alpha"), first);
    }

    #[test]
    fn a_dropped_field_goes_unless_another_manager_applies_it_too() {
        let first = applied(None, &json!({"data": {"a": "1", "b": "2"}}), "alpha");
        let both = applied(Some(&first), &json!({"data": {"b": "2"}}), "beta");
        let after = applied(
            Some(&both),
            &json!({"metadata": {"labels": {"x": "y"}}}),
            "alpha",
        );
        assert_eq!(after["data"], json!({"b": "2"}));
    }

    #[test]
    fn a_foreign_field_conflicts_until_forced() {
        let first = applied(None, &json!({"data": {"a": "1"}}), "alpha");
        let config = json!({"data": {"a": "2"}});
        let refused = apply(
            Some(&first),
            &config,
            &writer("beta"),
            false,
            &ListRules::Builtin,
        )
        .unwrap_err();
        assert_eq!(refused, [("\"alpha\"".to_owned(), ".data.a".to_owned())]);
        let forced = apply(
            Some(&first),
            &config,
            &writer("beta"),
            true,
            &ListRules::Builtin,
        )
        .unwrap();
        assert_eq!(forced["data"]["a"], "2");
        assert_eq!(
            forced["metadata"]["managedFields"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn keyed_items_of_two_managers_live_side_by_side() {
        let one = json!({"spec": {"containers": [{"name": "one", "image": "i"}]}});
        let two = json!({"spec": {"containers": [{"name": "two", "image": "j"}]}});
        let both = applied(Some(&applied(None, &one, "alpha")), &two, "beta");
        assert_eq!(both["spec"]["containers"].as_array().unwrap().len(), 2);
        let left = applied(Some(&both), &json!({"spec": {}}), "alpha");
        assert_eq!(
            left["spec"]["containers"],
            json!([{"name": "two", "image": "j"}])
        );
    }

    #[test]
    fn an_update_takes_over_what_it_changes() {
        let first = applied(None, &json!({"data": {"a": "1"}}), "alpha");
        let mut second = first.clone();
        second["data"]["a"] = "2".into();
        record_update(
            Some(&first),
            &mut second,
            &writer("kubectl"),
            &ListRules::Builtin,
        );
        let refused = apply(
            Some(&second),
            &json!({"data": {"a": "1"}}),
            &writer("alpha"),
            false,
            &ListRules::Builtin,
        );
        assert!(refused.unwrap_err()[0].0.contains("kubectl"));
    }
}
