//! From a configured URL to the one that is requested.

use reqwest::Url;

/// Resolves `url` against the API's base.
///
/// Relative URLs get the API prefix unless they start with `api/`; query and fragment of anything
/// that goes to the API are dropped; a URL of another host is used as it is.
pub(super) fn resolve(base: &str, version: &str, url: &str) -> String {
    if base.is_empty() {
        return url.to_owned();
    }
    let base = base.trim_end_matches('/');
    if let Ok(absolute) = Url::parse(url)
        && absolute.has_host()
    {
        let Ok(parsed_base) = Url::parse(base) else {
            return url.to_owned();
        };
        let same_place = absolute.scheme() == parsed_base.scheme()
            && absolute.host() == parsed_base.host()
            && absolute.port_or_known_default() == parsed_base.port_or_known_default();
        if !same_place {
            return url.to_owned();
        }
        let base_path = parsed_base.path().trim_end_matches('/');
        let path = absolute
            .path()
            .strip_prefix(base_path)
            .unwrap_or(absolute.path());
        return format!("{base}/{}", clean(path));
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = clean(path);
    if path.starts_with("api/") {
        format!("{base}/{path}")
    } else {
        format!("{base}/api/hyperfleet/{version}/{path}")
    }
}

/// Removes leading slashes, empty and `.` segments, and resolves `..`.
fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_resolve_as_the_contract_says() {
        let cases = [
            (
                "/clusters/7/statuses?x=1",
                "http://api:8000/api/hyperfleet/v1/clusters/7/statuses",
            ),
            ("clusters", "http://api:8000/api/hyperfleet/v1/clusters"),
            ("api/hyperfleet/v2/x", "http://api:8000/api/hyperfleet/v2/x"),
            (
                "/api/hyperfleet/v2/x",
                "http://api:8000/api/hyperfleet/v2/x",
            ),
            (
                "/clusters?search=a#f",
                "http://api:8000/api/hyperfleet/v1/clusters",
            ),
            ("//a/./b/../c", "http://api:8000/api/hyperfleet/v1/a/c"),
            (
                "http://api:8000/clusters/c1?x=1",
                "http://api:8000/clusters/c1",
            ),
            ("http://other/x?y=1", "http://other/x?y=1"),
        ];
        for (url, expected) in cases {
            assert_eq!(resolve("http://api:8000", "v1", url), expected, "{url}");
        }
        assert_eq!(
            resolve("http://api:8000/prefix/", "v1", "/x"),
            "http://api:8000/prefix/api/hyperfleet/v1/x"
        );
        assert_eq!(
            resolve("http://api:8000/prefix", "v1", "http://api:8000/prefix/y"),
            "http://api:8000/prefix/y"
        );
        assert_eq!(resolve("", "v1", "http://x/y?z"), "http://x/y?z");
    }
}
