//! A click as bytes: made on the edge, kept in the spool, read once.
//!
//! | bytes | hold |
//! |---|---|
//! | 2 | how many follow |
//! | 8 | milliseconds since 1970 |
//! | 1 | what is there, see [`Flags`] |
//! | 8 | the visitor's hash, if there is one |
//! | 4 or 16 | the network, if there is one |
//! | 2 + n | domain, code, referrer, user agent, language, campaign, one after the other |
//!
//! Numbers are little-endian. A text that is longer than its bound is kept with one byte more, so
//! that the reader cuts it with a mark.

use std::net::IpAddr;

use tollgate_clock::UnixMillis;

use super::Seen;
use super::campaign;
use super::privacy::Kept;
use crate::{Click, ClickId, ClickKind, Network, Snippet};

/// The longest texts, in bytes.
const MAX_DOMAIN: usize = 255;
const MAX_CODE: usize = 512;
pub(crate) const MAX_REFERRER: usize = 1024;
pub(crate) const MAX_USER_AGENT: usize = 512;
const MAX_LANGUAGE: usize = 128;
pub(crate) const MAX_CAMPAIGN: usize = 512;

/// The longest record, with the bytes that tell its length.
pub(crate) const MAX_RECORD: usize = 2
    + 8
    + 1
    + 8
    + 16
    + 6 * (2 + 1)
    + (MAX_DOMAIN + MAX_CODE + MAX_REFERRER + MAX_USER_AGENT + MAX_LANGUAGE + MAX_CAMPAIGN);

/// What a record holds, as bits.
struct Flags;

impl Flags {
    const ORPHAN: u8 = 1;
    const VISITOR: u8 = 1 << 1;
    const NETWORK: u8 = 1 << 2;
    /// The network is a whole address.
    const FULL: u8 = 1 << 3;
    /// The network is of IPv6.
    const V6: u8 = 1 << 4;
}

/// Appends a click to `record`.
pub(super) fn encode(seen: &Seen<'_>, kept: &Kept<'_>, record: &mut Vec<u8>) {
    let begin = record.len();
    record.extend_from_slice(&[0; 2]);
    record.extend_from_slice(&seen.at.as_millis().to_le_bytes());
    let address = match kept.network {
        Some(Network::Truncated(address) | Network::Full(address)) => Some(address),
        None => None,
    };
    let bit = |is_set, flag| if is_set { flag } else { 0 };
    record.push(
        bit(seen.kind == ClickKind::Orphan, Flags::ORPHAN)
            | bit(kept.visitor.is_some(), Flags::VISITOR)
            | bit(kept.network.is_some(), Flags::NETWORK)
            | bit(matches!(kept.network, Some(Network::Full(_))), Flags::FULL)
            | bit(matches!(address, Some(IpAddr::V6(_))), Flags::V6),
    );
    if let Some(visitor) = kept.visitor {
        record.extend_from_slice(&visitor.to_le_bytes());
    }
    match address {
        Some(IpAddr::V4(address)) => record.extend_from_slice(&address.octets()),
        Some(IpAddr::V6(address)) => record.extend_from_slice(&address.octets()),
        None => {}
    }
    put(record, seen.domain.as_bytes(), MAX_DOMAIN);
    put(record, seen.code.as_bytes(), MAX_CODE);
    put(record, kept.referrer.unwrap_or_default(), MAX_REFERRER);
    put(record, kept.user_agent.unwrap_or_default(), MAX_USER_AGENT);
    put(record, kept.language.unwrap_or_default(), MAX_LANGUAGE);
    put_campaign(record, campaign::parameters(seen.query, seen.target));
    let length = record.len() - begin - 2;
    set_length(record, begin, length);
}

fn put(record: &mut Vec<u8>, text: &[u8], most: usize) {
    let text = &text[..text.len().min(most + 1)];
    let at = record.len();
    record.extend_from_slice(&[0; 2]);
    record.extend_from_slice(text);
    set_length(record, at, text.len());
}

fn put_campaign<'a>(record: &mut Vec<u8>, parameters: impl Iterator<Item = &'a str>) {
    let at = record.len();
    record.extend_from_slice(&[0; 2]);
    let begin = record.len();
    for parameter in parameters {
        if record.len() > begin {
            record.push(b'&');
        }
        record.extend_from_slice(parameter.as_bytes());
        if record.len() - begin > MAX_CAMPAIGN {
            record.truncate(begin + MAX_CAMPAIGN + 1);
            break;
        }
    }
    let length = record.len() - begin;
    set_length(record, at, length);
}

fn set_length(record: &mut [u8], at: usize, length: usize) {
    // The bounds above leave no longer one.
    debug_assert!(length <= MAX_RECORD);
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    record[at..at + 2].copy_from_slice(&length.to_le_bytes());
}

