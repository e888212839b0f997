//! Answering queries.

use tollgate_clock::UnixMillis;
use tollgate_postgres::{Failure, Given, Row as Stored, Session, Type};

use super::add::damaged;
use super::{days, number_of, raw, scopes};
use crate::query::answer::{Answer, Question, Row};
use crate::query::plan::Run;
use crate::query::{
    Bots, ClickPage, Filter, List, Period, Query, QueryError, Scope, Statistics, Totals,
};
use crate::rollup::{DAY_MS, HOUR_MS, QUARTERS, ScopeName};
use crate::store::raw::Day;
use crate::store::reading::{Answers, Listing, RawReading, Target, check, names};

/// Scopes in one statement: what is stored of all of them is in memory at once.
const CHUNK: usize = 200;
/// Raw clicks in one statement.
const RAW_CHUNK: i64 = 10_000;

/// The answer, or why there is none that is not the store's fault.
type Answered<T> = Result<Result<T, QueryError>, Failure>;

/// Answers a query. Everything is read from one snapshot.
pub(super) async fn statistics(
    session: &mut Session,
    query: &Query,
    keep: Day,
) -> Answered<Statistics> {
    begin(session).await?;
    let raw_since = keep.max(days::raw_since(session).await?).start();
    let answered = match check(query, raw_since) {
        Ok(question) => answer(session, query, &question).await?,
        Err(error) => Err(error),
    };
    session.commit().await?;
    Ok(answered)
}

/// Begins to read one state. From before it, nothing of that state is dropped.
async fn begin(session: &mut Session) -> Result<(), Failure> {
    session.begin_reading().await?;
    session
        .script("LOCK TABLE click_raw IN ACCESS SHARE MODE")
        .await
}

async fn answer(session: &mut Session, query: &Query, question: &Question) -> Answered<Statistics> {
    let mut answers = match Answers::begin(query, question) {
        Ok(answers) => answers,
        Err(error) => return Ok(Err(error)),
    };
    let targets = targets(session, &query.scope).await?;
    let mut reading = Reading {
        session,
        targets: &targets,
        question,
        scope: &query.scope,
    };
    for (period, answer) in answers.each() {
        if let Err(error) = reading.fill(answer, *period).await? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(answers.finish()))
}

/// The scopes that something was counted in, by their numbers.
async fn targets(session: &mut Session, scope: &Scope) -> Result<Vec<Target>, Failure> {
    let names = names(scope);
    let numbers = scopes::find(session, &names).await?;
    let mut targets: Vec<Target> = names
        .into_iter()
        .zip(numbers)
        .filter_map(|(name, number)| {
            Some(Target {
                number: number?,
                name,
            })
        })
        .collect();
    targets.sort_unstable_by_key(|target| target.number);
    Ok(targets)
}

struct Reading<'q> {
    session: &'q mut Session,
    targets: &'q [Target],
    question: &'q Question,
    scope: &'q Scope,
}

