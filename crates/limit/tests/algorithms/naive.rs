//! Models that keep every admission for ever and decide by the definition, in exact arithmetic.
//! Slow, and short enough to be seen to be right.

use tollgate_limit::{Bucket, Quota};

use crate::trace::nanos;

/// All that was admitted: when, in nanoseconds, and how much.
#[derive(Debug, Default)]
pub struct History(Vec<(u64, u64)>);

impl History {
    pub fn admit(&mut self, at: u64, cost: u64) {
        self.0.push((at, cost));
    }

    /// Takes back the last admission at this moment of this cost.
    pub fn refund(&mut self, at: u64, cost: u64, units: u64) {
        let same = |entry: &(u64, u64)| *entry == (at, cost);
        let index = self.0.iter().rposition(same).unwrap();
        self.0[index].1 -= units;
    }

    /// All of it, in the order of time.
    pub fn admitted(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Units admitted at moments for which `within` holds.
    pub fn sum(&self, within: impl Fn(u64) -> bool) -> u64 {
        let admitted = self.0.iter().filter(|(at, _)| within(*at));
        admitted.map(|(_, cost)| cost).sum()
    }

    /// Token bucket, GCRA and leaky bucket by their arrival curve: a request conforms if no
    /// interval that ends with it holds more than `capacity + limit × t / window`.
    pub fn conforms_to_curve(&self, bucket: Bucket, at: u64, cost: u64) -> bool {
        let quota = bucket.quota();
        let window = u128::from(nanos(quota.window()));
        let starts = self.0.iter().map(|(start, _)| *start).chain([at]);
        starts.into_iter().all(|start| {
            let within = u128::from(self.sum(|other| other >= start) + cost);
            let curve = u128::from(bucket.capacity()) * window
                + u128::from(quota.limit()) * u128::from(at - start);
            within * window <= curve
        })
    }

    /// Fixed window: the units of the same multiple of the window.
    pub fn fits_fixed_window(&self, quota: Quota, at: u64, cost: u64) -> bool {
        let window = nanos(quota.window());
        self.sum(|other| other / window == at / window) + cost <= quota.limit()
    }

    /// Sliding log: the units of the half-open window that ends now.
    pub fn fits_sliding_log(&self, quota: Quota, at: u64, cost: u64) -> bool {
        self.sum(|other| at - other < nanos(quota.window())) + cost <= quota.limit()
    }

    /// Sliding counter: `(current + cost) + previous × (W - e) / W <= limit`, times `W`.
    pub fn fits_sliding_counter(&self, quota: Quota, at: u64, cost: u64) -> bool {
        let window = nanos(quota.window());
        let current = u128::from(self.sum(|other| other / window == at / window) + cost);
        let previous = u128::from(self.sum(|other| other / window + 1 == at / window));
        let left = u128::from(window - at % window);
        let window = u128::from(window);
        current * window + previous * left <= u128::from(quota.limit()) * window
    }
}

/// A queue served one after the other: each request is kept with the time, in `limit`-ths of a
/// nanosecond, at which its service ends.
#[derive(Debug, Default)]
pub struct Server {
    ends: Vec<u128>,
}

impl Server {
    /// When a request that comes `at` would begin to be served, in `limit`-ths of a nanosecond.
    pub fn begins(&self, quota: Quota, at: u64) -> u128 {
        let now = u128::from(at) * u128::from(quota.limit());
        self.ends.iter().copied().fold(now, u128::max)
    }

    /// Whether there is room for it beside the work left.
    pub fn has_room(&self, bucket: Bucket, at: u64, cost: u64) -> bool {
        let quota = bucket.quota();
        let now = u128::from(at) * u128::from(quota.limit());
        let work = self.begins(quota, at) - now + service(quota, cost);
        work <= service(quota, bucket.capacity())
    }

    pub fn serve(&mut self, quota: Quota, at: u64, cost: u64) {
        self.ends
            .push(self.begins(quota, at) + service(quota, cost));
    }
}

/// How long `cost` units take, in `limit`-ths of a nanosecond.
fn service(quota: Quota, cost: u64) -> u128 {
    u128::from(cost) * u128::from(nanos(quota.window()))
}
