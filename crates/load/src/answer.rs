/// An answer that has arrived as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its bytes, head and body.
    pub(crate) length: usize,
    /// Whether the connection ends with it.
    pub(crate) closes: bool,
}

/// The answer at the beginning of `bytes`; none if it has not arrived as a whole.
pub(crate) fn answer(bytes: &[u8]) -> Option<Answer> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let mut lines = text.split("\r\n");
    let status: u16 = lines.next()?.get(9..12)?.parse().ok()?;
    let (mut body, mut closes, mut chunked) = (0, false, false);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body = value.parse().ok()?;
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = true;
        }
    }
    let length = match chunked {
        true => head + chunks(&bytes[head..])?,
        false => head + body,
    };
    let answer = Answer {
        status,
        length,
        closes,
    };
    (bytes.len() >= length).then_some(answer)
}

/// The length of a chunked body.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = bytes[at..].windows(2).position(|end| end == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        at += line + 2 + size + 2;
        if at > bytes.len() {
            return None;
        }
        if size == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<(u16, usize, bool)> {
        answer(text.as_bytes()).map(|a| (a.status, a.length, a.closes))
    }

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let whole = "HTTP/1.1 302 Found\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(of(whole), Some((302, whole.len(), false)));
        assert_eq!(
            of(&format!("{whole}HTTP/1.1")),
            Some((302, whole.len(), false))
        );
        for end in 0..whole.len() {
            assert_eq!(of(&whole[..end]), None, "{end}");
        }
        let bare = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        assert_eq!(of(bare), Some((204, bare.len(), true)));
    }

    #[test]
    fn a_chunked_answer_ends_with_its_last_chunk() {
        let whole = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(of(whole), Some((200, whole.len(), false)));
        for end in 0..whole.len() {
            assert_eq!(of(&whole[..end]), None, "{end}");
        }
    }
}
