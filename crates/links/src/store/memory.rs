use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tollgate_clock::{Clock, UnixMillis};

use super::cursor::Position;
use super::memory_lease::Leases;
use super::{
    ChangeFeed, ChangeSeq, Changes, ClickGrant, Delete, Deleted, Edit, EditAction, FEED_BATCH,
    IdempotencyToken, Insert, Inserted, LinkStore, ListOrder, ListQuery, Page, StoreError, Swept,
    Update, Updated, changes,
};
use crate::{Domain, Link, LinkKey, LinkSpec, Origin};

/// Changes kept for followers unless said otherwise.
const DEFAULT_FEED_CAPACITY: usize = 10_000;

/// The plain model of a [`LinkStore`] (and of a `LeaseStore`, beside it): one map under one lock, every question answered by looking
/// at everything. It keeps nothing beyond its own life and is there to be compared with.
pub struct MemoryStore {
    // A blocking mutex, because nothing awaits while it is held.
    state: Mutex<State>,
    pub(super) leases: Mutex<Leases>,
    clock: Arc<dyn Clock>,
    feed_capacity: usize,
}

#[derive(Default)]
struct State {
    links: BTreeMap<LinkKey, Entry>,
    last_id: i64,
    history: BTreeMap<LinkKey, Vec<Edit>>,
    tokens: HashMap<[u8; 16], Token>,
    /// Every change kept, with the number of those trimmed before it.
    feed: Vec<LinkKey>,
    feed_trimmed: usize,
}

/// A link and the number that tells the order of insertion.
struct Entry {
    id: i64,
    link: Link,
}

/// What an idempotency token was used for.
struct Token {
    request: [u8; 16],
    at: UnixMillis,
    answer: Answer,
}

enum Answer {
    Inserted(Link),
    Updated(Link),
    Deleted,
}

/// What a token that comes with a write means.
enum Seen<'a> {
    New,
    Before(&'a Answer),
    Mismatch,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_feed_capacity(clock, DEFAULT_FEED_CAPACITY)
    }

    /// An empty store whose feed reaches back `feed_capacity` changes.
    #[must_use]
    pub fn with_feed_capacity(clock: Arc<dyn Clock>, feed_capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            leases: Mutex::default(),
            clock,
            feed_capacity,
        }
    }
}

#[async_trait]
impl LinkStore for MemoryStore {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        Ok(inserts
            .into_iter()
            .map(|insert| state.insert(insert, now))
            .collect())
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        Ok(self
            .state
            .lock()
            .links
            .get(key)
            .map(|entry| entry.link.clone()))
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        let mut state = self.state.lock();
        let updated = state.update(update);
        state.trim_feed(self.feed_capacity);
        Ok(updated)
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        let mut state = self.state.lock();
        let deleted = state.delete(delete);
        state.trim_feed(self.feed_capacity);
        Ok(deleted)
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let after = match &query.cursor {
            Some(cursor) => Some(Position::read(cursor, query.order)?),
            None => None,
        };
        Ok(self.state.lock().list(query, after.as_ref()))
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        let state = self.state.lock();
        let entries = state
            .history
            .get(key)
            .map(Vec::as_slice)
            .unwrap_or_default();
        Ok(entries.iter().rev().take(limit).cloned().collect())
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        let mut state = self.state.lock();
        let Some(Entry { link, .. }) = state.links.get_mut(key) else {
            return Ok(ClickGrant::NotFound);
        };
        let Some(max) = link.spec.max_clicks else {
            return Ok(ClickGrant::Unlimited);
        };
        Ok(match max.get().checked_sub(link.clicks_used) {
            None | Some(0) => ClickGrant::UsedUp,
            Some(left) => {
                link.clicks_used += 1;
                ClickGrant::Granted {
                    remaining: left - 1,
                }
            }
        })
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        let mut state = self.state.lock();
        let swept = state.sweep(before, tokens_before, limit);
        state.trim_feed(self.feed_capacity);
        Ok(swept)
    }

    async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.state.lock().links.len() as u64)
    }
}

