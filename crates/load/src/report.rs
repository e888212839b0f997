use std::time::Duration;

use serde::Serialize;

/// What came of the requests that were due within some time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Window {
    /// Requests that were due.
    pub due: u64,
    /// Answered 2xx or 3xx in time.
    pub good: u64,
    /// Answered 503 in time.
    pub shed: u64,
    /// Answered otherwise in time.
    pub other: u64,
    /// Not answered in time: the client left, or found no connection to ask on.
    pub late: u64,
    /// Not answered, because the connection was refused or broke off.
    pub broken: u64,
    /// Microseconds that half of the good ones took at most, from when they were due.
    pub p50_us: u32,
    /// And 99 in 100.
    pub p99_us: u32,
    /// And 999 in 1000.
    pub p999_us: u32,
    #[serde(skip)]
    took: Vec<u32>,
}

/// What came of all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// How long it took until the last was answered or given up.
    pub seconds: f64,
    /// All together.
    pub total: Window,
    /// Part by part; see [`Plan::window_seconds`](crate::Plan::window_seconds).
    pub windows: Vec<Window>,
    /// How late the requests went out of which a connection was free, 99 in 100 of them at most, in microseconds:
    /// whether the client kept up.
    pub sent_late_p99_us: u32,
    #[serde(skip)]
    sent_late: Vec<u32>,
    #[serde(skip)]
    window: f64,
}

/// What came of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This status.
    Answered(u16),
    Late,
    Broken,
}

impl Report {
    pub(crate) fn with_windows(seconds: f64) -> Self {
        Self {
            window: seconds,
            ..Self::default()
        }
    }

    pub(crate) fn sent(&mut self, late: Duration) {
        self.sent_late.push(micros(late));
    }

    pub(crate) fn add(&mut self, due: Duration, outcome: Outcome, took: Duration) {
        let at = (due.as_secs_f64() / self.window) as usize;
        if self.windows.len() <= at {
            self.windows.resize_with(at + 1, Window::default);
        }
        self.windows[at].add(outcome, took);
    }

    pub(crate) fn end(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self.sent_late_p99_us = percentile(&mut self.sent_late, 990);
        let mut total = Window::default();
        for window in &mut self.windows {
            total.merge(window);
            window.end();
        }
        total.end();
        self.total = total;
        self
    }
}

impl Window {
    /// Those that were answered wrongly or not at all.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.due - self.good
    }

    fn add(&mut self, outcome: Outcome, took: Duration) {
        self.due += 1;
        let count = match outcome {
            Outcome::Answered(200..=399) => {
                self.took.push(micros(took));
                &mut self.good
            }
            Outcome::Answered(503) => &mut self.shed,
            Outcome::Answered(_) => &mut self.other,
            Outcome::Late => &mut self.late,
            Outcome::Broken => &mut self.broken,
        };
        *count += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.due += other.due;
        self.good += other.good;
        self.shed += other.shed;
        self.other += other.other;
        self.late += other.late;
        self.broken += other.broken;
        self.took.extend_from_slice(&other.took);
    }

    fn end(&mut self) {
        self.p50_us = percentile(&mut self.took, 500);
        self.p99_us = percentile(&mut self.took, 990);
        self.p999_us = percentile(&mut self.took, 999);
        self.took = Vec::new();
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// 0 of none.
fn percentile(values: &mut [u32], permille: usize) -> u32 {
    values.sort_unstable();
    let at = values.len() * permille / 1_000;
    values.get(at).or(values.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_where_they_were_due() {
        let mut report = Report::with_windows(1.0);
        let ms = Duration::from_millis;
        for n in 0..100 {
            report.add(ms(500), Outcome::Answered(302), ms(n));
        }
        report.add(ms(1_500), Outcome::Answered(503), ms(1));
        report.add(ms(1_500), Outcome::Late, ms(1_000));
        let report = report.end(2.0);
        assert_eq!((report.total.due, report.total.good), (102, 100));
        assert_eq!(report.total.errors(), 2);
        assert_eq!(report.windows[0].p50_us, 50_000);
        assert_eq!(report.windows[0].p99_us, 99_000);
        assert_eq!((report.windows[1].shed, report.windows[1].late), (1, 1));
    }
}
