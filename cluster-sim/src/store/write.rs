//! Create, update and the four kinds of patch.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Store, admission};
use crate::fields::managed::{self, Writer};
use crate::fields::{ListRules, merge};
use crate::kind::Kind;
use crate::object::{self, Key, as_map, metadata, text, timestamp};
use crate::status::{ApiError, Cause};

/// The object or collection that a request addresses.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: Arc<Kind>,
    pub(crate) version: String,
    /// Empty for cluster-scoped kinds and for requests across namespaces.
    pub(crate) namespace: String,
    /// Empty for collections.
    pub(crate) name: String,
    /// True for `…/status`.
    pub(crate) status: bool,
}

/// Who writes and how.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) manager: String,
    pub(crate) force: bool,
    pub(crate) dry_run: bool,
}

/// What a PATCH body means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Apply,
    Merge,
    Json,
    Strategic,
}

impl Target {
    pub(crate) fn key(&self) -> Key {
        Key {
            group: self.kind.group.clone(),
            plural: self.kind.plural.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.kind.group, &self.kind.plural, &self.name)
    }

    fn list_rules(&self) -> ListRules {
        if self.kind.custom {
            ListRules::Custom(self.kind.schema(&self.version).cloned())
        } else {
            ListRules::Builtin
        }
    }

    fn writer(&self, store: &Store, options: &WriteOptions) -> Writer {
        Writer {
            manager: options.manager.clone(),
            subresource: if self.status {
                "status".into()
            } else {
                String::new()
            },
            api_version: self.kind.api_version(&self.version),
            now: store.now(),
        }
    }
}

