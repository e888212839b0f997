//! A batch of clicks added up in memory, so that the store is touched once for many clicks.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use smol_str::SmolStr;

use super::{DAY_MS, HOUR_MS, QUARTERS};
use crate::query::{LinkName, QUARTER_MS};
use crate::{ClickKind, Dimension, EnrichedClick, Sketch, enriched};

type Map<K, V> = HashMap<K, V, RandomState>;

/// What is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ScopeName {
    /// All visits.
    Everything,
    /// All visits of codes that do not exist.
    Orphans,
    /// Visits on a domain.
    Domain(SmolStr),
    /// Visits of a link.
    Link(LinkName),
}

impl ScopeName {
    /// How it is stored: kind, domain, code. The kinds are never used again.
    pub(crate) fn columns(&self) -> (i16, &str, &str) {
        match self {
            Self::Everything => (0, "", ""),
            Self::Domain(domain) => (1, domain, ""),
            Self::Link(link) => (2, &link.domain, &link.code),
            Self::Orphans => (3, "", ""),
        }
    }
}

/// How long a roll-up is, and when, counted since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Grain {
    /// This hour.
    Hour(i64),
    /// This day.
    Day(i64),
}

/// Clicks of one scope, one grain, and either of people or of programs.
#[derive(Debug, Default)]
pub(crate) struct Rollup {
    /// Clicks in each quarter of the hour; of a day, all in the first.
    pub(crate) quarters: [u64; QUARTERS],
    /// Who they came from.
    pub(crate) visitors: Sketch,
    /// The values, by their places in [`RollupBatch::values`], each as often as it came.
    places: Vec<u32>,
}

/// A batch added up.
#[derive(Debug, Default)]
pub(crate) struct RollupBatch {
    /// Each scope once.
    pub(crate) scopes: Vec<ScopeName>,
    /// The roll-ups: scope by its place, whether programs, grain. Sorted.
    pub(crate) rollups: Vec<((usize, bool, Grain), Rollup)>,
    values: Vec<(Dimension, SmolStr)>,
}

impl RollupBatch {
    /// Adds clicks up.
    pub(crate) fn of<'c>(clicks: impl Iterator<Item = &'c EnrichedClick>) -> Self {
        let mut adding = Adding::default();
        for click in clicks {
            adding.add(click);
        }
        adding.finish()
    }

    /// The values of a roll-up with their clicks: sorted, each once.
    pub(crate) fn counts<'b>(
        &'b self,
        rollup: &'b Rollup,
    ) -> impl Iterator<Item = (&'b (Dimension, SmolStr), u64)> {
        rollup
            .places
            .chunk_by(|one, next| one == next)
            .filter_map(|same| Some((self.values.get(*same.first()? as usize)?, same.len() as u64)))
    }
}

#[derive(Default)]
struct Adding {
    scopes: Map<ScopeName, usize>,
    values: Map<(Dimension, SmolStr), u32>,
    rollups: Map<(usize, bool, Grain), Rollup>,
    /// The values of the click in hand.
    places: Vec<u32>,
}

impl Adding {
    fn add(&mut self, enriched: &EnrichedClick) {
        let click = &enriched.click;
        self.places.clear();
        for (dimension, value) in enriched.values.iter() {
            let place = self.value(dimension, value.clone());
            self.places.push(place);
        }
        let own = self.places.len();
        let link = self.value(Dimension::Link, enriched::link(&click.domain, &click.code));
        self.places.push(link);
        if let Some(domain) = enriched::domain(&click.domain) {
            let domain = self.value(Dimension::Domain, domain);
            self.places.push(domain);
        }
        let all = self.places.len();
        match click.kind {
            ClickKind::Orphan => self.count(ScopeName::Orphans, enriched, all),
            ClickKind::Visit => {
                self.count(ScopeName::Everything, enriched, all);
                self.count(ScopeName::Domain(click.domain.clone()), enriched, own + 1);
                let link = LinkName {
                    domain: click.domain.clone(),
                    code: click.code.clone(),
                };
                self.count(ScopeName::Link(link), enriched, own);
            }
        }
    }

    fn value(&mut self, dimension: Dimension, value: SmolStr) -> u32 {
        let next = self.values.len() as u32;
        *self.values.entry((dimension, value)).or_insert(next)
    }

    fn count(&mut self, scope: ScopeName, click: &EnrichedClick, values: usize) {
        let next = self.scopes.len();
        let scope = *self.scopes.entry(scope).or_insert(next);
        self.count_in(scope, click, values);
    }

    fn count_in(&mut self, scope: usize, click: &EnrichedClick, values: usize) {
        let at = click.click.at.as_millis();
        let quarter = (at.div_euclid(QUARTER_MS)).rem_euclid(QUARTERS as i64) as usize;
        let hour = Grain::Hour(at.div_euclid(HOUR_MS));
        let day = Grain::Day(at.div_euclid(DAY_MS));
        for (grain, quarter) in [(hour, quarter), (day, 0)] {
            let rollup = self.rollups.entry((scope, click.bot, grain)).or_default();
            rollup.quarters[quarter] += 1;
            if let Some(visitor) = click.click.visitor {
                rollup.visitors.insert(visitor);
            }
            rollup.places.extend_from_slice(&self.places[..values]);
        }
    }

    fn finish(self) -> RollupBatch {
        let mut scopes: Vec<(usize, ScopeName)> = self
            .scopes
            .into_iter()
            .map(|(scope, place)| (place, scope))
            .collect();
        scopes.sort_unstable_by_key(|(place, _)| *place);
        let mut values: Vec<((Dimension, SmolStr), u32)> = self.values.into_iter().collect();
        values.sort_unstable();
        // Places in the order of the values, so that sorted places are sorted values.
        let mut ranks = vec![0; values.len()];
        for (rank, (_, place)) in values.iter().enumerate() {
            ranks[*place as usize] = rank as u32;
        }
        let mut rollups: Vec<_> = self.rollups.into_iter().collect();
        rollups.sort_unstable_by_key(|(key, _)| *key);
        for (_, rollup) in &mut rollups {
            for place in &mut rollup.places {
                *place = ranks[*place as usize];
            }
            rollup.places.sort_unstable();
        }
        RollupBatch {
            scopes: scopes.into_iter().map(|(_, scope)| scope).collect(),
            rollups,
            values: values.into_iter().map(|(value, _)| value).collect(),
        }
    }
}
