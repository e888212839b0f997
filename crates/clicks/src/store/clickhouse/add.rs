//! Counting batches.
//!
//! ClickHouse has no transactions. What it has is that an insert into one partition is there as a whole, and that of
//! inserts with the same token only the first is. So each commit is one insert, with everything that belongs to it, and
//! its token is the number that follows that of the last commit: whoever makes it has seen all before it, and of two that
//! have seen the same, one is not there.

use std::collections::HashMap;
use std::time::Duration;

use super::Inner;
use super::client::list;
use super::rows::{Key, Rows, Stored, read_rollup, read_source, rollup_columns, scope_text};
use super::schema::{TABLE, kind};
use crate::rollup::{Grain, RollupBatch, Sums};
use crate::store::raw::{Day, RawClicks};
use crate::store::{AddedTogether, EnrichedBatch, StoreError};
use crate::{Position, SourceId};

/// Roll-ups in one question.
const CHUNK: usize = 2_000;
/// How often a commit is tried for, because others are faster.
const TRIES: u32 = 60;
/// The longest wait before the next try.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// What a commit is to be made of.
pub(super) enum Made<T> {
    /// These rows.
    Rows(Rows, T),
    /// Nothing: there is none.
    Nothing(T),
}

impl Inner {
    /// The number of the last commit.
    pub(super) async fn head(&self) -> Result<u64, StoreError> {
        let asked = format!(
            "SELECT max(version) FROM {TABLE} WHERE kind = {}",
            kind::HEAD
        );
        self.client.number(&asked).await
    }

    /// Makes a commit of what `make` reads and writes for its number. It is made again as long as somebody else is
    /// faster.
    pub(super) async fn commit<T, F>(&self, make: impl Fn(u64) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<Made<T>, StoreError>>,
    {
        for turn in 0..TRIES {
            let version = self.head().await? + 1;
            let (mut rows, answer) = match make(version).await? {
                Made::Rows(rows, answer) => (rows, answer),
                Made::Nothing(answer) => return Ok(answer),
            };
            let owner = self.owner();
            rows.head(version, &owner);
            let token = format!("commit-{version}");
            self.client.insert(TABLE, &token, rows.as_str()).await?;
            let ours = format!(
                "SELECT count() FROM {TABLE} WHERE kind = {} AND name = '{owner}' AND time = {version}",
                kind::COMMIT
            );
            if self.client.number(&ours).await? > 0 {
                return Ok(answer);
            }
            // Different for each, so that they do not meet again.
            let spread = self.spread(turn);
            tokio::time::sleep(spread.min(LONGEST_WAIT)).await;
        }
        Err(StoreError::Unavailable(
            "others are counting all the time".into(),
        ))
    }

    /// Up to where sources are counted.
    pub(super) async fn positions(
        &self,
        sources: &[SourceId],
    ) -> Result<Vec<Position>, StoreError> {
        let mut found = HashMap::new();
        for chunk in sources.chunks(CHUNK) {
            let names = list(chunk.iter().map(|source| source.0.as_str()));
            let asked = format!(
                "SELECT name, q0, q1 FROM {TABLE} FINAL WHERE kind = {} AND name IN {names}",
                kind::SOURCE
            );
            for row in self.client.rows(&asked).await? {
                let (source, position) = read_source(&row)?;
                found.insert(source, position);
            }
        }
        let positions = sources.iter().map(|source| found.get(source).copied());
        Ok(positions.map(Option::unwrap_or_default).collect())
    }

    /// Counts batches, unless one of them does not begin where its source is.
    pub(super) async fn add(
        &self,
        batches: &[EnrichedBatch],
        rollups: &RollupBatch,
    ) -> Result<AddedTogether, StoreError> {
        let sources: Vec<SourceId> = batches.iter().map(|batch| batch.source.clone()).collect();
        let keep = Day::taken(self.clock.now(), self.retain_raw);
        // Single clicks know their link by its place among the names.
        let places: Vec<i64> = (0..).take(rollups.scopes.len()).collect();
        let (sources, places) = (&sources, &places);
        self.commit(|version| async move {
            let positions = self.positions(sources).await?;
            let begin = batches.iter().map(|batch| batch.after);
            if !begin.eq(positions.iter().copied()) {
                return Ok(Made::Nothing(AddedTogether::Elsewhere(positions)));
            }
            let mut rows = Rows::default();
            for batch in batches {
                rows.source(version, &batch.source.0, batch.to);
            }
            self.add_rollups(&mut rows, version, rollups).await?;
            let raw = RawClicks::of(batches, rollups, places, keep);
            for (day, clicks) in &raw.days {
                for click in clicks {
                    rows.single(version, *day, click, &rollups.scopes)?;
                }
            }
            Ok(Made::Rows(rows, AddedTogether::Counted))
        })
        .await
    }

    /// Adds to what is stored of each roll-up.
    async fn add_rollups(
        &self,
        rows: &mut Rows,
        version: u64,
        batch: &RollupBatch,
    ) -> Result<(), StoreError> {
        let names: Vec<String> = batch.scopes.iter().map(scope_text).collect();
        let mut keys = Vec::with_capacity(batch.rollups.len());
        for ((scope, bot, grain), rollup) in &batch.rollups {
            let (kind, time) = match grain {
                Grain::Hour(hour) => (kind::HOUR, *hour),
                Grain::Day(day) => (kind::DAY, *day),
            };
            let name = names.get(*scope).cloned().unwrap_or_default();
            let bot = *bot;
            keys.push((
                Key {
                    kind,
                    name,
                    bot,
                    time,
                },
                rollup,
            ));
        }
        for chunk in keys.chunks(CHUNK) {
            let mut stored = self.stored(chunk.iter().map(|(key, _)| key)).await?;
            for (key, rollup) in chunk {
                let before = stored.remove(key).unwrap_or_default();
                let sums = Sums::read(&before.visitors, &before.counts);
                let mut sums = sums.map_err(super::client::damaged)?;
                sums.add(batch, rollup);
                let (visitors, counts) = sums.into_bytes();
                let mut quarters = before.quarters;
                for (sum, clicks) in quarters.iter_mut().zip(rollup.quarters) {
                    *sum = sum.saturating_add(clicks);
                }
                let after = Stored {
                    quarters,
                    visitors,
                    counts,
                };
                rows.rollup(version, key, &after);
            }
        }
        Ok(())
    }

    async fn stored(
        &self,
        keys: impl Iterator<Item = &Key>,
    ) -> Result<HashMap<Key, Stored>, StoreError> {
        let tuples: Vec<String> = keys
            .map(
                |Key {
                     kind,
                     name,
                     bot,
                     time,
                 }| {
                    let name = super::client::literal(name);
                    format!("({kind}, {name}, {}, {time})", u8::from(*bot))
                },
            )
            .collect();
        let asked = format!(
            "SELECT {} FROM {TABLE} FINAL WHERE (kind, name, bot, time) IN ({})",
            rollup_columns(true),
            tuples.join(", ")
        );
        let rows = self.client.rows(&asked).await?;
        rows.iter().map(read_rollup).collect()
    }
}
