//! `TG.CHECK`: one descriptor, decided by the policies of its domain.

use std::time::Duration;

use tollgate_limit::MAX_LIMIT;
use tollgate_limit::policy::{Descriptor, Entry};
use tollgate_limit::service::{CheckAnswer, CheckRequest};

use super::reply::{Protocol, Replies};
use crate::limits::headers::millis;
use crate::limits::{MAX_ENTRIES, MAX_ENTRY_BYTES};

/// Why words are no request. Where Redis has a text for it, it is that one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CheckError {
    #[error("wrong number of arguments for 'tg.check' command")]
    Arguments,
    #[error("value is not an integer or out of range")]
    NoInteger,
    #[error("value is out of range, must be positive")]
    Negative,
    #[error("value is out of range, value must between 0 and {MAX_LIMIT}")]
    TooMany,
    #[error("{0}: not UTF-8; give text")]
    NoText(&'static str),
    #[error("a descriptor has at most {MAX_ENTRIES} keys with their values, this one has {0}")]
    Entries(usize),
    #[error("a key and a value have at most {MAX_ENTRY_BYTES} bytes, this one has {0}")]
    TooLong(usize),
}

/// The words of the command as a request.
pub(super) fn request(words: &[&[u8]]) -> Result<CheckRequest, CheckError> {
    let [_, domain, hits, entries @ ..] = words else {
        return Err(CheckError::Arguments);
    };
    let (entries, []) = entries.as_chunks::<2>() else {
        return Err(CheckError::Arguments);
    };
    if entries.is_empty() {
        return Err(CheckError::Arguments);
    }
    if entries.len() > MAX_ENTRIES {
        return Err(CheckError::Entries(entries.len()));
    }
    let hits = std::str::from_utf8(hits)
        .ok()
        .and_then(|hits| hits.parse::<i64>().ok())
        .ok_or(CheckError::NoInteger)?;
    let hits = u64::try_from(hits).map_err(|_| CheckError::Negative)?;
    if hits > MAX_LIMIT {
        return Err(CheckError::TooMany);
    }
    let entries = entries
        .iter()
        .map(|[key, value]| Ok(Entry::new(short("key", key)?, short("value", value)?)));
    Ok(CheckRequest {
        domain: text("domain", domain)?,
        descriptors: vec![Descriptor {
            entries: entries.collect::<Result<_, _>>()?,
            ..Descriptor::default()
        }],
        hits,
    })
}

/// Writes what was decided: an array, and in version 3 a map of the same.
pub(super) fn answer(answer: &CheckAnswer, replies: &mut Replies<'_>) {
    let status = answer.statuses.first();
    let count = |n: Option<u64>| n.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX));
    let time = |time: Option<Duration>| count(time.map(millis));
    let fields = [
        ("allowed", i64::from(answer.allowed)),
        (
            "limit",
            count(status.and_then(|status| status.limit.map(|limit| limit.requests()))),
        ),
        (
            "remaining",
            count(status.and_then(|status| status.remaining)),
        ),
        (
            "retry_after_ms",
            time(status.and_then(|status| status.retry_after)),
        ),
        (
            "reset_after_ms",
            time(status.and_then(|status| status.reset_after)),
        ),
        ("delay_ms", time(Some(answer.delay))),
    ];
    let named = replies.protocol == Protocol::Resp3;
    match named {
        true => replies.map(fields.len() + 1),
        false => replies.array(fields.len() + 1),
    }
    for (name, number) in fields {
        if named {
            replies.bulk(name);
        }
        replies.integer(number);
    }
    if named {
        replies.bulk("policy");
    }
    match status.and_then(|status| status.policy()) {
        Some(policy) => replies.bulk(policy),
        None => replies.null(),
    }
}

fn text(name: &'static str, word: &[u8]) -> Result<String, CheckError> {
    let text = std::str::from_utf8(word).map_err(|_| CheckError::NoText(name))?;
    Ok(text.to_owned())
}

fn short(name: &'static str, word: &[u8]) -> Result<String, CheckError> {
    match word.len() {
        0..=MAX_ENTRY_BYTES => text(name, word),
        long => Err(CheckError::TooLong(long)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&[u8]]) -> Result<CheckRequest, String> {
        request(words).map_err(|error| error.to_string())
    }

    #[test]
    fn words_are_a_domain_hits_and_a_descriptor() {
        let request = parse(&[b"x", b"shop", b"3", b"plan", b"free", b"user", b""]).unwrap();
        assert_eq!(request.domain, "shop");
        assert_eq!(request.hits, 3);
        assert_eq!(
            request.descriptors,
            [Descriptor::of([("plan", "free"), ("user", "")])]
        );
    }

    #[test]
    fn the_ends_of_the_ranges() {
        let long = [b'k'; MAX_ENTRY_BYTES + 1];
        let hits = |hits: &str| parse(&[b"x", b"d", hits.as_bytes(), b"k", b"v"]);
        assert_eq!(hits("0").unwrap().hits, 0);
        assert_eq!(hits("9007199254740992").unwrap().hits, MAX_LIMIT);
        assert!(parse(&[b"x", b"d", b"1", &long[1..], &long[1..]]).is_ok());
        for (refused, text) in [
            (hits(""), "value is not an integer or out of range"),
            (hits("1.5"), "value is not an integer or out of range"),
            (
                hits("9223372036854775808"),
                "value is not an integer or out of range",
            ),
            (hits("-1"), "value is out of range, must be positive"),
            (
                hits("9007199254740993"),
                "value is out of range, value must between 0 and 9007199254740992",
            ),
            (
                parse(&[b"x", b"d", b"1", b"k"]),
                "wrong number of arguments for 'tg.check' command",
            ),
            (
                parse(&[b"x", b"d", b"1", b"k", b"v", b"k"]),
                "wrong number of arguments for 'tg.check' command",
            ),
            (
                parse(&[b"x", b"d", b"1", &long, b"v"]),
                "a key and a value have at most 4096 bytes, this one has 4097",
            ),
            (
                parse(&[b"x", b"d", b"1", b"k", &long]),
                "a key and a value have at most 4096 bytes, this one has 4097",
            ),
            (
                parse(&[b"x", b"\xff", b"1", b"k", b"v"]),
                "domain: not UTF-8; give text",
            ),
            (
                parse(&[b"x", b"d", b"1", b"k", b"\xff"]),
                "value: not UTF-8; give text",
            ),
        ] {
            assert_eq!(refused.unwrap_err(), text);
        }
        let entries = |count: usize| {
            let mut words: Vec<&[u8]> = vec![b"x", b"d", b"1"];
            words.extend(std::iter::repeat_n(&b"k"[..], 2 * count));
            parse(&words)
        };
        assert!(entries(MAX_ENTRIES).is_ok());
        assert_eq!(
            entries(33).unwrap_err(),
            "a descriptor has at most 32 keys with their values, this one has 33"
        );
    }
}
