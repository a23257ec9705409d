//! The reconcile event.

use hyperfleet_broker::Envelope;
use serde_json::Value;

/// Attribute `source` of every reconcile event, whatever the sentinel is called.
const SOURCE: &str = "hyperfleet-sentinel";

/// Trace flags: the trace is recorded.
const SAMPLED: &str = "01";

/// The type of reconcile events about a kind: `NodePool` gives `com.redhat.hyperfleet.nodepool.reconcile`.
pub fn event_type(kind: &str) -> String {
    format!("com.redhat.hyperfleet.{}.reconcile", kind.to_lowercase())
}

/// A reconcile event about a resource of this kind. `id` must be fresh for every publish.
pub fn reconcile_event(id: impl Into<String>, kind: &str, data: Value) -> Envelope {
    Envelope::new(id, SOURCE, event_type(kind), data)
}

/// A W3C trace context for one publish, from two fresh UUIDs in text form: the trace from the first, the
/// span from the random end of the second.
pub fn traceparent(trace: &str, span: &str) -> String {
    let hexadecimal =
        |text: &str| -> String { text.chars().filter(char::is_ascii_hexdigit).collect() };
    let trace = hexadecimal(trace);
    let span = hexadecimal(span);
    let span = span
        .get(span.len().saturating_sub(16)..)
        .unwrap_or_default();
    format!("00-{trace:0>32}-{span:0>16}-{SAMPLED}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use hyperfleet_domain::resource::{ObjectReference, Resource};

    use super::*;
    use crate::{Payload, SentinelConfig};

    /// A resource as the API shows it.
    fn resource(kind: &str, id: &str, href: &str, owner: Option<ObjectReference>) -> Value {
        let resource = Resource {
            kind: kind.to_owned(),
            id: id.to_owned(),
            href: href.to_owned(),
            generation: 1,
            owner,
            ..Resource::default()
        };
        serde_json::to_value(resource.document()).unwrap()
    }

    fn bytes(has_parent: bool, resource: &Value, id: &str) -> String {
        let config = SentinelConfig::builtin("any", "topic", has_parent);
        let built = Payload::compile(&config.message_data)
            .unwrap()
            .build(resource, "reason");
        let event = reconcile_event(id, resource["kind"].as_str().unwrap(), built.data);
        String::from_utf8(event.to_bytes()).unwrap()
    }

    #[test]
    fn a_cluster_event_equals_the_captured_one() {
        let cluster = resource(
            "Cluster",
            "cls-1",
            "/api/hyperfleet/v1/clusters/cls-1",
            None,
        );
        assert_eq!(
            bytes(false, &cluster, "01a206be-4497-76f4-a843-66c22fed4d4e"),
            concat!(
                r#"{"specversion":"1.0","id":"01a206be-4497-76f4-a843-66c22fed4d4e","#,
                r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.cluster.reconcile","#,
                r#""datacontenttype":"application/json","data":{"generation":1,"#,
                r#""href":"/api/hyperfleet/v1/clusters/cls-1","id":"cls-1","kind":"Cluster"}}"#,
            )
        );
    }

    #[test]
    fn a_node_pool_event_equals_the_captured_one() {
        let href = "/api/hyperfleet/v1/clusters/cls-1/nodepools/np-1";
        let owner = ObjectReference {
            id: "cls-1".to_owned(),
            kind: "Cluster".to_owned(),
            href: "/api/hyperfleet/v1/clusters/cls-1".to_owned(),
        };
        let node_pool = resource("NodePool", "np-1", href, Some(owner));
        assert_eq!(
            bytes(true, &node_pool, "01a206be-4497-7dd3-aa8e-c72cb6cf7d2c"),
            concat!(
                r#"{"specversion":"1.0","id":"01a206be-4497-7dd3-aa8e-c72cb6cf7d2c","#,
                r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.nodepool.reconcile","#,
                r#""datacontenttype":"application/json","data":{"generation":1,"#,
                r#""href":"/api/hyperfleet/v1/clusters/cls-1/nodepools/np-1","id":"np-1","#,
                r#""kind":"NodePool","owner_references":{"href":"/api/hyperfleet/v1/clusters/cls-1","#,
                r#""id":"cls-1","kind":"Cluster"}}}"#,
            )
        );
    }

    #[test]
    fn the_type_is_made_from_the_kind() {
        assert_eq!(
            event_type("WifConfig"),
            "com.redhat.hyperfleet.wifconfig.reconcile"
        );
    }

    #[test]
    fn a_trace_context_has_the_prescribed_form() {
        let trace = "01a206be-4497-76f4-a843-66c22fed4d4e";
        let span = "01A206BE-4497-7dd3-aa8e-c72cb6cf7d2c";
        assert_eq!(
            traceparent(trace, span),
            "00-01a206be449776f4a84366c22fed4d4e-aa8ec72cb6cf7d2c-01"
        );
        assert_eq!(traceparent("1", "2").len(), 55);
    }
}
