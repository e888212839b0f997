//! Single clicks, however many pages they fill.

use tollgate_clicks::EnrichedClick;
use tollgate_clicks::query::{Bots, List, MAX_PAGE, Scope};
use tollgate_clicks::store::ClickStore;

/// All single clicks of a scope that are kept.
pub(crate) async fn raw(store: &dyn ClickStore, scope: Scope) -> Vec<EnrichedClick> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let list = List {
            scope: scope.clone(),
            period: None,
            bots: Bots::Include,
            after,
            limit: MAX_PAGE,
        };
        let page = store.clicks(list).await.unwrap();
        all.extend(page.clicks);
        match page.next {
            None => return all,
            next => after = next,
        }
    }
}
