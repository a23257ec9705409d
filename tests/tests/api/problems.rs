//! Every problem code has a page for who meets it, and there are no pages of codes that are gone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hyperfleet_api_types::problem::{TYPE_BASE, codes};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/problems")
}

fn page(name: &str) -> String {
    let read = std::fs::read_to_string(folder().join(name));
    read.map_err(|error| format!("docs/problems/{name}: {error}"))
        .expect("every code has a page")
}

#[test]
fn every_code_has_a_page_that_says_what_it_is() {
    for code in codes::ALL {
        let text = page(&format!("{}.md", code.code));
        for needed in [
            format!("# {}: {}\n", code.code, code.title),
            format!("`{TYPE_BASE}{}`", code.type_suffix),
            format!("| HTTP status | {}", code.status),
            "## What `detail` says\n".to_owned(),
            "## What to do\n".to_owned(),
        ] {
            assert!(
                text.contains(&needed),
                "the page of {} lacks {needed:?}",
                code.code
            );
        }
    }
}

/// The last segment of a problem's `type` is the heading under which the index lists its codes.
#[test]
fn the_index_leads_from_a_type_to_its_codes() {
    let index = page("README.md");
    for code in codes::ALL {
        let heading = format!("## {}\n", code.type_suffix);
        let Some((_, section)) = index.split_once(&heading) else {
            panic!("docs/problems/README.md lacks {heading:?}");
        };
        let section = section.split("\n## ").next().unwrap_or_default();
        let link = format!("[{0}]({0}.md)", code.code);
        assert!(section.contains(&link), "{heading:?} lacks {link}");
    }
}

#[test]
fn no_page_outlives_its_code() {
    let known: BTreeSet<String> = codes::ALL
        .iter()
        .map(|code| format!("{}.md", code.code))
        .chain(["README.md".to_owned()])
        .collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "docs/problems/{name} is of no code");
    }
}
