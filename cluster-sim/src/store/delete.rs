//! Deletion: propagation, finalizers, owners and dependents, namespaces and definitions.
//!
//! What Kubernetes' garbage collector and namespace controller do after a while happens here at once, in the same request.

use std::sync::Arc;

use serde_json::Value;

use super::Store;
use super::write::Target;
use crate::kind::Propagation;
use crate::object::{
    self, Key, add_finalizer, blocks_owner, child, has_finalizer, is_deleting, metadata,
    owner_uids, remove_finalizer, timestamp,
};
use crate::status::ApiError;

const FOREGROUND: &str = "foregroundDeletion";
const DEFINITION_CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// How to delete.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) propagation: Option<Propagation>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
}

/// What a deletion left.
#[derive(Clone, Debug)]
pub(crate) enum Deleted {
    /// Nothing.
    Gone(Arc<Value>),
    /// The object waits for its finalizers.
    Terminating(Arc<Value>),
}

impl Store {
    /// DELETE of one object.
    pub(crate) fn delete(
        &mut self,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let key = target.key();
        let kind = &target.kind;
        let present = self
            .get(&key)
            .ok_or_else(|| target.not_found())?
            .object
            .clone();
        for (asked, found, what) in [
            (&options.uid, object::uid(&present), "UID"),
            (
                &options.resource_version,
                object::text(&present, "/metadata/resourceVersion"),
                "ResourceVersion",
            ),
        ] {
            if let Some(asked) = asked
                && asked != found
            {
                let why = format!(
                    "Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
                );
                return Err(ApiError::conflict(
                    &kind.group,
                    &kind.plural,
                    &target.name,
                    &why,
                ));
            }
        }
        if kind.group.is_empty()
            && kind.plural == "namespaces"
            && matches!(
                target.name.as_str(),
                "default" | "kube-system" | "kube-public"
            )
        {
            let why = "this namespace may not be deleted";
            return Err(ApiError::forbidden(
                &kind.group,
                &kind.plural,
                &target.name,
                why,
            ));
        }
        if options.dry_run {
            return Ok(Deleted::Gone(present));
        }
        self.request_deletion(
            &key,
            options.propagation.unwrap_or(kind.default_propagation),
        );
        Ok(match self.get(&key) {
            Some(left) => Deleted::Terminating(left.object.clone()),
            None => Deleted::Gone(present),
        })
    }

    fn request_deletion(&mut self, key: &Key, propagation: Propagation) {
        let Some(present) = self.get(key).map(|stored| stored.object.clone()) else {
            return;
        };
        if is_namespace(key) {
            self.terminate(key, |object| {
                child(object, "status").insert("phase".into(), "Terminating".into());
            });
            for content in self.contents(&key.name) {
                self.request_deletion(&content, Propagation::Background);
            }
            self.finish_deletion(key);
            return;
        }
        if is_definition(key) {
            self.terminate(key, |object| add_finalizer(object, DEFINITION_CLEANUP));
            for instance in self.instances(&present) {
                self.request_deletion(&instance, Propagation::Background);
            }
            self.finish_deletion(key);
            return;
        }
        if is_deleting(&present) {
            // What the first request set in motion goes on; asking again would go round in circles of owners.
            self.finish_deletion(key);
            return;
        }
        let uid = object::uid(&present).to_owned();
        match propagation {
            Propagation::Orphan => {
                for dependent in self.dependents_of(&uid) {
                    self.disown(&dependent, &uid);
                }
                self.terminate(key, |_| {});
            }
            Propagation::Background => self.terminate(key, |_| {}),
            Propagation::Foreground => {
                if self.dependents_of(&uid).is_empty() {
                    self.terminate(key, |_| {});
                } else {
                    self.terminate(key, |object| add_finalizer(object, FOREGROUND));
                    for dependent in self.dependents_of(&uid) {
                        self.request_deletion(&dependent, Propagation::Foreground);
                    }
                }
            }
        }
        self.finish_deletion(key);
    }

    /// Marks an object as being deleted (once).
    fn terminate(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let Some(present) = self.get(key).map(|stored| stored.object.clone()) else {
            return;
        };
        if is_deleting(&present) {
            return;
        }
        let mut object = (*present).clone();
        let now = timestamp(self.now());
        let counts = self
            .kinds
            .get(&key.group, &key.plural)
            .is_some_and(|kind| kind.generation);
        let meta = metadata(&mut object);
        meta.insert("deletionTimestamp".into(), now.into());
        meta.insert("deletionGracePeriodSeconds".into(), 0.into());
        if counts {
            let next = object::generation(&object) + 1;
            metadata(&mut object).insert("generation".into(), next.into());
        }
        change(&mut object);
        // An object without finalizers goes at once; nobody sees it terminating, as in Kubernetes.
        if object::finalizers(&object).next().is_none() && !is_namespace(key) {
            self.remove(key);
        } else {
            self.put(key, object, true);
        }
    }

