//! How results change with one assumption.

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use crate::assumption::{Assumption, Setting, SettingError};
use crate::assumptions::{Assumptions, Conflict, Origin};
use crate::output::Output;
use crate::plan::{Number, Plan};
use crate::unit::Unit;

/// Points, if neither a step nor a number is given.
pub const DEFAULT_POINTS: u32 = 11;
/// Most points.
pub const MOST_POINTS: u32 = 1_000;

/// What may be a column: one number for each thing that has to be bought or built.
const COLUMNS: [Output; 17] = [
    Output::WritesPerSecond,
    Output::PeakReadsPerSecond,
    Output::StoreReadsPerSecond,
    Output::BytesReplicated,
    Output::ClickBytes,
    Output::PeakInBits,
    Output::PeakOutBits,
    Output::MemoryBytes,
    Output::Instances,
    Output::RedisNodes,
    Output::Replicas,
    Output::Shards,
    Output::StoreServers,
    Output::KafkaPartitions,
    Output::YearsUntilUsedUp,
    Output::ClashOdds,
    Output::TotalCost,
];

/// An assumption and the values it goes through.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    assumption: Assumption,
    points: Vec<Setting>,
}

/// Why a text is no sweep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// Not of the form.
    #[error("write NAME=FROM..TO or NAME=FROM..TO:STEP, such as hit_rate=0.5..0.99")]
    Form,
    /// No assumption has this name.
    #[error("there is no assumption {0:?}: take the name of a flag, such as hit_rate")]
    Unknown(String),
    /// A value is not taken.
    #[error("{0:?}: {1}")]
    Value(String, SettingError),
    /// Nothing lies between.
    #[error("it has to go up")]
    Direction,
    /// Too many or too few.
    #[error("a sweep has from 2 to {MOST_POINTS} points")]
    Points,
}

impl Sweep {
    /// Reads `NAME=FROM..TO` or `NAME=FROM..TO:STEP`; without a step there are so many points, evenly spaced.
    ///
    /// # Errors
    /// See [`SweepError`].
    pub fn parse(text: &str, points: u32) -> Result<Self, SweepError> {
        let (name, range) = text.split_once('=').ok_or(SweepError::Form)?;
        let (from, rest) = range.split_once("..").ok_or(SweepError::Form)?;
        let (to, step) = match rest.split_once(':') {
            Some((to, step)) => (to, Some(step)),
            None => (rest, None),
        };
        let assumption =
            Assumption::named(name).ok_or_else(|| SweepError::Unknown(name.trim().to_owned()))?;
        let wrong = |text: &str, error| SweepError::Value(text.trim().to_owned(), error);
        let read = |text: &str| {
            let setting = assumption.parse(text);
            setting
                .map(Setting::value)
                .map_err(|error| wrong(text, error))
        };
        let (from, to) = (read(from)?, read(to)?);
        if from >= to {
            return Err(SweepError::Direction);
        }
        let (step, count) = match step {
            Some(text) => {
                let step = assumption.unit().parse(text);
                let step = step.map_err(|error| wrong(text, error.into()))?;
                // The last point counts although sums are a little off; too many are refused below.
                (step, ((to - from) / step * (1.0 + 1e-9)).floor() + 1.0)
            }
            None => (
                (to - from) / f64::from(points.max(2) - 1),
                f64::from(points),
            ),
        };
        if !(2.0..=f64::from(MOST_POINTS)).contains(&count) {
            return Err(SweepError::Points);
        }
        // In range, and so a whole number of the type.
        let mut values: Vec<f64> = (0..count as u32)
            .map(|at| (from + f64::from(at) * step).min(to))
            .collect();
        if assumption.unit() == Unit::Whole {
            values.iter_mut().for_each(|value| *value = value.round());
            values.dedup();
        }
        let points = values.into_iter().map(|value| assumption.setting(value));
        let points = points
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(range, error))?;
        Ok(Self { assumption, points })
    }

    /// Makes a plan for each value; the rest is as in `base`.
    ///
    /// # Errors
    /// Assumptions that contradict each other.
    pub fn run(&self, base: &Assumptions) -> Result<SweepTable, Conflict> {
        let mut plans = Vec::with_capacity(self.points.len());
        for &point in &self.points {
            let mut assumptions = base.clone();
            assumptions.set(point, Origin::Swept);
            plans.push((point.value(), Plan::new(assumptions)?));
        }
        let varies = |output: &Output| {
            let mut values = plans.iter().map(|(_, plan)| plan.value(*output));
            let first = values.next().unwrap_or(f64::NAN);
            values.any(|value| value != first && value.is_finite())
        };
        let columns: Vec<Output> = COLUMNS.into_iter().filter(varies).collect();
        let rows = plans.iter().map(|(value, plan)| SweepRow {
            value: *value,
            results: columns.iter().map(|&output| plan.value(output)).collect(),
        });
        let rows = rows.collect();
        Ok(SweepTable {
            assumption: self.assumption,
            columns,
            rows,
        })
    }
}

