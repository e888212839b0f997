//! Making links: drafts are checked, codes found, and as many inserts as possible share a commit.

use std::sync::atomic::Ordering::Relaxed;

use tollgate_clock::UnixMillis;

use super::{CreatedLink, LinkService, NewLink, field};
use crate::store::{IdempotencyToken, Insert, Inserted, StoreError};
use crate::strategy::Candidate;
use crate::{
    Code, Domain, Link, LinkDraft, LinkError, LinkKey, LinkSpec, Origin, Restored, StrategyKind,
};

/// How many codes are tried for one link. With codes of 7 characters even a store of a billion
/// links takes 16 clashes in a row less than once in 10^56 links; short codes run out visibly.
const MAX_CODE_ATTEMPTS: u32 = 16;

/// Attempts that take the salts of the hash strategy in order, so that codes follow from targets.
/// Each link to the same target uses one up; later attempts take random salts, so that any number
/// of links to one target can be made.
const ORDERED_SALTS: u32 = 8;

/// A checked draft that waits for its code to be accepted.
struct Pending {
    /// Its place in the caller's order.
    place: usize,
    domain: Domain,
    spec: LinkSpec,
    code: Wanted,
    reuse: bool,
    created_at: UnixMillis,
    clicks_used: u64,
    restored: Option<Restored>,
    idempotency: Option<IdempotencyToken>,
}

enum Wanted {
    Alias(Code),
    Generated(StrategyKind),
}

