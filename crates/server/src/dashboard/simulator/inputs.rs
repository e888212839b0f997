//! What the form of the simulator says.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use tollgate_limit::{AlgorithmKind, Quota};
use tollgate_simulate::compare::{Fleet, Options, Traffic};

use crate::dashboard::form::Fields;
use crate::dashboard::slider::{Wrong, sentence};

/// Traffic by name, and what it is.
pub(super) const TRAFFIC: [(&str, &str); 6] = [
    ("poisson", "Independent requests"),
    ("steady", "At even distances"),
    ("bursty", "Bursts, then nothing"),
    ("boundary", "Two loads about a window's boundary"),
    ("zipf", "Many keys, some ask most"),
    ("fleet", "Servers whose Redis fails for a while"),
];
/// Which algorithms are compared if nothing is said.
const USUAL: [AlgorithmKind; 3] = [
    AlgorithmKind::Gcra,
    AlgorithmKind::FixedWindow,
    AlgorithmKind::SlidingLog,
];
/// Keys of Zipf traffic if they are not told.
const MANY: u64 = 1_000;
/// Beyond these a run with hardly a request would take long all the same.
const KEYS: RangeInclusive<u64> = 1..=10_000;
const WINDOWS: RangeInclusive<u64> = 1..=1_000;
const SERVERS: RangeInclusive<u64> = 1..=20;
const MOST_SKEW: Duration = Duration::from_secs(3_600);
/// How a store that fails is gone on without: open, closed, local.
const WAYS: usize = 3;

/// The form, as far as it makes sense.
pub(super) struct Inputs {
    pub(super) traffic: &'static str,
    pub(super) algorithms: Vec<AlgorithmKind>,
    /// What is to be run, unless something is wrong.
    pub(super) options: Option<Options>,
    pub(super) wrong: Wrong,
    /// The same on the command line.
    pub(super) command: String,
}

/// How many outcomes an algorithm has.
pub(super) fn ways(traffic: &Traffic) -> usize {
    match traffic {
        Traffic::Fleet(_) => WAYS,
        _ => 1,
    }
}

/// Reads fields, one after the other, and notes what is wrong and what is not as usual.
struct Reader<'a> {
    fields: &'a Fields,
    wrong: Wrong,
    command: String,
}

impl Reader<'_> {
    /// A field, or what holds if it is empty or wrong.
    fn take<T>(
        &mut self,
        name: &'static str,
        usual: T,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let text = self.fields.text(name);
        if text.is_empty() {
            return usual;
        }
        match read(text) {
            Ok(value) => {
                // What was read is a number or a time: nothing that a shell would take for something else.
                let text: String = text.split_whitespace().collect();
                self.command = format!("{} --{name} {text}", self.command);
                value
            }
            Err(reason) => {
                self.wrong.insert(name, reason);
                usual
            }
        }
    }
}

