use std::num::NonZeroUsize;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tollgate_clock::UnixMillis;

use super::StoreError;
use crate::{Code, Domain, Link, LinkKey, LinkSpec, Tag};

/// Keeps links. Everything it answers `Ok` to is durable: it survives kill -9 and power loss as
/// far as the engine promises it.
#[async_trait]
pub trait LinkStore: Send + Sync + 'static {
    /// Inserts each link whose code is free, independently of the others, in one durable commit.
    /// Answers in the order given. Insert-if-absent is the only thing that makes codes unique.
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError>;

    /// One link, whatever its state.
    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError>;

    /// The same for a visitor, perhaps from a copy of the store that is behind it. It is never behind what
    /// this store has written, read in its feed or [heard of](Self::heard_of), and never without a link
    /// that the store has.
    async fn find(&self, key: &LinkKey) -> Result<LinkCopy, StoreError> {
        let link = self.get(key).await?;
        Ok(LinkCopy { link, newest: true })
    }

    /// Somebody says that these were changed: [`find`](Self::find) shows it from now on.
    fn heard_of(&self, _: &[LinkKey]) {}

    /// Whether visitors' links can be read now: reads one that cannot exist, which costs one look at an index.
    async fn answers(&self) -> Result<(), StoreError> {
        self.get(&nobody()).await.map(drop)
    }

    /// Replaces a link's spec if its version is still the expected one, and writes the history.
    async fn update(&self, update: Update) -> Result<Updated, StoreError>;

    /// Deletes a link. Its history stays readable.
    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError>;

    /// One page of links, stable under concurrent inserts: following cursors never shows a link
    /// twice and never skips one that was there from the start.
    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError>;

    /// Everything done to the link of this name, newest first, at most `limit` entries.
    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError>;

    /// Takes one click of a link with `max_clicks`, durably: exactly `max_clicks` calls are
    /// granted, however many run at once.
    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError>;

    /// Deletes at most `limit` links that expired before `before`, the longest expired first, with
    /// all entries under their names in the history, and forgets at most `limit` idempotency tokens
    /// older than `tokens_before`.
    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError>;

    /// Number of links, for health and metrics. May be an estimate.
    async fn count(&self) -> Result<u64, StoreError>;
}

/// The name of a link that cannot exist.
pub(in crate::store) fn nobody() -> LinkKey {
    LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored(""),
    }
}

/// Tells of links that were edited or deleted by anyone, in any process.
#[async_trait]
pub trait ChangeFeed: Send + Sync + 'static {
    /// What changed after `after`; nothing yet but the position from now on, if `None`. New links
    /// are no changes; edited, deleted and swept ones are.
    async fn changes(&self, after: Option<ChangeSeq>) -> Result<Changes, StoreError>;

    /// Returns when there may be something new; one follower waits at a time. A store that is not told
    /// of changes never returns, so followers look from time to time as well.
    async fn changed(&self) {
        std::future::pending().await
    }
}

/// The most keys one call of [`ChangeFeed::changes`] answers.
pub const FEED_BATCH: usize = 1_000;

/// A position in the feed of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeSeq(pub u64);

/// What changed since a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The links, oldest change first, at most [`FEED_BATCH`]; those of one link may repeat.
    pub keys: Vec<LinkKey>,
    /// Ask with this next.
    pub upto: ChangeSeq,
    /// The feed no longer reaches back far enough: forget everything cached.
    pub lost: bool,
}

/// The answer to [`LinkStore::find`].
#[derive(Debug, Clone, PartialEq)]
pub struct LinkCopy {
    /// The link; `None` if there is none of this name.
    pub link: Option<Link>,
    /// Whether it is as the store has it, and not a copy that may be behind.
    pub newest: bool,
}

/// A link to insert.
#[derive(Debug, Clone)]
pub struct Insert {
    /// The link as it shall be; `version` 1, `clicks_used` as given (imports carry it over).
    pub link: Link,
    /// If a link of the same domain with an equal spec exists that is neither expired nor used up
    /// by the store's clock, answer it instead (the oldest, if there are several).
    pub reuse: bool,
    /// Remembered with the link, in the same commit.
    pub idempotency: Option<IdempotencyToken>,
}