impl LinkService {
    /// Creates one link.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn create(&self, new: NewLink, actor: &str) -> Result<CreatedLink, LinkError> {
        let mut results = self.create_many(vec![new], actor).await;
        results.pop().unwrap_or_else(|| Err(unanswered()))
    }

    /// Creates many, in few commits; each succeeds or fails for itself, answered in order.
    pub async fn create_many(
        &self,
        new: Vec<NewLink>,
        actor: &str,
    ) -> Vec<Result<CreatedLink, LinkError>> {
        let mut results: Vec<Option<Result<CreatedLink, LinkError>>> = Vec::new();
        results.resize_with(new.len(), || None);
        let mut pending = Vec::with_capacity(new.len());
        for (place, checked) in self.checked(new).await.into_iter().enumerate() {
            match checked {
                Ok(draft) => pending.push(Pending { place, ..draft }),
                Err(error) => results[place] = Some(Err(error)),
            }
        }
        for attempt in 0..MAX_CODE_ATTEMPTS {
            if pending.is_empty() {
                break;
            }
            pending = self.round(pending, attempt, actor, &mut results).await;
        }
        for left in pending {
            results[left.place] = Some(Err(LinkError::NoFreeCode(MAX_CODE_ATTEMPTS)));
        }
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|| Err(unanswered())))
            .collect()
    }

    /// Whether each of many drafts could become a link now, answered in order, as
    /// [`Self::create_many`] would; somebody else may be faster. None is made.
    ///
    /// # Errors
    /// For each draft, see [`LinkError`].
    pub async fn check_many(&self, drafts: Vec<LinkDraft>) -> Vec<Result<(), LinkError>> {
        let mut answers = Vec::with_capacity(drafts.len());
        let new = drafts.into_iter().map(|draft| NewLink {
            draft,
            idempotency: None,
        });
        for checked in self.checked(new.collect()).await {
            answers.push(match checked {
                Err(error) => Err(error),
                Ok(Pending {
                    domain,
                    code: Wanted::Alias(code),
                    ..
                }) => self.is_free(LinkKey { domain, code }).await,
                Ok(_) => Ok(()),
            });
        }
        answers
    }

    async fn is_free(&self, key: LinkKey) -> Result<(), LinkError> {
        match self.parts.store.get(&key).await? {
            None => Ok(()),
            Some(_) => Err(LinkError::CodeTaken(key)),
        }
    }

    /// Checks drafts, answered in order; only passwords cost enough CPU to leave the runtime for.
    async fn checked(&self, new: Vec<NewLink>) -> Vec<Result<Pending, LinkError>> {
        let count = new.len();
        let hashes = new.iter().any(|new| new.draft.password.is_some());
        let service = self.clone();
        let check = move || new.into_iter().map(|new| service.check(new)).collect();
        if !hashes {
            return check();
        }
        let _place = match count {
            1 => match self.place() {
                Ok(place) => Some(place),
                Err(overloaded) => return vec![Err(overloaded)],
            },
            _ => None,
        };
        self.off_the_runtime(check).await.unwrap_or_else(|error| {
            tracing::error!(%error, "drafts could not be checked");
            std::iter::repeat_with(|| Err(unanswered()))
                .take(count)
                .collect()
        })
    }

    fn check(&self, new: NewLink) -> Result<Pending, LinkError> {
        let NewLink { draft, idempotency } = new;
        let now = self.parts.clock.now();
        let mut wrong = Vec::new();
        let spec = self
            .parts
            .specs
            .spec(&draft, now)
            .map_err(|errors| wrong.extend(errors));
        let domain = self
            .parts
            .domains
            .named(draft.domain.as_deref())
            .map_err(|error| wrong.push(field("domain", &error)));
        let code = self.wanted(&draft).map_err(|error| wrong.push(error));
        let (Ok(spec), Ok(domain), Ok(code)) = (spec, domain, code) else {
            return Err(LinkError::Invalid(wrong));
        };
        Ok(Pending {
            place: 0,
            domain,
            spec,
            code,
            reuse: draft.reuse,
            created_at: draft.created_at.unwrap_or(now),
            clicks_used: draft.clicks_used.unwrap_or(0),
            restored: draft.restore,
            idempotency,
        })
    }

    fn wanted(&self, draft: &LinkDraft) -> Result<Wanted, crate::FieldError> {
        let Some(alias) = &draft.code else {
            let kind = draft.strategy.unwrap_or(self.parts.default_strategy);
            return Ok(Wanted::Generated(kind));
        };
        if draft.strategy.is_some() {
            return Err(crate::FieldError {
                field: "strategy".to_owned(),
                reason: "a code is given, so no strategy makes one: leave one of the two out"
                    .to_owned(),
            });
        }
        self.alias(alias).map(Wanted::Alias)
    }

    fn alias(&self, alias: &str) -> Result<Code, crate::FieldError> {
        let code = self.parts.codes.parse(alias);
        let code = code.map_err(|error| field("code", &error))?;
        let allowed = self.parts.filter.check(&code);
        allowed.map_err(|error| field("code", &error))?;
        Ok(code)
    }

    /// Whether a link could be made with this alias now. Somebody else may be faster.
    ///
    /// # Errors
    /// [`LinkError::Invalid`] for what can be no alias, and for a domain that is not served here;
    /// [`LinkError::CodeTaken`]; [`LinkError::Store`].
    pub async fn check_alias(&self, domain: Option<&str>, alias: &str) -> Result<(), LinkError> {
        let code = self.alias(alias);
        let code = code.map_err(|error| LinkError::Invalid(vec![error]))?;
        let domain = self.parts.domains.named(domain);
        let domain = domain.map_err(|error| LinkError::Invalid(vec![field("domain", &error)]))?;
        self.is_free(LinkKey { domain, code }).await
    }

    /// One commit: everybody gets a code, the store decides, those that clashed are returned.
    async fn round(
        &self,
        pending: Vec<Pending>,
        attempt: u32,
        actor: &str,
        results: &mut [Option<Result<CreatedLink, LinkError>>],
    ) -> Vec<Pending> {
        let mut tried = Vec::with_capacity(pending.len());
        let mut inserts = Vec::with_capacity(pending.len());
        for draft in pending {
            match self.candidate(&draft, attempt).await {
                Ok(candidate) => {
                    inserts.push(draft.insert(&candidate, actor));
                    tried.push((draft, candidate));
                }
                Err(error) => results[draft.place] = Some(Err(error)),
            }
        }
        if inserts.is_empty() {
            return Vec::new();
        }
        let inserted = match self.parts.store.insert(inserts).await {
            Ok(inserted) => inserted,
            Err(error) => {
                // Whether the commit happened is unknown: pool codes stay out of the pool until
                // their lease ends.
                for (draft, _) in tried {
                    results[draft.place] = Some(Err(LinkError::Store(error.clone())));
                }
                return Vec::new();
            }
        };
        let mut clashed = Vec::new();
        let mut decided = Vec::new();
        for ((draft, candidate), outcome) in tried.into_iter().zip(inserted) {
            let place = draft.place;
            let generated = matches!(draft.code, Wanted::Generated(_));
            let key = draft.key(&candidate);
            let used = matches!(outcome, Inserted::Created(_) | Inserted::CodeTaken);
            if used && candidate.pooled.is_some() {
                decided.push(candidate);
            }
            let made = |link, reused, replayed| CreatedLink {
                link,
                reused,
                replayed,
            };
            results[place] = Some(match outcome {
                Inserted::Created(link) => {
                    // The absence of this code may be cached.
                    self.parts.cache.invalidate(&key);
                    self.created.fetch_add(1, Relaxed);
                    Ok(made(link, false, false))
                }
                Inserted::Reused(link) => Ok(made(link, true, false)),
                Inserted::Replayed(link) => {
                    // It may have been made just now, by a request whose answer was lost.
                    self.parts.cache.invalidate(&link.key);
                    Ok(made(link, false, true))
                }
                Inserted::TokenMismatch => Err(LinkError::IdempotencyMismatch),
                Inserted::CodeTaken if generated => {
                    clashed.push(draft);
                    continue;
                }
                Inserted::CodeTaken => self
                    .reusable(&draft, key)
                    .await
                    .map(|link| made(link, true, false)),
            });
        }
        self.settle(&decided).await;
        clashed
    }

    /// The link that has the alias asked for, if it may be reused and is as good.
    async fn reusable(&self, draft: &Pending, key: LinkKey) -> Result<Link, LinkError> {
        let found = if draft.reuse {
            self.parts.store.get(&key).await?
        } else {
            None
        };
        let now = self.parts.clock.now();
        let is_good = |link: &Link| link.is_as_good_as(&key.domain, &draft.spec, now);
        found.filter(is_good).ok_or(LinkError::CodeTaken(key))
    }

    async fn candidate(&self, draft: &Pending, attempt: u32) -> Result<Candidate, LinkError> {
        match &draft.code {
            Wanted::Alias(code) => Ok(Candidate {
                code: code.clone(),
                origin: Origin::Alias,
                pooled: None,
            }),
            Wanted::Generated(kind) => {
                let target = &draft.spec.target;
                let strategies = &self.parts.strategies;
                Ok(strategies
                    .propose(*kind, &draft.domain, target, salt(attempt))
                    .await?)
            }
        }
    }

    /// The links are made: pool codes that cannot be removed now come back, clash, and go then.
    async fn settle(&self, candidates: &[Candidate]) {
        if candidates.is_empty() {
            return;
        }
        if let Err(error) = self.parts.strategies.settle(candidates).await {
            tracing::warn!(%error, "used codes could not be removed from the pool");
        }
    }
}

