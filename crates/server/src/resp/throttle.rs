//! `CL.THROTTLE` as redis-cell has it, and `THROTTLE` as throttlecrab has it: a limit that the
//! caller brings along with each request.

use std::time::Duration;

use smallvec::SmallVec;
use tollgate_limit::store::{Charge, KeyError, LimitKey, MAX_CLIENT_KEY_BYTES};
use tollgate_limit::{
    AlgorithmKind, Decision, Limiter, MAX_LIMIT, MAX_WINDOW, Quota, QuotaError, Verdict,
};

use super::reply::Replies;

/// Whose command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `CL.THROTTLE`: `max_burst` comes on top of one, and 0 is allowed.
    Cell,
    /// `THROTTLE`: `max_burst` is the most at once.
    Crab,
}

/// Why arguments are no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ThrottleError {
    #[error("Usage: cl.throttle <key> <max_burst> <count per period> <period> [<quantity>]")]
    Usage,
    #[error("wrong number of arguments for 'throttle' command")]
    Arguments,
    #[error("Couldn't parse as integer: {0}")]
    NoInteger(String),
    #[error("invalid {0}")]
    Invalid(&'static str),
    #[error("Zero rates are not supported")]
    ZeroRate,
    #[error("{name}: {value} is out of range: give {least} to {most}")]
    Range {
        name: &'static str,
        value: i64,
        least: u64,
        most: u64,
    },
    #[error(
        "max_burst: it takes more than 100 years to refill at this rate: give a smaller burst or \
         a higher rate"
    )]
    Refill,
    #[error("a key has at most {MAX_CLIENT_KEY_BYTES} bytes, this one has {0}")]
    Key(usize),
}

/// What a command asks of the store.
#[derive(Debug)]
pub(super) struct Request {
    /// With the prefix; as stores take it. Most are short and take no allocation.
    pub(super) key: SmallVec<[u8; 64]>,
    pub(super) limiter: Limiter,
    pub(super) cost: u64,
}

impl Request {
    /// As stores take it that have to be waited for.
    pub(super) fn into_charge(self) -> Result<Charge, KeyError> {
        Ok(Charge {
            key: LimitKey::new(&self.key)?,
            limiter: self.limiter,
            cost: self.cost,
            binds: true,
            leased: false,
        })
    }
}

/// The words of the command as a request to the store.
pub(super) fn request(dialect: Dialect, words: &[&[u8]]) -> Result<Request, ThrottleError> {
    let [_, key, max_burst, count, period, quantity @ ..] = words else {
        return Err(dialect.wrong_count());
    };
    let quantity = match quantity {
        [] => None,
        [quantity] => Some(quantity),
        _ => return Err(dialect.wrong_count()),
    };
    let integer = |name, word| dialect.integer(name, word);
    let max_burst = integer("max_burst", max_burst)?;
    let count = integer("count_per_period", count)?;
    let period = integer("period", period)?;
    let quantity = quantity.map_or(Ok(1), |quantity| integer("quantity", quantity))?;

    if count == 0 || period == 0 {
        return Err(ThrottleError::ZeroRate);
    }
    let capacity = match dialect {
        Dialect::Cell => between("max_burst", max_burst, 0, MAX_LIMIT - 1)? + 1,
        Dialect::Crab => between("max_burst", max_burst, 1, MAX_LIMIT)?,
    };
    let count = between("count", count, 1, MAX_LIMIT)?;
    let period = between("period", period, 1, MAX_WINDOW.as_secs())?;
    let cost = between("quantity", quantity, 0, i64::MAX.unsigned_abs())?;
    let limiter = Quota::new(count, Duration::from_secs(period))
        .and_then(|quota| Limiter::new(AlgorithmKind::Gcra, quota, Some(capacity)))
        // What else it could say has been looked at.
        .map_err(|_: QuotaError| ThrottleError::Refill)?;
    Ok(Request {
        key: prefixed(key)?,
        limiter,
        cost,
    })
}

/// Writes what was decided.
pub(super) fn answer(dialect: Dialect, decision: &Decision, replies: &mut Replies<'_>) {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let reset = seconds(decision.reset_after());
    let retry = decision.retry_after().map(seconds);
    let fields = match dialect {
        Dialect::Cell => [
            i64::from(!decision.allowed()),
            count(decision.limit()),
            count(decision.remaining()),
            retry.unwrap_or(-1),
            reset,
        ],
        Dialect::Crab => [
            i64::from(decision.allowed()),
            count(decision.limit()),
            count(decision.remaining()),
            reset,
            match decision.verdict() {
                Verdict::Allowed => 0,
                Verdict::RetryAfter(after) => seconds(after),
                // As in the other command: 0 would ask for another try at once.
                Verdict::Never => -1,
            },
        ],
    };
    replies.array(fields.len());
    for field in fields {
        replies.integer(field);
    }
}

/// Whole seconds, rounded up: a client that waits so long does not come too early.
fn seconds(duration: Duration) -> i64 {
    let up = u64::from(duration.subsec_nanos() > 0);
    i64::try_from(duration.as_secs() + up).unwrap_or(i64::MAX)
}

fn between(name: &'static str, value: i64, least: u64, most: u64) -> Result<u64, ThrottleError> {
    u64::try_from(value)
        .ok()
        .filter(|n| (least..=most).contains(n))
        .ok_or(ThrottleError::Range {
            name,
            value,
            least,
            most,
        })
}

