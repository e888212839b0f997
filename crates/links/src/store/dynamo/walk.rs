//! Walking an index in order, over all the partitions it is divided into.

use std::collections::VecDeque;

use futures_util::future::try_join_all;

use super::DynamoLinkStore;
use super::item::{Fields as _, partition_of};
use super::table::{Index, Item, Query, Range, Table, name};
use crate::store::StoreError;

/// What one partition is first asked for beside its share, and at most.
const SPARE: usize = 4;
const MOST: usize = 500;
/// Below everything that is used as a sort key.
const LOWEST: &str = "!";
/// Makes a text that is behind another, and before all that follow it.
const NEXT: char = '\u{1}';

/// Where a walk begins and ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Bounds {
    /// Only what is behind this, in the direction of the walk.
    pub(super) after: Option<String>,
    /// Only what is below this; forwards only.
    pub(super) below: Option<String>,
}

/// A walk under way.
pub(super) struct Walk<'a> {
    table: &'a Table,
    index: Index,
    forward: bool,
    below: Option<String>,
    lanes: Vec<Lane>,
    /// What the next question to a partition asks for.
    ask: usize,
}

/// One partition.
struct Lane {
    part: String,
    after: Option<String>,
    ahead: VecDeque<Item>,
    is_done: bool,
}

impl<'a> Walk<'a> {
    /// A walk of which about so many items are wanted.
    pub(super) fn new(
        store: &'a DynamoLinkStore,
        index: Index,
        prefix: &str,
        forward: bool,
        bounds: Bounds,
        wanted: usize,
    ) -> Self {
        let lanes = (0..store.partitions).map(|number| Lane {
            part: partition_of(prefix, number),
            after: bounds.after.clone(),
            ahead: VecDeque::new(),
            is_done: false,
        });
        let lanes: Vec<Lane> = lanes.collect();
        Self {
            table: &store.table,
            index,
            forward,
            below: bounds.below,
            ask: (wanted / lanes.len().max(1) + SPARE).min(MOST),
            lanes,
        }
    }

    /// The next item.
    pub(super) async fn next(&mut self) -> Result<Option<Item>, StoreError> {
        self.refill().await?;
        let mut first: Option<(usize, &str)> = None;
        for (number, lane) in self.lanes.iter().enumerate() {
            let Some(item) = lane.ahead.front() else {
                continue;
            };
            let sort = item.text(self.index.sort)?;
            let is_first = first.is_none_or(|(_, other)| (sort < other) == self.forward);
            if is_first {
                first = Some((number, sort));
            }
        }
        let number = first.map(|(number, _)| number);
        Ok(number.and_then(|number| self.lanes.get_mut(number)?.ahead.pop_front()))
    }

    /// Asks the partitions of which nothing is at hand.
    async fn refill(&mut self) -> Result<(), StoreError> {
        let (table, index, forward, ask) = (self.table, self.index, self.forward, self.ask);
        let below = self.below.as_deref();
        let dry = self.lanes.iter_mut();
        let dry = dry.filter(|lane| lane.ahead.is_empty() && !lane.is_done);
        let asked = dry.map(|lane| async move {
            let Some(range) = lane.range(forward, below) else {
                lane.is_done = true;
                return Ok(false);
            };
            let query = Query {
                index,
                part: lane.part.clone(),
                range,
                forward,
                limit: ask,
            };
            let (items, more) = table.query(query).await?;
            lane.is_done = !more;
            if let Some(last) = items.last() {
                lane.after = Some(last.text(index.sort)?.to_owned());
            }
            lane.ahead = items.into();
            Ok::<bool, StoreError>(true)
        });
        let asked = try_join_all(asked).await?;
        if asked.contains(&true) {
            self.ask = (self.ask * 2).min(MOST);
        }
        Ok(())
    }
}

impl Lane {
    fn range(&self, forward: bool, below: Option<&str>) -> Option<Range> {
        let after = self.after.clone();
        Some(match (after, below) {
            (None, None) => Range::All,
            (Some(after), _) if !forward => Range::Before(after),
            (Some(after), None) => Range::After(after),
            (after, Some(below)) => {
                let from =
                    after.map_or_else(|| LOWEST.to_owned(), |after| format!("{after}{NEXT}"));
                // Nothing that is stored is the bound itself.
                if from.as_str() >= below {
                    return None;
                }
                Range::Between(from, below.to_owned())
            }
        })
    }
}

impl DynamoLinkStore {
    /// The partition keys of what is due before a moment, given in digits, in order.
    pub(super) async fn due(
        &self,
        prefix: &str,
        below: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let bounds = Bounds {
            after: None,
            below: Some(below.to_owned()),
        };
        let mut walk = Walk::new(self, super::schema::BY_TIME, prefix, true, bounds, limit);
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(item) = walk.next().await? else {
                break;
            };
            found.push(item.text(name::PK)?.to_owned());
        }
        Ok(found)
    }
}
