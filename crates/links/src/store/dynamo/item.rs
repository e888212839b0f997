//! Links as items, and how keys are written so that they sort.

use std::str::FromStr;

use tollgate_clock::UnixMillis;
use xxhash_rust::xxh3::xxh3_64;

use super::table::{Item, defect, name, number, string};
use crate::store::StoreError;
use crate::store::answer::{answer_column, read_answer};
use crate::{Code, Domain, Link, LinkKey};

/// The sort key of a link, beside which its history is. It sorts behind that.
pub(super) const LINK: &str = "link";
/// What keys of history entries begin with.
pub(super) const HISTORY: &str = "h";

/// Stands between a code and a domain: codes sort by their bytes, and none holds this one.
const BETWEEN: char = '\u{1}';

/// What the partitions of indexes begin with.
pub(super) mod part {
    /// Links, in every order.
    pub(crate) const LINKS: &str = "g";
    /// Links, by the moment at which they expire.
    pub(crate) const EXPIRING: &str = "x";
    /// Tokens, by their age.
    pub(crate) const TOKENS: &str = "t";
    /// Codes of the pool, by the moment from which they can be taken.
    pub(crate) const POOL: &str = "p";
}

/// Reading attributes, which have to be there.
pub(super) trait Fields {
    /// A text.
    fn text(&self, name: &str) -> Result<&str, StoreError>;
    /// A number.
    fn number<T: FromStr>(&self, name: &str) -> Result<T, StoreError>;
    /// A number that may be missing.
    fn maybe<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError>;
}

impl Fields for Item {
    fn text(&self, name: &str) -> Result<&str, StoreError> {
        let text = self.get(name).and_then(|value| value.as_s().ok());
        text.map(String::as_str).ok_or_else(|| damaged(self, name))
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.maybe(name)?.ok_or_else(|| damaged(self, name))
    }

    fn maybe<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let read = value.as_n().ok().and_then(|digits| digits.parse().ok());
        read.map(Some).ok_or_else(|| damaged(self, name))
    }
}

fn damaged(item: &Item, name: &str) -> StoreError {
    let key = item.get(name::PK).and_then(|value| value.as_s().ok());
    let key = key.map(String::as_str).unwrap_or_default();
    StoreError::Corrupt(format!("the attribute {name} of the item {key}"))
}

/// What is stored is no JSON of ours.
pub(super) fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// A number in digits that sort as the numbers do.
pub(super) fn digits(number: i64) -> String {
    format!("{:016x}", number.cast_unsigned() ^ (1 << 63))
}

/// Reads [`digits`].
pub(super) fn read_digits(text: &str) -> Result<i64, StoreError> {
    let bits = u64::from_str_radix(text, 16).map_err(unreadable)?;
    Ok((bits ^ (1 << 63)).cast_signed())
}

/// Two numbers that sort by the first, then by the second.
pub(super) fn pair(first: i64, second: i64) -> String {
    digits(first) + &digits(second)
}

/// Which of the partitions of an index.
pub(super) fn partition(prefix: &str, of: &str, partitions: u64) -> String {
    partition_of(prefix, xxh3_64(of.as_bytes()) % partitions.max(1))
}

/// The partition of this number.
pub(super) fn partition_of(prefix: &str, number: u64) -> String {
    format!("{prefix}{number}")
}

/// The partition of a link and its history.
pub(super) fn link_pk(key: &LinkKey) -> String {
    format!("l:{}", code_key(key))
}

/// A link's place in the order of codes.
pub(super) fn code_key(key: &LinkKey) -> String {
    format!("{}{BETWEEN}{}", key.code, key.domain)
}

/// Reads [`link_pk`].
pub(super) fn read_link_pk(pk: &str) -> Result<LinkKey, StoreError> {
    let parts = pk
        .strip_prefix("l:")
        .and_then(|key| key.split_once(BETWEEN));
    let (code, domain) = parts.ok_or_else(|| unreadable(format!("no key of a link: {pk}")))?;
    Ok(LinkKey {
        domain: Domain::from_stored(domain),
        code: Code::from_stored(code),
    })
}

/// The partition of all links that are alike.
pub(super) fn print_pk(fingerprint: i64) -> String {
    format!("f:{:016x}", fingerprint.cast_unsigned())
}

