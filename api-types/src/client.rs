//! The typed HTTP client of API v1.
//!
//! Resources are addressed by their plural (`clusters`) and, for a child kind, by the parent's
//! plural and id ([`Collection`]). Every request has a deadline. Nothing is retried here: whoever
//! calls knows whether a retry is wanted, and [`Error::is_transient`] says whether one can help. A
//! [`Watch`] is the exception: it outlives its connections.

mod conditional;
mod credentials;
mod error;
pub mod event_stream;
mod history;
mod resuming;
mod send;
mod watch;

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Serialize;

pub use self::credentials::Credentials;
pub use self::error::Error;
pub use self::history::{HistoryLines, HistoryOf};
pub use self::watch::{HistoryWatch, HistoryWatchEvent, Watch, WatchEvent, WatchOptions};
use crate::{
    AdapterStatus, AdapterStatusCreateRequest, AdapterStatusList, ForceDeleteRequest, Resource,
    ResourceCreateRequest, ResourceList, ResourcePatchRequest, VersionDocument,
};

/// How long a request may take as a whole: longer than the server's own limit of 30 seconds, so
/// that the server's answer wins.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);

/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one API server. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// For watches, which have no deadline as a whole.
    watching: reqwest::Client,
    base: Url,
}

/// The resources of one kind: all of them, or those of one parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    segments: Vec<String>,
}

impl Collection {
    /// All resources of a kind, by its plural.
    pub fn of(plural: impl Into<String>) -> Self {
        Self {
            segments: vec![plural.into()],
        }
    }

    /// The resources of a child kind that one parent owns.
    pub fn under(
        parent_plural: impl Into<String>,
        parent_id: impl Into<String>,
        plural: impl Into<String>,
    ) -> Self {
        Self {
            segments: vec![parent_plural.into(), parent_id.into(), plural.into()],
        }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        self.segments
            .iter()
            .map(String::as_str)
            .chain(rest.iter().copied())
            .collect()
    }
}

/// Which page of a list, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Page number from 1; the server's default when absent.
    pub page: Option<u32>,
    /// Items per page, at most 100; the server's default when absent.
    pub size: Option<u32>,
    /// Order, e.g. `name asc`.
    pub order: Option<String>,
    /// Only resources of exactly this name.
    pub name: Option<String>,
    /// Only what a search finds, in the API's search language.
    pub search: Option<String>,
    /// The resources that lived at that time, RFC 3339, as they were.
    pub at: Option<String>,
}

impl ListOptions {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.page.map(|page| ("page", page.to_string())));
        query.extend(self.size.map(|size| ("size", size.to_string())));
        query.extend(self.order.clone().map(|order| ("order", order)));
        query.extend(self.name.clone().map(|name| ("name", name)));
        query.extend(self.search.clone().map(|search| ("search", search)));
        query.extend(self.at.clone().map(|at| ("at", at)));
        query
    }
}

impl Client {
    /// A client of the server at `server`, e.g. `http://localhost:8000`.
    ///
    /// # Errors
    /// When `server` is no http(s) URL, or the TLS set-up of this machine cannot be used.
    pub fn new(server: &str) -> Result<Self, Error> {
        Self::with(server, &Credentials::default())
    }

    /// A client that sends these credentials with every request.
    ///
    /// # Errors
    /// As [`Self::new`], and when the credentials cannot be sent.
    pub fn with(server: &str, credentials: &Credentials) -> Result<Self, Error> {
        let base = send::base_url(server)?;
        let headers = credentials.headers()?;
        let builder = || {
            reqwest::Client::builder()
                .default_headers(headers.clone())
                // A redirect to another host would carry the headers of a tenant along.
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
        };
        let setup = |source| Error::Setup { source };
        let http = builder().timeout(REQUEST_TIMEOUT).build().map_err(setup)?;
        let watching = builder().read_timeout(resuming::SILENCE).build();
        Ok(Self {
            http,
            watching: watching.map_err(setup)?,
            base,
        })
    }

    /// The server that this client talks to.
    pub fn server(&self) -> &Url {
        &self.base
    }

