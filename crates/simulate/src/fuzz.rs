//! What has to hold for any access log.

use std::io::{Cursor, Read};

use tollgate_limit::attribute::Attribute;

use crate::log::{Fields, Line, Log, MAX_LINE_BYTES, Parser};

/// The most lines of a log that are looked at: a compressed one may have millions.
const MOST_LINES: usize = 1_000;

/// Lines are those of the file, however it is read; a request has nothing that its line has not; and a parser that
/// has seen other lines reads each as a new one does.
pub fn access_log(data: &[u8]) {
    let whole = lines(Cursor::new(data.to_vec()));
    let pieces = lines(OneByOne(Cursor::new(data.to_vec())));
    // Of a compressed file that is damaged, less may come out before the damage is seen.
    let both = whole.len().min(pieces.len());
    assert_eq!(whole[..both], pieces[..both]);
    let compressed = [&[0x1f, 0x8b][..], &[0x28, 0xb5, 0x2f, 0xfd]];
    if !compressed.iter().any(|magic| data.starts_with(magic)) {
        let theirs = data
            .strip_suffix(b"\n")
            .unwrap_or(data)
            .split(|byte| *byte == b'\n');
        let theirs = theirs
            .take(MOST_LINES)
            .map(|line| (line.len() < MAX_LINE_BYTES).then(|| line.to_vec()));
        assert_eq!(whole, pieces);
        assert!(data.is_empty() || whole == theirs.collect::<Vec<_>>());
    }
    let fields = || Fields::default().with_header("x-tenant");
    let mut parser = Parser::new(fields());
    let attributes = [
        "remote_address",
        "method",
        "host",
        "path",
        "api_key",
        "header:x-tenant",
    ];
    let attributes = attributes.map(Attribute::parse);
    for line in whole.iter().flatten() {
        let read = parser.parse(line);
        assert_eq!(Parser::new(fields()).parse(line), read);
        let Ok(request) = read else {
            continue;
        };
        let texts = [
            &request.method,
            &request.path,
            &request.host,
            &request.user_agent,
            &request.referrer,
        ];
        for text in texts.into_iter().flatten() {
            // A byte that is no text becomes three.
            assert!(text.len() <= 3 * line.len());
        }
        for attribute in attributes.iter().flatten() {
            let _ = parser.value(&request, attribute);
        }
    }
}

fn lines(from: impl Read + Send + 'static) -> Vec<Option<Vec<u8>>> {
    let (Ok(mut log), mut lines) = (Log::open("fuzz", from), Vec::new()) else {
        return Vec::new();
    };
    while lines.len() < MOST_LINES {
        match log.next_line() {
            Ok(Some(Line::Whole(line))) => {
                assert!(line.len() <= MAX_LINE_BYTES);
                lines.push(Some(line.to_vec()));
            }
            Ok(Some(Line::TooLong)) => lines.push(None),
            Ok(None) | Err(_) => break,
        }
    }
    lines
}

/// A file that comes in single bytes.
struct OneByOne<R>(R);

impl<R: Read> Read for OneByOne<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(1);
        self.0.read(&mut buffer[..most])
    }
}
