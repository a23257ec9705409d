//! Reading a resource with its entity tag, and changing it only while it has that tag.

use reqwest::Method;

use super::{Client, Collection, Error, send};
use crate::{Resource, ResourcePatchRequest};

impl Client {
    /// One resource by id, with its entity tag when the server gives one.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_not_found`] when there is none.
    pub async fn get_tagged(
        &self,
        collection: &Collection,
        id: &str,
    ) -> Result<(Resource, Option<String>), Error> {
        let url = self.url(&collection.path(&[id]), &[]);
        let answer = self.send(Method::GET, url, None::<&()>).await?;
        let tag = answer.tag.clone();
        Ok((answer.decode()?, tag))
    }

    /// Changes a resource while it has one of the entity tags in `if_match`.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_outdated`] when it has another.
    pub async fn patch_if(
        &self,
        collection: &Collection,
        id: &str,
        request: &ResourcePatchRequest,
        if_match: &str,
    ) -> Result<Resource, Error> {
        let url = self.url(&collection.path(&[id]), &[]);
        let tags = Some(if_match);
        let answer = send::send(&self.http, Method::PATCH, url, Some(request), tags).await?;
        answer.decode()
    }

    /// Requests the deletion of a resource while it has one of the entity tags in `if_match`.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_outdated`] when it has another.
    pub async fn delete_if(
        &self,
        collection: &Collection,
        id: &str,
        if_match: &str,
    ) -> Result<Resource, Error> {
        let url = self.url(&collection.path(&[id]), &[]);
        let tags = Some(if_match);
        let answer = send::send(&self.http, Method::DELETE, url, None::<&()>, tags).await?;
        answer.decode()
    }
}
