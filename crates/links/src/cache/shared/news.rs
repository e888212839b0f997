//! What servers tell each other about links: which of them each has to forget.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Code, Domain, LinkKey};

/// Grows with each change of [`News`]. Servers of another version of the program read nothing else, and
/// learn of edits by the feed.
const FORMAT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct News<'a> {
    /// Who tells.
    from: u64,
    #[serde(borrow)]
    domain: Cow<'a, str>,
    #[serde(borrow)]
    code: Cow<'a, str>,
}

/// Says that a link was made, edited or deleted.
pub(super) fn encode(from: u64, key: &LinkKey) -> Vec<u8> {
    let news = News {
        from,
        domain: key.domain.as_str().into(),
        code: key.code.as_str().into(),
    };
    // Texts and a number can be written. Nobody would read an empty message.
    postcard::to_extend(&news, vec![FORMAT]).unwrap_or_default()
}

/// Who tells, and of which link.
pub(super) fn decode(message: &[u8]) -> Option<(u64, LinkKey)> {
    let (&FORMAT, message) = message.split_first()? else {
        return None;
    };
    let news: News<'_> = postcard::from_bytes(message).ok()?;
    let key = LinkKey {
        domain: Domain::from_stored(&news.domain),
        code: Code::from_stored(&news.code),
    };
    Some((news.from, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_read_back_and_others_do_not() {
        let key = LinkKey {
            domain: Domain::parse("go.example").unwrap(),
            code: Code::from_stored("ä}{b"),
        };
        let mut message = encode(7, &key);
        assert_eq!(decode(&message), Some((7, key)));
        assert_eq!(decode(&message[..message.len() - 1]), None);
        message[0] += 1;
        assert_eq!(decode(&message), None);
        assert_eq!(decode(b""), None);
    }
}
