//! The link service: drafts in, links out, with caches told and codes found.

mod create;
mod follow;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tollgate_clock::Clock;

pub use self::follow::Follower;
use crate::store::{
    ChangeFeed, Delete, Deleted, Edit, IdempotencyToken, LinkStore, ListQuery, Page, StoreError,
    Update, Updated,
};
use crate::{
    Code, CodeFilter, CodeRules, Domains, FieldError, Link, LinkCache, LinkDraft, LinkError,
    LinkKey, LinkPatch, LinkSpec, Origin, SpecRules, Strategies, StrategyKind,
};

/// How often an edit without a version is tried on the newest one before it is given up.
const MAX_EDIT_ATTEMPTS: u32 = 16;

/// Requests whose passwords are hashed at once: each takes a core and 19 MiB.
const MAX_HASHING: usize = 2;

/// Requests with one password that may be hashed or wait for it: each takes some tens of milliseconds,
/// so whoever is let in waits less than a second. Lists of drafts wait for longer.
const MAX_WAITING: usize = MAX_HASHING * 17;

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

/// A link that was edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedLink {
    /// The link as it is now.
    pub link: Link,
    /// What it was before; none if nothing was changed by this request.
    pub before: Option<LinkSpec>,
}

/// What one sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Deleted links.
    pub links: u64,
    /// Whether the batch of links or that of tokens was full, so that there may be more.
    pub more: bool,
}

/// Creates, edits, finds and deletes links. Cheap to clone.
#[derive(Clone)]
pub struct LinkService {
    parts: Arc<ServiceParts>,
    hashing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    created: Arc<AtomicU64>,
}

impl LinkService {
    /// A service of these parts.
    #[must_use]
    pub fn new(parts: ServiceParts) -> Self {
        Self {
            parts: Arc::new(parts),
            hashing: Arc::new(Semaphore::new(MAX_HASHING)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            created: Arc::default(),
        }
    }

    /// What the service is made of, for those who share a part.
    #[must_use]
    pub fn parts(&self) -> &ServiceParts {
        &self.parts
    }

    /// How many links were created since the start, in bulk requests too.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created.load(Relaxed)
    }

    /// Names a link from text.
    ///
    /// # Errors
    /// [`LinkError::Invalid`] for a text that is no code or an unknown domain.
    pub fn key(&self, domain: Option<&str>, code: &str) -> Result<LinkKey, LinkError> {
        let mut wrong = Vec::new();
        let domain = self.parts.domains.named(domain);
        let code = self.parts.codes.parse(code);
        match (domain, code) {
            (Ok(domain), Ok(code)) => return Ok(LinkKey { domain, code }),
            (domain, code) => {
                wrong.extend(code.err().map(|error| field("code", &error)));
                wrong.extend(domain.err().map(|error| field("domain", &error)));
            }
        }
        Err(LinkError::Invalid(wrong))
    }

