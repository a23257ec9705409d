use std::collections::BTreeMap;

use super::*;
use serde_json::json;

struct Roots(BTreeMap<String, Value>);

impl Scope for Roots {
    fn root(&self, name: &str) -> Option<TemplateValue> {
        self.0.get(name).map(to_template_value)
    }
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_323_045, 0).unwrap()
    }
}

fn roots() -> Roots {
    let value = json!({
        "s": "Hello World", "e": "", "zero": 0, "five": 5.0, "million": 1_000_000.0,
        "million_int": 1_000_000, "five_int": 5, "flag": true, "nothing": null,
        "m": {"b": 2.0, "a": 1.0, "inner": {"deep": "x"}, "none": null}, "list": ["p", "q"],
        "time": "2026-03-04T05:06:07Z"
    });
    let Value::Object(map) = value else {
        unreachable!("the literal above is an object")
    };
    Roots(map.into_iter().collect())
}

fn render(text: &str) -> Result<String, TemplateError> {
    Template::parse(text)?.render(&roots())
}

#[test]
fn outputs_are_those_of_go() {
    let cases = [
        ("no actions }} at all", "no actions }} at all"),
        ("{{ .five }}", "5"),
        ("{{ .million }}", "1e+06"),
        ("{{ .million_int }}", "1000000"),
        ("{{ .m.inner.deep }}", "x"),
        ("{{ .m }}", "map[a:1 b:2 inner:map[deep:x] none:<nil>]"),
        ("{{ .list }}", "[p q]"),
        ("{{ .nothing }}", "<no value>"),
        ("{{ index .m \"nope\" }}", "<no value>"),
        ("{{ \"abc\" | trimPrefix \"a\" }}", "a"),
        ("{{ trimPrefix \"abc\" \"a\" }}", "bc"),
        ("{{ trimSuffix \"abc\" \"c\" }}", "ab"),
        ("{{ default \"x\" .e }}", "x"),
        ("{{ .e | default \"x\" }}", "x"),
        ("{{ default \"x\" .zero }}", "0"),
        ("{{ default \"x\" .nothing }}", "x"),
        (
            "{{ now | date \"2006-01-02T15:04:05Z07:00\" }}",
            "2026-01-02T03:04:05Z",
        ),
        ("{{ now | dateFormat \"2006\" }}", "2026"),
        ("{{ .time | date \"2006\" }}", "2026"),
        ("{{ now }}", "2026-01-02 03:04:05 +0000 UTC"),
        (
            "{{ .s | lower }}-{{ .s | upper }}",
            "hello world-HELLO WORLD",
        ),
        ("{{ title \"hello big-world\" }}", "Hello Big-World"),
        ("{{ replace .s \"o\" \"0\" }}", "Hell0 W0rld"),
        ("{{ contains .s \"World\" }}", "true"),
        (
            "{{ hasPrefix .s \"Hello\" }}{{ hasSuffix .s \"x\" }}",
            "truefalse",
        ),
        ("{{ quote .s }}", "\"Hello World\""),
        ("{{ int \"3.9\" }}{{ int 3.9 }}{{ int .flag }}", "030"),
        ("{{ float \"2.5\" }}", "2.5"),
        ("{{ string .million }}", "1e+06"),
        ("{{ if eq .five_int 5 }}y{{ else }}n{{ end }}", "y"),
        ("{{ if eq .flag true }}y{{ end }}", "y"),
        (
            "{{ range $i, $v := .list }}{{ $i }}{{ $v }};{{ end }}",
            "0p;1q;",
        ),
        ("{{ range .list }}{{ . }}{{ end }}", "pq"),
        ("{{ with .m.inner }}{{ .deep }}{{ end }}", "x"),
        ("{{ $x := .m.inner }}{{ $x.deep }}{{ $.five }}", "x5"),
        ("{{- \" a \" | trim -}}   b", "ab"),
        (
            "{{ define \"t\" }}<{{ .deep }}>{{ end }}{{ template \"t\" .m.inner }}",
            "<x>",
        ),
        ("{{ print .five \"a\" .million }}", "5a1e+06"),
        ("{{ printf \"%s-%d\" .s .five_int }}", "Hello World-5"),
        ("{{ len .list }}", "2"),
        (
            "{{ and .flag .s }}{{ or .e \"z\" }}{{ not .flag }}",
            "Hello Worldzfalse",
        ),
        ("{{ (index .list 1) }}", "q"),
    ];
    for (text, expected) in cases {
        assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_go_refuses_fails() {
    let cases = [
        ("{{ .unknown }}", "map has no entry for key \"unknown\""),
        ("{{ .m.nope }}", "map has no entry for key \"nope\""),
        ("{{ .m.none.deep }}", "nil value evaluating field deep"),
        ("{{ .s.deep }}", "can't evaluate field deep in type string"),
        (
            "{{ .unknown | default \"x\" }}",
            "map has no entry for key \"unknown\"",
        ),
        ("{{ toJson .m }}", "toJson"),
        (
            "{{ if eq .five 5 }}y{{ end }}",
            "incompatible types for comparison",
        ),
        ("{{ quote .five }}", "expected string"),
        ("{{ lower .five }}", "expected string"),
    ];
    for (text, expected) in cases {
        let error = render(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(matches!(
        Template::parse("{{ if }"),
        Err(TemplateError::Parse(_))
    ));
}

#[test]
fn roots_are_known_before_rendering() {
    let template = Template::parse("{{ .a.b }}{{ .c | lower }}{{ if .d }}x{{ end }}").unwrap();
    let names = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>();
    assert_eq!(names(template.simple_roots()), ["a", "c"]);
    assert_eq!(names(template.roots()), ["a", "c", "d"]);
    assert!(template.calls_functions());
    assert_eq!(
        Template::parse("{{ toYaml .a }}")
            .unwrap()
            .unknown_functions(),
        ["toYaml"]
    );
}