    /// The document that names the running version.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn version(&self) -> Result<VersionDocument, Error> {
        let url = send::server_url(&self.base, crate::VERSION_PATH);
        self.read(Method::GET, url, None::<&()>).await
    }

    /// Creates a resource.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create(
        &self,
        collection: &Collection,
        request: &ResourceCreateRequest,
    ) -> Result<Resource, Error> {
        self.read(
            Method::POST,
            self.url(&collection.path(&[]), &[]),
            Some(request),
        )
        .await
    }

    /// Creates a resource from a document as the user wrote it, members unknown to this client
    /// included.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_document(
        &self,
        collection: &Collection,
        document: &serde_json::Value,
    ) -> Result<Resource, Error> {
        self.read(
            Method::POST,
            self.url(&collection.path(&[]), &[]),
            Some(document),
        )
        .await
    }

    /// One resource by id.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_not_found`] when there is none.
    pub async fn get(&self, collection: &Collection, id: &str) -> Result<Resource, Error> {
        self.read(
            Method::GET,
            self.url(&collection.path(&[id]), &[]),
            None::<&()>,
        )
        .await
    }

    /// One page of resources.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(
        &self,
        collection: &Collection,
        options: &ListOptions,
    ) -> Result<ResourceList, Error> {
        let url = self.url(&collection.path(&[]), &options.query());
        self.read(Method::GET, url, None::<&()>).await
    }

    /// Every resource of a collection, page by page, oldest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_all(&self, collection: &Collection) -> Result<Vec<Resource>, Error> {
        let mut all = Vec::new();
        for page in 1.. {
            let options = ListOptions {
                page: Some(page),
                size: Some(100),
                order: Some("created_time asc".to_owned()),
                ..ListOptions::default()
            };
            let list = self.list(collection, &options).await?;
            let complete =
                list.items.is_empty() || all.len() + list.items.len() >= clamp(list.total);
            all.extend(list.items);
            if complete {
                break;
            }
        }
        Ok(all)
    }

    /// The live resources of exactly that name, active ones first. There can be several: one that
    /// is being deleted frees its name, and a child kind's names are unique per parent only.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn find_by_name(
        &self,
        collection: &Collection,
        name: &str,
    ) -> Result<Vec<Resource>, Error> {
        let options = ListOptions {
            size: Some(100),
            name: Some(name.to_owned()),
            ..ListOptions::default()
        };
        let mut found = self.list(collection, &options).await?.items;
        found.retain(|resource| resource.name == name);
        found.sort_by_key(|resource| resource.deleted_time.is_some());
        Ok(found)
    }

    /// Changes a resource.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch(
        &self,
        collection: &Collection,
        id: &str,
        request: &ResourcePatchRequest,
    ) -> Result<Resource, Error> {
        self.read(
            Method::PATCH,
            self.url(&collection.path(&[id]), &[]),
            Some(request),
        )
        .await
    }

    /// Requests the deletion of a resource.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, collection: &Collection, id: &str) -> Result<Resource, Error> {
        self.read(
            Method::DELETE,
            self.url(&collection.path(&[id]), &[]),
            None::<&()>,
        )
        .await
    }

    /// Removes a finalizing resource and its descendants without waiting for their adapters.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn force_delete(
        &self,
        collection: &Collection,
        id: &str,
        request: &ForceDeleteRequest,
    ) -> Result<(), Error> {
        let url = self.url(&collection.path(&[id, "force-delete"]), &[]);
        self.send(Method::POST, url, Some(request))
            .await
            .map(|_| ())
    }

    /// One page of what the adapters reported about a resource.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn statuses(
        &self,
        collection: &Collection,
        id: &str,
        options: &ListOptions,
    ) -> Result<AdapterStatusList, Error> {
        let url = self.url(&collection.path(&[id, "statuses"]), &options.query());
        self.read(Method::GET, url, None::<&()>).await
    }

    /// Reports an adapter's status; `None` when the server discarded it as outdated.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn report(
        &self,
        collection: &Collection,
        id: &str,
        request: &AdapterStatusCreateRequest,
    ) -> Result<Option<AdapterStatus>, Error> {
        let url = self.url(&collection.path(&[id, "statuses"]), &[]);
        let answer = self.send(Method::PUT, url, Some(request)).await?;
        if answer.status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        answer.decode().map(Some)
    }

    /// A document of the API by its path below the base path, e.g. `["summary"]`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn document(&self, path: &[&str]) -> Result<serde_json::Value, Error> {
        self.read(Method::GET, self.url(path, &[]), None::<&()>)
            .await
    }

    fn url(&self, path: &[&str], query: &[(&'static str, String)]) -> Url {
        send::api_url(&self.base, path, query)
    }

    async fn read<B, T>(&self, method: Method, url: Url, body: Option<&B>) -> Result<T, Error>
    where
        B: Serialize + ?Sized,
        T: serde::de::DeserializeOwned,
    {
        self.send(method, url, body).await?.decode()
    }

    async fn send<B>(
        &self,
        method: Method,
        url: Url,
        body: Option<&B>,
    ) -> Result<send::Answer, Error>
    where
        B: Serialize + ?Sized,
    {
        send::send(&self.http, method, url, body, None).await
    }
}

fn clamp(total: u64) -> usize {
    usize::try_from(total).unwrap_or(usize::MAX)
}
