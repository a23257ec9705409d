//! Histories and past states.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::ACCEPT;

use super::{Client, Collection, Error, send};
use crate::{History, NDJSON_MEDIA_TYPE, Resource};

/// How long an export may take: as long as the fleet is old, but not for ever.
const EXPORT_TIMEOUT: Duration = Duration::from_hours(24);

/// Whose history.
#[derive(Clone, Copy, Debug)]
pub enum HistoryOf<'a> {
    /// Of everything.
    Fleet,
    /// Of one resource, also when it is gone.
    Resource(&'a Collection, &'a str),
}

impl HistoryOf<'_> {
    pub(super) fn path(&self) -> Vec<&str> {
        match self {
            Self::Fleet => vec!["history"],
            Self::Resource(collection, id) => collection.path(&[id, "history"]),
        }
    }
}

/// A history as lines of JSON, as they arrive.
#[derive(Debug)]
pub struct HistoryLines {
    response: reqwest::Response,
    url: String,
}

impl HistoryLines {
    /// The next bytes; `None` at the end. Not always whole lines.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when it broke off.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let chunk = self.response.chunk().await;
        let chunk = chunk.map_err(|source| Error::Unreachable {
            method: Method::GET,
            url: self.url.clone(),
            source,
        })?;
        Ok(chunk.map(Into::into))
    }
}

impl Client {
    /// Part of a history: filters, `order`, `size` and `page_token` are those of the API.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn history(
        &self,
        of: HistoryOf<'_>,
        query: &[(&'static str, String)],
    ) -> Result<History, Error> {
        let url = self.url(&of.path(), query);
        self.read(Method::GET, url, None::<&()>).await
    }

    /// A whole history as lines of JSON.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn history_lines(
        &self,
        of: HistoryOf<'_>,
        query: &[(&'static str, String)],
    ) -> Result<HistoryLines, Error> {
        let url = self.url(&of.path(), query);
        let request = self
            .http
            .get(url.clone())
            .header(ACCEPT, NDJSON_MEDIA_TYPE)
            .timeout(EXPORT_TIMEOUT);
        let sent = request.send().await;
        let response = sent.map_err(|source| Error::Unreachable {
            method: Method::GET,
            url: url.to_string(),
            source,
        })?;
        if response.status().is_success() {
            let url = url.into();
            return Ok(HistoryLines { response, url });
        }
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        Err(send::refused(Method::GET, url, status, &body))
    }

    /// One resource as it was: at a time (`at`) or after so many events (`version`).
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_not_found`] when it did not exist then.
    pub async fn get_past(
        &self,
        collection: &Collection,
        id: &str,
        moment: (&'static str, String),
    ) -> Result<Resource, Error> {
        let url = self.url(&collection.path(&[id]), &[moment]);
        self.read(Method::GET, url, None::<&()>).await
    }
}
