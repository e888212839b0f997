//! Makes the access log of a short-link service over three days, always the same one.
//!
//! Its lines are those of the combined format, with the host and the visitor's address in front, and
//! the language and the wish not to be tracked behind. Links, codes that are not there, visitors, user agents,
//! languages and referrers come by Zipf's law.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// When the log begins: two days later Berlin leaves out an hour.
pub(super) const BEGIN: &str = "2026-03-27T00:00:00Z";
/// Quarters of an hour in the log.
const QUARTERS: u64 = 3 * 24 * 4;
pub(super) const HOSTS: [&str; 2] = ["go.example", "lnk.example"];
const TAGS: [&str; 5] = ["news", "spring sale", "große aktion", "q3-2026", "東京"];
const LANGUAGES: [&str; 12] = [
    "en-US,en;q=0.9",
    "de-DE,de;q=0.9,en;q=0.8",
    "fr",
    "es-MX,es;q=0.8",
    "ja",
    "pt-BR,pt;q=0.9",
    "zh_Hant_TW",
    "EN",
    "hi-IN",
    "*",
    "x",
    "fil ; q=1",
];
const LINKS: usize = 700;
const ORPHANS: usize = 300;

/// The links that are clicked, the most frequent first, as the API takes them.
pub(super) fn links() -> Vec<Value> {
    let mut random = StdRng::seed_from_u64(1);
    (0..LINKS)
        .map(|rank| {
            // Every seventh code is on both domains.
            let code = match rank % 7 {
                6 => format!("both{}", rank / 14),
                _ => format!("k{rank}"),
            };
            let host = HOSTS[usize::from(rank % 14 == 13 || rank % 7 == 3)];
            let mut url = format!("https://www.shop.example/products/{rank}?ref=1");
            if rank % 5 == 0 {
                let _ = write!(
                    url,
                    "&utm_source=site&utm_campaign=Spr%C3%BCnge+{}",
                    rank % 3
                );
            }
            url.push_str("#utm_source=nobody");
            let tags: Vec<&str> = TAGS
                .into_iter()
                .filter(|_| random.random_bool(0.15))
                .collect();
            let mut link = json!({"code": code, "url": url, "tags": tags});
            if host != HOSTS[0] {
                link["domain"] = json!(host);
            }
            link
        })
        .collect()
}

/// Somebody who comes again and again.
struct Visitor {
    address: String,
    agent: Option<usize>,
    language: Option<usize>,
    wish: &'static str,
}

/// A rank below `of`, by Zipf's law.
fn zipf(random: &mut StdRng, of: usize) -> usize {
    let uniform: f64 = random.random();
    ((of as f64 + 1.0).powf(uniform) - 1.0) as usize
}

/// A column of one of the tables beside this file.
fn column(table: &'static str, column: usize) -> Vec<&'static str> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split('\t').nth(column).expect("a column"))
        .collect()
}

fn address(random: &mut StdRng) -> String {
    let (a, b) = (random.random_range(0..256), random.random::<u16>());
    let [c, d] = b.to_be_bytes();
    let v4 = |a: u8, b: u8| Ipv4Addr::new(a, b, c, d).to_string();
    match random.random_range(0..10) {
        0..3 => v4(198, 18 + u8::from(b % 3 == 0)),
        3..6 => v4(100, random.random_range(64..120)),
        6 => v4(203, a as u8),
        _ => {
            let site = random.random_range(0..10);
            let host = random.random_range(1..40_000);
            Ipv6Addr::new(0x2001, 0xdb8, site, b, 0, 0, 0, host).to_string()
        }
    }
}

fn visitors(random: &mut StdRng, count: usize, agents: usize) -> Vec<Visitor> {
    let mut all: Vec<Visitor> = Vec::with_capacity(count);
    for _ in 0..count {
        // Some share their address with others, behind one router.
        let shared = !all.is_empty() && random.random_bool(0.1);
        let address = match shared {
            true => all[random.random_range(0..all.len())].address.clone(),
            false => address(random),
        };
        all.push(Visitor {
            address,
            agent: (!random.random_bool(0.01)).then(|| zipf(random, agents)),
            language: (!random.random_bool(0.1)).then(|| zipf(random, LANGUAGES.len())),
            wish: match random.random_range(0..50) {
                0 => "dnt",
                1 => "gpc",
                _ => "-",
            },
        });
    }
    all
}