/// Says that a link is among those that are alike.
pub(super) fn print_item(fingerprint: i64, id: i64, key: &LinkKey) -> Item {
    Item::from([
        (name::PK.into(), string(print_pk(fingerprint))),
        (name::SK.into(), string(digits(id))),
        (name::OWNER.into(), string(link_pk(key))),
    ])
}

/// A link that is there, and what the store knows of it beside.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Tells the order of insertion, and this link from others of the same name before and after it.
    pub(super) id: i64,
    pub(super) link: Link,
    /// The entry of the log that edited it last.
    pub(super) edited_by: Option<u64>,
    /// The entry of the log that is deleting it: it is gone for everybody else.
    pub(super) gone_by: Option<u64>,
    /// The token it was made with, as long as it was not edited.
    pub(super) made_with: Option<String>,
}

impl Kept {
    /// Reads the item of a link.
    pub(super) fn read(item: &Item) -> Result<Self, StoreError> {
        let mut link = read_answer(item.text(name::DOC)?).map_err(unreadable)?;
        // Clicks are counted beside it.
        link.clicks_used = item.number(name::CLICKS)?;
        let made_with = item
            .get(name::MADE_WITH)
            .and_then(|value| value.as_s().ok());
        Ok(Self {
            id: read_digits(item.text(name::ID)?)?,
            link,
            edited_by: item.maybe(name::EDITED_BY)?,
            gone_by: item.maybe(name::GONE_BY)?,
            made_with: made_with.cloned(),
        })
    }
}

/// The attributes by which links that expire are found.
pub(super) fn expiry(
    link: &Link,
    id: i64,
    partitions: u64,
) -> Option<[(&'static str, aws_sdk_dynamodb::types::AttributeValue); 2]> {
    let at = link.spec.expires_at.map(UnixMillis::as_millis)?;
    let part = partition(part::EXPIRING, link.key.code.as_str(), partitions);
    Some([
        (name::TIME_PART, string(part)),
        (name::BY_TIME, string(pair(at, id))),
    ])
}

/// The item of a new link.
pub(super) fn link_item(
    link: &Link,
    id: i64,
    made_with: Option<&str>,
    partitions: u64,
) -> Result<Item, StoreError> {
    let doc = answer_column(link).map_err(defect)?;
    let part = partition(part::LINKS, link.key.code.as_str(), partitions);
    let mut item = Item::from([
        (name::PK.into(), string(link_pk(&link.key))),
        (name::SK.into(), string(LINK)),
        (name::DOC.into(), string(doc)),
        (name::ID.into(), string(digits(id))),
        (name::VERSION.into(), number(link.version)),
        (name::CLICKS.into(), number(link.clicks_used)),
        (name::PART.into(), string(part)),
        (
            name::BY_CREATION.into(),
            string(pair(link.created_at.as_millis(), id)),
        ),
        (name::BY_CODE.into(), string(code_key(&link.key))),
    ]);
    if let Some(max) = link.spec.max_clicks {
        item.insert(name::CLICK_LIMIT.into(), number(max));
    }
    if let Some(token) = made_with {
        item.insert(name::MADE_WITH.into(), string(token));
    }
    for (name, value) in expiry(link, id, partitions).into_iter().flatten() {
        item.insert(name.into(), value);
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_sort_as_numbers_do() {
        let numbers = [i64::MIN, -5, -1, 0, 1, 9, 10, i64::MAX];
        let texts: Vec<_> = numbers.iter().map(|number| digits(*number)).collect();
        assert!(texts.is_sorted());
        for (number, text) in numbers.iter().zip(&texts) {
            assert_eq!(read_digits(text).unwrap(), *number);
        }
    }

    #[test]
    fn codes_sort_before_longer_ones_whatever_their_domain() {
        let key = |code: &str, domain: &str| LinkKey {
            domain: Domain::from_stored(domain),
            code: Code::from_stored(code),
        };
        let names = [
            key("a", ""),
            key("a", "z.example"),
            key("a-b", ""),
            key("a.", ""),
        ];
        let texts: Vec<_> = names.iter().map(code_key).collect();
        assert!(texts.is_sorted());
        for name in names {
            assert_eq!(read_link_pk(&link_pk(&name)).unwrap(), name);
        }
    }
}