impl Pending {
    fn key(&self, candidate: &Candidate) -> LinkKey {
        LinkKey {
            domain: self.domain.clone(),
            code: candidate.code.clone(),
        }
    }

    fn insert(&self, candidate: &Candidate, actor: &str) -> Insert {
        let mut link = Link {
            key: self.key(candidate),
            spec: self.spec.clone(),
            origin: candidate.origin,
            created_at: self.created_at,
            updated_at: self.created_at,
            created_by: actor.to_owned(),
            version: 1,
            clicks_used: self.clicks_used,
        };
        if let Some(restored) = &self.restored {
            link.origin = restored.origin;
            link.updated_at = restored.updated_at;
            link.created_by.clone_from(&restored.created_by);
            link.version = restored.version;
        }
        Insert {
            link,
            // Of an alias, only the link that has it can be reused: see `reusable`.
            reuse: self.reuse && matches!(self.code, Wanted::Generated(_)),
            idempotency: self.idempotency,
        }
    }
}

/// The salt of an attempt; see [`ORDERED_SALTS`]. The other strategies look at none.
fn salt(attempt: u32) -> u32 {
    if attempt < ORDERED_SALTS {
        return attempt;
    }
    // Without randomness the attempt may clash once more, and that is all.
    getrandom::u32().unwrap_or(attempt)
}

fn unanswered() -> LinkError {
    LinkError::Store(StoreError::Unavailable(
        "the request was not decided".to_owned(),
    ))
}
