//! Configuration files: those of existing sentinels, and our own additions.

use std::error::Error as _;
use std::time::Duration;

use hyperfleet_projections::reconcile_queue::Priority;
use hyperfleet_sentinel::config::{ClaimConfig, LabelSelector};
use hyperfleet_sentinel::policy::{AfterChange, DecisionConfig, Interval, Policy, RuleConfig};
use hyperfleet_sentinel::{Payload, SentinelConfig};
use serde_json::json;

/// As a chart renders it.
const EXISTING: &str = r#"
sentinel:
  name: hyperfleet-sentinel-clusters
debug_config: false
tracing_enabled: false
log: {level: info, format: json, output: stdout}
clients:
  hyperfleet_api:
    base_url: http://hyperfleet-api:8000
    version: v1
    timeout: 10s
    page_size: 20
    auth: {token_path: /var/run/secrets/hyperfleet/token, token_cache_ttl: 30s}
  broker:
    topic: hyperfleet-clusters
resource_type: clusters
poll_interval: 2s
resource_selector:
  - label: shard
    value: 1
  - label: region
    value: us-east
message_decision:
  params:
    - name: ref_time
      expr: 'condition("Reconciled").last_updated_time'
    - name: has_ref_time
      expr: 'ref_time != ""'
  result: 'has_ref_time && now - timestamp(ref_time) > duration("30m")'
message_data:
  id: "resource.id"
  kind: "resource.kind"
  href: "resource.href"
  generation: "resource.generation"
"#;

fn refused(text: &str) -> String {
    let error = SentinelConfig::parse(text)
        .and_then(|config| {
            config.validate()?;
            Payload::compile(&config.message_data)?;
            Policy::compile(&config)
        })
        .expect_err(text);
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[test]
fn an_existing_file_is_accepted() {
    let config = SentinelConfig::parse(EXISTING).unwrap();
    config.validate().unwrap();
    Policy::compile(&config).unwrap();
    Payload::compile(&config.message_data).unwrap();
    assert_eq!(config.name, "hyperfleet-sentinel-clusters");
    assert_eq!(config.topic, "hyperfleet-clusters");
    assert_eq!(config.resource_type, "clusters");
    assert_eq!(config.poll_interval, Duration::from_secs(2));
    assert!(!config.tracing_enabled);
    let selector = |label: &str, value: &str| LabelSelector {
        label: label.into(),
        value: value.into(),
    };
    assert_eq!(
        config.resource_selector,
        [selector("shard", "1"), selector("region", "us-east")]
    );
    assert_eq!(config.selector_label(), "shard:1,region:us-east");
    let DecisionConfig::Message(decision) = &config.decision else {
        panic!("{:?}", config.decision)
    };
    assert_eq!(decision.params.len(), 2);
    assert_eq!(
        config.message_data["generation"],
        json!("resource.generation")
    );
}

#[test]
fn little_is_required() {
    let config = SentinelConfig::parse(
        "{resource_type: nodepools, clients: {broker: {topic: t}}, message_data: {id: resource.id}}",
    )
    .unwrap();
    config.validate().unwrap();
    assert_eq!(config.name, "hyperfleet-sentinel");
    assert_eq!(config.poll_interval, Duration::from_secs(5));
    assert!(config.tracing_enabled);
    assert_eq!(config.selector_label(), "all");
    assert_eq!(
        config.decision,
        DecisionConfig::Rules(RuleConfig::defaults())
    );
    assert_eq!(config.claims, ClaimConfig::default());
}

#[test]
fn our_own_policy() {
    let config = SentinelConfig::parse(
        r#"
resource_type: clusters
clients: {broker: {topic: t}}
message_data: {id: resource.id, nested: {count: 3, flag: true, word: "'yes'"}}
claims: {batch_size: 10, visibility_timeout: 1m, publish_parallelism: 4}
policy:
  - name: deleting
    when: has(resource.deleted_time)
    interval: {initial: 5s, ceiling: 1m}
  - name: rest
    when: "true"
    interval: 15m
    jitter: 0.2
    after_change: wait
  - name: never
    when: "false"
    interval: 1m
    priority: change
"#,
    )
    .unwrap();
    config.validate().unwrap();
    Policy::compile(&config).unwrap();
    let DecisionConfig::Rules(rules) = &config.decision else {
        panic!("{:?}", config.decision)
    };
    let (initial, ceiling) = (Duration::from_secs(5), Duration::from_mins(1));
    assert_eq!(
        rules[0].interval,
        Interval::Exponential {
            initial,
            factor: 2.0,
            ceiling
        }
    );
    assert_eq!(rules[0].after_change, AfterChange::Publish);
    assert_eq!(rules[1].interval, Interval::Fixed(Duration::from_mins(15)));
    assert_eq!(
        (rules[1].jitter, rules[1].after_change),
        (0.2, AfterChange::Wait)
    );
    // A rule that names no priority has that of its interval
    let priorities: Vec<_> = rules.iter().map(|rule| rule.priority).collect();
    assert_eq!(
        priorities,
        [Priority::Retry, Priority::Refresh, Priority::Change]
    );
    assert_eq!(
        config.message_data["nested"],
        json!({"count": 3, "flag": true, "word": "'yes'"})
    );
    assert_eq!(config.claims.batch_size, 10);
    assert_eq!(config.claims.visibility_timeout, Duration::from_mins(1));
}

#[test]
fn the_builtin_configuration_is_valid() {
    for has_parent in [false, true] {
        let config = SentinelConfig::builtin("nodepools", "nodepools", has_parent);
        config.validate().unwrap();
        Policy::compile(&config).unwrap();
        Payload::compile(&config.message_data).unwrap();
        assert_eq!(
            config.message_data.contains_key("owner_references"),
            has_parent
        );
    }
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let found = refused(text);
        assert!(
            found.contains(expected),
            "{text}\n  gives {found:?}\n  not {expected:?}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    check(&[
        ("[", "cannot be read"),
        ("colour: red", "unknown field `colour`"),
        ("log: {colour: red}", "unknown field `colour`"),
        (
            "clients: {hyperfleet_api: {baseurl: x}}",
            "unknown field `baseurl`",
        ),
        ("resource_type: a\nresource_type: b", "duplicate"),
        ("poll_interval: 5", "\"5\" is not a duration"),
        ("poll_interval: 5x", "\"5x\" is not a duration"),
        ("poll_interval: -1s", "\"-1s\" is not a duration"),
        ("message_decision: {params: {a: b}}", "cannot be read"),
        (
            "{message_decision: {result: 'true'}, policy: []}",
            "policy: cannot be combined",
        ),
        (
            "policy: [{name: a, when: 'true', interval: soon}]",
            "policy[0].interval: \"soon\" is",
        ),
        (
            "policy: [{name: a, when: 'true', interval: 1m, priority: urgent}]",
            "cannot be read",
        ),
        (
            "resource_selector: [{label: a, value: [1]}]",
            "resource_selector[0].value: is not a text",
        ),
    ]);
}