#[async_trait]
impl ChangeFeed for MemoryStore {
    async fn changes(&self, after: Option<ChangeSeq>) -> Result<Changes, StoreError> {
        let state = self.state.lock();
        let newest = state.feed_trimmed + state.feed.len();
        let now_on = |lost| Changes {
            keys: Vec::new(),
            upto: ChangeSeq(newest as u64),
            lost,
        };
        let Some(ChangeSeq(after)) = after else {
            return Ok(now_on(false));
        };
        let behind = usize::try_from(after)
            .ok()
            .and_then(|after| newest.checked_sub(after));
        // Ahead of the feed: a position from before the store was replaced by an older one.
        let Some(behind) = behind.filter(|behind| *behind <= state.feed.len()) else {
            return Ok(now_on(true));
        };
        let keys: Vec<LinkKey> = state.feed[state.feed.len() - behind..]
            .iter()
            .take(FEED_BATCH)
            .cloned()
            .collect();
        let upto = ChangeSeq(after + keys.len() as u64);
        Ok(Changes {
            keys,
            upto,
            lost: false,
        })
    }
}

impl State {
    fn seen(&self, token: Option<&IdempotencyToken>) -> Seen<'_> {
        match token.and_then(|token| Some((token, self.tokens.get(&token.id)?))) {
            None => Seen::New,
            Some((token, known)) if token.request == known.request => Seen::Before(&known.answer),
            Some(_) => Seen::Mismatch,
        }
    }

    fn remember(&mut self, token: Option<IdempotencyToken>, answer: Answer) {
        if let Some(IdempotencyToken { id, request, at }) = token {
            self.tokens.insert(
                id,
                Token {
                    request,
                    at,
                    answer,
                },
            );
        }
    }

    fn reusable(&self, domain: &Domain, spec: &LinkSpec, now: UnixMillis) -> Option<&Link> {
        self.links
            .values()
            .filter(|entry| entry.link.is_as_good_as(domain, spec, now))
            .min_by_key(|entry| entry.id)
            .map(|entry| &entry.link)
    }

    fn insert(&mut self, insert: Insert, now: UnixMillis) -> Inserted {
        let Insert {
            link,
            reuse,
            idempotency,
        } = insert;
        match self.seen(idempotency.as_ref()) {
            Seen::New => {}
            Seen::Before(Answer::Inserted(link)) => return Inserted::Replayed(link.clone()),
            Seen::Before(_) | Seen::Mismatch => return Inserted::TokenMismatch,
        }
        if reuse && let Some(found) = self.reusable(&link.key.domain, &link.spec, now).cloned() {
            self.remember(idempotency, Answer::Inserted(found.clone()));
            return Inserted::Reused(found);
        }
        if self.links.contains_key(&link.key) {
            return Inserted::CodeTaken;
        }
        self.last_id += 1;
        // What was done to a restored link before is not known.
        if link.version == 1 {
            let history = self.history.entry(link.key.clone()).or_default();
            history.push(Edit {
                at: link.created_at,
                actor: link.created_by.clone(),
                action: EditAction::Created,
                version: 1,
                changes: changes(None, Some(&link.spec)),
            });
        }
        self.remember(idempotency, Answer::Inserted(link.clone()));
        self.links.insert(
            link.key.clone(),
            Entry {
                id: self.last_id,
                link: link.clone(),
            },
        );
        Inserted::Created(link)
    }

    fn update(&mut self, update: Update) -> Updated {
        let Update {
            key,
            expected_version,
            spec,
            actor,
            at,
            idempotency,
        } = update;
        match self.seen(idempotency.as_ref()) {
            Seen::New => {}
            Seen::Before(Answer::Updated(link)) => return Updated::Replayed(link.clone()),
            Seen::Before(_) | Seen::Mismatch => return Updated::TokenMismatch,
        }
        let Some(Entry { link, .. }) = self.links.get_mut(&key) else {
            return Updated::NotFound;
        };
        if link.version != expected_version {
            return Updated::VersionMismatch(link.version);
        }
        let changes = changes(Some(&link.spec), Some(&spec));
        link.spec = spec;
        link.version += 1;
        link.updated_at = at;
        let link = link.clone();
        self.history.entry(key.clone()).or_default().push(Edit {
            at,
            actor,
            action: EditAction::Updated,
            version: link.version,
            changes,
        });
        self.feed.push(key);
        self.remember(idempotency, Answer::Updated(link.clone()));
        Updated::Updated(link)
    }

    fn delete(&mut self, delete: Delete) -> Deleted {
        let Delete {
            key,
            expected_version,
            actor,
            at,
            idempotency,
        } = delete;
        match self.seen(idempotency.as_ref()) {
            Seen::New => {}
            Seen::Before(Answer::Deleted) => return Deleted::Replayed,
            Seen::Before(_) | Seen::Mismatch => return Deleted::TokenMismatch,
        }
        let Some(Entry { link, .. }) = self.links.get(&key) else {
            return Deleted::NotFound;
        };
        if expected_version.is_some_and(|expected| expected != link.version) {
            return Deleted::VersionMismatch(link.version);
        }
        let link = link.clone();
        self.links.remove(&key);
        self.history.entry(key.clone()).or_default().push(Edit {
            at,
            actor,
            action: EditAction::Deleted,
            version: link.version,
            changes: changes(Some(&link.spec), None),
        });
        self.feed.push(key);
        self.remember(idempotency, Answer::Deleted);
        Deleted::Deleted(link)
    }

    fn list(&self, query: &ListQuery, after: Option<&Position>) -> Page {
        let mut matching: Vec<&Entry> = self
            .links
            .values()
            .filter(|entry| query.matches(&entry.link))
            .collect();
        match query.order {
            ListOrder::CreatedAscending | ListOrder::CreatedDescending => {
                matching.sort_by_key(|entry| (entry.link.created_at, entry.id));
            }
            ListOrder::CodeAscending | ListOrder::CodeDescending => {
                matching.sort_by_key(|entry| (&entry.link.key.code, &entry.link.key.domain));
            }
        }
        let descending = matches!(
            query.order,
            ListOrder::CreatedDescending | ListOrder::CodeDescending
        );
        if descending {
            matching.reverse();
        }
        if let Some(after) = after {
            matching.retain(|entry| {
                let order = match after {
                    Position::Created { at_ms, id } => {
                        (entry.link.created_at.as_millis(), entry.id).cmp(&(*at_ms, *id))
                    }
                    Position::Code(LinkKey { domain, code }) => {
                        (&entry.link.key.code, &entry.link.key.domain).cmp(&(code, domain))
                    }
                };
                if descending {
                    order.is_lt()
                } else {
                    order.is_gt()
                }
            });
        }
        let page = query.page_links();
        let more = matching.len() > page;
        matching.truncate(page);
        let next = matching
            .last()
            .filter(|_| more)
            .map(|last| match query.order {
                ListOrder::CreatedAscending | ListOrder::CreatedDescending => Position::Created {
                    at_ms: last.link.created_at.as_millis(),
                    id: last.id,
                },
                ListOrder::CodeAscending | ListOrder::CodeDescending => {
                    Position::Code(last.link.key.clone())
                }
            });
        Page {
            links: matching
                .into_iter()
                .map(|entry| entry.link.clone())
                .collect(),
            next: next.map(|position| position.to_cursor()),
        }
    }

    fn sweep(&mut self, before: UnixMillis, tokens_before: UnixMillis, limit: usize) -> Swept {
        let mut expired: Vec<(UnixMillis, i64, LinkKey)> = self
            .links
            .values()
            .filter_map(|Entry { id, link }| Some((link.spec.expires_at?, *id, link.key.clone())))
            .filter(|(expires_at, ..)| *expires_at < before)
            .collect();
        expired.sort();
        expired.truncate(limit);
        let mut swept = Swept::default();
        for (_, _, key) in expired {
            let from_pool = self
                .links
                .remove(&key)
                .is_some_and(|entry| entry.link.origin == Origin::Pool);
            self.history.remove(&key);
            self.feed.push(key.clone());
            if from_pool {
                swept.pool_codes.push(key.code.clone());
            }
            swept.links.push(key);
        }
        let mut old: Vec<(UnixMillis, [u8; 16])> = self
            .tokens
            .iter()
            .filter(|(_, token)| token.at < tokens_before)
            .map(|(id, token)| (token.at, *id))
            .collect();
        old.sort_unstable();
        old.truncate(limit);
        swept.tokens = old.len();
        for (_, id) in old {
            self.tokens.remove(&id);
        }
        swept
    }

    fn trim_feed(&mut self, capacity: usize) {
        let excess = self.feed.len().saturating_sub(capacity);
        self.feed.drain(..excess);
        self.feed_trimmed += excess;
    }
}