/// What is asked for: the path with its query.
fn query(random: &mut StdRng) -> String {
    match random.random_range(0..100) {
        0..10 => format!(
            "?utm_source=newsletter&utm_medium=email&utm_campaign=week+{}",
            random.random_range(1..6)
        ),
        10..14 => "?q=secret&utm_source=Gro%C3%9Fe%20Anzeige&utm_term=short%26sweet".into(),
        14..16 => "?utm_content=top&fbclid=abc".into(),
        16..18 => format!("?utm_campaign={}&utm_source=", "long".repeat(50)),
        18..20 => "?utm_source=first&utm_source=second&utm_medium=%FF".into(),
        20..24 => "?gclid=1".into(),
        _ => String::new(),
    }
}

/// Writes the log, and answers how many of its lines are clicks.
pub(super) fn write(file: &Path, clicks: u64) -> u64 {
    let mut random = StdRng::seed_from_u64(20_260_327);
    let agents = column(include_str!("user_agents.tsv"), 4);
    let mut referrers = column(include_str!("referrers.tsv"), 2);
    let long = format!("https://long.example/{}", "x".repeat(2_000));
    referrers.push(&long);
    let links = links();
    let visitors = visitors(&mut random, 1_000 + clicks as usize / 12, agents.len());
    let begin: Timestamp = BEGIN.parse().expect("a time");
    let busy = |quarter: u64| {
        // At night a quarter of what comes in the afternoon.
        let hour = (quarter / 4 % 24) as f64;
        2.5 - 1.5 * ((hour - 3.0) * std::f64::consts::TAU / 24.0).cos()
    };
    let all: f64 = (0..QUARTERS).map(busy).sum();
    let mut out = BufWriter::new(std::fs::File::create(file).expect("a writable file"));
    let mut written = 0;
    let mut share = 0.0;
    for quarter in 0..QUARTERS {
        // The first second of the quarter, the last one, or one between them.
        let second = match quarter % 3 {
            0 => 0,
            1 => 899,
            _ => random.random_range(1..899),
        };
        let at = begin.as_second() + (quarter * 900) as i64 + second;
        let at = Timestamp::from_second(at).expect("a time");
        let at = at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        share += busy(quarter) / all;
        let upto = match quarter + 1 {
            QUARTERS => clicks,
            _ => (clicks as f64 * share) as u64,
        };
        while written < upto {
            let visitor = &visitors[zipf(&mut random, visitors.len())];
            let mut method = "GET";
            let (host, path, status) = match random.random_range(0..1_000) {
                0..25 => {
                    let code = zipf(&mut random, ORPHANS);
                    let host = HOSTS[usize::from(code.is_multiple_of(9))];
                    (host, format!("gone-{code}"), 404)
                }
                other => {
                    let link = &links[zipf(&mut random, LINKS)];
                    let host = link["domain"].as_str().unwrap_or(HOSTS[0]);
                    let mut path = link["code"].as_str().expect("a code").to_owned();
                    let mut status = 302;
                    match other {
                        25..35 => method = "HEAD",
                        35..40 => (path, status) = (path + "+", 200),
                        _ => path += &query(&mut random),
                    }
                    (host, path, status)
                }
            };
            let referrer = match random.random_bool(0.55) {
                true => referrers[zipf(&mut random, referrers.len())],
                false => "-",
            };
            let agent = visitor.agent.map_or("-", |agent| agents[agent]);
            let language = visitor.language.map_or("-", |one| LANGUAGES[one]);
            let Visitor { address, wish, .. } = visitor;
            writeln!(
                out,
                "{host} {address} - - [{at}] \"{method} /{path} HTTP/1.1\" {status} - \"{referrer}\" \
                 \"{agent}\" \"{language}\" \"{wish}\""
            )
            .expect("room on the disk");
            if method == "GET" && status != 200 {
                written += 1;
            }
        }
    }
    out.flush().expect("room on the disk");
    written
}
