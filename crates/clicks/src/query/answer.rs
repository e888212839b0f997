//! Puts an answer together from roll-ups or raw clicks, whatever engine they come from.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use smol_str::SmolStr;
use tollgate_clock::UnixMillis;

use super::plan::{Run, runs};
use super::{
    Bots, Breakdown, Counted, Filter, Period, Previous, Query, QueryError, Statistics, Step,
};
use crate::query::QUARTER_MS;
use crate::rollup::{DamagedRollup, QUARTERS, sections};
use crate::{Dimension, EnrichedClick, Sketch, Value, enriched};

/// What a store has of one hour or day.
pub(crate) struct Row<'r> {
    /// When it begins.
    pub(crate) start: UnixMillis,
    /// Clicks of each quarter of an hour; of a day, all in the first.
    pub(crate) quarters: [u64; QUARTERS],
    /// The sketch of its visitors.
    pub(crate) visitors: &'r [u8],
    /// Its counts per value; empty if they were not asked for.
    pub(crate) counts: &'r [u8],
}

/// A query, checked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) bots: Bots,
    /// A filter that roll-ups can answer, as everything else that is asked.
    pub(crate) filter: Option<Filter>,
    /// All filters, if raw clicks have to be read.
    pub(crate) raw: Option<Vec<Filter>>,
    pub(crate) by: Vec<Dimension>,
    /// Nothing matches.
    pub(crate) nothing: bool,
}

impl Question {
    /// Checks the filters, and finds out what is needed to answer.
    pub(crate) fn of(query: &Query) -> Result<Self, QueryError> {
        let mut question = Self {
            bots: query.bots,
            filter: None,
            raw: None,
            by: Vec::new(),
            nothing: false,
        };
        for dimension in &query.by {
            if !question.by.contains(dimension) {
                question.by.push(*dimension);
            }
        }
        let mut filters: Vec<Filter> = Vec::new();
        for filter in &query.filters {
            if filters
                .iter()
                .any(|other| other.dimension == filter.dimension)
            {
                return Err(QueryError::TwoFilters(filter.dimension));
            }
            filters.push(filter.clone());
        }
        // Programs are counted apart, so that a filter for them is answered by every roll-up.
        filters.retain(|filter| {
            if filter.dimension != Dimension::Bot {
                return true;
            }
            let only = match &filter.value {
                Value::Is(text) if text == "true" => Some(Bots::Only),
                Value::Is(text) if text == "false" => Some(Bots::Exclude),
                _ => None,
            };
            match (only, question.bots) {
                (Some(only), bots) if bots == Bots::Include || bots == only => question.bots = only,
                _ => question.nothing = true,
            }
            false
        });
        let stored = |dimension: Dimension| dimension <= Dimension::UtmContent;
        match filters.as_slice() {
            [] => {}
            [one]
                if stored(one.dimension)
                    && question
                        .by
                        .iter()
                        .all(|by| *by == one.dimension || *by == Dimension::Bot) =>
            {
                question.filter = Some(one.clone());
            }
            _ => question.raw = Some(filters),
        }
        Ok(question)
    }
}

/// An answer that is being put together.
pub(crate) struct Answer {
    filter: Option<Filter>,
    /// The beginning of each step, and the end.
    edges: Vec<UnixMillis>,
    steps: Vec<(u64, Sketch)>,
    by: Vec<OfDimension>,
}

/// Clicks by one dimension.
struct OfDimension {
    dimension: Dimension,
    values: HashMap<SmolStr, u64, RandomState>,
    other: u64,
    /// Of all values, known or not.
    total: u64,
}

/// What all clicks of a roll-up have in common: it is not stored in each.
pub(crate) struct Common {
    /// The link, if it is one.
    pub(crate) link: Option<SmolStr>,
    /// The domain, if it is one.
    pub(crate) domain: Option<SmolStr>,
    /// Whether they are of programs.
    pub(crate) bot: bool,
}