/// A write that must take effect once however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyToken {
    /// Hash of who asked, and the `Idempotency-Key` (with the row's number in a bulk request).
    pub id: [u8; 16],
    /// Hash of the request, to notice a key used for something else.
    pub request: [u8; 16],
    /// When it was sent.
    pub at: UnixMillis,
}

/// What became of an [`Insert`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// It is stored.
    Created(Link),
    /// An equal link was there.
    Reused(Link),
    /// The same request succeeded before; this is the link as it was answered then.
    Replayed(Link),
    /// The code belongs to another link.
    CodeTaken,
    /// The idempotency key was used for another request.
    TokenMismatch,
}

/// A change of a link's spec.
#[derive(Debug, Clone)]
pub struct Update {
    /// Which link.
    pub key: LinkKey,
    /// The version it must still have.
    pub expected_version: u64,
    /// Its spec from now on.
    pub spec: LinkSpec,
    /// Who asks: the identifier of an API key.
    pub actor: String,
    /// When.
    pub at: UnixMillis,
    /// Remembered with the edit, in the same commit.
    pub idempotency: Option<IdempotencyToken>,
}

/// What became of an [`Update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Updated {
    /// The link as it is now.
    Updated(Link),
    /// The same request succeeded before; the link as it was answered then.
    Replayed(Link),
    /// Somebody else was faster; this is the version now.
    VersionMismatch(u64),
    /// There is no such link.
    NotFound,
    /// The idempotency key was used for another request.
    TokenMismatch,
}

/// A deletion.
#[derive(Debug, Clone)]
pub struct Delete {
    /// Which link.
    pub key: LinkKey,
    /// The version it must still have, if that matters.
    pub expected_version: Option<u64>,
    /// Who asks.
    pub actor: String,
    /// When.
    pub at: UnixMillis,
    /// Remembered with the deletion, in the same commit.
    pub idempotency: Option<IdempotencyToken>,
}

/// What became of a [`Delete`].
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and most deletions succeed"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone; this is what it was.
    Deleted(Link),
    /// The same request succeeded before.
    Replayed,
    /// It was edited meanwhile; this is its version now.
    VersionMismatch(u64),
    /// There is no such link.
    NotFound,
    /// The idempotency key was used for another request.
    TokenMismatch,
}

/// The answer to [`LinkStore::take_click`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClickGrant {
    /// The click is this caller's.
    Granted {
        /// Clicks left after this one.
        remaining: u64,
    },
    /// None was left.
    UsedUp,
    /// The link has no `max_clicks` (any more).
    Unlimited,
    /// The link is gone.
    NotFound,
}

/// Which links to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only of this domain.
    pub domain: Option<Domain>,
    /// Only with this tag.
    pub tag: Option<Tag>,
    /// Only those whose code, title or target (without scheme and `www.`) begins with this,
    /// whatever the case.
    pub prefix: Option<String>,
    /// In this order.
    pub order: ListOrder,
    /// After the page this came with.
    pub cursor: Option<Cursor>,
    /// At most so many.
    pub limit: Option<NonZeroUsize>,
}

/// The order of a listing. Ties are broken by the order of insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListOrder {
    /// Newest first.
    #[default]
    CreatedDescending,
    /// Oldest first.
    CreatedAscending,
    /// By code, then domain.
    CodeAscending,
    /// By code backwards.
    CodeDescending,
}

/// Where a page ended; made by the store that reads it, opaque to everyone else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The links.
    pub links: Vec<Link>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// One entry of a link's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// When.
    pub at: UnixMillis,
    /// Who: the identifier of an API key.
    pub actor: String,
    /// What.
    pub action: EditAction,
    /// The version this led to.
    pub version: u64,
    /// Changed fields with the value before and after, as `{"field": [before, after]}`. Passwords
    /// appear as set or not set only.
    pub changes: Value,
}

/// What was done to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EditAction {
    /// Made.
    Created,
    /// Edited.
    Updated,
    /// Deleted by somebody.
    Deleted,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Deleted links.
    pub links: Vec<LinkKey>,
    /// Among them, codes that came from the pool.
    pub pool_codes: Vec<Code>,
    /// How many idempotency tokens were forgotten.
    pub tokens: usize,
}
