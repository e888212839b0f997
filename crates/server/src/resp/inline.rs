//! Commands typed as a line, as by somebody with `nc`: words between spaces, quoted if need be.

/// The words of a line, quoted as in `redis-cli`: `"…"` with `\n`, `\r`, `\t`, `\b`, `\a` and
/// `\xHH`, or `'…'` with `\'`. `None` if a quote is not closed, or something follows it at once.
pub(super) fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while let Some(&first) = rest.first() {
        let mut word = Vec::new();
        rest = match first {
            b'"' => double_quoted(&rest[1..], &mut word)?,
            b'\'' => single_quoted(&rest[1..], &mut word)?,
            _ => bare(rest, &mut word)?,
        };
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    Some(words)
}

/// Up to the next space. Quotes may also begin within a word: `a"b c"` is one.
fn bare<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'"' => return double_quoted(after, word),
            b'\'' => return single_quoted(after, word),
            byte if byte.is_ascii_whitespace() => break,
            byte => word.push(byte),
        }
        rest = after;
    }
    Some(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'"', after @ ..] => return ends_word(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\'', after @ ..] => return ends_word(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

fn ends_word(rest: &[u8]) -> Option<&[u8]> {
    rest.first()
        .is_none_or(u8::is_ascii_whitespace)
        .then_some(rest)
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_unquoted() {
        let split = |line: &str| words(line.as_bytes());
        let plain = |words: &[&str]| {
            let words = words.iter().map(|w| w.as_bytes().to_vec());
            Some(words.collect::<Vec<_>>())
        };
        assert_eq!(split("  "), plain(&[]));
        assert_eq!(split(" SET a\tb \r"), plain(&["SET", "a", "b"]));
        assert_eq!(split(r#""a b" 'c d' """#), plain(&["a b", "c d", ""]));
        assert_eq!(split(r#"a"b c""#), plain(&["ab c"]));
        assert_eq!(
            split(r#""\n\r\t\b\a\"\\\q""#),
            plain(&["\n\r\t\u{8}\u{7}\"\\q"])
        );
        assert_eq!(split(r#""\x41\xfF\xg""#), Some(vec![b"A\xffxg".to_vec()]));
        assert_eq!(split(r"'\'\n'"), plain(&["'\\n"]));
        for open in [r#"""#, "'", r#"a ""#, r#""a"b"#, "'a'b", r#""\"#, r"'\'"] {
            assert_eq!(split(open), None, "{open}");
        }
    }
}