impl Common {
    fn value(&self, dimension: Dimension) -> Option<SmolStr> {
        match dimension {
            Dimension::Link => self.link.clone(),
            Dimension::Domain => self.domain.clone(),
            Dimension::Bot => Some(enriched::bot(self.bot)),
            _ => None,
        }
    }
}

impl Answer {
    /// An answer with these steps.
    pub(crate) fn new(
        question: &Question,
        by: &[Dimension],
        starts: Vec<UnixMillis>,
        period: Period,
    ) -> Self {
        let steps = starts.iter().map(|_| (0, Sketch::default())).collect();
        let mut edges = starts;
        edges.push(period.to());
        let by = by.iter().map(|dimension| OfDimension {
            dimension: *dimension,
            values: HashMap::default(),
            other: 0,
            total: 0,
        });
        Self {
            filter: question.filter.clone(),
            edges,
            steps,
            by: by.collect(),
        }
    }

    /// The roll-ups that [`Self::step`] wants.
    pub(crate) fn step_runs(&self) -> Vec<Run> {
        runs(&self.edges)
    }

    /// Whether [`Self::step`] reads the counts.
    pub(crate) const fn steps_need_counts(&self) -> bool {
        self.filter.is_some()
    }

    /// The roll-ups that [`Self::break_down`] wants.
    pub(crate) fn breakdown_runs(&self) -> Vec<Run> {
        match self.edges.as_slice() {
            [first, .., last] if !self.by.is_empty() => runs(&[*first, *last]),
            _ => Vec::new(),
        }
    }

    /// The step in which a moment lies; none outside of the period.
    fn place(&self, at: i64) -> Option<usize> {
        let behind = self.edges.partition_point(|edge| edge.as_millis() <= at);
        behind
            .checked_sub(1)
            .filter(|place| *place < self.steps.len())
    }

    /// Adds a roll-up to the series. An hour that only belongs to a step in part counts its
    /// quarters, but all of its visitors.
    pub(crate) fn step(&mut self, row: &Row<'_>, hour: bool) -> Result<(), DamagedRollup> {
        let start = row.start.as_millis();
        if let Some(filter) = &self.filter {
            let clicks = matching(row, filter)?;
            if let Some(place) = self.whole(start) {
                self.steps[place].0 += clicks;
            }
            return Ok(());
        }
        if hour {
            for (quarter, clicks) in row.quarters.iter().enumerate() {
                if *clicks > 0
                    && let Some(place) = self.place(start + quarter as i64 * QUARTER_MS)
                {
                    self.steps[place].0 += clicks;
                }
            }
        } else if let Some(place) = self.place(start) {
            self.steps[place].0 += row.quarters.iter().sum::<u64>();
        }
        if let Some(place) = self.whole(start) {
            self.steps[place]
                .1
                .union(row.visitors)
                .map_err(|_| DamagedRollup)?;
        }
        Ok(())
    }

    /// The step to which all of a roll-up is added: the last one that it touches.
    fn whole(&self, start: i64) -> Option<usize> {
        (0..QUARTERS as i64)
            .rev()
            .find_map(|quarter| self.place(start + quarter * QUARTER_MS))
    }

    /// Adds a roll-up to what is counted by dimensions.
    pub(crate) fn break_down(
        &mut self,
        row: &Row<'_>,
        common: &Common,
    ) -> Result<(), DamagedRollup> {
        let clicks = match &self.filter {
            Some(filter) => matching(row, filter)?,
            None => row.quarters.iter().sum::<u64>(),
        };
        for of in &mut self.by {
            of.total += clicks;
            if let Some(value) = common.value(of.dimension) {
                *of.values.entry(value).or_default() += clicks;
            } else if let Some(filter) = &self.filter {
                match &filter.value {
                    Value::Is(value) => *of.values.entry(value.clone()).or_default() += clicks,
                    Value::Other => of.other += clicks,
                    Value::None => {}
                }
            }
        }
        if self.filter.is_some() {
            return Ok(());
        }
        for section in sections(row.counts) {
            let (dimension, section) = section.map_err(|_| DamagedRollup)?;
            let Some(of) = self.by.iter_mut().find(|of| of.dimension == dimension) else {
                continue;
            };
            let OfDimension { values, other, .. } = of;
            let read = section.read(|value, clicks| match value {
                None => *other += clicks,
                Some(value) => match values.get_mut(value) {
                    Some(sum) => *sum += clicks,
                    None => {
                        values.insert(value.into(), clicks);
                    }
                },
            });
            read.map_err(|_| DamagedRollup)?;
        }
        Ok(())
    }

