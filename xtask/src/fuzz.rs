//! `cargo xtask fuzz`: looks for inputs for which the properties of `fuzz/` do not hold.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;

use crate::{process, tools, workspace};

/// The tool, in the version that this is written for.
const TOOL: &str = "fuzz@0.13.2";

/// The name that stands for every target.
const ALL: &str = "all";

/// What libFuzzer is told besides the time: the longest input, that of a search or a token and some more; most
/// seconds for one input; most memory.
const LIMITS: [&str; 3] = ["-max_len=8192", "-timeout=10", "-rss_limit_mb=2048"];

/// Fuzz the readers of what comes from outside.
///
/// Starts from the inputs in fuzz/corpus, and keeps what it finds in the target folder, so that the next run
/// goes on. Stops at the first input for which a property does not hold. Works with a stable toolchain and
/// needs a C++ compiler.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which target; all, one after the other, by default.
    #[arg(value_name = "NAME", default_value = ALL)]
    name: String,
    /// Seconds for each target, after the build.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let names = chosen(&names()?, &arguments.name)?;
    tools::require(TOOL)?;
    let metadata = MetadataCommand::new()
        .current_dir(workspace::root())
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let target = metadata.target_directory.join("fuzz").into_std_path_buf();
    for name in &names {
        fuzz(name, arguments.seconds, &target)?;
    }
    println!("{} held for {} s each", names.join(", "), arguments.seconds);
    Ok(())
}

/// The targets, by the names of their files.
fn names() -> Result<Vec<String>> {
    let folder = workspace::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path: PathBuf = entry?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

fn chosen(names: &[String], name: &str) -> Result<Vec<String>> {
    if name == ALL {
        return Ok(names.to_vec());
    }
    anyhow::ensure!(
        names.iter().any(|known| known == name),
        "there is no target {name}; choose {ALL}, {}",
        names.join(", ")
    );
    Ok(vec![name.to_owned()])
}

fn fuzz(name: &str, seconds: u32, target: &Path) -> Result<()> {
    let found = target.join("corpus").join(name);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut cargo = workspace::cargo()?;
    cargo
        // The code here is safe Rust: a sanitizer would find little, and halve the speed.
        .args([
            "fuzz",
            "run",
            "--fuzz-dir",
            "fuzz",
            "--sanitizer",
            "none",
            "--target-dir",
        ])
        .arg(target)
        .arg(name)
        // What is found is written to the first.
        .arg(&found)
        .arg(format!("fuzz/corpus/{name}"))
        .arg("--")
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"))
        .arg("-print_final_stats=1");
    process::run(&mut cargo).with_context(|| {
        format!(
            "{name}: unless the build failed, something does not hold for the input in \
             fuzz/artifacts/{name}; copy it to fuzz/corpus/{name}, and `cargo xtask test --suite fuzz_corpora` \
             shows it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{ALL, chosen, names};

    #[test]
    fn a_target_is_chosen_by_its_name() {
        let names = names().expect("the targets");
        assert_eq!(chosen(&names, ALL).expect("all"), names);
        assert_eq!(chosen(&names, "search").expect("one"), ["search"]);
        let error = chosen(&names, "x").expect_err("there is none").to_string();
        assert!(error.contains("page_token, problem"), "{error}");
    }
}
