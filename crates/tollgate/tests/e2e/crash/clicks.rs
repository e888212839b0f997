//! Clicks that were answered, and what of them is counted.

use std::collections::HashSet;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::clicks::kept;

/// 50 ms, and what a machine takes that does a lot beside.
const LONGEST: Duration = Duration::from_secs(2);

/// A click that was answered: which one, and when.
#[derive(Debug)]
pub(super) struct Answered {
    referrer: String,
    at: Instant,
}

/// Follows a link over one connection until the server is gone. The referrer names each click.
pub(super) fn follow(edge: &str, code: &str, name: &str) -> Vec<Answered> {
    let address = edge.trim_start_matches("http://");
    let mut answered = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else {
        return answered;
    };
    let mut answer = [0; 4096];
    for at in 0.. {
        let referrer = format!("https://r.example/{name}/{at}");
        let request = format!(
            "GET /{code} HTTP/1.1\r\nHost: {address}\r\nReferer: {referrer}\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\r\n"
        );
        if stream.write_all(request.as_bytes()).is_err() {
            break;
        }
        let mut length = 0;
        while !answer[..length].ends_with(b"\r\n\r\n") {
            match stream.read(&mut answer[length..]) {
                Ok(0) | Err(_) => return answered,
                Ok(read) => length += read,
            }
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 302"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        answered.push(Answered {
            referrer,
            at: Instant::now(),
        });
    }
    answered
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Of rounds that are not looked at yet: when the server was killed, if it was, and what each visitor saw.
    open: Vec<(Option<Instant>, Vec<Vec<Answered>>)>,
    answered: usize,
    lost: usize,
    /// Of the clicks that were lost, the one that was answered the longest before the kill.
    oldest: Duration,
    counted_twice: usize,
    /// Clicks that were lost though a later one of the same visitor was not.
    gaps: usize,
    lost_without_a_kill: usize,
}

impl Verdict {
    pub(super) fn add(&mut self, killed: Option<Instant>, visitors: Vec<Vec<Answered>>) {
        self.open.push((killed, visitors));
    }

    /// Compares with what is counted, and what is in the spool.
    pub(super) fn close(&mut self, home: &Path) {
        let clicks = kept(home);
        let mut kept = HashSet::new();
        for click in &clicks {
            // Those of the link with `max_clicks` have none.
            if let Some(referrer) = &click.click.referrer {
                self.counted_twice += usize::from(!kept.insert(referrer.as_str()));
            }
        }
        for (killed, visitors) in self.open.drain(..) {
            for visitor in visitors {
                let is_kept = |click: &Answered| kept.contains(click.referrer.as_str());
                let first_lost = visitor.iter().position(|click| !is_kept(click));
                let first_lost = first_lost.unwrap_or(visitor.len());
                let (_, end) = visitor.split_at(first_lost);
                self.gaps += usize::from(end.iter().any(is_kept));
                self.answered += visitor.len();
                self.lost += end.len();
                match (killed, end.first()) {
                    (Some(killed), Some(click)) => {
                        let age = killed.saturating_duration_since(click.at);
                        self.oldest = self.oldest.max(age);
                    }
                    (None, Some(_)) => self.lost_without_a_kill += 1,
                    (_, None) => {}
                }
            }
        }
    }

    #[track_caller]
    pub(super) fn check(&self) {
        assert!(self.answered > 0, "{self}");
        assert_eq!(
            self.counted_twice + self.gaps + self.lost_without_a_kill,
            0,
            "{self}"
        );
        assert!(self.oldest < LONGEST, "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} clicks answered, {} lost, the oldest of those {:?} before its kill; counted twice: {}, lost out of their \
             order: {}, lost without a kill: {}",
            self.answered,
            self.lost,
            self.oldest,
            self.counted_twice,
            self.gaps,
            self.lost_without_a_kill
        )
    }
}
