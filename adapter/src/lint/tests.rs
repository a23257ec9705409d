use super::*;

#[test]
fn names_that_are_alike_are_proposed() {
    let known = ["clusterId", "generation"];
    let proposed = |name| did_you_mean(name, known.into_iter());
    assert_eq!(
        proposed("clusterID").as_deref(),
        Some("did you mean clusterId?")
    );
    assert_eq!(
        proposed("generaton").as_deref(),
        Some("did you mean generation?")
    );
    assert_eq!(proposed("other"), None);
}

#[test]
fn positions_follow_paths_with_dots_in_keys() {
    let document = yaml::parse("a:\n  b.c:\n  - x: 1\n  - y.z: 2\n")
        .unwrap()
        .unwrap();
    let line = |path: &str| position_of(&document, path).line;
    assert_eq!(line("a.b.c[1].y.z"), 4);
    assert_eq!(line("a.b.c[0]"), 3);
    assert_eq!(line("a.b.c[7].x"), 2);
    assert_eq!(line("nothing"), 1);
}