fn whole(within: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let found = u64::from_str(text).ok();
        let found = found.filter(|number| within.contains(number));
        let (least, most) = (within.start(), within.end());
        found.ok_or_else(|| match *most {
            u64::MAX => format!("Give a whole number from {least} on."),
            most => format!("Give a whole number from {least} to {most}."),
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text);
    parsed.map_err(|_| "Write a time such as 1s, 1m or 250ms.".to_owned())
}

impl Inputs {
    pub(super) fn read(fields: &Fields) -> Self {
        let named = TRAFFIC
            .iter()
            .find(|(name, _)| *name == fields.text("traffic"));
        let traffic = named.unwrap_or(&TRAFFIC[0]).0;
        let mut algorithms: Vec<AlgorithmKind> = AlgorithmKind::ALL
            .into_iter()
            .filter(|kind| fields.all("algorithm").any(|name| name == kind.name()))
            .collect();
        let mut read = Reader {
            fields,
            wrong: Wrong::new(),
            command: format!("tollgate limit simulate --traffic {traffic}"),
        };
        if algorithms.is_empty() {
            // A form that was sent has a limit, if only an empty one.
            if fields.has("limit") {
                let reason = "Tick at least one algorithm.".to_owned();
                read.wrong.insert("algorithm", reason);
            }
            algorithms = USUAL.to_vec();
        }
        let names: Vec<&str> = algorithms.iter().map(|kind| kind.name()).collect();
        read.command = format!("{} --algorithm {}", read.command, names.join(","));
        let limit = read.take("limit", 100, whole(1..=u64::MAX));
        let window = read.take("window", Duration::from_secs(60), duration);
        let load = read.take("load", 1.2, |text| {
            let found = f64::from_str(text).ok();
            let found = found.filter(|load| load.is_finite() && *load > 0.0);
            found.ok_or_else(|| "Give a number above 0, such as 1.2.".to_owned())
        });
        let windows = read.take("windows", 12, whole(WINDOWS));
        let usual_keys = if traffic == "zipf" { MANY } else { 1 };
        let keys = read.take("keys", usual_keys, whole(KEYS));
        let burst = read.take("burst", None, |text| whole(1..=u64::MAX)(text).map(Some));
        let seed = read.take("seed", 1, whole(0..=u64::MAX));
        let made = match traffic {
            "steady" => Traffic::Steady,
            "bursty" => Traffic::Bursty,
            "boundary" => Traffic::Boundary,
            "zipf" => Traffic::Zipf,
            "fleet" => Traffic::Fleet(fleet(&mut read, windows)),
            _ => Traffic::Poisson,
        };
        let quota = Quota::new(limit, window);
        let quota = quota.map_err(|error| {
            let field = match error {
                tollgate_limit::QuotaError::Window(_) => "window",
                _ => "limit",
            };
            read.wrong.insert(field, sentence(&error.to_string()));
        });
        let Reader { wrong, command, .. } = read;
        let options = quota.ok().filter(|_| wrong.is_empty());
        Self {
            traffic,
            options: options.map(|quota| Options {
                traffic: made,
                algorithms: algorithms.clone(),
                quota,
                burst,
                load,
                windows,
                keys,
                seed,
            }),
            algorithms,
            wrong,
            command,
        }
    }

    pub(super) fn wrong(&self, name: &str) -> Option<&str> {
        self.wrong.get(name).map(String::as_str)
    }
}

fn fleet(read: &mut Reader<'_>, windows: u64) -> Fleet {
    let third = windows as f64 / 3.0;
    Fleet {
        servers: read.take("servers", 4, whole(SERVERS)),
        skew: read.take("skew", Duration::from_secs(2), |text| {
            let skew = duration(text)?;
            let fits = (skew <= MOST_SKEW).then_some(skew);
            fits.ok_or_else(|| "Give at most an hour.".to_owned())
        }),
        outage: read.take("outage", [third, 2.0 * third], |text| {
            let both = text.split_once("..").and_then(|(from, to)| {
                let both = [from.trim().parse::<f64>().ok()?, to.trim().parse().ok()?];
                let fits = both[0] >= 0.0 && both[0] <= both[1] && both[1].is_finite();
                fits.then_some(both)
            });
            both.ok_or_else(|| "Write FROM..TO, in windows, such as 4..8.".to_owned())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Inputs {
        Inputs::read(&Fields::parse(query.as_bytes()))
    }

    #[test]
    fn an_empty_form_is_a_run_with_the_usual_numbers() {
        let inputs = read("");
        let options = inputs.options.unwrap();
        assert_eq!(options.quota.limit(), 100);
        assert_eq!((options.keys, options.windows, options.seed), (1, 12, 1));
        assert_eq!(
            inputs.command,
            "tollgate limit simulate --traffic poisson --algorithm gcra,fixed_window,sliding_log"
        );
        assert_eq!(read("traffic=zipf").options.unwrap().keys, MANY);
    }

    #[test]
    fn what_is_wrong_is_told_by_field() {
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=&traffic=poisson", "algorithm"),
            ("window=soon", "window"),
            ("window=0s", "window"),
            ("load=-1", "load"),
            ("load=inf", "load"),
            ("windows=1001", "windows"),
            ("keys=10001", "keys"),
            ("burst=0", "burst"),
            ("seed=x", "seed"),
            ("traffic=fleet&servers=21", "servers"),
            ("traffic=fleet&skew=2h", "skew"),
            ("traffic=fleet&outage=8..4", "outage"),
        ] {
            let inputs = read(query);
            assert!(inputs.wrong.contains_key(field), "{query}");
            assert!(inputs.options.is_none(), "{query}");
        }
        // Only fleets have servers.
        assert!(read("servers=21").options.is_some());
    }
}
