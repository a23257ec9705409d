//! Building URLs, sending a request, and reading its answer.

use reqwest::header::{ETAG, IF_MATCH};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use crate::{BASE_PATH, Problem};

/// How much of an unexplained error body is kept: enough to recognise a proxy's page.
const ERROR_BODY_CHARACTERS: usize = 300;

/// A successful answer, not yet decoded.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Entity tag of what the answer shows.
    pub(super) tag: Option<String>,
    method: Method,
    url: Url,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn decode<T: DeserializeOwned>(self) -> Result<T, Error> {
        let Self {
            method, url, body, ..
        } = self;
        serde_json::from_slice(&body).map_err(|source| Error::UnreadableAnswer {
            method,
            url: url.into(),
            source,
        })
    }
}

/// The address of a server as a URL without a trailing path.
pub(super) fn base_url(server: &str) -> Result<Url, Error> {
    let invalid = |reason: String| Error::InvalidServer {
        server: server.to_owned(),
        reason,
    };
    let url = Url::parse(server).map_err(|error| invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!(
            "its scheme is {} instead of http or https",
            url.scheme()
        )));
    }
    if !url.has_host() {
        return Err(invalid("it names no host".to_owned()));
    }
    Ok(url)
}

/// A path at the root of the server.
pub(super) fn server_url(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// A path below the base path of the API; each segment is escaped.
pub(super) fn api_url(base: &Url, path: &[&str], query: &[(&'static str, String)]) -> Url {
    let mut url = server_url(base, BASE_PATH);
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// Sends one request, perhaps with `If-Match`; any answer but a success is an error.
pub(super) async fn send<B: Serialize + ?Sized>(
    http: &reqwest::Client,
    method: Method,
    url: Url,
    body: Option<&B>,
    if_match: Option<&str>,
) -> Result<Answer, Error> {
    let mut request = http.request(method.clone(), url.clone());
    if let Some(tags) = if_match {
        request = request.header(IF_MATCH, tags);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let unreachable = |source| Error::Unreachable {
        method: method.clone(),
        url: url.to_string(),
        source,
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if !status.is_success() {
        return Err(refusal(method, url, response).await);
    }
    let tag = response.headers().get(ETAG);
    let tag = tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let body = response.bytes().await.map_err(unreachable)?.to_vec();
    Ok(Answer {
        status,
        tag,
        method,
        url,
        body,
    })
}

/// What an answer that is not the one asked for says.
pub(super) async fn refusal(method: Method, url: Url, response: reqwest::Response) -> Error {
    let status = response.status();
    match response.bytes().await {
        Ok(body) => refused(method, url, status, &body),
        Err(source) => Error::Unreachable {
            method,
            url: url.into(),
            source,
        },
    }
}

/// What the body of an answer that is no success says.
pub(super) fn refused(method: Method, url: Url, status: StatusCode, body: &[u8]) -> Error {
    let url = url.into();
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return Error::Refused {
            method,
            url,
            problem: Box::new(problem),
        };
    }
    let body = String::from_utf8_lossy(body);
    let body = body.chars().take(ERROR_BODY_CHARACTERS).collect();
    Error::UnexpectedStatus {
        method,
        url,
        status,
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_query_values_are_escaped() {
        let base = base_url("http://localhost:8000/").expect("a valid address");
        let url = api_url(&base, &["clusters", "a/b"], &[("name", "x&y".to_owned())]);
        assert_eq!(
            url.as_str(),
            "http://localhost:8000/api/hyperfleet/v1/clusters/a%2Fb?name=x%26y"
        );
    }

    #[test]
    fn an_address_without_scheme_is_explained() {
        let error = base_url("localhost:8000").expect_err("not an http address");
        assert!(
            error.to_string().contains("http://localhost:8000"),
            "{error}"
        );
    }
}
