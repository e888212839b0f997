//! What every engine with rows does to answer a query.

use tollgate_clock::UnixMillis;

use crate::query::answer::{Answer, Common, Question};
use crate::query::{Filter, Query, QueryError, Scope};
use crate::rollup::ScopeName;
use crate::{EnrichedClick, enriched};

/// The most raw clicks that one query reads.
const MAX_RAW: u64 = 1_000_000;

/// Checks a query. Of days before `raw_since`, raw clicks are not all there.
pub(super) fn check(query: &Query, raw_since: UnixMillis) -> Result<Question, QueryError> {
    query.scope.check()?;
    let question = Question::of(query)?;
    let first = match query.period.before() {
        Some(before) if query.compare => before.from(),
        _ => query.period.from(),
    };
    if question.raw.is_some() && first < raw_since {
        return Err(QueryError::RawIsGone { since: raw_since });
    }
    Ok(question)
}

/// A scope that something was counted in.
pub(super) struct Target {
    /// By which the store knows it.
    pub(super) number: i64,
    pub(super) name: ScopeName,
}

impl Target {
    /// What its clicks have in common.
    pub(super) fn common(&self, bot: bool) -> Common {
        let (link, domain) = match &self.name {
            ScopeName::Link(link) => (
                Some(enriched::link(&link.domain, &link.code)),
                enriched::domain(&link.domain),
            ),
            ScopeName::Domain(domain) => (None, enriched::domain(domain)),
            ScopeName::Everything | ScopeName::Orphans => (None, None),
        };
        Common { link, domain, bot }
    }
}

/// What is counted apart of what is asked for, each once.
pub(super) fn names(scope: &Scope) -> Vec<ScopeName> {
    match scope {
        Scope::Everything => vec![ScopeName::Everything],
        Scope::Orphans => vec![ScopeName::Orphans],
        Scope::Domain(domain) => vec![ScopeName::Domain(domain.clone())],
        Scope::Link(link) => vec![ScopeName::Link(link.clone())],
        Scope::Links(links) => {
            let mut links = links.clone();
            links.sort_unstable();
            links.dedup();
            links.into_iter().map(ScopeName::Link).collect()
        }
    }
}

/// Raw clicks that become an answer.
pub(super) struct RawReading<'a> {
    answer: &'a mut Answer,
    question: &'a Question,
    filters: &'a [Filter],
    seen: u64,
}

impl<'a> RawReading<'a> {
    /// None is read yet.
    pub(super) const fn new(
        answer: &'a mut Answer,
        question: &'a Question,
        filters: &'a [Filter],
    ) -> Self {
        Self {
            answer,
            question,
            filters,
            seen: 0,
        }
    }

    /// Takes the next click of the scope and the period.
    pub(super) fn tell(&mut self, click: &EnrichedClick) -> Result<(), QueryError> {
        self.seen += 1;
        if self.seen > MAX_RAW {
            return Err(QueryError::TooManyClicks { most: MAX_RAW });
        }
        let matches = |filter: &Filter| click.value(filter.dimension) == filter.value;
        if self.question.bots.admits(click.bot) && self.filters.iter().all(matches) {
            self.answer.click(click);
        }
        Ok(())
    }
}
