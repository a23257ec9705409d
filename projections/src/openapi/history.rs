//! The parameters and answers of histories.

use hyperfleet_api_types::NDJSON_MEDIA_TYPE;
use hyperfleet_api_types::openapi::{EVENT_STREAM, Operation};

use crate::routes::{DEFAULT_PAGE_SIZE, MAX_PAGE, MAX_PAGE_SIZE};

/// The history of one resource.
pub(super) fn of_one(operation: Operation) -> Operation {
    filtered(operation).query_integer("page", 1, MAX_PAGE, "Number of the page")
}

/// The history of the fleet.
pub(super) fn of_fleet() -> Operation {
    let operation = Operation::new(
        "list_history",
        "Fleet",
        "The recorded events of every resource, live or removed, and the requests that changed nothing",
    );
    filtered(operation)
        .query_text("kind", false, "Only events of resources of this kind")
        .query_text("name", false, "Only events of resources of this name")
        .query_text(
            "label",
            false,
            "`key=value`: only events of resources that have this label now, or had it when they were \
             removed; repeat for several",
        )
}

fn filtered(operation: Operation) -> Operation {
    operation
        .query_text(
            "outcome",
            false,
            "`accepted` (events, the default); for operators also requests that changed nothing: `refused`, \
             `unchanged` (what was asked for was there already), `replayed` (carried out before under the \
             same key); several separated by commas, or `all`",
        )
        .query_text("actor", false, "Only what this actor caused, or tried")
        .query_text(
            "type",
            false,
            "Only events of these types, such as `created`, separated by commas",
        )
        .query_text("request_id", false, "Only what this request caused, or tried")
        .query_text(
            "generation",
            false,
            "Only events after which the resource had this generation",
        )
        .query_text("from", false, "Only what was recorded at that time (RFC 3339) or later")
        .query_text("to", false, "Only what was recorded before that time (RFC 3339)")
        .query_text("order", false, "`asc`, oldest first (the default), or `desc`")
        .query_integer("size", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, "Items per page")
        .query_text(
            "page_token",
            false,
            "Where to go on: the `next_page_token` of the answer before; blank for the start",
        )
        .query_text(
            "watch",
            false,
            "`true`: the events that are recorded from now on, or those from `from` on, as server-sent events \
             `RECORDED` with the event, `BOOKMARK`, and `ERROR` with a problem; without `to`, `order`, `size`, \
             `page`, `page_token`, and of what was accepted only",
        )
        .request_header(
            "Last-Event-ID",
            "With `watch`: the last position that the client saw; wins over `from`",
        )
        .answers_also_as_text(
            200,
            "History",
            &[NDJSON_MEDIA_TYPE, EVENT_STREAM],
            "One page; with `Accept: application/x-ndjson` every item of all pages, one JSON document on \
             each line. A page may be shorter than asked for, even empty, and still have a next one",
        )
        .problems(&[(
            400,
            "A query parameter is not acceptable; `errors` names it",
        ), (410, "The log has no such position to go on from")])
}
