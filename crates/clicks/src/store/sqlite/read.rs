//! Answering queries.

use std::ops::Range;

use rusqlite::Connection;
use tollgate_clock::UnixMillis;
use tollgate_sqlite::rusqlite;

use super::add::find_scope;
use super::{damaged, number, raw, retain, schema};
use crate::query::answer::{Answer, Question, Row};
use crate::query::plan::Run;
use crate::query::{
    Bots, ClickPage, Filter, List, Period, Query, QueryError, Scope, Statistics, Totals,
};
use crate::rollup::{DAY_MS, DamagedRollup, HOUR_MS};
use crate::store::raw::Day;
use crate::store::reading::{Answers, Listing, RawReading, Target, check, names};

/// The answer, or why there is none that is not the store's fault.
type Answered<T> = rusqlite::Result<Result<T, QueryError>>;

/// Answers a query. Everything is read from one snapshot.
pub(super) fn statistics(
    connection: &mut Connection,
    query: &Query,
    keep: Day,
) -> Answered<Statistics> {
    let transaction = connection.transaction()?;
    let raw_since = keep.max(retain::raw_since(&transaction)?).start();
    let question = match check(query, raw_since) {
        Ok(question) => question,
        Err(error) => return Ok(Err(error)),
    };
    let mut answers = match Answers::begin(query, &question) {
        Ok(answers) => answers,
        Err(error) => return Ok(Err(error)),
    };
    let targets = targets(&transaction, &query.scope)?;
    let reading = Reading {
        connection: &transaction,
        targets: &targets,
        question: &question,
        scope: &query.scope,
    };
    for (period, answer) in answers.each() {
        if let Err(error) = reading.fill(answer, *period)? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(answers.finish()))
}

/// The scopes that something was counted in.
fn targets(connection: &Connection, scope: &Scope) -> rusqlite::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for name in names(scope) {
        if let Some(number) = find_scope(connection, &name)? {
            targets.push(Target { number, name });
        }
    }
    Ok(targets)
}

struct Reading<'q> {
    connection: &'q Connection,
    targets: &'q [Target],
    question: &'q Question,
    scope: &'q Scope,
}