#[test]
fn what_cannot_work_is_refused_with_its_place() {
    check(&[
        (
            "clients: {broker: {topic: t}}",
            "resource_type: \"\" is not the plural",
        ),
        ("{resource_type: a/b}", "resource_type: \"a/b\" is not"),
        (
            "resource_type: clusters",
            "clients.broker.topic: is required",
        ),
    ]);
    let start = "resource_type: c\nclients: {broker: {topic: t}}\n";
    for (rest, expected) in [
        ("", "message_data: is required"),
        ("message_data: {}", "message_data: is required"),
        (
            "message_data: {id: nothing}",
            "message_data.id: the expression is refused",
        ),
    ] {
        check(&[(&format!("{start}{rest}"), expected)]);
    }
    let complete = format!("{start}message_data: {{id: resource.id}}\n");
    for (rest, expected) in [
        ("sentinel: {name: ' '}", "sentinel.name: must not be empty"),
        (
            "claims: {batch_size: 0}",
            "claims.batch_size: must be between 1",
        ),
        (
            "claims: {publish_parallelism: 0}",
            "claims.publish_parallelism: must be between 1",
        ),
        (
            "claims: {visibility_timeout: 0s}",
            "claims.visibility_timeout: 0ns is too short",
        ),
        ("poll_interval: 1ms", "poll_interval: 1ms is too short"),
        (
            "message_decision: {}",
            "message_decision.result: the expression is refused",
        ),
    ] {
        check(&[(&format!("{complete}{rest}"), expected)]);
    }
}

#[test]
fn the_samples_work() {
    for (name, sample) in [
        (
            "clusters",
            include_str!("../../deploy/sentinels/clusters.yaml"),
        ),
        (
            "nodepools",
            include_str!("../../deploy/sentinels/nodepools.yaml"),
        ),
        (
            "clusters",
            include_str!("../../deploy/sentinels/clusters-message-decision.yaml"),
        ),
    ] {
        let config = SentinelConfig::parse(sample).unwrap();
        config.validate().unwrap();
        Policy::compile(&config).unwrap();
        let builtin = SentinelConfig::builtin(name, "", name == "nodepools");
        assert_eq!(config.message_data, builtin.message_data);
        assert_eq!(config.name, builtin.name);
        assert_eq!(config.topic, format!("hyperfleet-{name}"));
    }
    // The rules written out in the sample are the default ones
    let written = include_str!("../../deploy/sentinels/clusters.yaml");
    let config = SentinelConfig::parse(written).unwrap();
    let DecisionConfig::Rules(rules) = config.decision else {
        panic!("rules")
    };
    let same_but_for_spelling = |rule: &RuleConfig| RuleConfig {
        when: String::new(),
        ..rule.clone()
    };
    assert_eq!(
        rules.iter().map(same_but_for_spelling).collect::<Vec<_>>(),
        RuleConfig::defaults()
            .iter()
            .map(same_but_for_spelling)
            .collect::<Vec<_>>()
    );
}
