//! Which links were clicked.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tollgate_clicks::query::{
    ClickPage, LinkName, List, Query, QueryError, Scope, Statistics, Totals,
};
use tollgate_clicks::store::{AddedTogether, ClickStore, EnrichedBatch, Retained, StoreError};
use tollgate_clicks::{ClickKind, Position, SourceId};

/// Clicked links that wait to be looked at. What comes beyond is looked at after its next click.
const MOST_CLICKED: usize = 100_000;

/// A store of clicks that remembers which links were clicked, until somebody looks.
pub(super) struct Clicked {
    inner: Arc<dyn ClickStore>,
    /// None if nobody wants to know.
    links: Arc<Mutex<Option<HashSet<LinkName>>>>,
}

impl Clicked {
    /// Nothing is remembered yet.
    pub(super) fn new(inner: Arc<dyn ClickStore>) -> Self {
        Self {
            inner,
            links: Arc::default(),
        }
    }

    /// Another way to the same store, whose clicks are remembered together with those of this one.
    pub(super) fn beside(&self, inner: Arc<dyn ClickStore>) -> Self {
        Self {
            inner,
            links: Arc::clone(&self.links),
        }
    }

    /// Whether to remember them from now on.
    pub(super) fn watch(&self, wanted: bool) {
        let mut links = self.links.lock();
        match wanted {
            true => {
                links.get_or_insert_default();
            }
            false => *links = None,
        }
    }

    /// Takes some of them.
    pub(super) fn take(&self, most: usize) -> Vec<LinkName> {
        let mut links = self.links.lock();
        let Some(links) = &mut *links else {
            return Vec::new();
        };
        let some: Vec<LinkName> = links.iter().take(most).cloned().collect();
        for name in &some {
            links.remove(name);
        }
        some
    }

    /// To be taken again.
    pub(super) fn put_back(&self, names: impl IntoIterator<Item = LinkName>) {
        if let Some(links) = &mut *self.links.lock() {
            let room = MOST_CLICKED.saturating_sub(links.len());
            links.extend(names.into_iter().take(room));
        }
    }
}

#[async_trait]
impl ClickStore for Clicked {
    async fn positions(&self, sources: &[SourceId]) -> Result<Vec<Position>, StoreError> {
        self.inner.positions(sources).await
    }

    async fn add_together(&self, batches: Vec<EnrichedBatch>) -> Result<AddedTogether, StoreError> {
        let watched = self.links.lock().is_some();
        let names = if watched {
            visited(&batches)
        } else {
            HashSet::new()
        };
        let added = self.inner.add_together(batches).await?;
        // If they were counted before, somebody else may not have looked.
        self.put_back(names);
        Ok(added)
    }

    async fn statistics(&self, query: Query) -> Result<Statistics, QueryError> {
        self.inner.statistics(query).await
    }

    async fn totals(&self, scopes: Vec<Scope>) -> Result<Vec<Totals>, QueryError> {
        self.inner.totals(scopes).await
    }

    async fn clicks(&self, list: List) -> Result<ClickPage, QueryError> {
        self.inner.clicks(list).await
    }

    async fn forget(&self, link: &LinkName) -> Result<bool, StoreError> {
        self.inner.forget(link).await
    }

    async fn retain(&self) -> Result<Retained, StoreError> {
        self.inner.retain().await
    }
}

fn visited(batches: &[EnrichedBatch]) -> HashSet<LinkName> {
    let clicks = batches.iter().flat_map(|batch| &batch.clicks);
    let clicks = clicks.map(|enriched| &enriched.click);
    clicks
        .filter(|click| click.kind == ClickKind::Visit)
        .map(|click| LinkName {
            domain: click.domain.clone(),
            code: click.code.clone(),
        })
        .collect()
}
