//! Answering queries.

use std::collections::HashMap;

use tollgate_clock::UnixMillis;

use super::Inner;
use super::client::{Row as Line, list, literal};
use super::rows::{
    Stored, link_text, read_rollup, read_single, rollup_columns, scope_text, signed,
    single_columns, text, unsigned,
};
use super::schema::{TABLE, kind};
use crate::EnrichedClick;
use crate::query::answer::{Answer, Question, Row};
use crate::query::plan::Run;
use crate::query::{
    Bots, ClickPage, Filter, List, Period, Query, QueryError, Scope, Statistics, Totals,
};
use crate::rollup::{DAY_MS, DamagedRollup, HOUR_MS};
use crate::store::StoreError;
use crate::store::raw::Day;
use crate::store::reading::{Answers, Listing, RawReading, Target, check, names};

/// Scopes in one question: what is stored of all of them is in memory at once.
const CHUNK: usize = 200;
/// Single clicks in one question.
const RAW_CHUNK: i64 = 10_000;

fn damaged(error: DamagedRollup) -> StoreError {
    super::client::damaged(error)
}

/// Scopes, by how they are known.
struct Targets(Vec<(String, Target)>);

impl Targets {
    fn of(scope: &Scope) -> Self {
        let targets = names(scope).into_iter().zip(0..).map(|(name, number)| {
            let text = scope_text(&name);
            (text, Target { number, name })
        });
        Self(targets.collect())
    }
}

/// Which single clicks belong to a scope, and are not being dropped.
pub(super) struct Within {
    condition: String,
}

impl Within {
    /// All of a day, also those of codes that do not exist.
    pub(super) fn all(gone: &Gone) -> Self {
        Self {
            condition: format!("TRUE{}", gone.condition()),
        }
    }

    /// As SQL.
    pub(super) fn condition(&self) -> &str {
        &self.condition
    }

    fn of(scope: &Scope, gone: &Gone) -> Self {
        let of_links = |links: &mut dyn Iterator<Item = String>| {
            let links: Vec<String> = links.collect();
            let links = list(links.iter().map(String::as_str));
            format!("isNull(orphan) AND link IN {links}")
        };
        let condition = match scope {
            Scope::Everything => "isNull(orphan)".to_owned(),
            Scope::Orphans => "isNotNull(orphan)".to_owned(),
            Scope::Domain(domain) => format!("isNull(orphan) AND domain = {}", literal(domain)),
            Scope::Link(link) => of_links(&mut std::iter::once(link_text(link))),
            Scope::Links(links) => of_links(&mut links.iter().map(link_text)),
        };
        Self {
            condition: condition + &gone.condition(),
        }
    }
}

/// Days whose single clicks are being dropped, and up to which commit.
pub(super) struct Gone(pub(super) Vec<(Day, u64)>);

impl Gone {
    fn condition(&self) -> String {
        let gone = self.0.iter();
        gone.map(|(day, version)| format!(" AND NOT (time = {} AND version <= {version})", day.0))
            .collect()
    }
}

/// A part of the single clicks of a day.
pub(super) struct Part<'p> {
    pub(super) day: Day,
    pub(super) period: Option<Period>,
    /// More conditions.
    pub(super) more: &'p str,
    pub(super) descending: bool,
    /// Only beyond this number, in this order.
    pub(super) beyond: i64,
    pub(super) limit: i64,
}

impl Inner {
    /// Days that are being dropped.
    pub(super) async fn gone(&self) -> Result<Gone, StoreError> {
        let asked = format!(
            "SELECT time, version FROM {TABLE} FINAL WHERE kind = {}",
            kind::DROPPED
        );
        let rows = self.client.rows(&asked).await?;
        let gone = rows
            .iter()
            .map(|row| Ok((Day(signed(row, 0)?), unsigned(row, 1)?)));
        Ok(Gone(gone.collect::<Result<_, StoreError>>()?))
    }