impl Reading<'_> {
    async fn fill(&mut self, answer: &mut Answer, period: Period) -> Answered<()> {
        if self.question.nothing {
            return Ok(Ok(()));
        }
        if let Some(filters) = &self.question.raw {
            return self.read_raw(answer, period, filters).await;
        }
        self.read_rollups(answer).await?;
        Ok(Ok(()))
    }

    async fn read_rollups(&mut self, answer: &mut Answer) -> Result<(), Failure> {
        let counts = answer.steps_need_counts();
        for run in answer.step_runs() {
            for targets in self.targets.chunks(CHUNK) {
                for stored in self.rows(targets, &run, counts).await? {
                    let row = row(&stored, &run)?;
                    let hour = matches!(run, Run::Hours(_));
                    answer.step(&row, hour).map_err(damaged)?;
                }
            }
        }
        for run in answer.breakdown_runs() {
            for targets in self.targets.chunks(CHUNK) {
                for stored in self.rows(targets, &run, true).await? {
                    let (scope, bot): (i64, bool) = (stored.try_get(0)?, stored.try_get(1)?);
                    let found = targets.binary_search_by_key(&scope, |target| target.number);
                    let Ok(found) = found else { continue };
                    let common = targets[found].common(bot);
                    let row = row(&stored, &run)?;
                    answer.break_down(&row, &common).map_err(damaged)?;
                }
            }
        }
        Ok(())
    }

    /// What is stored of these scopes in a run.
    async fn rows(
        &mut self,
        targets: &[Target],
        run: &Run,
        counts: bool,
    ) -> Result<Vec<Stored>, Failure> {
        let counts = if counts { "counts" } else { "''::bytea" };
        let (table, time, clicks, range) = match run {
            Run::Hours(range) => ("click_hours", "hour", "q0, q1, q2, q3", range),
            Run::Days(range) => (
                "click_days",
                "day",
                "clicks, 0::bigint, 0::bigint, 0::bigint",
                range,
            ),
        };
        let numbers: Vec<i64> = targets.iter().map(|target| target.number).collect();
        let bots: Vec<bool> = [false, true]
            .into_iter()
            .filter(|bot| self.question.bots.admits(*bot))
            .collect();
        let [start, end] =
            [range.start, range.end].map(|time| i32::try_from(time).unwrap_or(i32::MAX));
        self.session
            .planned(
                &format!(
                    "SELECT scope, bot, {time}, {clicks}, visitors, {counts} FROM {table}
                     WHERE scope = ANY($1) AND bot = ANY($2) AND {time} >= $3 AND {time} < $4"
                ),
                &[
                    (&numbers, Type::INT8_ARRAY),
                    (&bots, Type::BOOL_ARRAY),
                    (&start, Type::INT4),
                    (&end, Type::INT4),
                ],
            )
            .await
    }

    async fn read_raw(
        &mut self,
        answer: &mut Answer,
        period: Period,
        filters: &[Filter],
    ) -> Answered<()> {
        let mut clicks = RawReading::new(answer, self.question, filters);
        let within = Within::of(self.scope, self.targets);
        for day in days::between(self.session, Day::range(Some(period))).await? {
            let mut below = i64::MAX;
            loop {
                let rows = within
                    .rows(self.session, day, Some(period), "", below, RAW_CHUNK)
                    .await?;
                for row in &rows {
                    let (number, click) = raw::read(row)?;
                    below = number;
                    if let Err(error) = clicks.tell(&click) {
                        return Ok(Err(error));
                    }
                }
                if (rows.len() as i64) < RAW_CHUNK {
                    break;
                }
            }
        }
        Ok(Ok(()))
    }
}

/// A stored roll-up of a run.
fn row<'r>(stored: &'r Stored, run: &Run) -> Result<Row<'r>, Failure> {
    let unit = match run {
        Run::Hours(_) => HOUR_MS,
        Run::Days(_) => DAY_MS,
    };
    let mut quarters = [0; QUARTERS];
    for (place, clicks) in quarters.iter_mut().enumerate() {
        *clicks = number_of(stored, 3 + place)?;
    }
    Ok(Row {
        start: UnixMillis::from_millis(i64::from(stored.try_get::<_, i32>(2)?) * unit),
        quarters,
        visitors: stored.try_get(3 + QUARTERS)?,
        counts: stored.try_get(4 + QUARTERS)?,
    })
}

/// Which raw clicks belong to a scope.
struct Within {
    /// With the parameter `$1`.
    condition: &'static str,
    /// Its value: numbers of scopes.
    numbers: Vec<i64>,
}

impl Within {
    fn of(scope: &Scope, targets: &[Target]) -> Self {
        let condition = match scope {
            // The parameter has to stand somewhere.
            Scope::Everything => "raw.link IS NOT NULL AND $1 IS NOT NULL",
            Scope::Orphans => "raw.link IS NULL AND $1 IS NOT NULL",
            Scope::Domain(_) => "raw.domain = ANY($1)",
            Scope::Link(_) | Scope::Links(_) => "raw.link = ANY($1)",
        };
        Self {
            condition,
            numbers: targets.iter().map(|target| target.number).collect(),
        }
    }