/// Cuts the first record off, with the bytes that tell its length. None if it is not whole.
pub(crate) fn next<'a>(records: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = records.first_chunk().map(|two| u16::from_le_bytes(*two))?;
    let (record, rest) = records.split_at_checked(2 + usize::from(length))?;
    *records = rest;
    Some(record)
}

/// The click of a record, with its name. None if it is no record.
pub(crate) fn decode(record: &[u8], id: ClickId) -> Option<Click> {
    let mut rest = record.get(2..)?;
    let at = UnixMillis::from_millis(i64::from_le_bytes(array(&mut rest)?));
    let [flags] = array(&mut rest)?;
    let has = |flag| flags & flag != 0;
    let visitor = match has(Flags::VISITOR) {
        true => Some(u64::from_le_bytes(array(&mut rest)?)),
        false => None,
    };
    let network = match has(Flags::NETWORK) {
        true => {
            let address: IpAddr = match has(Flags::V6) {
                true => array::<16>(&mut rest)?.into(),
                false => array::<4>(&mut rest)?.into(),
            };
            Some(match has(Flags::FULL) {
                true => Network::Full(address),
                false => Network::Truncated(address),
            })
        }
        false => None,
    };
    let mut text = || {
        let length = u16::from_le_bytes(array(&mut rest)?);
        let (text, after) = rest.split_at_checked(length.into())?;
        rest = after;
        Some(text)
    };
    let click = Click {
        id,
        at,
        kind: match has(Flags::ORPHAN) {
            true => ClickKind::Orphan,
            false => ClickKind::Visit,
        },
        domain: String::from_utf8_lossy(text()?).into(),
        code: String::from_utf8_lossy(text()?).into(),
        referrer: Snippet::of(text()?, MAX_REFERRER),
        user_agent: Snippet::of(text()?, MAX_USER_AGENT),
        language: Snippet::of(text()?, MAX_LANGUAGE),
        campaign: Snippet::of(text()?, MAX_CAMPAIGN),
        visitor,
        network,
    };
    rest.is_empty().then_some(click)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*array)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: ClickId = ClickId {
        process: 1,
        number: 2,
    };

    fn some_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(any::<u8>(), 100..9_000),
        ])
    }

    fn network() -> impl Strategy<Value = Option<Network>> {
        prop::option::of(
            (any::<IpAddr>(), any::<bool>()).prop_map(|(address, full)| match full {
                true => Network::Full(address),
                false => Network::Truncated(address),
            }),
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (at, orphan) in any::<(i64, bool)>(),
            (domain, code) in (".{0,60}", ".{1,128}"),
            (visitor, network) in (any::<Option<u64>>(), network()),
            (referrer, user_agent, language) in (some_bytes(), some_bytes(), some_bytes()),
            query in prop::option::of("(utm_[a-z]{1,9}=[ -~]{0,90}&?){0,9}"),
        ) {
            let seen = Seen {
                at: UnixMillis::from_millis(at),
                kind: if orphan { ClickKind::Orphan } else { ClickKind::Visit },
                domain: &domain,
                code: &code,
                address: IpAddr::from([0; 4]),
                referrer: None,
                user_agent: None,
                language: None,
                query: query.as_deref(),
                target: None,
                objects: false,
            };
            let kept = Kept {
                visitor,
                network,
                referrer: referrer.as_deref(),
                user_agent: user_agent.as_deref(),
                language: language.as_deref(),
            };
            let mut record = vec![9; 9];
            encode(&seen, &kept, &mut record);
            let record = record.split_off(9);
            prop_assert!(record.len() <= MAX_RECORD);
            let snippet = |text: &Option<Vec<u8>>, most| Snippet::of(text.as_deref()?, most);
            let campaign: Vec<&str> = campaign::parameters(seen.query, None).collect();
            let expected = Click {
                id: ID,
                at: seen.at,
                domain: domain.as_str().into(),
                code: code.as_str().into(),
                kind: seen.kind,
                referrer: snippet(&referrer, MAX_REFERRER),
                user_agent: snippet(&user_agent, MAX_USER_AGENT),
                language: snippet(&language, MAX_LANGUAGE),
                campaign: Snippet::of(campaign.join("&").as_bytes(), MAX_CAMPAIGN),
                visitor,
                network,
            };
            prop_assert_eq!(decode(&record, ID), Some(expected));
            // Records follow each other without anything in between.
            let twice = [&record[..], &record[..]].concat();
            let mut rest = &twice[..];
            prop_assert_eq!(next(&mut rest), Some(&record[..]));
            prop_assert_eq!(next(&mut rest), Some(&record[..]));
            prop_assert_eq!(next(&mut rest), None);
            for cut in 0..record.len() {
                prop_assert_eq!(next(&mut &record[..cut]), None);
                prop_assert_eq!(decode(&record[..cut], ID), None);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, ID);
        }
    }
}