    /// The first day of which no single click was dropped.
    pub(super) async fn since(&self) -> Result<Day, StoreError> {
        let asked = format!("SELECT max(at) FROM {TABLE} WHERE kind = {}", kind::SINCE);
        let rows = self.client.rows(&asked).await?;
        let since = rows.first().map(|row| signed(row, 0)).transpose()?;
        Ok(Day(since.unwrap_or(0)))
    }

    /// Answers a query.
    pub(super) async fn statistics(&self, query: &Query) -> Result<Statistics, QueryError> {
        let keep = self.keep().max(self.since().await?);
        let question = check(query, keep.start())?;
        let mut answers = Answers::begin(query, &question)?;
        let targets = Targets::of(&query.scope);
        for (period, answer) in answers.each() {
            if question.nothing {
                continue;
            }
            match &question.raw {
                Some(filters) => {
                    self.fill_raw(answer, *period, &question, filters, &query.scope)
                        .await?;
                }
                None => self.fill(answer, &question, &targets).await?,
            }
        }
        Ok(answers.finish())
    }

    async fn fill(
        &self,
        answer: &mut Answer,
        question: &Question,
        targets: &Targets,
    ) -> Result<(), StoreError> {
        let counts = answer.steps_need_counts();
        for run in answer.step_runs() {
            for chunk in targets.0.chunks(CHUNK) {
                for line in self.rollups(chunk, &run, question.bots, counts).await? {
                    let (key, stored) = read_rollup(&line)?;
                    let hour = matches!(run, Run::Hours(_));
                    answer
                        .step(&row(&stored, key.time, &run), hour)
                        .map_err(damaged)?;
                }
            }
        }
        for run in answer.breakdown_runs() {
            for chunk in targets.0.chunks(CHUNK) {
                let by_name: HashMap<&str, &Target> = chunk
                    .iter()
                    .map(|(name, target)| (name.as_str(), target))
                    .collect();
                for line in self.rollups(chunk, &run, question.bots, true).await? {
                    let (key, stored) = read_rollup(&line)?;
                    let Some(target) = by_name.get(key.name.as_str()) else {
                        continue;
                    };
                    let common = target.common(key.bot);
                    answer
                        .break_down(&row(&stored, key.time, &run), &common)
                        .map_err(damaged)?;
                }
            }
        }
        Ok(())
    }

    /// What is stored of these scopes in a run.
    async fn rollups(
        &self,
        targets: &[(String, Target)],
        run: &Run,
        bots: Bots,
        counts: bool,
    ) -> Result<Vec<Line>, StoreError> {
        let (kind, range) = match run {
            Run::Hours(range) => (kind::HOUR, range),
            Run::Days(range) => (kind::DAY, range),
        };
        let bots: Vec<&str> = [(false, "0"), (true, "1")]
            .into_iter()
            .filter_map(|(bot, text)| bots.admits(bot).then_some(text))
            .collect();
        let asked = format!(
            "SELECT {} FROM {TABLE} FINAL WHERE kind = {kind} AND name IN {} AND bot IN ({})
             AND time >= {} AND time < {}",
            rollup_columns(counts),
            list(targets.iter().map(|(name, _)| name.as_str())),
            bots.join(", "),
            range.start,
            range.end
        );
        self.client.rows(&asked).await
    }

