//! What has to hold for any request, and for the path of one.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tollgate_links::{CodeRules, MAX_CODE_CHARS};

use super::plain::{Read, lines, read};
use super::route::{Route, route};

/// The largest head that is looked for.
const MOST: usize = 4_096;

/// A route's text, written as a path again, is that route; and what is a code stays the same code.
pub fn edge_path(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else {
        return;
    };
    let read = route(path);
    let (Route::Link(text) | Route::Preview(text) | Route::Qr(text)) = &read else {
        return;
    };
    assert!(text.len() < path.len(), "no more comes out than went in");
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC);
    let written = match read {
        Route::Link(_) => {
            assert!(!text.is_empty() && !text.ends_with('+') && !text.ends_with(".qr"));
            vec![format!("/{encoded}"), format!("/{encoded}/")]
        }
        Route::Preview(_) => vec![format!("/{encoded}+"), format!("/{encoded}%2B/")],
        _ if text.is_empty() => vec![format!("/{encoded}.qr")],
        _ => vec![format!("/{encoded}.qr"), format!("/{encoded}/qr")],
    };
    for again in written {
        // Escaping may make it longer than it was.
        if !matches!(route(&again), Route::TooLong) {
            assert_eq!(route(&again), read, "{again}");
        }
    }
    for case_insensitive in [false, true] {
        let rules = CodeRules { case_insensitive };
        let Ok(code) = rules.parse(text) else {
            continue;
        };
        assert!((1..=MAX_CODE_CHARS).contains(&code.as_str().chars().count()));
        assert_eq!(rules.parse(code.as_str()).as_ref(), Ok(&code));
        // It stands in a short URL, which has to lead back to it.
        let path = format!("/{}", utf8_percent_encode(code.as_str(), NON_ALPHANUMERIC));
        if !code.as_str().ends_with(".qr") {
            assert_eq!(route(&path), Route::Link(code.as_str().into()));
        }
    }
}

/// What is answered without hyper is, by the letter of RFC 9112, one GET or HEAD for one host without a body, and ends
/// where its head does; and it is that only once all of it is there.
pub fn edge_request(data: &[u8]) {
    let (head, length) = match read(data, &mut lines(), MOST) {
        Read::Plain(head, length) => {
            let query = head
                .query
                .map_or(String::new(), |query| format!("?{query}"));
            let first = format!("{} {}{query} HTTP/1.1", head.method, head.path);
            ((first, head.host.to_owned()), length)
        }
        Read::Partial => return assert!(data.len() < MOST),
        Read::Other => return,
    };
    let (first, host) = head;
    assert!(length <= data.len().min(MOST));
    let text = &data[..length];
    let mut lines_of_head = text
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    assert_eq!(lines_of_head.next(), Some(first.as_bytes()));
    let mut hosts = Vec::new();
    let fields = lines_of_head.by_ref().take_while(|line| !line.is_empty());
    for line in fields {
        assert!(!line.contains(&b'\r') && !line.contains(&0));
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_token =
            |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
        assert!(
            !name.is_empty() && name.iter().all(is_token),
            "{}",
            line.escape_ascii()
        );
        let value = value.trim_ascii();
        match &*name.to_ascii_lowercase() {
            b"host" => hosts.push(value),
            b"connection" => assert!(value.eq_ignore_ascii_case(b"keep-alive")),
            b"content-length" | b"transfer-encoding" | b"expect" | b"upgrade" | b"trailer" => {
                panic!("more than an answer is wanted: {}", line.escape_ascii())
            }
            _ => {}
        }
    }
    assert_eq!(hosts, [host.as_bytes()]);
    // The end of the last line, and nothing of what follows.
    assert!(lines_of_head.eq([&b""[..]]));
    for less in [length - 1, length / 2, 5] {
        assert!(
            matches!(read(&data[..less], &mut lines(), MOST), Read::Partial),
            "{less}"
        );
    }
}
