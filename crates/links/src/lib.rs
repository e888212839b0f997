//! Short links: codes, targets, rules, the strategies that make codes, the stores that keep links,
//! the cache in front of them and the service that puts these together.
//!
//! Nothing here knows HTTP or the command line. Text from outside becomes [`Code`], [`Domain`],
//! [`TargetUrl`] and [`LinkSpec`] once, at the edge of this crate; past it they are always valid.

mod base62;
pub mod cache;
mod cached_link;
mod code;
mod domain;
mod domains;
mod draft;
mod error;
mod filter;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod link;
mod password;
mod rule;
mod service;
mod spec;
pub mod store;
pub mod strategy;
mod tag;
mod target;
mod view;
mod visitor;

pub use base62::{Alphabet, DecodeError, EncodeOverflow};
#[cfg(feature = "redis")]
pub use cache::{BreakerOptions, BreakerState, BreakerStats};
pub use cache::{
    CacheOptions, CacheStats, LinkCache, LinkSource, Loaded, Lookup, StoreSource, Tier,
};
#[cfg(feature = "redis")]
pub use cache::{SharedCache, SharedCacheOptions, SharedCacheStats, WriteThrough};
pub use cached_link::{CachedLink, PlainLink};
pub use code::{Code, CodeError, CodeRules, MAX_CODE_CHARS};
pub use domain::{Domain, DomainError};
pub use domains::{Domains, DomainsError, UNRESERVED, without_port};
pub use draft::{FieldError, LinkDraft, LinkPatch, Restored, given};
pub use error::LinkError;
pub use filter::{CodeFilter, Refusal};
pub use link::{Link, LinkKey, LinkSpec, LinkState, Origin, PasswordHash, RedirectKind};
pub use password::{ForeignHash, HiddenText, PasswordError, PasswordHasher};
pub use rule::{Condition, Device, MAX_CONDITION_CHARS, MAX_CONDITIONS, MAX_RULES, Os, Rule};
pub use service::{
    CreatedLink, EditedLink, Follower, LinkService, NewLink, ServiceParts, SweepReport,
};
pub use spec::{MAX_PASSWORD_BYTES, MAX_TITLE_CHARS, SpecRules};
pub use strategy::{Strategies, StrategyError, StrategyKind, StrategyOptions};
pub use tag::{MAX_TAG_CHARS, MAX_TAGS, Tag, TagError};
pub use target::{MAX_TARGET_BYTES, TargetError, TargetRules, TargetUrl};
pub use view::LinkView;
pub use visitor::Visitor;
