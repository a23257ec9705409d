//! Going through a list: which part of it a request asks for, and how the answer leads on.
//!
//! Every page that is not the last names the next one in a `Link` header. A request with
//! `page_token`, blank for the start, gets the next token in the answer as well.

use axum::http::header::LINK;
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::resource::Resource;

use super::QueryState;
use super::answer::{self, Failure};
use super::fields::Fields;
use super::parameters::{self, Parameters};
use crate::keyset::{self, ListIdentity, Position, TokenError};
use crate::resource_view::{self, Filter, Order, Page, Paged};

pub(super) const PAGE_TOKEN: &str = "page_token";

/// The part of a list that a request asks for.
pub(crate) struct Walk {
    list: ListIdentity,
    order: Order,
    page: Page,
    fields: Fields,
    /// Where to go on; `None` on pages by number, and at the start of a walk.
    after: Option<Position>,
    by_token: bool,
    path: String,
    query: String,
}

impl Walk {
    /// Reads `page`, `size`, `order`, `fields` and `page_token`.
    pub(crate) fn read(uri: &Uri, parameters: &Parameters) -> Result<Self, Fault> {
        let page = parameters::page(parameters)?;
        let order = parameters::order(parameters)?;
        let list = ListIdentity::of(uri.path(), parameters);
        let token = parameters.iter().find(|(name, _)| name == PAGE_TOKEN);
        let mut walk = Self {
            list,
            order,
            page,
            fields: Fields::of(parameters)?,
            after: None,
            by_token: token.is_some(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
        };
        let Some((_, token)) = token else {
            return Ok(walk);
        };
        if parameters::value(parameters, "page").is_some() {
            let detail =
                "page and page_token cannot be used together: the token says where to go on";
            return Err(Fault::new(codes::BAD_REQUEST, detail));
        }
        let token = token.trim();
        if !token.is_empty() {
            let (number, position) = keyset::decode(token, list, &walk.order).map_err(refused)?;
            walk.page.number = number;
            walk.after = Some(position);
        }
        Ok(walk)
    }

    /// Reads that part and answers with it.
    pub(crate) async fn answer(
        &self,
        state: &QueryState,
        filter: &Filter,
    ) -> Result<Response, Failure> {
        let (pool, order) = (&state.pool, &self.order);
        let (paged, more) = if let Some(position) = &self.after {
            resource_view::list_after(pool, filter, order, position, self.page.size).await?
        } else {
            let paged = resource_view::list(pool, filter, order, self.page).await?;
            let shown = self.page.offset().unsigned_abs() + paged.items.len() as u64;
            let more = !paged.items.is_empty() && shown < paged.total;
            (paged, more)
        };
        let next = self.next(&paged, more)?;
        let link = next.as_ref().and_then(|token| self.link(token));
        let shown = next.filter(|_| self.by_token);
        let mut response = answer::resource_list(self.page, &paged, &self.fields, shown);
        if let Some(link) = link {
            response.headers_mut().insert(LINK, link);
        }
        Ok(response)
    }

    /// The token of the page after these items.
    fn next(&self, paged: &Paged<Resource>, more: bool) -> Result<Option<String>, Fault> {
        let Some(last) = paged.items.last().filter(|_| more) else {
            return Ok(None);
        };
        let number = self.page.number.saturating_add(1);
        match keyset::encode(self.list, number, &Position::of(last, &self.order)) {
            Ok(token) => Ok(Some(token)),
            // Pages by number go on without.
            Err(_) if !self.by_token => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    /// The next page as a link: the same request with the token instead of the page number.
    fn link(&self, token: &str) -> Option<HeaderValue> {
        link_to_next(&self.path, &self.query, token)
    }
}

/// The page that a token leads to as a link: the same request with the token instead of the page number.
pub(super) fn link_to_next(path: &str, query: &str, token: &str) -> Option<HeaderValue> {
    let kept = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !name.is_empty() && name != "page" && name != PAGE_TOKEN
    });
    let next = format!("{PAGE_TOKEN}={token}");
    let query: Vec<&str> = kept.chain([next.as_str()]).collect();
    let link = format!("<{path}?{}>; rel=\"next\"", query.join("&"));
    HeaderValue::from_str(&link).ok()
}

pub(super) fn refused(error: TokenError) -> Fault {
    Fault::new(codes::BAD_REQUEST, format!("invalid page_token: {error}"))
}