    /// Removes a terminating object when nothing holds it any more.
    pub(crate) fn finish_deletion(&mut self, key: &Key) {
        let Some(present) = self.get(key).map(|stored| stored.object.clone()) else {
            return;
        };
        if !is_deleting(&present) {
            return;
        }
        if is_namespace(key) {
            if self.contents(&key.name).is_empty() {
                self.remove(key);
            }
            return;
        }
        let mut object = (*present).clone();
        if is_definition(key) && self.instances(&present).is_empty() {
            remove_finalizer(&mut object, DEFINITION_CLEANUP);
        }
        if has_finalizer(&present, FOREGROUND) {
            let uid = object::uid(&present);
            let waits = self.dependents_of(uid).iter().any(|dependent| {
                self.get(dependent)
                    .is_some_and(|stored| blocks_owner(&stored.object, uid))
            });
            if !waits {
                remove_finalizer(&mut object, FOREGROUND);
            }
        }
        if object::finalizers(&object).next().is_none() {
            self.remove(key);
        } else if object != *present {
            self.put(key, object, false);
        }
    }

    /// Forgets an object and follows up: dependents, waiting owners, its namespace, its definition.
    fn remove(&mut self, key: &Key) {
        let Some(gone) = self.take(key) else { return };
        let uid = object::uid(&gone).to_owned();
        for dependent in self.dependents_of(&uid) {
            let has_other_owner = self.get(&dependent).is_some_and(|stored| {
                owner_uids(&stored.object).any(|owner| owner != uid && self.by_uid(owner).is_some())
            });
            if has_other_owner {
                self.disown(&dependent, &uid);
            } else {
                self.request_deletion(&dependent, Propagation::Background);
            }
        }
        let owners: Vec<Key> = owner_uids(&gone)
            .filter_map(|owner| self.by_uid(owner).cloned())
            .collect();
        for owner in owners {
            self.finish_deletion(&owner);
        }
        if is_definition(key) {
            self.kinds.remove(
                object::text(&gone, "/spec/group"),
                object::text(&gone, "/spec/names/plural"),
            );
        } else if !key.group.is_empty() {
            let definition = Key {
                group: "apiextensions.k8s.io".into(),
                plural: "customresourcedefinitions".into(),
                namespace: String::new(),
                name: format!("{}.{}", key.plural, key.group),
            };
            self.finish_deletion(&definition);
        }
        if !key.namespace.is_empty() {
            let namespace = Key {
                group: String::new(),
                plural: "namespaces".into(),
                namespace: String::new(),
                name: key.namespace.clone(),
            };
            self.finish_deletion(&namespace);
        }
    }

    fn instances(&self, definition: &Value) -> Vec<Key> {
        let group = object::text(definition, "/spec/group");
        let plural = object::text(definition, "/spec/names/plural");
        self.list(group, plural, "")
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn disown(&mut self, key: &Key, owner: &str) {
        let Some(present) = self.get(key).map(|stored| stored.object.clone()) else {
            return;
        };
        let mut object = (*present).clone();
        let meta = metadata(&mut object);
        if let Some(Value::Array(owners)) = meta.get_mut("ownerReferences") {
            owners.retain(|one| one.get("uid").and_then(Value::as_str) != Some(owner));
            if owners.is_empty() {
                meta.remove("ownerReferences");
            }
        }
        self.put(key, object, false);
    }

    /// Deletes an object whose owners have all gone (it was created too late to be collected with them).
    pub(crate) fn collect_if_abandoned(&mut self, key: &Key) {
        let abandoned = self.get(key).is_some_and(|stored| {
            let mut owners = owner_uids(&stored.object).peekable();
            owners.peek().is_some() && owners.all(|owner| self.by_uid(owner).is_none())
        });
        if abandoned {
            self.request_deletion(key, Propagation::Background);
        }
    }

    /// A controller's deletion of another object.
    pub(crate) fn delete_in_background(&mut self, key: &Key) {
        self.request_deletion(key, Propagation::Background);
    }
}

fn is_namespace(key: &Key) -> bool {
    key.group.is_empty() && key.plural == "namespaces"
}

fn is_definition(key: &Key) -> bool {
    key.group == "apiextensions.k8s.io" && key.plural == "customresourcedefinitions"
}
