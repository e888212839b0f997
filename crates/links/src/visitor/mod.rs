//! Who follows a link, as far as rules care, and where that leads.

pub(crate) mod forward;
mod language;
mod split;
mod user_agent;

use std::borrow::Cow;

use tollgate_clock::UnixMillis;

use self::split::Split;
use self::user_agent::UserAgent;
use crate::{Condition, LinkKey, LinkSpec, Rule};

/// What rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// The `User-Agent` header.
    pub user_agent: Option<&'a str>,
    /// The `Accept-Language` header.
    pub accept_language: Option<&'a str>,
    /// The request's raw query, without the question mark.
    pub query: Option<&'a str>,
    /// The same for the same visitor (a keyed hash of address and user agent): makes percentage
    /// splits sticky.
    pub hash: u64,
    /// When.
    pub now: UnixMillis,
}

impl LinkSpec {
    /// The URL this visitor is sent to: the first rule that fits, or the target; with the
    /// request's query merged in if the link wants that. `key` keeps the splits of different links
    /// independent of each other.
    #[must_use]
    pub fn destination(&self, key: &LinkKey, visitor: &Visitor<'_>) -> Cow<'_, str> {
        let target = if self.rules.is_empty() {
            self.target.as_str()
        } else {
            let facts = Facts::of(key, visitor);
            let rules = self.rules.iter().enumerate();
            rules
                .filter(|(index, rule)| facts.meet(*index, rule))
                .map(|(_, rule)| rule.target.as_str())
                .next()
                .unwrap_or(self.target.as_str())
        };
        forward::led_to(target, self.forward_query, visitor)
    }
}

/// What is found out about a visitor once and asked by every rule.
struct Facts<'a> {
    visitor: &'a Visitor<'a>,
    user_agent: UserAgent,
    /// The tag of the language preferred above all others.
    language: Option<&'a str>,
    split: Split,
}

impl<'a> Facts<'a> {
    fn of(key: &LinkKey, visitor: &'a Visitor<'a>) -> Self {
        Self {
            visitor,
            user_agent: UserAgent::read(visitor.user_agent.unwrap_or_default()),
            language: visitor.accept_language.and_then(language::preferred),
            split: Split::new(key, visitor.hash),
        }
    }

    fn meet(&self, index: usize, rule: &Rule) -> bool {
        rule.conditions
            .iter()
            .enumerate()
            .all(|(nth, condition)| self.hold(condition, (index, nth)))
    }

    fn hold(&self, condition: &Condition, place: (usize, usize)) -> bool {
        match condition {
            Condition::Device { is } => self.user_agent.device() == Some(*is),
            Condition::Os { is } => self.user_agent.os() == Some(*is),
            Condition::Language { is } => self
                .language
                .is_some_and(|tag| language::range_fits(is, tag)),
            Condition::Query { name, value } => {
                let query = self.visitor.query.unwrap_or_default();
                url::form_urlencoded::parse(query.as_bytes()).any(|(given, given_value)| {
                    given == *name && value.as_ref().is_none_or(|value| given_value == *value)
                })
            }
            Condition::Date { from, until } => {
                let now = self.visitor.now;
                from.is_none_or(|from| from <= now) && until.is_none_or(|until| now < until)
            }
            Condition::Percent { share } => self.split.draw(place) < *share,
        }
    }
}

#[cfg(test)]
mod tests;