fn prefixed(key: &[u8]) -> Result<SmallVec<[u8; 64]>, ThrottleError> {
    let parts = LimitKey::parts_of_client(key);
    let parts = parts.map_err(|_: KeyError| ThrottleError::Key(key.len()))?;
    let mut prefixed = SmallVec::new();
    for part in parts {
        prefixed.extend_from_slice(part);
    }
    Ok(prefixed)
}

impl Dialect {
    fn wrong_count(self) -> ThrottleError {
        match self {
            Self::Cell => ThrottleError::Usage,
            Self::Crab => ThrottleError::Arguments,
        }
    }

    fn integer(self, name: &'static str, word: &[u8]) -> Result<i64, ThrottleError> {
        let parsed = std::str::from_utf8(word).ok().and_then(|w| w.parse().ok());
        parsed.ok_or_else(|| match self {
            Self::Cell => {
                let shown = &word[..word.len().min(64)];
                ThrottleError::NoInteger(String::from_utf8_lossy(shown).into_owned())
            }
            Self::Crab => ThrottleError::Invalid(name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(dialect: Dialect, line: &str) -> Result<Charge, String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let request = request(dialect, &words).map_err(|error| error.to_string())?;
        request.into_charge().map_err(|error| error.to_string())
    }

    #[test]
    fn bursts_come_on_top_of_one_or_are_the_most_at_once() {
        let gcra = |burst| {
            let quota = Quota::new(30, Duration::from_secs(60)).unwrap();
            Limiter::new(AlgorithmKind::Gcra, quota, Some(burst)).unwrap()
        };
        let cell = parse(Dialect::Cell, "cl.throttle k 15 30 60").unwrap();
        assert_eq!((cell.limiter, cell.cost), (gcra(16), 1));
        assert_eq!(cell.key.as_bytes(), b"r:k");
        let crab = parse(Dialect::Crab, "throttle k 15 30 60 7").unwrap();
        assert_eq!((crab.limiter, crab.cost), (gcra(15), 7));
        assert_eq!(crab.key, cell.key);
    }

    #[test]
    fn the_ends_of_the_ranges() {
        for line in [
            "x k 0 1 1",
            "x k 0 1 31622400",
            "x k 9007199254740991 9007199254740992 1 9223372036854775807",
            "x  1 1 1 0",
        ] {
            assert!(parse(Dialect::Cell, line).is_ok(), "{line}");
        }
        for (line, text) in [
            (
                "x",
                "Usage: cl.throttle <key> <max_burst> <count per period> <period> [<quantity>]",
            ),
            (
                "x k 1 1",
                "Usage: cl.throttle <key> <max_burst> <count per period> <period> [<quantity>]",
            ),
            (
                "x k 1 1 1 1 1",
                "Usage: cl.throttle <key> <max_burst> <count per period> <period> [<quantity>]",
            ),
            ("x k a 1 1", "Couldn't parse as integer: a"),
            ("x k 1 1.5 1", "Couldn't parse as integer: 1.5"),
            ("x k 1 1 ", "Couldn't parse as integer: "),
            (
                "x k 1 1 1 9223372036854775808",
                "Couldn't parse as integer: 9223372036854775808",
            ),
            ("x k 1 0 1", "Zero rates are not supported"),
            ("x k 1 1 0", "Zero rates are not supported"),
            (
                "x k -1 1 1",
                "max_burst: -1 is out of range: give 0 to 9007199254740991",
            ),
            (
                "x k 9007199254740992 1 1",
                "max_burst: 9007199254740992 is out of range: give 0 to 9007199254740991",
            ),
            (
                "x k 1 -1 1",
                "count: -1 is out of range: give 1 to 9007199254740992",
            ),
            (
                "x k 1 9007199254740993 1",
                "count: 9007199254740993 is out of range: give 1 to 9007199254740992",
            ),
            (
                "x k 1 1 -1",
                "period: -1 is out of range: give 1 to 31622400",
            ),
            (
                "x k 1 1 31622401",
                "period: 31622401 is out of range: give 1 to 31622400",
            ),
            (
                "x k 1 1 1 -1",
                "quantity: -1 is out of range: give 0 to 9223372036854775807",
            ),
            (
                "x k 9007199254740991 1 1",
                "max_burst: it takes more than 100 years to refill at this rate: give a smaller burst or a higher rate",
            ),
        ] {
            assert_eq!(parse(Dialect::Cell, line).unwrap_err(), text, "{line}");
        }
        for (line, text) in [
            (
                "x k 1 1",
                "wrong number of arguments for 'throttle' command",
            ),
            ("x k a 1 1", "invalid max_burst"),
            ("x k 1 a 1", "invalid count_per_period"),
            ("x k 1 1 a", "invalid period"),
            ("x k 1 1 1 a", "invalid quantity"),
            (
                "x k 0 1 1",
                "max_burst: 0 is out of range: give 1 to 9007199254740992",
            ),
        ] {
            assert_eq!(parse(Dialect::Crab, line).unwrap_err(), text, "{line}");
        }
    }

    #[test]
    fn keys_have_a_largest_size() {
        let line = |length| format!("x {} 1 1 1", "k".repeat(length));
        assert!(parse(Dialect::Cell, &line(4094)).is_ok());
        assert_eq!(
            parse(Dialect::Cell, &line(4095)).unwrap_err(),
            "a key has at most 4094 bytes, this one has 4095"
        );
    }

    #[test]
    fn seconds_are_rounded_up() {
        let of = |nanos| seconds(Duration::from_nanos(nanos));
        assert_eq!([0, 1, 1_000_000_000, 1_000_000_001].map(of), [0, 1, 1, 2]);
    }
}
