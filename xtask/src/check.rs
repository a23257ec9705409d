//! `cargo xtask check`: the structural rules of the repository.
//!
//! Every rule is a function of values (files' texts, manifests, dependency edges) that returns findings.
//! A rule that cannot be checked by the compiler, clippy or cargo-deny belongs here, and nothing else does.

mod dependencies;
mod documents;
mod exceptions;
mod finding;
mod layers;
mod lints;
mod manifests;
mod migrations;
mod monitoring;
mod sizes;
mod sources;

use std::fs;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::workspace;

use exceptions::Exceptions;
use finding::{File, Finding};

/// Check the structural rules: layers, manifests, sizes, names, links, migrations.
///
/// Prints one line per finding: where, what, and how to fix it. The sizes that are not kept yet are listed
/// in xtask/exceptions.toml, which may only shrink.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<()> {
    let metadata = MetadataCommand::new()
        .current_dir(workspace::root())
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let files = read_files()?;
    let mut findings = layers::check(&layers::crates_of(&metadata));
    findings.extend(lints::check(&files));
    findings.extend(check_manifests(&metadata, &files));
    findings.extend(check_files(&files)?);
    findings.extend(dependencies::check(&dependencies::names()?));
    findings.sort();
    if findings.is_empty() {
        println!("{} files keep the rules", files.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("{} findings", findings.len())
}

fn read_files() -> Result<Vec<File>> {
    let mut files = Vec::new();
    for path in workspace::files()? {
        let bytes = fs::read(workspace::root().join(&path))
            .with_context(|| format!("cannot read {path}"))?;
        // What is not UTF-8 is not text.
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path, text });
        }
    }
    Ok(files)
}

fn check_manifests(metadata: &Metadata, files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let manifest = package
            .manifest_path
            .strip_prefix(&metadata.workspace_root)
            .unwrap_or(&package.manifest_path);
        if let Some(file) = files.iter().find(|file| file.path == manifest.as_str()) {
            findings.extend(manifests::check(file));
        }
        let readme = manifest.with_file_name("README.md");
        if !files.iter().any(|file| file.path == readme.as_str()) {
            findings.push(Finding::new(
                readme.as_str(),
                1,
                "the crate has no README.md",
                "say what it owns, what it must not know, and its entry points",
            ));
        }
    }
    findings
}

fn check_files(files: &[File]) -> Result<Vec<Finding>> {
    let exceptions = Exceptions::of(files)?;
    let exists = |path: &str| workspace::root().join(path).exists();
    let mut findings = exceptions.check(files);
    findings.extend(monitoring::check(files));
    for file in files {
        findings.extend(sizes::check(file, &exceptions));
        findings.extend(sources::check(file));
        findings.extend(documents::check(file, &exists));
        findings.extend(migrations::check(file));
    }
    Ok(findings)
}
