//! W3C trace context: how a trace goes on from one process, and from one span, to the next.
//!
//! Without export none of this does anything: spans are known to the log only.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Status, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Name of the header and of the event attribute.
pub const TRACEPARENT: &str = "traceparent";

/// Makes a span that was not entered yet the child of a span elsewhere. Text that is no trace context
/// changes nothing.
pub fn continue_trace(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    if parent.span().span_context().is_valid() {
        // Fails when traces are not exported, and then there is nothing to go on with.
        let _ = span.set_parent(parent);
    }
}

/// The trace context of a span, for what it causes elsewhere; nothing when traces are not exported.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| {
        let (trace, span, flags) = (
            context.trace_id(),
            context.span_id(),
            context.trace_flags().to_u8(),
        );
        format!("00-{trace}-{span}-{flags:02x}")
    })
}

/// Says more of a span, for the exported trace alone.
pub fn describe(span: &Span, attributes: &[(&'static str, &str)]) {
    for (name, value) in attributes {
        span.set_attribute(*name, (*value).to_owned());
    }
}

/// Marks a span as failed, for the exported trace alone.
pub fn failed(span: &Span, reason: &str) {
    span.set_status(Status::error(reason.to_owned()));
}

/// Whether a text is a W3C `traceparent` of version 00. What is kept for ever must be nothing else.
pub fn is_traceparent(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([2, 32, 16, 2])
        && text
            .bytes()
            .all(|byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_traceparent_is_one() {
        assert!(is_traceparent(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        ));
        for other in [
            "",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "0af7651916cd43dd8448eb211c80319c00-b7ad6b7169203331-01-00",
        ] {
            assert!(!is_traceparent(other), "{other}");
        }
    }

    #[test]
    fn without_export_a_span_has_no_context() {
        let span = tracing::info_span!("alone");
        continue_trace(
            &span,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
        assert_eq!(traceparent(&span), None);
    }
}