impl Reading<'_> {
    fn fill(&self, answer: &mut Answer, period: Period) -> Answered<()> {
        if self.question.nothing {
            return Ok(Ok(()));
        }
        if let Some(filters) = &self.question.raw {
            return self.read_raw(answer, period, filters);
        }
        self.read_rollups(answer)?;
        Ok(Ok(()))
    }

    fn read_rollups(&self, answer: &mut Answer) -> rusqlite::Result<()> {
        let (step_runs, breakdown_runs) = (answer.step_runs(), answer.breakdown_runs());
        let damaged = |error: DamagedRollup| damaged(0, error);
        for target in self.targets {
            for bot in [false, true] {
                if !self.question.bots.admits(bot) {
                    continue;
                }
                for run in &step_runs {
                    let counts = answer.steps_need_counts();
                    self.rows((target.number, bot), run, counts, |row, hour| {
                        answer.step(&row, hour).map_err(damaged)
                    })?;
                }
                let common = target.common(bot);
                for run in &breakdown_runs {
                    self.rows((target.number, bot), run, true, |row, _| {
                        answer.break_down(&row, &common).map_err(damaged)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Tells each stored roll-up of a run, and whether it is of an hour.
    fn rows(
        &self,
        (scope, bot): (i64, bool),
        run: &Run,
        counts: bool,
        mut tell: impl FnMut(Row<'_>, bool) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let counts = if counts { "counts" } else { "x''" };
        let (table, clicks, hour, range) = match run {
            Run::Hours(range) => ("click_hours", "q0, q1, q2, q3", true, range),
            Run::Days(range) => ("click_days", "clicks, 0, 0, 0", false, range),
        };
        let Range { start, end } = range;
        let unit = if hour { HOUR_MS } else { DAY_MS };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT key, {clicks}, visitors, {counts} FROM {table}
             WHERE key >= ?1 AND key < ?2 ORDER BY key"
        ))?;
        let keys = [
            schema::key(scope, bot, *start),
            schema::key(scope, bot, *end),
        ];
        let mut rows = statement.query(keys)?;
        while let Some(row) = rows.next()? {
            let time = schema::time(row.get(0)?);
            let read = Row {
                start: UnixMillis::from_millis(time * unit),
                quarters: [
                    number(row, 1)?,
                    number(row, 2)?,
                    number(row, 3)?,
                    number(row, 4)?,
                ],
                visitors: row.get_ref(5)?.as_blob()?,
                counts: row.get_ref(6)?.as_blob()?,
            };
            tell(read, hour)?;
        }
        Ok(())
    }

    fn read_raw(&self, answer: &mut Answer, period: Period, filters: &[Filter]) -> Answered<()> {
        let mut clicks = RawReading::new(answer, self.question, filters);
        for day in days(self.connection, Some(period), false)? {
            let within = Within::of(self.scope, self.targets);
            let sql = format!(
                "{} WHERE {} AND raw.at >= ?2 AND raw.at < ?3",
                raw::selected(day),
                within.condition
            );
            let mut statement = self.connection.prepare(&sql)?;
            let (from, to) = (period.from().as_millis(), period.to().as_millis());
            let mut rows = statement.query((within.parameter, from, to))?;
            while let Some(row) = rows.next()? {
                if let Err(error) = clicks.tell(&raw::read(row)?.1) {
                    return Ok(Err(error));
                }
            }
        }
        Ok(Ok(()))
    }
}

/// Which raw clicks belong to a scope.
struct Within {
    /// With the parameter `?1`.
    condition: &'static str,
    /// Its value: numbers of scopes as a JSON array.
    parameter: String,
}

impl Within {
    fn of(scope: &Scope, targets: &[Target]) -> Self {
        let numbers: Vec<String> = targets
            .iter()
            .map(|target| target.number.to_string())
            .collect();
        let condition = match scope {
            // The parameter has to stand somewhere.
            Scope::Everything => "raw.link IS NOT NULL AND ?1 IS NOT NULL",
            Scope::Orphans => "raw.link IS NULL AND ?1 IS NOT NULL",
            Scope::Domain(_) => "raw.domain IN (SELECT value FROM json_each(?1))",
            Scope::Link(_) | Scope::Links(_) => "raw.link IN (SELECT value FROM json_each(?1))",
        };
        Self {
            condition,
            parameter: format!("[{}]", numbers.join(",")),
        }
    }
}

/// The days of a period that have raw clicks.
fn days(
    connection: &Connection,
    period: Option<Period>,
    newest_first: bool,
) -> rusqlite::Result<Vec<Day>> {
    let (first, last) = Day::range(period);
    let order = if newest_first { "DESC" } else { "ASC" };
    connection
        .prepare_cached(&format!(
            "SELECT day FROM click_raw_days WHERE day >= ?1 AND day <= ?2 ORDER BY day {order}"
        ))?
        .query_map([first.0, last.0], |row| row.get(0).map(Day))?
        .collect()
}

/// All clicks of each scope. Days have them all, also those of today.
pub(super) fn totals(connection: &mut Connection, scopes: &[Scope]) -> Answered<Vec<Totals>> {
    let transaction = connection.transaction()?;
    let mut sum = transaction.prepare_cached(
        "SELECT coalesce(sum(clicks), 0) FROM click_days WHERE key >= ?1 AND key < ?2",
    )?;
    let mut all = Vec::with_capacity(scopes.len());
    for scope in scopes {
        if let Err(error) = scope.check() {
            return Ok(Err(error));
        }
        let mut totals = Totals::default();
        for target in targets(&transaction, scope)? {
            let [people, programs, end] = [
                schema::key(target.number, false, 0),
                schema::key(target.number, true, 0),
                schema::key(target.number + 1, false, 0),
            ];
            totals.people += sum.query_row([people, programs], |row| number(row, 0))?;
            totals.programs += sum.query_row([programs, end], |row| number(row, 0))?;
        }
        all.push(totals);
    }
    Ok(Ok(all))
}

/// Lists raw clicks.
pub(super) fn list(connection: &mut Connection, list: &List) -> Answered<ClickPage> {
    if let Err(error) = list.scope.check() {
        return Ok(Err(error));
    }
    let transaction = connection.transaction()?;
    let targets = targets(&transaction, &list.scope)?;
    let mut listing = Listing::of(list);
    for day in days(&transaction, list.period, true)? {
        let Some((below, most)) = listing.wants(day) else {
            continue;
        };
        let bots = match list.bots {
            Bots::Include => "",
            Bots::Exclude => "AND raw.bot = 0",
            Bots::Only => "AND raw.bot = 1",
        };
        let within = Within::of(&list.scope, &targets);
        let sql = format!(
            "{} WHERE {} {bots} AND raw.number < ?2 AND raw.at >= ?3 AND raw.at < ?4
             ORDER BY raw.number DESC LIMIT ?5",
            raw::selected(day),
            within.condition
        );
        let (from, to) = list.period.map_or((i64::MIN, i64::MAX), |period| {
            (period.from().as_millis(), period.to().as_millis())
        });
        let mut statement = transaction.prepare(&sql)?;
        let mut rows = statement.query((within.parameter, below, from, to, most))?;
        while let Some(row) = rows.next()? {
            let (number, click) = raw::read(row)?;
            listing.tell(day, number, click);
        }
    }
    Ok(Ok(listing.finish()))
}
