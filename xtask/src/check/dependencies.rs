//! Packages that must not be built into anything here.

use anyhow::Result;

use super::finding::Finding;
use crate::{process, workspace};

/// Package and the reason.
const BANNED: [(&str, &str); 2] = [
    ("ring", "rustls uses aws-lc here"),
    ("openssl-sys", "rustls is the only TLS stack"),
];

/// The packages of the dependency tree, as `cargo tree` prints them.
///
/// # Errors
/// When cargo cannot resolve the tree.
pub(super) fn names() -> Result<String> {
    process::output(workspace::cargo()?.args([
        "tree",
        "--quiet",
        "--workspace",
        "--prefix=none",
        "--format={p}",
    ]))
}

/// Finds banned packages in what `cargo tree` printed.
pub(super) fn check(tree: &str) -> Vec<Finding> {
    BANNED
        .into_iter()
        .filter(|(package, _)| {
            tree.lines()
                .any(|line| line.split(' ').next() == Some(package))
        })
        .map(|(package, reason)| {
            Finding::new(
                "Cargo.lock",
                1,
                format!("{package} is in the dependency tree, but {reason}"),
                format!(
                    "find who brings it with `cargo tree -i {package}` and turn that feature off"
                ),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_banned_package_is_found() {
        assert_eq!(check("rustls v0.23.0\nring v0.17.0\n").len(), 1);
        assert_eq!(check("rustls v0.23.0\nspring v0.1.0\n").len(), 0);
    }
}
