//! What has to hold for any cursor that somebody makes up.

use super::cursor::Position;
use super::{Cursor, ListOrder};

/// A cursor that is read is that of one kind of listing alone, and the same when it is written again.
pub fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let given = Cursor(text.to_owned());
    let mut read = 0;
    for order in [ListOrder::CreatedDescending, ListOrder::CodeAscending] {
        let Ok(position) = Position::read(&given, order) else {
            continue;
        };
        read += 1;
        let written = position.to_cursor();
        assert!(written.0.len() <= text.len().max(2));
        assert!(written.0.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(Position::read(&written, order).ok(), Some(position));
    }
    assert!(read <= 1, "of one listing");
}
