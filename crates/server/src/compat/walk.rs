//! Listings that our own store has no index for: links are looked at one by one.

use std::num::NonZeroUsize;

use tollgate_links::store::{ListQuery, MAX_PAGE_LINKS};
use tollgate_links::{Link, LinkService};

use crate::problem::Problem;

/// The links of a listing that were asked for.
pub(super) struct Walked {
    /// In the order of the listing.
    pub(super) links: Vec<Link>,
    /// Whether the listing was looked at to its end.
    pub(super) complete: bool,
}

/// Looks at the first `most` links of a listing, and keeps those that are wanted.
pub(super) async fn walk(
    service: &LinkService,
    mut query: ListQuery,
    most: usize,
    mut wanted: impl FnMut(&Link) -> bool,
) -> Result<Walked, Problem> {
    let mut walked = Walked {
        links: Vec::new(),
        complete: false,
    };
    let mut left = most;
    while let Some(limit) = NonZeroUsize::new(left.min(MAX_PAGE_LINKS)) {
        query.limit = Some(limit);
        let page = service.list(&query).await?;
        left -= page.links.len().min(left);
        walked
            .links
            .extend(page.links.into_iter().filter(&mut wanted));
        query.cursor = page.next;
        if query.cursor.is_none() {
            walked.complete = true;
            break;
        }
    }
    Ok(walked)
}
