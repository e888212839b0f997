//! How many clicks a second become numbers, and how long a question about a link takes then.
//!
//! `--clicks`, `--links`, `--days`, `--retain-days` and `--directory` change what is measured; `--postgres` and
//! a URL count in an empty database instead of a file, `--instances` as many at once, each its share.

#![allow(clippy::unwrap_used, reason = "a panic ends the benchmark")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tollgate_clicks::consume::{Consumer, ConsumerOptions, Counts as _};
use tollgate_clicks::query::{LinkName, Period, Query, Scope, zone};
use tollgate_clicks::store::{ClickStore, SqliteClickStore, SqliteOptions};
#[cfg(feature = "postgres")]
use tollgate_clicks::store::{PostgresAddress, PostgresClickStore, PostgresOptions};
use tollgate_clicks::{
    Batch, Click, ClickId, ClickKind, ClickSource, Dimension, Enricher, Position, Snippet,
    SourceError, SourceId,
};
use tollgate_clock::{ManualClock, UnixMillis};

const DAY: i64 = 86_400_000;
/// 2026-11-25T12:00:00Z.
const NOW: i64 = 1_795_608_000_000;

#[derive(Clone)]
struct Options {
    clicks: u64,
    links: u64,
    days: i64,
    retain_days: u64,
    directory: Option<String>,
    postgres: Option<String>,
    instances: u64,
}

fn options() -> Options {
    let mut options = Options {
        clicks: 10_000_000,
        links: 100_000,
        days: 90,
        retain_days: 90,
        directory: None,
        postgres: None,
        instances: 1,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        match word.as_str() {
            "--clicks" => options.clicks = number(),
            "--links" => options.links = number(),
            "--days" => options.days = number() as i64,
            "--retain-days" => options.retain_days = number(),
            "--instances" => options.instances = number(),
            "--postgres" => options.postgres = words.next(),
            "--directory" => options.directory = words.next(),
            // What cargo says to every benchmark.
            "--bench" => {}
            other => panic!("there is no option {other}"),
        }
    }
    options
}

/// Makes clicks in the order of time: links by Zipf's law, and as many different values as visits
/// of a busy site have.
struct Made {
    id: SourceId,
    /// Which of the instances has them: each has every so many of all.
    instance: u64,
    options: Options,
    texts: Texts,
}

struct Texts {
    agents: Vec<Snippet>,
    referrers: Vec<Snippet>,
    languages: Vec<Snippet>,
    campaigns: Vec<Snippet>,
}

/// splitmix64 of a number: the same on every machine.
const fn mixed(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Texts {
    fn new() -> Self {
        let snippet = |text: String| Snippet::of(text.as_bytes(), 512).unwrap();
        let systems = [
            "Windows NT 10.0; Win64; x64",
            "Macintosh; Intel Mac OS X 10_15_7",
            "X11; Linux x86_64",
            "Linux; Android 10; K",
            "iPhone; CPU iPhone OS 18_5 like Mac OS X",
        ];
        let agents = (0..500).map(|number| {
            let (system, version) = (systems[number % systems.len()], 60 + number / 5);
            snippet(format!(
                "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/{version}.0.0.0 Safari/537.36"
            ))
        });
        let languages = [
            "en-US,en;q=0.9",
            "de-DE,de;q=0.8",
            "fr",
            "es-MX",
            "ja",
            "pt-BR",
            "hi",
        ];
        Self {
            agents: agents.collect(),
            referrers: (0..400)
                .map(|host| snippet(format!("https://www.site{host}.example/page?x=1")))
                .chain((0..100).map(|page| snippet(format!("https://www.google.com/{page}"))))
                .collect(),
            languages: languages.map(|text| snippet(text.into())).to_vec(),
            campaigns: (0..40)
                .map(|number| {
                    snippet(format!(
                        "utm_source=s{}&utm_medium=mail&utm_campaign=c{number}",
                        number % 5
                    ))
                })
                .collect(),
        }
    }
}

impl Made {
    fn click(&self, number: u64) -> Click {
        let (random, more) = (mixed(number), mixed(number ^ (1 << 60)));
        let share = number as i64 * self.options.days * DAY / self.options.clicks as i64;
        let pick = |from: &[Snippet], random: u64| from[random as usize % from.len()].clone();
        let some = |chance: u64, random: u64| random % 100 < chance;
        Click {
            id: ClickId { process: 1, number },
            at: UnixMillis::from_millis(NOW - self.options.days * DAY + share),
            domain: "".into(),
            code: code(zipf(random, self.options.links)),
            kind: ClickKind::Visit,
            referrer: some(60, more).then(|| pick(&self.texts.referrers, more >> 8)),
            user_agent: Some(pick(&self.texts.agents, more >> 16)),
            language: Some(pick(&self.texts.languages, more >> 24)),
            campaign: some(20, more >> 32).then(|| pick(&self.texts.campaigns, more >> 40)),
            visitor: Some(mixed(more % 400_000 + (share / DAY) as u64 * 1_000_000)),
            network: None,
        }
    }
}

/// The rank of a link, near enough to Zipf's law with the exponent 1.
fn zipf(random: u64, links: u64) -> u64 {
    let uniform = (random >> 11) as f64 / (1_u64 << 53) as f64;
    ((links as f64).powf(uniform) - 1.0) as u64
}

fn code(rank: u64) -> smol_str::SmolStr {
    format!("k{:06x}", mixed(rank) & 0xff_ffff).into()
}

impl Made {
    /// Its share.
    fn clicks(&self) -> u64 {
        self.options.clicks / self.options.instances
    }
}

#[async_trait]
impl ClickSource for Made {
    fn id(&self) -> &SourceId {
        &self.id
    }

    async fn next(&self, after: Position, most: usize) -> Result<Batch, SourceError> {
        let clicks = self.clicks();
        if after.offset >= clicks {
            return std::future::pending().await;
        }
        let end = (after.offset + most as u64).min(clicks);
        Ok(Batch {
            from: after,
            to: Position {
                segment: 0,
                offset: end,
            },
            clicks: (after.offset..end)
                .map(|number| self.click(number * self.options.instances + self.instance))
                .collect(),
        })
    }

    async fn counted(&self, _: Position) -> Result<(), SourceError> {
        Ok(())
    }
}

async fn count(source: Arc<Made>, store: Arc<dyn ClickStore>) {
    let clicks = source.clicks();
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(NOW)));
    let enricher = Enricher::new(None, clock);
    let options = ConsumerOptions::default();
    let mut consumer = Consumer::new(source, store, enricher, options);
    let progress = consumer.progress();
    let started = Instant::now();
    let watch = async {
        let mut told = 0;
        while progress.clicks() < clicks {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if progress.clicks() >= told + clicks / 10 {
                told = progress.clicks();
                let rate = told as f64 / started.elapsed().as_secs_f64();
                eprintln!("{told} clicks, {rate:.0}/s");
            }
        }
    };
    tokio::select! {
        _ = consumer.run() => {}
        () = watch => {}
    }
}

