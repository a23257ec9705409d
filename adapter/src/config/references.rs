//! Files that a task names: manifests and payload definitions, read once at load.

use std::path::{Component, Path, PathBuf};

use super::FILE_LIMIT;

/// Resolves and reads references below the task file's folder.
pub(super) struct References {
    base: PathBuf,
}

impl References {
    pub(super) fn new(base: &Path) -> Self {
        Self { base: clean(base) }
    }

    /// The text of a referenced file.
    ///
    /// Relative references start at the task file's folder; absolute ones must lie inside it.
    /// Symbolic links are followed only by the final read, so that mounted `ConfigMaps` work.
    pub(super) fn read(&self, reference: &str) -> Result<String, String> {
        let named = Path::new(reference);
        let resolved = clean(&self.base.join(named));
        if !resolved.starts_with(&self.base) {
            return Err(format!("path {reference:?} escapes base directory"));
        }
        let shown = resolved.display();
        let metadata = std::fs::metadata(&resolved).map_err(|_| {
            format!("referenced file {reference:?} does not exist (resolved to {shown})")
        })?;
        if metadata.is_dir() {
            return Err(format!("{reference:?} is a directory, not a file"));
        }
        if metadata.len() > FILE_LIMIT {
            return Err(format!("{reference:?} is larger than {FILE_LIMIT} bytes"));
        }
        std::fs::read_to_string(&resolved)
            .map_err(|error| format!("referenced file {reference:?} cannot be read: {error}"))
    }
}

/// Removes `.` and `..` by text alone.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                let inside = matches!(cleaned.components().next_back(), Some(Component::Normal(_)));
                if inside {
                    cleaned.pop();
                } else if !cleaned.has_root() {
                    cleaned.push("..");
                }
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}
