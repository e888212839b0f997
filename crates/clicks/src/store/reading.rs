//! What every engine with rows does to answer a query.

use tollgate_clock::UnixMillis;

use super::raw::Day;
use crate::query::answer::{Answer, Common, Question};
use crate::query::{
    ClickCursor, ClickPage, Filter, List, MAX_PAGE, Period, Previous, Query, QueryError, Scope,
    Statistics,
};
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

/// An answer that is being put together, with that for the period before if both are compared.
pub(super) struct Answers<'q> {
    query: &'q Query,
    from_raw: bool,
    asked: (Period, Answer),
    before: Option<(Period, Answer)>,
}

impl<'q> Answers<'q> {
    /// Nothing is read yet.
    pub(super) fn begin(query: &'q Query, question: &Question) -> Result<Self, QueryError> {
        let period = query.period;
        let starts = query.bucket.starts(period, &query.zone)?;
        let before = period.before().filter(|_| query.compare);
        Ok(Self {
            query,
            from_raw: question.raw.is_some(),
            asked: (period, Answer::new(question, &question.by, starts, period)),
            before: before.map(|period| {
                let starts = vec![period.from()];
                (period, Answer::new(question, &[], starts, period))
            }),
        })
    }

    /// What is to be read: for each period, its answer.
    pub(super) fn each(&mut self) -> impl Iterator<Item = &mut (Period, Answer)> {
        std::iter::once(&mut self.asked).chain(&mut self.before)
    }

    /// The answer, once all of it is read.
    pub(super) fn finish(self) -> Statistics {
        let previous = self.before.map(|(period, answer)| {
            let (total, unique) = answer.sum();
            Previous {
                period,
                total,
                unique,
            }
        });
        let (period, answer) = self.asked;
        answer.finish(period, self.query.top, self.from_raw, previous)
    }
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

/// A page of raw clicks, which are read by the day, the newest first.
pub(super) struct Listing {
    after: Option<ClickCursor>,
    limit: usize,
    clicks: Vec<EnrichedClick>,
    last: Option<ClickCursor>,
    is_full: bool,
}

impl Listing {
    /// None is read yet.
    pub(super) fn of(list: &List) -> Self {
        Self {
            after: list.after,
            limit: list.limit.clamp(1, MAX_PAGE),
            clicks: Vec::new(),
            last: None,
            is_full: false,
        }
    }

    /// Below which number clicks of a day are wanted, the highest first, and how many; none if no
    /// click of the day is.
    pub(super) fn wants(&self, day: Day) -> Option<(i64, i64)> {
        let below = match self.after {
            _ if self.is_full => return None,
            Some(after) if day.0 > after.day => return None,
            Some(after) if day.0 == after.day => after.number,
            _ => i64::MAX,
        };
        // One more than is wanted tells whether there is another page.
        let room = self.limit + 1 - self.clicks.len();
        Some((below, i64::try_from(room).unwrap_or(i64::MAX)))
    }

    /// Takes the next click.
    pub(super) fn tell(&mut self, day: Day, number: i64, click: EnrichedClick) {
        if self.clicks.len() == self.limit {
            self.is_full = true;
            return;
        }
        self.clicks.push(click);
        self.last = Some(ClickCursor { day: day.0, number });
    }

    /// The page.
    pub(super) fn finish(self) -> ClickPage {
        ClickPage {
            clicks: self.clicks,
            next: self.last.filter(|_| self.is_full),
        }
    }
}
