//! Cursors: where a page of a listing ended, written as text that is safe in a URL.

use std::fmt::Write as _;

use super::{Cursor, ListOrder, StoreError};
use crate::{Code, Domain, LinkKey};

/// The last link of a page, by what its listing is ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    /// Ordered by creation: when, and the number that breaks ties.
    Created { at_ms: i64, id: i64 },
    /// Ordered by code.
    Code(LinkKey),
}

impl Position {
    /// Writes the cursor.
    pub(super) fn to_cursor(&self) -> Cursor {
        match self {
            Self::Created { at_ms, id } => Cursor(format!("t{at_ms}.{id}")),
            Self::Code(key) => {
                // Codes may be any letters, which a URL would have to escape.
                let mut text = String::from("k");
                for byte in key
                    .code
                    .as_str()
                    .bytes()
                    .chain([b'/'])
                    .chain(key.domain.as_str().bytes())
                {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "{byte:02x}");
                }
                Cursor(text)
            }
        }
    }

    /// Reads a cursor that must have come from a listing in this order.
    pub(super) fn read(cursor: &Cursor, order: ListOrder) -> Result<Self, StoreError> {
        let position = match cursor.0.split_at_checked(1) {
            Some(("t", rest)) => read_created(rest),
            Some(("k", rest)) => read_code(rest),
            _ => None,
        };
        let by_code = matches!(order, ListOrder::CodeAscending | ListOrder::CodeDescending);
        match position {
            Some(position) if matches!(position, Self::Code(_)) == by_code => Ok(position),
            _ => Err(StoreError::BadCursor),
        }
    }
}

fn read_created(text: &str) -> Option<Position> {
    let (at, id) = text.split_once('.')?;
    Some(Position::Created {
        at_ms: at.parse().ok()?,
        id: id.parse().ok()?,
    })
}

fn read_code(hex: &str) -> Option<Position> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect();
    let (pairs, []) = digits.as_deref()?.as_chunks::<2>() else {
        return None;
    };
    let bytes = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    let text = String::from_utf8(bytes).ok()?;
    let (code, domain) = text.split_once('/')?;
    Some(Position::Code(LinkKey {
        domain: Domain::from_stored(domain),
        code: Code::from_stored(code),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_the_position_it_was_made_from() {
        let code = Position::Code(LinkKey {
            domain: Domain::from_stored("go.example"),
            code: Code::from_stored("äß-中_.x"),
        });
        let created = Position::Created {
            at_ms: i64::MIN,
            id: i64::MAX,
        };
        for (position, order) in [
            (code, ListOrder::CodeDescending),
            (created, ListOrder::CreatedAscending),
        ] {
            let cursor = position.to_cursor();
            assert!(
                cursor
                    .0
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
            );
            assert_eq!(Position::read(&cursor, order).unwrap(), position);
        }
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        for text in [
            "", "t", "t1", "t1.x", "k", "k6", "k61", "kzz", "kff", "ä", "x1.2", "t1.2",
        ] {
            let read = Position::read(&Cursor(text.into()), ListOrder::CodeAscending);
            assert!(matches!(read, Err(StoreError::BadCursor)), "{text:?}");
        }
        let other = Position::read(&Cursor("k612f".into()), ListOrder::CreatedAscending);
        assert!(matches!(other, Err(StoreError::BadCursor)));
    }
}
