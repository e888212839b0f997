//! Listings: pages by keyset, so that inserts move nothing. Filters are looked at while walking in order: there is no
//! index for them.

use super::DynamoLinkStore;
use super::item::{Kept, code_key, pair, part};
use super::schema::{BY_CODE, BY_CREATION};
use super::walk::{Bounds, Walk};
use crate::store::cursor::Position;
use crate::store::{ListOrder, ListQuery, Page, StoreError};

impl DynamoLinkStore {
    /// One page.
    pub(super) async fn page(
        &self,
        query: &ListQuery,
        after: Option<&Position>,
    ) -> Result<Page, StoreError> {
        let (index, forward) = match query.order {
            ListOrder::CreatedAscending => (BY_CREATION, true),
            ListOrder::CreatedDescending => (BY_CREATION, false),
            ListOrder::CodeAscending => (BY_CODE, true),
            ListOrder::CodeDescending => (BY_CODE, false),
        };
        let bounds = Bounds {
            after: after.map(|after| match after {
                Position::Created { at_ms, id } => pair(*at_ms, *id),
                Position::Code(key) => code_key(key),
            }),
            below: None,
        };
        let page = query.page_links();
        // One more than the page holds tells whether there are more.
        let mut walk = Walk::new(self, index, part::LINKS, forward, bounds, page + 1);
        let (mut links, mut last) = (Vec::new(), None);
        while let Some(item) = walk.next().await? {
            let Kept { id, link, .. } = Kept::read(&item)?;
            if !query.matches(&link) {
                continue;
            }
            if links.len() == page {
                let next = last.as_ref().map(Position::to_cursor);
                return Ok(Page { links, next });
            }
            last = Some(if index == BY_CODE {
                Position::Code(link.key.clone())
            } else {
                Position::Created {
                    at_ms: link.created_at.as_millis(),
                    id,
                }
            });
            links.push(link);
        }
        Ok(Page { links, next: None })
    }
}
