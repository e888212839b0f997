//! Assumptions from the metrics of running instances.

use std::iter::Sum;
use std::ops::Add;

use crate::assumption::{Assumption, Setting};

/// The counters of an instance at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Scrape {
    started: f64,
    redirects: f64,
    created: f64,
    hits: f64,
    misses: f64,
}

/// What instances did, a second; those of several are added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measurement {
    redirects: f64,
    created: f64,
    hits: f64,
    misses: f64,
}

/// Why nothing could be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// A text without this metric.
    #[error("there is no {0}: these are not the metrics of Tollgate")]
    NotOurs(&'static str),
    /// The process is another one than before.
    #[error("the server was started again meanwhile")]
    Restarted,
    /// No time lies between, by the clocks of this machine and that one.
    #[error("it started in the future: its clock and that of this machine do not agree")]
    NoTime,
}

const STARTED: &str = "process_start_time_seconds";
const CREATED: &str = "tollgate_links_created_total";

impl Scrape {
    /// Reads metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// A text of something else.
    pub fn parse(text: &str) -> Result<Self, MeasureError> {
        let sum = |name: &str, label: &str| {
            text.lines()
                .filter_map(|line| sample(line, name, label))
                .reduce(Add::add)
        };
        let needed = |name: &'static str| sum(name, "").ok_or(MeasureError::NotOurs(name));
        Ok(Self {
            started: needed(STARTED)?,
            created: needed(CREATED)?,
            // Not there before the first.
            redirects: sum(
                "tollgate_edge_request_duration_seconds_count",
                "outcome=\"redirect\"",
            )
            .unwrap_or(0.0),
            hits: needed("tollgate_cache_hits_total")?,
            misses: needed("tollgate_cache_misses_total")?,
        })
    }
}

/// The value of a line with this metric, if its labels have that one.
fn sample(line: &str, name: &str, label: &str) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (labels, value) = match rest.strip_prefix('{') {
        // Values of our labels hold no brace.
        Some(labelled) => labelled.split_once('}')?,
        None => ("", rest),
    };
    let value = value.strip_prefix(' ')?.split(' ').next()?;
    let has = label.is_empty() || labels.split(',').any(|one| one == label);
    value.parse().ok().filter(|_| has)
}

impl Measurement {
    /// Averages since the instance started; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It has not started yet, by these clocks.
    pub fn since_start(scrape: &Scrape, now: f64) -> Result<Self, MeasureError> {
        let start = Scrape {
            started: scrape.started,
            ..Scrape::default()
        };
        Self::between(&start, scrape, now - scrape.started)
    }

    /// Averages between two scrapes that are so many seconds apart.
    ///
    /// # Errors
    /// The instance was started between them, or no time has passed.
    pub fn between(first: &Scrape, second: &Scrape, seconds: f64) -> Result<Self, MeasureError> {
        if first.started != second.started {
            return Err(MeasureError::Restarted);
        }
        if seconds.is_nan() || seconds <= 0.0 {
            return Err(MeasureError::NoTime);
        }
        let rate = |read: fn(&Scrape) -> f64| (read(second) - read(first)).max(0.0) / seconds;
        Ok(Self {
            redirects: rate(|scrape| scrape.redirects),
            created: rate(|scrape| scrape.created),
            hits: rate(|scrape| scrape.hits),
            misses: rate(|scrape| scrape.misses),
        })
    }

    /// What it says of the assumptions. Of what did not happen it says nothing.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let look_ups = self.hits + self.misses;
        let all = [
            (Assumption::WritesPerSecond, self.created),
            (Assumption::ReadsPerSecond, self.redirects),
            (Assumption::HitRate, self.hits / look_ups),
        ];
        let known = all
            .into_iter()
            .filter_map(|(assumption, value)| assumption.setting(value).ok());
        known.collect()
    }

    /// The assumptions that can be measured.
    pub const MEASURED: [Assumption; 3] = [
        Assumption::WritesPerSecond,
        Assumption::ReadsPerSecond,
        Assumption::HitRate,
    ];
}

impl Add for Measurement {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            redirects: self.redirects + other.redirects,
            created: self.created + other.created,
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
        }
    }
}

impl Sum for Measurement {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(redirects: u32) -> String {
        format!(
            "# HELP process_start_time_seconds When\n\
             process_start_time_seconds 1000.0\n\
             tollgate_edge_request_duration_seconds_count{{outcome=\"redirect\",tier=\"memory\"}} {redirects}\n\
             tollgate_edge_request_duration_seconds_count{{outcome=\"redirect\",tier=\"store\"}} 10\n\
             tollgate_edge_request_duration_seconds_count{{outcome=\"not_found\",tier=\"store\"}} 500\n\
             tollgate_edge_request_duration_seconds_bucket{{le=\"1\",outcome=\"redirect\"}} 9\n\
             tollgate_links_created_total 20\n\
             tollgate_cache_hits_total 90\n\
             tollgate_cache_misses_total 10.0\n# EOF\n"
        )
    }

    fn told(measurement: &Measurement) -> Vec<(Assumption, f64)> {
        let settings = measurement.settings();
        settings
            .iter()
            .map(|s| (s.assumption(), s.value()))
            .collect()
    }

    #[test]
    fn rates_are_averages_since_the_start() {
        let scrape = Scrape::parse(&metrics(190)).unwrap();
        let measurement = Measurement::since_start(&scrape, 1100.0).unwrap();
        assert_eq!(
            told(&measurement),
            [
                (Assumption::WritesPerSecond, 0.2),
                (Assumption::ReadsPerSecond, 2.0),
                (Assumption::HitRate, 0.9)
            ]
        );
        let two: Measurement = [measurement, measurement].into_iter().sum();
        assert_eq!(told(&two)[1].1, 4.0);
        assert_eq!(told(&two)[2].1, 0.9);
        let error = Measurement::since_start(&scrape, 999.0);
        assert_eq!(error, Err(MeasureError::NoTime));
    }

    #[test]
    fn two_scrapes_tell_of_the_time_between() {
        let scrapes = [190, 240].map(|count| Scrape::parse(&metrics(count)).unwrap());
        let measurement = Measurement::between(&scrapes[0], &scrapes[1], 10.0).unwrap();
        assert_eq!(told(&measurement), [(Assumption::ReadsPerSecond, 5.0)]);
        let again = Scrape {
            started: 1.0,
            ..scrapes[1]
        };
        let error = Measurement::between(&scrapes[0], &again, 10.0);
        assert_eq!(error, Err(MeasureError::Restarted));
    }

    #[test]
    fn metrics_of_others_are_refused() {
        let error = Scrape::parse("process_start_time_seconds 1\n");
        assert_eq!(error, Err(MeasureError::NotOurs(CREATED)));
    }
}