impl Store {
    /// POST to a collection.
    pub(crate) fn create(
        &mut self,
        target: &Target,
        mut given: Value,
        options: &WriteOptions,
    ) -> Result<Arc<Value>, ApiError> {
        admission::check_type(target, &mut given)?;
        if !text(&given, "/metadata/resourceVersion").is_empty() {
            return Err(ApiError::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let mut target = target.clone();
        target.name = self.name_for(&given);
        metadata(&mut given).insert("name".into(), target.name.as_str().into());
        self.insert(&target, given, options, None)
    }

    fn name_for(&self, given: &Value) -> String {
        let name = object::name(given);
        let prefix = text(given, "/metadata/generateName");
        if name.is_empty() && !prefix.is_empty() {
            format!("{prefix}{}", self.config.uids.suffix())
        } else {
            name.to_owned()
        }
    }

    /// Stores an object that does not exist yet. `applied` is the configuration when server-side apply creates it.
    fn insert(
        &mut self,
        target: &Target,
        mut given: Value,
        options: &WriteOptions,
        applied: Option<&Value>,
    ) -> Result<Arc<Value>, ApiError> {
        let kind = &target.kind;
        admission::place(target, &mut given)?;
        let key = target.key();
        if let Some(present) = self.get(&key) {
            let refusal = if object::is_deleting(&present.object) {
                ApiError::being_deleted
            } else {
                ApiError::already_exists
            };
            return Err(refusal(&kind.group, &kind.plural, &target.name));
        }
        self.check_namespace(target)?;
        if kind.status {
            as_map(&mut given).remove("status");
        }
        admission::admit(self, target, &mut given, None)?;
        let now = timestamp(self.now());
        let uid = self.config.uids.next().to_string();
        let meta = metadata(&mut given);
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "managedFields",
        ] {
            meta.remove(field);
        }
        meta.insert("uid".into(), uid.into());
        meta.insert("creationTimestamp".into(), now.into());
        if kind.generation {
            meta.insert("generation".into(), 1.into());
        } else {
            meta.remove("generation");
        }
        let writer = target.writer(self, options);
        match applied {
            None => managed::record_update(None, &mut given, &writer, &target.list_rules()),
            Some(config) => {
                let owned = managed::apply(None, config, &writer, true, &target.list_rules())
                    .map_err(|conflicts| ApiError::apply_conflict(&conflicts))?;
                let fields = owned.pointer("/metadata/managedFields").cloned();
                metadata(&mut given).insert("managedFields".into(), fields.unwrap_or_default());
            }
        }
        store_version(target, &mut given);
        if options.dry_run {
            return Ok(Arc::new(given));
        }
        let stored = self.put(&key, given, true);
        self.collect_if_abandoned(&key);
        Ok(stored)
    }

    fn check_namespace(&self, target: &Target) -> Result<(), ApiError> {
        if !target.kind.namespaced {
            return Ok(());
        }
        let namespace = Key {
            group: String::new(),
            plural: "namespaces".into(),
            namespace: String::new(),
            name: target.namespace.clone(),
        };
        match self.get(&namespace) {
            None => Err(ApiError::not_found("", "namespaces", &target.namespace)),
            Some(present) if object::is_deleting(&present.object) => {
                Err(ApiError::namespace_terminating(
                    &target.kind.group,
                    &target.kind.plural,
                    &target.name,
                    &target.namespace,
                ))
            }
            Some(_) => Ok(()),
        }
    }

    /// PUT of an object or of its status.
    pub(crate) fn update(
        &mut self,
        target: &Target,
        mut given: Value,
        options: &WriteOptions,
    ) -> Result<Arc<Value>, ApiError> {
        admission::check_type(target, &mut given)?;
        let present = self
            .get(&target.key())
            .ok_or_else(|| target.not_found())?
            .object
            .clone();
        if !object::name(&given).is_empty() && object::name(&given) != target.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                object::name(&given),
                target.name
            )));
        }
        if target.kind.custom && text(&given, "/metadata/resourceVersion").is_empty() {
            return Err(ApiError::invalid(
                &target.kind.group,
                &target.kind.kind,
                &target.name,
                vec![Cause {
                    reason: "FieldValueInvalid",
                    message: "Invalid value: 0: must be specified for an update".into(),
                    field: "metadata.resourceVersion".into(),
                }],
            ));
        }
        self.replace(target, &present, given, options, None)
    }

    /// PATCH of an object or of its status.
    pub(crate) fn patch(
        &mut self,
        target: &Target,
        patch_kind: PatchKind,
        patch: Value,
        options: &WriteOptions,
    ) -> Result<Arc<Value>, ApiError> {
        let present = self.get(&target.key()).map(|stored| stored.object.clone());
        if patch_kind == PatchKind::Apply {
            return self.apply(target, present.as_deref(), patch, options);
        }
        let present = present.ok_or_else(|| target.not_found())?;
        let mut given = (*present).clone();
        // The stored version number is not part of what a patch is based on, unless the patch names one.
        metadata(&mut given).remove("resourceVersion");
        match patch_kind {
            PatchKind::Merge => json_patch::merge(&mut given, &patch),
            PatchKind::Strategic => merge::strategic(&mut given, &patch, &[], &target.list_rules()),
            PatchKind::Json | PatchKind::Apply => {
                let operations: json_patch::Patch =
                    serde_json::from_value(patch).map_err(|error| {
                        ApiError::bad_request(format!("invalid JSON patch: {error}"))
                    })?;
                json_patch::patch(&mut given, &operations).map_err(|error| {
                    let cause = Cause {
                        reason: "FieldValueInvalid",
                        message: format!("Invalid value: the server rejected our request due to an error in our request: {error}"),
                        field: "patch".into(),
                    };
                    ApiError::invalid(&target.kind.group, &target.kind.kind, &target.name, vec![cause])
                })?;
            }
        }
        if !given.is_object() {
            return Err(ApiError::bad_request("the patch leaves no object"));
        }
        given["apiVersion"] = target.kind.api_version(&target.version).into();
        self.replace(target, &present, given, options, None)
    }

    fn apply(
        &mut self,
        target: &Target,
        present: Option<&Value>,
        mut config: Value,
        options: &WriteOptions,
    ) -> Result<Arc<Value>, ApiError> {
        if options.manager.is_empty() {
            return Err(ApiError::bad_request(
                "fieldManager is required for apply patch",
            ));
        }
        admission::check_type(target, &mut config)?;
        if object::name(&config) != target.name {
            if !object::name(&config).is_empty() {
                return Err(ApiError::bad_request(format!(
                    "metadata.name ({}) must be the name of the object ({})",
                    object::name(&config),
                    target.name
                )));
            }
            metadata(&mut config).insert("name".into(), target.name.as_str().into());
        }
        admission::place(target, &mut config)?;
        if target.status {
            as_map(&mut config).retain(|field, _| {
                matches!(
                    field.as_str(),
                    "apiVersion" | "kind" | "metadata" | "status"
                )
            });
            metadata(&mut config).retain(|field, _| {
                matches!(
                    field.as_str(),
                    "name" | "namespace" | "resourceVersion" | "uid"
                )
            });
        } else if target.kind.status {
            as_map(&mut config).remove("status");
        }
        let Some(present) = present else {
            if target.status {
                return Err(target.not_found());
            }
            let mut given = config.clone();
            merge::strip_nulls(&mut given);
            metadata(&mut given).remove("resourceVersion");
            return self.insert(target, given, options, Some(&config));
        };
        let asked_version = config.pointer("/metadata/resourceVersion").cloned();
        let writer = target.writer(self, options);
        let mut given = managed::apply(
            Some(present),
            &config,
            &writer,
            options.force,
            &target.list_rules(),
        )
        .map_err(|conflicts| ApiError::apply_conflict(&conflicts))?;
        match asked_version {
            Some(version) => metadata(&mut given).insert("resourceVersion".into(), version),
            None => metadata(&mut given).remove("resourceVersion"),
        };
        let fields = given.pointer("/metadata/managedFields").cloned();
        self.replace(target, present, given, options, fields.as_ref())
    }

    /// Puts `given` in the place of `present`, keeping what the server owns. `managed_fields` are given by apply;
    /// any other write has them recorded here.
    fn replace(
        &mut self,
        target: &Target,
        present: &Value,
        mut given: Value,
        options: &WriteOptions,
        managed_fields: Option<&Value>,
    ) -> Result<Arc<Value>, ApiError> {
        let kind = target.kind.clone();
        check_preconditions(target, present, &given)?;
        admission::place(target, &mut given)?;
        if target.status {
            let status = given.get("status").cloned();
            given = present.clone();
            match status {
                Some(status) => as_map(&mut given).insert("status".into(), status),
                None => as_map(&mut given).remove("status"),
            };
        } else if kind.status {
            match present.get("status").cloned() {
                Some(status) => as_map(&mut given).insert("status".into(), status),
                None => as_map(&mut given).remove("status"),
            };
        }
        keep_server_metadata(present, &mut given);
        if let Some(fields) = managed_fields {
            metadata(&mut given).insert("managedFields".into(), fields.clone());
        }
        admission::admit(self, target, &mut given, Some(present))?;
        check_finalizers(target, present, &given)?;
        store_version(target, &mut given);
        let respecified = kind.generation && content_differs(&kind, present, &given);
        if respecified {
            let next = object::generation(present) + 1;
            metadata(&mut given).insert("generation".into(), next.into());
        }
        if managed_fields.is_none() {
            let writer = target.writer(self, options);
            managed::record_update(Some(present), &mut given, &writer, &target.list_rules());
        }
        let key = target.key();
        if given == *present || options.dry_run {
            return Ok(Arc::new(given));
        }
        let stored = self.put(&key, given, respecified);
        self.finish_deletion(&key);
        Ok(stored)
    }

    /// A controller's write: status, and finalizers where need be. Does nothing when nothing changes.
    pub(crate) fn control(
        &mut self,
        key: &Key,
        restart: bool,
        change: impl FnOnce(&mut Value),
    ) -> Option<Arc<Value>> {
        let present = self.get(key)?.object.clone();
        let kind = self.kinds.get(&key.group, &key.plural)?.clone();
        let mut given = (*present).clone();
        change(&mut given);
        if given == *present {
            return None;
        }
        let version = kind.versions.first().cloned().unwrap_or_default();
        let target = Target {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            status: kind.status,
            version,
            kind,
        };
        let options = WriteOptions {
            manager: "cluster-sim-controller".into(),
            force: true,
            dry_run: false,
        };
        let writer = target.writer(self, &options);
        managed::record_update(Some(&present), &mut given, &writer, &target.list_rules());
        let stored = self.put(key, given, restart);
        self.finish_deletion(key);
        Some(stored)
    }
}

