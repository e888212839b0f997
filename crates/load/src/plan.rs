use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// In which order the values of a plan are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// By chance, the same in each run.
    Random,
    /// One after the other, then again from the first.
    Sequence,
}

/// What to ask, how often, and for how long.
#[derive(Debug, Clone, Deserialize)]
pub struct Plan {
    /// Whom.
    pub address: SocketAddr,
    /// The addresses it is asked from, in turn. Empty: whichever the system takes.
    #[serde(default)]
    pub from: Vec<std::net::IpAddr>,
    /// A whole HTTP/1.1 request, in which `{}` stands for a value.
    pub request: String,
    /// The values, all of one length if the request has a body.
    pub values: Vec<String>,
    /// How the next is chosen.
    pub order: Order,
    /// Requests a second. 0 asks again as soon as there is an answer, on each connection.
    pub rate: f64,
    /// How long requests are sent.
    pub seconds: f64,
    /// Connections at most: as many as ask at once.
    pub connections: usize,
    /// How long an answer is waited for, from when the request was due. Its connection is closed then.
    pub timeout_ms: u64,
    /// Sleep between requests, instead of turning: they go out up to a millisecond late or two, and the core is free for
    /// others.
    #[serde(default)]
    pub patient: bool,
    /// How long one part of the report is.
    #[serde(default = "a_minute")]
    pub window_seconds: f64,
}

fn a_minute() -> f64 {
    60.0
}

impl Plan {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// How many requests there are, or no number if that is as many as are answered.
    pub(crate) fn requests(&self) -> Option<u64> {
        (self.rate > 0.0).then_some((self.rate * self.seconds) as u64)
    }

    /// When the request of this number is due, from the beginning.
    pub(crate) fn due(&self, number: u64) -> Duration {
        match self.rate > 0.0 {
            true => Duration::from_secs_f64(number as f64 / self.rate),
            false => Duration::ZERO,
        }
    }
}
