//! Short links: codes, targets, rules, the strategies that make codes, the stores that keep links,
//! the cache in front of them and the service that puts these together.
//!
//! Nothing here knows HTTP or the command line. Text from outside becomes [`Code`], [`Domain`],
//! [`TargetUrl`] and [`LinkSpec`] once, at the edge of this crate; past it they are always valid.

mod code;
mod domain;
mod link;
mod rule;
pub mod store;
mod tag;
mod target;

pub use code::{Code, CodeError, CodeRules};
pub use domain::{Domain, DomainError};
pub use link::{Link, LinkKey, LinkSpec, LinkState, Origin, PasswordHash, RedirectKind};
pub use rule::{Condition, Device, Os, Rule};
pub use tag::{Tag, TagError};
pub use target::{TargetError, TargetRules, TargetUrl};