    async fn fill_raw(
        &self,
        answer: &mut Answer,
        period: Period,
        question: &Question,
        filters: &[Filter],
        scope: &Scope,
    ) -> Result<(), QueryError> {
        let within = Within::of(scope, &self.gone().await?);
        let mut clicks = RawReading::new(answer, question, filters);
        for day in self.days(Day::range(Some(period))).await? {
            let mut below = i64::MAX;
            loop {
                let part = Part {
                    day,
                    period: Some(period),
                    more: "",
                    descending: true,
                    beyond: below,
                    limit: RAW_CHUNK,
                };
                let rows = self.singles(&within, &part).await?;
                for (number, click) in &rows {
                    below = *number;
                    clicks.tell(click)?;
                }
                if (rows.len() as i64) < RAW_CHUNK {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Days that have single clicks, between two of them.
    pub(super) async fn days(&self, (first, last): (Day, Day)) -> Result<Vec<Day>, StoreError> {
        let asked = format!(
            "SELECT DISTINCT time FROM {TABLE} WHERE kind = {} AND time BETWEEN {} AND {}
             ORDER BY time",
            kind::RAW,
            first.0,
            last.0
        );
        let rows = self.client.rows(&asked).await?;
        rows.iter().map(|row| Ok(Day(signed(row, 0)?))).collect()
    }

    /// Single clicks of a day, in the order of their numbers.
    pub(super) async fn singles(
        &self,
        within: &Within,
        part: &Part<'_>,
    ) -> Result<Vec<(i64, EnrichedClick)>, StoreError> {
        let (than, order) = if part.descending {
            ("<", "DESC")
        } else {
            (">", "ASC")
        };
        let mut period = String::new();
        if let Some(asked) = part.period {
            let (from, to) = (asked.from().as_millis(), asked.to().as_millis());
            period = format!(" AND at >= {from} AND at < {to}");
        }
        let asked = format!(
            "SELECT {} FROM {TABLE} WHERE kind = {} AND time = {} AND number {than} {}{period}{}
             AND {} ORDER BY number {order} LIMIT {}",
            single_columns(),
            kind::RAW,
            part.day.0,
            part.beyond,
            part.more,
            within.condition,
            part.limit
        );
        let rows = self.client.rows(&asked).await?;
        rows.iter().map(read_single).collect()
    }

    /// All clicks of each scope. Days have them all, also those of today.
    pub(super) async fn totals(&self, asked: &[Scope]) -> Result<Vec<Totals>, QueryError> {
        let mut all = Vec::new();
        for scope in asked {
            scope.check()?;
            all.push(Targets::of(scope));
        }
        let names: Vec<&str> = all
            .iter()
            .flat_map(|targets| targets.0.iter().map(|(name, _)| name.as_str()))
            .collect();
        let mut sums: HashMap<String, Totals> = HashMap::new();
        for chunk in names.chunks(2_000) {
            let question = format!(
                "SELECT name, bot, sum(q0) FROM {TABLE} FINAL WHERE kind = {} AND name IN {}
                 GROUP BY name, bot",
                kind::DAY,
                list(chunk.iter().copied())
            );
            for row in self.client.rows(&question).await? {
                let of = sums.entry(text(&row, 0)?.to_owned()).or_default();
                match unsigned(&row, 1)? {
                    0 => of.people = unsigned(&row, 2)?,
                    _ => of.programs = unsigned(&row, 2)?,
                }
            }
        }
        let totals = all.iter().map(|targets| {
            let mut totals = Totals::default();
            for (name, _) in &targets.0 {
                let sum = sums.get(name).copied().unwrap_or_default();
                totals.people += sum.people;
                totals.programs += sum.programs;
            }
            totals
        });
        Ok(totals.collect())
    }

    /// Lists single clicks.
    pub(super) async fn list(&self, asked: &List) -> Result<ClickPage, QueryError> {
        asked.scope.check()?;
        let within = Within::of(&asked.scope, &self.gone().await?);
        let more = match asked.bots {
            Bots::Include => "",
            Bots::Exclude => " AND program = 0",
            Bots::Only => " AND program = 1",
        };
        let mut listing = Listing::of(asked);
        let days = self.days(Day::range(asked.period)).await?;
        for day in days.into_iter().rev() {
            let Some((below, most)) = listing.wants(day) else {
                continue;
            };
            let part = Part {
                day,
                period: asked.period,
                more,
                descending: true,
                beyond: below,
                limit: most,
            };
            for (number, click) in self.singles(&within, &part).await? {
                listing.tell(day, number, click);
            }
        }
        Ok(listing.finish())
    }
}

/// A stored roll-up of a run.
fn row<'r>(stored: &'r Stored, time: i64, run: &Run) -> Row<'r> {
    let unit = match run {
        Run::Hours(_) => HOUR_MS,
        Run::Days(_) => DAY_MS,
    };
    Row {
        start: UnixMillis::from_millis(time.saturating_mul(unit)),
        quarters: stored.quarters,
        visitors: &stored.visitors,
        counts: &stored.counts,
    }
}
