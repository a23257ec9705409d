//! The process's surroundings, read here and passed on as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperfleet_runtime::{Clock, IdSource, SystemClock, UuidV7Source};

/// The environment variables, those that are not Unicode left out.
pub(crate) fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The system's clock.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Random ids, ordered by time.
pub(crate) fn ids() -> Arc<dyn IdSource> {
    Arc::new(UuidV7Source)
}
