//! gzip for answers to those who want it.
//!
//! Invariants: an answer is compressed only when `Accept-Encoding` names `gzip`, or `*`, with a weight
//! above 0; it then says so, and that it varies. Problem documents, answers without a body and event
//! streams stay as they are.

use axum::Router;
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use tower_http::compression::CompressionLayer;

/// A router whose answers below `base` are compressed for those who want it.
pub fn compressed(router: Router, base: &'static str) -> Router {
    let negotiate =
        move |request: Request, next: Next| async move { negotiated(base, request, next).await };
    // The library knows neither `*` nor a weight for it, so it is told the outcome.
    router
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(negotiate))
}

async fn negotiated(base: &str, mut request: Request, next: Next) -> Response {
    let is_below = request
        .uri()
        .path()
        .strip_prefix(base)
        .is_some_and(|rest| rest.starts_with('/'));
    let encoding = if is_below && accepts_gzip(request.headers()) {
        "gzip"
    } else {
        "identity"
    };
    let headers = request.headers_mut();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    let mut response = next.run(request).await;
    if response.headers().contains_key(CONTENT_ENCODING) {
        vary_by_encoding(response.headers_mut());
    }
    response
}

/// Whether gzip is wanted: its own weight counts, else that of `*`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let (mut gzip, mut any) = (None, None);
    for item in texts.flat_map(|text| text.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let wanted = parts.all(|parameter| !refuses(parameter));
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(wanted);
        } else if coding == "*" {
            any = Some(wanted);
        }
    }
    gzip.or(any).unwrap_or(false)
}

/// Whether a parameter is a weight of 0, or one that cannot be read.
fn refuses(parameter: &str) -> bool {
    let Some((name, weight)) = parameter.split_once('=') else {
        return false;
    };
    let weight: Result<f32, _> = weight.trim().parse();
    name.trim().eq_ignore_ascii_case("q") && !weight.is_ok_and(|weight| weight > 0.0)
}

/// One `Vary` header that names the encoding beside what was there.
fn vary_by_encoding(headers: &mut HeaderMap) {
    let named = headers.get_all(VARY).iter();
    let mut names: Vec<String> = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !is_accept_encoding(name))
        .collect();
    names.push("Accept-Encoding".to_owned());
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        headers.insert(VARY, value);
    }
}

fn is_accept_encoding(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| name == ACCEPT_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_gzip_decides_and_else_that_of_any() {
        for (sent, expected) in [
            ("gzip", true),
            ("GZIP;q=0.5", true),
            ("deflate, gzip;q=1.0, *;q=0", true),
            ("*", true),
            ("*;q=0.1", true),
            ("br, *;q=0", false),
            ("gzip;q=0", false),
            ("gzip; Q = 0.000", false),
            ("gzip;q=0, *", false),
            ("gzip;q=x", false),
            ("identity, br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(sent));
            assert_eq!(accepts_gzip(&headers), expected, "{sent}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
