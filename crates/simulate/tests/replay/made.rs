//! Logs that are made up, the same on every machine.

use std::fmt::Write as _;
use std::io::Cursor;

use tollgate_limit::attribute::Attribute;
use tollgate_limit::policy::PolicySet;
use tollgate_simulate::log::{Fields, Log};
use tollgate_simulate::replay::demand::Share;
use tollgate_simulate::replay::{Options, Report, Times, replay};

/// A request of a log, with its time in milliseconds.
#[derive(Debug, Clone)]
pub struct Made {
    pub millis: i64,
    pub client: String,
    pub path: &'static str,
}

/// So many requests of so many clients, of which the first ask most, in bursts now and then.
pub fn requests(count: u64, clients: u64) -> Vec<Made> {
    let mut random = 0x5eed_u64;
    let mut next = move |below: u64| {
        // xorshift64*
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        ((u128::from(random.wrapping_mul(0x2545_f491_4f6c_dd1d)) * u128::from(below)) >> 64) as u64
    };
    let mut millis = 1_700_000_000_000;
    (0..count)
        .map(|_| {
            millis += i64::try_from(if next(50) == 0 {
                next(20_000)
            } else {
                next(60)
            })
            .unwrap();
            let client = next(clients).min(next(clients));
            Made {
                millis,
                client: format!("192.0.2.{client}"),
                path: if next(4) == 0 { "/login" } else { "/" },
            }
        })
        .collect()
}

/// Lines of JSON with milliseconds.
pub fn json(requests: &[Made]) -> String {
    let mut text = String::new();
    for Made {
        millis,
        client,
        path,
    } in requests
    {
        writeln!(
            text,
            r#"{{"ts":{millis},"ip":"{client}","method":"GET","path":"{path}","user_agent":"a"}}"#
        )
        .unwrap();
    }
    text
}

/// Combined lines, which tell the second alone.
pub fn combined(requests: &[Made]) -> String {
    let mut text = String::new();
    for Made {
        millis,
        client,
        path,
    } in requests
    {
        let time = jiff::Timestamp::from_second(millis / 1_000).unwrap();
        let time = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
        writeln!(
            text,
            r#"{client} - - [{time}] "GET {path}?x HTTP/1.1" 200 1 "-" "a""#
        )
        .unwrap();
    }
    text
}

pub fn options() -> Options {
    Options {
        domain: "http".to_owned(),
        by: vec![
            vec![Attribute::RemoteAddress],
            vec![Attribute::Path, Attribute::RemoteAddress],
        ],
        fields: Fields::default(),
        good: Vec::new(),
        worst: 5,
        bad_lines: 3,
        suggest: None,
        times: Times::Spread,
    }
}

pub fn suggesting(share: f64) -> Options {
    Options {
        suggest: Some(Share::new(share).unwrap()),
        ..options()
    }
}

pub fn log(bytes: impl Into<Vec<u8>>) -> Log {
    Log::open("log", Cursor::new(bytes.into())).unwrap()
}

pub fn run(yaml: &str, options: &Options, logs: Vec<Log>) -> Report {
    replay(
        PolicySet::parse("limits.yaml", yaml).unwrap(),
        options,
        logs,
    )
    .unwrap()
}
