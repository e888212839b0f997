//! Links like those people really have: long queries, international names, fragments, kilobytes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use url::Url;

const WORDS: &[&str] = &[
    "spring",
    "sale",
    "2026",
    "invoice",
    "report",
    "blog",
    "news",
    "checkout",
    "über",
    "naïve",
    "東京",
    "日本語",
    "привет",
    "مرحبا",
    "emoji-🚀",
    "a b",
    "50%",
    "c++",
    "rock&roll",
    "x=y",
    "semi;colon",
    "co,mma",
    "quote\"d",
    "tilde~",
    "plus+plus",
];
const HOSTS: &[&str] = &[
    "www.example.com",
    "shop.example.org",
    "EXAMPLE.net",
    "bücher.example",
    "xn--bcher-kva.example",
    "例え.example",
    "пример.example",
    "münchen.example.com:8443",
    "192.0.2.7",
    "[2001:db8::1]:8080",
    "a-rather-long-sub-domain-name.of-a-company.example.co.uk",
];
const TAGS: &[&str] = &["news", "spring sale", "große aktion", "q3-2026", "東京"];

/// A link of the corpus.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) code: String,
    /// As somebody wrote it.
    pub(crate) url: String,
    pub(crate) title: Option<String>,
    pub(crate) tags: Vec<&'static str>,
}

/// Makes as many links as wanted; the same seed makes the same ones.
pub(crate) fn samples(seed: u64, count: usize) -> impl Iterator<Item = Sample> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(move |at| sample(&mut random, at))
}

/// Where a browser would go for what somebody wrote, by the URL standard.
pub(crate) fn normal(url: &str) -> String {
    Url::parse(url).expect("a URL").into()
}

/// Writes a CSV as another shortener might have, with lines in between that cannot be imported, and
/// answers what has to be there afterwards and the numbers of the bad lines.
pub(crate) fn write_csv(
    path: &Path,
    samples: impl Iterator<Item = Sample>,
    bad_every: usize,
) -> (BTreeMap<String, String>, Vec<u64>) {
    let mut expected = BTreeMap::new();
    let mut bad_lines = Vec::new();
    let mut csv = csv::Writer::from_path(path).expect("a file");
    let header = ["Short code", "Long URL", "Title", "Tags"];
    csv.write_record(header).expect("a row");
    let mut line = 1;
    for (at, sample) in samples.enumerate() {
        line += 1;
        if at % bad_every == bad_every - 1 {
            let bad = ["ftp://example.com/file", "not a url", "https://", ""][at / bad_every % 4];
            csv.write_record([&format!("bad{at}"), bad, "", ""])
                .expect("a row");
            bad_lines.push(line);
            continue;
        }
        let title = sample.title.as_deref().unwrap_or_default();
        csv.write_record([&sample.code, &sample.url, title, &sample.tags.join("|")])
            .expect("a row");
        expected.insert(sample.code, normal(&sample.url));
    }
    csv.flush().expect("a file");
    (expected, bad_lines)
}

/// Writes drafts, one a line.
pub(crate) fn write_ndjson(path: &Path, samples: impl Iterator<Item = Sample>) {
    let file = std::fs::File::create(path).expect("a file");
    let mut file = std::io::BufWriter::new(file);
    for sample in samples {
        writeln!(file, "{}", draft(&sample)).expect("a line");
    }
    file.flush().expect("a file");
}

/// The sample as the API takes it.
pub(crate) fn draft(sample: &Sample) -> serde_json::Value {
    json!({
        "code": sample.code,
        "url": sample.url,
        "title": sample.title,
        "tags": sample.tags,
    })
}

fn sample(random: &mut StdRng, at: usize) -> Sample {
    let url = url(random);
    // Unique by its number. A few are written in other scripts.
    let code = match at % 50 {
        0 => format!("größe-{at}"),
        1 => format!("リンク{at}"),
        2 => format!("with.dots_and-{at}"),
        _ => format!("imp{at:x}Z"),
    };
    let title = at.is_multiple_of(3).then(|| words(random, 4, " "));
    let tags = TAGS.iter().copied().filter(|_| random.random_bool(0.2));
    Sample {
        code,
        url,
        title,
        tags: tags.collect(),
    }
}

fn url(random: &mut StdRng) -> String {
    let scheme = if random.random_bool(0.9) {
        "https"
    } else {
        "http"
    };
    let host = pick(random, HOSTS);
    let depth = random.random_range(0..5);
    let path: String = (0..depth)
        .map(|_| format!("/{}", segment(random)))
        .collect();
    let mut url = format!("{scheme}://{host}{path}");
    if depth == 0 && random.random_bool(0.5) {
        url.push('/');
    }
    match random.random_range(0..10) {
        0..=3 => {}
        4..=7 => url.push_str(&query(random, 12)),
        8 => {
            // Signed addresses of object stores and single sign-on reach kilobytes.
            url.push_str("?signature=");
            let length = random.random_range(1_500..2_048 - url.len());
            url.extend((0..length).map(|_| char::from(random.sample(rand::distr::Alphanumeric))));
        }
        _ => url.push_str("?redirect=https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%26d&empty=&flag"),
    }
    match random.random_range(0..6) {
        0 => url.push_str(&format!("#{}", words(random, 1, ""))),
        1 => url.push_str(&format!("#!/route/{}?tab=2", words(random, 2, "-"))),
        2 => url.push_str("#:~:text=what%20it%20says,-and%20more"),
        _ => {}
    }
    url
}

fn query(random: &mut StdRng, most: usize) -> String {
    let count = random.random_range(1..=most);
    let mut pairs = vec![
        "utm_source=newsletter".to_owned(),
        "utm_medium=email".to_owned(),
        format!("utm_campaign={}", segment(random)),
    ];
    pairs.extend((0..count).map(|at| format!("p{at}={}", segment(random))));
    format!("?{}", pairs.join("&"))
}

/// As people and programs write it: some encode, some do not, some in lower case.
fn segment(random: &mut StdRng) -> String {
    let text = words(random, 2, "-");
    let unsafe_here = ['#', '?', '&', '%', '/', '"'];
    match random.random_range(0..3) {
        0 => crate::http::encoded(&text),
        1 => crate::http::encoded(&text).to_lowercase(),
        _ => text.replace(unsafe_here, "_"),
    }
}

fn words(random: &mut StdRng, most: usize, separator: &str) -> String {
    let count = random.random_range(1..=most);
    let words: Vec<&str> = (0..count).map(|_| pick(random, WORDS)).collect();
    words.join(separator)
}

fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[random.random_range(0..from.len())]
}