    /// Adds a raw click.
    pub(crate) fn click(&mut self, click: &EnrichedClick) {
        let Some(place) = self.place(click.click.at.as_millis()) else {
            return;
        };
        let (clicks, visitors) = &mut self.steps[place];
        *clicks += 1;
        if let Some(visitor) = click.click.visitor {
            visitors.insert(visitor);
        }
        for of in &mut self.by {
            of.total += 1;
            if let Value::Is(value) = click.value(of.dimension) {
                *of.values.entry(value).or_default() += 1;
            }
        }
    }

    /// The answer.
    pub(crate) fn finish(
        mut self,
        period: Period,
        top: usize,
        from_raw: bool,
        previous: Option<Previous>,
    ) -> Statistics {
        let knows_visitors = self.filter.is_none();
        let (total, unique) = self.sum();
        let series = self
            .edges
            .iter()
            .zip(&mut self.steps)
            .map(|(start, (clicks, visitors))| Step {
                start: *start,
                clicks: *clicks,
                unique: knows_visitors.then(|| visitors.estimate()),
            });
        Statistics {
            period,
            total,
            unique,
            series: series.collect(),
            by: self.by.into_iter().map(|of| of.finish(top)).collect(),
            previous,
            from_raw,
        }
    }

    /// All clicks, and all visitors.
    pub(crate) fn sum(&self) -> (u64, Option<u64>) {
        let total = self.steps.iter().map(|(clicks, _)| clicks).sum();
        let unique = self.filter.is_none().then(|| {
            let mut all = Sketch::default();
            self.steps
                .iter()
                .for_each(|(_, visitors)| all.merge(visitors));
            all.estimate()
        });
        (total, unique)
    }
}

/// The clicks of a roll-up that have a value.
fn matching(row: &Row<'_>, filter: &Filter) -> Result<u64, DamagedRollup> {
    let mut rest = row.quarters.iter().sum::<u64>();
    let (mut is, mut others) = (0, 0);
    for section in sections(row.counts) {
        let (dimension, section) = section.map_err(|_| DamagedRollup)?;
        if dimension != filter.dimension {
            continue;
        }
        let read = section.read(|value, clicks| {
            rest = rest.saturating_sub(clicks);
            match (value, &filter.value) {
                (None, _) => others = clicks,
                (Some(value), Value::Is(wanted)) if value == wanted => is = clicks,
                _ => {}
            }
        });
        read.map_err(|_| DamagedRollup)?;
    }
    Ok(match filter.value {
        Value::Is(_) => is,
        Value::None => rest,
        Value::Other => others,
    })
}

impl OfDimension {
    fn finish(self, top: usize) -> Breakdown {
        let known = self.values.values().sum::<u64>() + self.other;
        let mut values: Vec<Counted> = self
            .values
            .into_iter()
            .map(|(value, clicks)| Counted {
                value: Value::Is(value),
                clicks,
            })
            .collect();
        values.push(Counted {
            value: Value::None,
            clicks: self.total.saturating_sub(known),
        });
        values.retain(|counted| counted.clicks > 0);
        values.sort_unstable_by(|one, next| {
            next.clicks
                .cmp(&one.clicks)
                .then_with(|| one.value.cmp(&next.value))
        });
        let beyond = values.split_off(top.min(values.len()));
        let other = self.other + beyond.iter().map(|counted| counted.clicks).sum::<u64>();
        if other > 0 {
            values.push(Counted {
                value: Value::Other,
                clicks: other,
            });
        }
        Breakdown {
            dimension: self.dimension,
            values,
        }
    }
}