fn check_preconditions(target: &Target, present: &Value, given: &Value) -> Result<(), ApiError> {
    let kind = &target.kind;
    let version = text(given, "/metadata/resourceVersion");
    if !version.is_empty()
        && version != "0"
        && version != text(present, "/metadata/resourceVersion")
    {
        return Err(ApiError::modified(&kind.group, &kind.plural, &target.name));
    }
    let uid = object::uid(given);
    if !uid.is_empty() && uid != object::uid(present) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            object::uid(present)
        );
        return Err(ApiError::conflict(
            &kind.group,
            &kind.plural,
            &target.name,
            &why,
        ));
    }
    Ok(())
}

/// Everything is stored in the kind's preferred version.
fn store_version(target: &Target, given: &mut Value) {
    if let Some(version) = target.kind.versions.first() {
        given["apiVersion"] = target.kind.api_version(version).into();
    }
}

fn keep_server_metadata(present: &Value, given: &mut Value) {
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "resourceVersion",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "managedFields",
    ] {
        match present.pointer(&format!("/metadata/{field}")) {
            Some(value) => metadata(given).insert(field.into(), value.clone()),
            None => metadata(given).remove(field),
        };
    }
}

fn check_finalizers(target: &Target, present: &Value, given: &Value) -> Result<(), ApiError> {
    if !object::is_deleting(present) {
        return Ok(());
    }
    match object::finalizers(given).find(|one| !object::has_finalizer(present, one)) {
        None => Ok(()),
        Some(added) => Err(ApiError::invalid(
            &target.kind.group,
            &target.kind.kind,
            &target.name,
            vec![Cause {
                reason: "FieldValueForbidden",
                message: format!(
                    "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{added:?}}}"
                ),
                field: "metadata.finalizers".into(),
            }],
        )),
    }
}

/// True when something other than metadata and, where it is a subresource, status differs.
fn content_differs(kind: &Kind, present: &Value, given: &Value) -> bool {
    let content = |object: &Value| {
        let mut object = object.clone();
        let map = as_map(&mut object);
        map.retain(|field, _| {
            !(matches!(field.as_str(), "metadata" | "apiVersion" | "kind")
                || (field == "status" && kind.status))
        });
        object
    };
    content(present) != content(given)
}

/// The object in the version that the client asked for.
pub(crate) fn present_in(object: &Arc<Value>, kind: &Kind, version: &str) -> Arc<Value> {
    let wanted = kind.api_version(version);
    if text(object, "/apiVersion") == wanted {
        return object.clone();
    }
    let mut copy = (**object).clone();
    copy["apiVersion"] = json!(wanted);
    Arc::new(copy)
}
