//! The link service: drafts in, links out, with caches told and codes found.

use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::Clock;

use crate::store::{ChangeFeed, Edit, IdempotencyToken, LinkStore, ListQuery, Page};
use crate::{
    CodeFilter, CodeRules, Domains, Link, LinkCache, LinkDraft, LinkError, LinkKey, LinkPatch,
    SpecRules, Strategies, StrategyKind,
};

/// What the service is made of.
pub struct ServiceParts {
    /// Where links live.
    pub store: Arc<dyn LinkStore>,
    /// Who edits links elsewhere.
    pub feed: Arc<dyn ChangeFeed>,
    /// The cache the edge reads through.
    pub cache: Arc<LinkCache>,
    /// How codes are made.
    pub strategies: Arc<Strategies>,
    /// Which strategy, if the draft names none.
    pub default_strategy: StrategyKind,
    /// How codes are read.
    pub codes: CodeRules,
    /// Which codes nobody gets.
    pub filter: Arc<CodeFilter>,
    /// What the other fields have to keep.
    pub specs: SpecRules,
    /// The hosts served.
    pub domains: Domains,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// One link to create.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// What is wanted.
    pub draft: LinkDraft,
    /// So that a repeated request creates nothing twice.
    pub idempotency: Option<IdempotencyToken>,
}

/// A link that was created, or found instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedLink {
    /// The link.
    pub link: Link,
    /// Whether it was there before (`reuse`). A replay of an idempotent request answers what the
    /// first answered.
    pub reused: bool,
    /// Whether this is the answer to an earlier request with the same idempotency token.
    pub replayed: bool,
}

/// What one sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Deleted links.
    pub links: u64,
    /// Whether the batch was full, so that there may be more.
    pub more: bool,
}

/// Creates, edits, finds and deletes links. Cheap to clone.
#[derive(Clone)]
pub struct LinkService {
    parts: Arc<ServiceParts>,
}

impl LinkService {
    /// SKELETON
    #[must_use]
    pub fn new(parts: ServiceParts) -> Self {
        todo!()
    }

    /// What the service is made of, for those who share a part.
    #[must_use]
    pub fn parts(&self) -> &ServiceParts {
        &self.parts
    }

    /// Names a link from text.
    ///
    /// # Errors
    /// [`LinkError::Invalid`] for a text that is no code or an unknown domain.
    pub fn key(&self, domain: Option<&str>, code: &str) -> Result<LinkKey, LinkError> {
        todo!()
    }

    /// Creates one link.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn create(&self, new: NewLink, actor: &str) -> Result<CreatedLink, LinkError> {
        todo!()
    }

    /// Creates many, in few commits; each succeeds or fails for itself, answered in order.
    pub async fn create_many(
        &self,
        new: Vec<NewLink>,
        actor: &str,
    ) -> Vec<Result<CreatedLink, LinkError>> {
        todo!()
    }

    /// One link, fresh from the store.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn get(&self, key: &LinkKey) -> Result<Link, LinkError> {
        todo!()
    }

    /// Edits a link; `expected_version` is the caller's `If-Match`. Without it, the edit is retried
    /// on the newest version if another one comes between.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn update(
        &self,
        key: &LinkKey,
        patch: LinkPatch,
        expected_version: Option<u64>,
        actor: &str,
        idempotency: Option<IdempotencyToken>,
    ) -> Result<Link, LinkError> {
        todo!()
    }

    /// Deletes a link.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn delete(
        &self,
        key: &LinkKey,
        expected_version: Option<u64>,
        actor: &str,
        idempotency: Option<IdempotencyToken>,
    ) -> Result<(), LinkError> {
        todo!()
    }

    /// One page of links.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn list(&self, query: &ListQuery) -> Result<Page, LinkError> {
        todo!()
    }

    /// What was done to a link, newest first.
    ///
    /// # Errors
    /// See [`LinkError`]; `NotFound` if there never was such a link.
    pub async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, LinkError> {
        todo!()
    }

    /// Deletes one bounded batch of links expired for longer than `grace`, tells the cache, and
    /// returns pool codes to quarantine.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn sweep(
        &self,
        grace: Duration,
        keep_tokens: Duration,
        batch: usize,
    ) -> Result<SweepReport, LinkError> {
        todo!()
    }
}