/// The median and the longest of some answers, in milliseconds.
async fn ask(store: &dyn ClickStore, rank: u64, days: i64, name: &str) -> (u64, f64, f64) {
    let at = UnixMillis::from_millis;
    let link = LinkName {
        domain: "".into(),
        code: code(rank),
    };
    let period = Period::new(at(NOW - days * DAY), at(NOW)).unwrap();
    let query = Query {
        zone: zone(name).unwrap(),
        by: vec![
            Dimension::Referrer,
            Dimension::Channel,
            Dimension::Browser,
            Dimension::Os,
            Dimension::Device,
            Dimension::Language,
            Dimension::UtmCampaign,
        ],
        ..Query::new(Scope::Link(link), period)
    };
    let mut total = 0;
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..21 {
        let started = Instant::now();
        total = store.statistics(query.clone()).await.unwrap().total;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    (total, times[10], times[20])
}

async fn open(options: &Options, file: &Path) -> Arc<dyn ClickStore> {
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(NOW)));
    let retain_raw = Duration::from_hours(24 * options.retain_days);
    if let Some(url) = &options.postgres {
        return postgres(url, clock, retain_raw).await;
    }
    let options = SqliteOptions {
        retain_raw,
        archive: None,
        ..SqliteOptions::default()
    };
    Arc::new(SqliteClickStore::open(file, clock, options).unwrap())
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, clock: Arc<ManualClock>, retain_raw: Duration) -> Arc<dyn ClickStore> {
    let options = PostgresOptions {
        retain_raw,
        connections: 16,
        ..PostgresOptions::default()
    };
    let address = PostgresAddress::parse(url).unwrap();
    Arc::new(
        PostgresClickStore::open(address, clock, &options)
            .await
            .unwrap(),
    )
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str, _: Arc<ManualClock>, _: Duration) -> Arc<dyn ClickStore> {
    panic!("build with --features postgres")
}

fn main() {
    let options = options();
    let temporary = tempfile::tempdir().unwrap();
    let directory = options
        .directory
        .as_ref()
        .map_or(temporary.path(), |directory| Path::new(directory));
    let file = directory.join("clicks.db");
    let days = options.days;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let store = runtime.block_on(open(&options, &file));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for instance in 0..options.instances {
            let source = Arc::new(Made {
                id: SourceId(format!("made-{instance}").into()),
                instance,
                options: options.clone(),
                texts: Texts::new(),
            });
            let store = Arc::clone(&store);
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(count(source, store));
            });
        }
    });
    let clicks = options.clicks;
    let rate = clicks as f64 / started.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(&file).map_or(0, |file| file.len());
    println!("RESULT clicks={clicks} per_second={rate:.0} bytes={bytes}");
    for rank in [0, 100, 10_000] {
        for name in ["UTC", "Europe/Berlin", "Asia/Kolkata"] {
            let (total, median, longest) = runtime.block_on(ask(&*store, rank, days, name));
            println!(
                "RESULT rank={rank} clicks={total} zone={name} median_ms={median:.1} longest_ms={longest:.1}"
            );
        }
    }
}