/// What came out of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepTable {
    /// What was swept over.
    pub assumption: Assumption,
    /// The results that change.
    pub columns: Vec<Output>,
    /// One for each value.
    pub rows: Vec<SweepRow>,
}

/// A value and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRow {
    /// The value of the assumption.
    pub value: f64,
    /// The results, as the table's columns name them.
    pub results: Vec<f64>,
}

impl Serialize for SweepTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("assumption", &self.assumption)?;
        map.serialize_entry("unit", &self.assumption.unit())?;
        map.serialize_entry("columns", &self.columns)?;
        let rows: Vec<RowView<'_>> = self.rows.iter().map(|row| RowView(self, row)).collect();
        map.serialize_entry("rows", &rows)?;
        map.end()
    }
}

/// A row as an object.
struct RowView<'a>(&'a SweepTable, &'a SweepRow);

impl Serialize for RowView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.0.assumption.name(), &Number(self.1.value))?;
        for (output, value) in self.0.columns.iter().zip(&self.1.results) {
            map.serialize_entry(output, &Number(*value))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, points: u32) -> Vec<f64> {
        let sweep = Sweep::parse(text, points).unwrap();
        sweep.points.into_iter().map(Setting::value).collect()
    }

    #[test]
    fn sweeps_are_read() {
        assert_eq!(values("hit_rate=0..1:25%", 11), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(values("hit-rate=0..1", 3), [0.0, 0.5, 1.0]);
        assert_eq!(values("code_length=5..7", 11), [5.0, 6.0, 7.0]);
        assert_eq!(values("record_size=1kB..2kB:600B", 11), [1000.0, 1600.0]);
        assert_eq!(values("hit_rate=0.5..0.99", 11).last(), Some(&0.99));
    }

    #[test]
    fn what_is_no_sweep_is_refused() {
        let refuse = |text| Sweep::parse(text, 11).unwrap_err();
        assert_eq!(refuse("hit_rate"), SweepError::Form);
        assert_eq!(refuse("hit_rate=0.5"), SweepError::Form);
        assert_eq!(refuse("x=1..2"), SweepError::Unknown("x".to_owned()));
        assert!(matches!(refuse("hit_rate=0.5..2"), SweepError::Value(text, _) if text == "2"));
        assert_eq!(refuse("hit_rate=0.5..0.5"), SweepError::Direction);
        assert_eq!(refuse("hit_rate=0..1:0"), SweepError::Points);
        assert_eq!(refuse("hit_rate=0..1:0.0001"), SweepError::Points);
        assert_eq!(refuse("hit_rate=0..0.5:1"), SweepError::Points);
    }

    #[test]
    fn only_what_changes_is_a_column() {
        let sweep = Sweep::parse("hit_rate=0.5..0.9:0.4", 11).unwrap();
        let mut base = Assumptions::new();
        base.set(Assumption::Dau.parse("1G").unwrap(), Origin::Given);
        let table = sweep.run(&base).unwrap();
        assert_eq!(
            table.columns,
            [
                Output::StoreReadsPerSecond,
                Output::Replicas,
                Output::StoreServers
            ]
        );
        assert_eq!(table.rows[1].results[1], 58.0);
    }
}
