//! Listings, page by page.

use serde::Deserialize;
use tollgate_links::LinkView;
use tollgate_links::store::MAX_PAGE_LINKS;
use ureq::http::Method;

use super::{Client, ClientError, NOTHING};

/// Walks through all links that pass the filters.
pub(crate) struct Listing<'a> {
    client: &'a Client,
    prefix: Option<&'a str>,
    tag: Option<&'a str>,
    domain: Option<&'a str>,
    order: Option<&'static str>,
    hashes: bool,
    at: Position,
}

enum Position {
    Begin,
    After(String),
    End,
}

#[derive(Debug, Deserialize)]
struct Page {
    links: Vec<LinkView>,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl<'a> Listing<'a> {
    /// All links, newest first.
    pub(crate) fn new(client: &'a Client) -> Self {
        Self {
            client,
            prefix: None,
            tag: None,
            domain: None,
            order: None,
            hashes: false,
            at: Position::Begin,
        }
    }

    /// Only those whose code, title or target begins with this.
    pub(crate) fn prefix(self, prefix: Option<&'a str>) -> Self {
        Self { prefix, ..self }
    }

    /// Only those with this tag.
    pub(crate) fn tag(self, tag: Option<&'a str>) -> Self {
        Self { tag, ..self }
    }

    /// Only those on this host.
    pub(crate) fn domain(self, domain: Option<&'a str>) -> Self {
        Self { domain, ..self }
    }

    /// In this order.
    pub(crate) fn order(self, order: Option<&'static str>) -> Self {
        Self { order, ..self }
    }

    /// With the hashes of passwords, which an administrator may ask for.
    pub(crate) fn password_hashes(self, hashes: bool) -> Self {
        Self { hashes, ..self }
    }

    /// The next page, of at most `limit` links; `None` after the last one.
    pub(crate) fn next_page(&mut self, limit: usize) -> Result<Option<Vec<LinkView>>, ClientError> {
        let cursor = match &self.at {
            Position::Begin => None,
            Position::After(cursor) => Some(cursor.as_str()),
            Position::End => return Ok(None),
        };
        let limit = limit.min(MAX_PAGE_LINKS).to_string();
        let query = [
            ("q", self.prefix),
            ("tag", self.tag),
            ("domain", self.domain),
            ("order", self.order),
            ("password_hashes", self.hashes.then_some("true")),
            ("limit", Some(limit.as_str())),
            ("cursor", cursor),
        ];
        let page: Page = self
            .client
            .call(Method::GET, "/api/v1/links", &query, &[], NOTHING)?;
        self.at = page.next_cursor.map_or(Position::End, Position::After);
        Ok(Some(page.links))
    }
}