    /// Those of a day with lower numbers than `below`, the highest first.
    async fn rows(
        &self,
        session: &mut Session,
        day: Day,
        period: Option<Period>,
        more: &str,
        below: i64,
        limit: i64,
    ) -> Result<Vec<Stored>, Failure> {
        let (mut from, mut to) = days::moments(day);
        if let Some(period) = period {
            from = from.max(period.from().as_millis());
            to = to.min(period.to().as_millis());
        }
        let sql = format!(
            "{} WHERE {} {more} AND raw.number < $2 AND raw.at >= $3 AND raw.at < $4
             ORDER BY raw.number DESC LIMIT $5",
            raw::selected(),
            self.condition
        );
        let given: [(Given<'_>, Type); 5] = [
            (&self.numbers, Type::INT8_ARRAY),
            (&below, Type::INT8),
            (&from, Type::INT8),
            (&to, Type::INT8),
            (&limit, Type::INT8),
        ];
        session.planned(&sql, &given).await
    }
}

/// All clicks of each scope. Days have them all, also those of today.
pub(super) async fn totals(session: &mut Session, asked: &[Scope]) -> Answered<Vec<Totals>> {
    let mut all = Vec::new();
    // For each scope that was asked for, where its names end.
    let mut ends = Vec::with_capacity(asked.len());
    for scope in asked {
        if let Err(error) = scope.check() {
            return Ok(Err(error));
        }
        all.extend(names(scope));
        ends.push(all.len());
    }
    session.begin_reading().await?;
    let numbers = scopes::find(session, &all).await?;
    let known: Vec<i64> = numbers.iter().copied().flatten().collect();
    let rows = session
        .planned(
            "SELECT scope, bot, sum(clicks)::bigint FROM click_days
             WHERE scope = ANY($1) GROUP BY scope, bot",
            &[(&known, Type::INT8_ARRAY)],
        )
        .await?;
    session.commit().await?;
    let mut sums = std::collections::HashMap::new();
    for row in rows {
        let of: &mut Totals = sums.entry(row.try_get::<_, i64>(0)?).or_default();
        match row.try_get(1)? {
            true => of.programs = number_of(&row, 2)?,
            false => of.people = number_of(&row, 2)?,
        }
    }
    let mut begin = 0;
    let totals = ends.into_iter().map(|end| {
        let mut totals = Totals::default();
        for number in numbers[begin..end].iter().flatten() {
            let sum = sums.get(number).copied().unwrap_or_default();
            totals.people += sum.people;
            totals.programs += sum.programs;
        }
        begin = end;
        totals
    });
    Ok(Ok(totals.collect()))
}

/// Lists raw clicks.
pub(super) async fn list(session: &mut Session, list: &List) -> Answered<ClickPage> {
    if let Err(error) = list.scope.check() {
        return Ok(Err(error));
    }
    begin(session).await?;
    let page = page(session, list).await?;
    session.commit().await?;
    Ok(Ok(page))
}

async fn page(session: &mut Session, list: &List) -> Result<ClickPage, Failure> {
    let targets = targets(session, &list.scope).await?;
    let within = Within::of(&list.scope, &targets);
    let bots = match list.bots {
        Bots::Include => "",
        Bots::Exclude => "AND NOT raw.bot",
        Bots::Only => "AND raw.bot",
    };
    let mut listing = Listing::of(list);
    let days = days::between(session, Day::range(list.period)).await?;
    for day in days.into_iter().rev() {
        let Some((below, most)) = listing.wants(day) else {
            continue;
        };
        let rows = within
            .rows(session, day, list.period, bots, below, most)
            .await?;
        for row in rows {
            let (number, click) = raw::read(&row)?;
            listing.tell(day, number, click);
        }
    }
    Ok(listing.finish())
}

/// The number of a link, if there is anything of it.
pub(super) async fn find_link(
    session: &mut Session,
    name: ScopeName,
) -> Result<Option<i64>, Failure> {
    Ok(scopes::find(session, &[name])
        .await?
        .into_iter()
        .next()
        .flatten())
}