    /// One link, fresh from the store.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn get(&self, key: &LinkKey) -> Result<Link, LinkError> {
        match self.parts.store.get(key).await? {
            Some(link) => Ok(link),
            None => Err(LinkError::NotFound(key.clone())),
        }
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
    ) -> Result<EditedLink, LinkError> {
        let parts = &self.parts;
        let mut newest = 0;
        for _ in 0..MAX_EDIT_ATTEMPTS {
            let link = self.get(key).await?;
            let spec = self.patched(&link.spec, &patch).await?;
            let fits = expected_version.is_none_or(|expected| expected == link.version);
            if fits && idempotency.is_none() && spec == link.spec {
                // Nothing to write, and nothing a history should tell.
                return Ok(EditedLink { link, before: None });
            }
            let update = Update {
                key: key.clone(),
                // A repeated request is recognised by the store before it compares versions.
                expected_version: expected_version.unwrap_or(link.version),
                spec,
                actor: actor.to_owned(),
                at: parts.clock.now(),
                idempotency,
            };
            let updated = parts.store.update(update).await;
            self.forget_if_changed(key, &updated, |updated| {
                matches!(updated, Updated::Updated(_) | Updated::Replayed(_))
            });
            match updated? {
                Updated::Updated(now) => {
                    // The store has compared versions: it was this one that was replaced.
                    let before = Some(link.spec);
                    return Ok(EditedLink { link: now, before });
                }
                Updated::Replayed(link) => return Ok(EditedLink { link, before: None }),
                Updated::VersionMismatch(now) if expected_version.is_some() => {
                    return Err(LinkError::VersionMismatch(now));
                }
                Updated::VersionMismatch(now) => newest = now,
                Updated::NotFound => return Err(LinkError::NotFound(key.clone())),
                Updated::TokenMismatch => return Err(LinkError::IdempotencyMismatch),
            }
        }
        Err(LinkError::VersionMismatch(newest))
    }

    /// A store that fails may have done it, and the repeated request is then answered as done.
    fn forget_if_changed<T>(
        &self,
        key: &LinkKey,
        outcome: &Result<T, StoreError>,
        changed: impl FnOnce(&T) -> bool,
    ) {
        if outcome.as_ref().map_or(true, changed) {
            self.parts.cache.invalidate(key);
        }
    }

    async fn patched(&self, spec: &LinkSpec, patch: &LinkPatch) -> Result<LinkSpec, LinkError> {
        let result = if matches!(patch.password, Some(Some(_))) {
            let (specs, spec, patch) = (self.parts.specs.clone(), spec.clone(), patch.clone());
            let _place = self.place()?;
            self.off_the_runtime(move || specs.patched(&spec, &patch))
                .await?
        } else {
            self.parts.specs.patched(spec, patch)
        };
        result.map_err(LinkError::Invalid)
    }

    /// Deletes a link, and answers what it was; none if the same request did that before. The code of a pool link
    /// returns to the pool after its quarantine.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn delete(
        &self,
        key: &LinkKey,
        expected_version: Option<u64>,
        actor: &str,
        idempotency: Option<IdempotencyToken>,
    ) -> Result<Option<Link>, LinkError> {
        let delete = Delete {
            key: key.clone(),
            expected_version,
            actor: actor.to_owned(),
            at: self.parts.clock.now(),
            idempotency,
        };
        let deleted = self.parts.store.delete(delete).await;
        self.forget_if_changed(key, &deleted, |deleted| {
            matches!(deleted, Deleted::Deleted(_) | Deleted::Replayed)
        });
        match deleted? {
            Deleted::Deleted(link) => {
                if link.origin == Origin::Pool {
                    self.reclaim(std::slice::from_ref(&link.key.code)).await;
                }
                Ok(Some(link))
            }
            Deleted::Replayed => Ok(None),
            Deleted::VersionMismatch(now) => Err(LinkError::VersionMismatch(now)),
            Deleted::NotFound => Err(LinkError::NotFound(key.clone())),
            Deleted::TokenMismatch => Err(LinkError::IdempotencyMismatch),
        }
    }

    /// One page of links.
    ///
    /// # Errors
    /// [`LinkError::Invalid`] for a cursor from elsewhere, else see [`LinkError`].
    pub async fn list(&self, query: &ListQuery) -> Result<Page, LinkError> {
        match self.parts.store.list(query).await {
            Err(error @ StoreError::BadCursor) => {
                Err(LinkError::invalid("cursor", error.to_string()))
            }
            other => Ok(other?),
        }
    }

    /// What was done to a link, newest first.
    ///
    /// # Errors
    /// See [`LinkError`]; `NotFound` if there never was such a link, or it was swept.
    pub async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, LinkError> {
        let edits = self.parts.store.history(key, limit).await?;
        if edits.is_empty() {
            // Every link has the entry of its creation.
            return Err(LinkError::NotFound(key.clone()));
        }
        Ok(edits)
    }

    /// Deletes one bounded batch of links expired for longer than `grace`, tells the cache, and
    /// returns pool codes to quarantine. Idempotency tokens older than `keep_tokens` are forgotten.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn sweep(
        &self,
        grace: Duration,
        keep_tokens: Duration,
        batch: usize,
    ) -> Result<SweepReport, LinkError> {
        let now = self.parts.clock.now();
        let swept = self
            .parts
            .store
            .sweep(
                now.saturating_sub(grace),
                now.saturating_sub(keep_tokens),
                batch,
            )
            .await?;
        for key in &swept.links {
            self.parts.cache.invalidate(key);
        }
        self.reclaim(&swept.pool_codes).await;
        Ok(SweepReport {
            links: swept.links.len() as u64,
            more: swept.links.len().max(swept.tokens) >= batch,
        })
    }

    /// A code that cannot be put into quarantine is lost to the pool, which makes another: no
    /// reason to fail a deletion that has already happened.
    async fn reclaim(&self, codes: &[Code]) {
        if codes.is_empty() {
            return;
        }
        if let Err(error) = self.parts.strategies.reclaim(codes).await {
            tracing::warn!(%error, codes = codes.len(), "codes cannot return to the pool");
        }
    }

    /// A place among those whose password is hashed soon.
    fn place(&self) -> Result<SemaphorePermit<'_>, LinkError> {
        let place = self.waiting.try_acquire();
        place.map_err(|_| LinkError::Store(StoreError::Overloaded))
    }

    /// Hashes passwords where that holds nobody up, a few requests at once.
    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LinkError> {
        let unavailable = |error: &dyn std::error::Error| {
            LinkError::Store(StoreError::Unavailable(error.to_string()))
        };
        // Waits for its turn, and gives it back even if the caller has left by then.
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let turn = turn.map_err(|error| unavailable(&error))?;
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        // It fails if the work panicked or the runtime is ending.
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| unavailable(&error))
    }
}

fn field(name: &str, error: &dyn std::error::Error) -> FieldError {
    FieldError {
        field: name.to_owned(),
        reason: error.to_string(),
    }
}
