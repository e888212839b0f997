//! Cuts a bulk request into its rows as the bytes arrive, whatever pieces they arrive in.

use bytes::BytesMut;

/// The longest row, in bytes.
pub(super) const MAX_ROW_BYTES: usize = 64 * 1024;

/// How the rows of a bulk request are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON value a line.
    Ndjson,
    /// The elements of one JSON array.
    Array,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Counts from 1: the line, or the element of the array.
    pub(super) number: u64,
    /// What it holds; `None` if that was longer than [`MAX_ROW_BYTES`].
    pub(super) json: Option<Vec<u8>>,
}

/// The rows cannot be told apart from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowsError {
    #[error("the body is no JSON array: it does not begin with [")]
    NoArray,
    #[error("something follows the end of the JSON array")]
    AfterArray,
    #[error("the JSON array is not closed: the body ended too early")]
    Unclosed,
}

/// Holds at most one unfinished row.
pub(super) struct Rows {
    format: Format,
    place: Place,
    row: BytesMut,
    number: u64,
    too_long: bool,
    // Only for arrays: where in the element the next byte is.
    depth: u32,
    in_string: bool,
    escaped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    After,
}

impl Rows {
    pub(super) fn new(format: Format) -> Self {
        let place = match format {
            Format::Ndjson => Place::Inside,
            Format::Array => Place::Before,
        };
        Self {
            format,
            place,
            row: BytesMut::new(),
            number: 1,
            too_long: false,
            depth: 0,
            in_string: false,
            escaped: false,
        }
    }

    /// Takes the next piece, up to the end of the first row in it; returns that row and how many
    /// bytes were used.
    pub(super) fn next(&mut self, piece: &[u8]) -> Result<(usize, Option<Row>), RowsError> {
        match self.format {
            Format::Ndjson => Ok(self.next_line(piece)),
            Format::Array => self.next_element(piece),
        }
    }

    /// The last row, once everything has arrived.
    pub(super) fn finish(&mut self) -> Result<Option<Row>, RowsError> {
        match (self.format, self.place) {
            (Format::Ndjson, _) => Ok(self.take()),
            (Format::Array, Place::Before) => Err(RowsError::NoArray),
            (Format::Array, Place::Inside) => Err(RowsError::Unclosed),
            (Format::Array, Place::After) => Ok(None),
        }
    }

    fn next_line(&mut self, piece: &[u8]) -> (usize, Option<Row>) {
        let mut used = 0;
        while let Some(length) = piece[used..].iter().position(|byte| *byte == b'\n') {
            self.push(&piece[used..used + length]);
            used += length + 1;
            if let Some(row) = self.take() {
                return (used, Some(row));
            }
        }
        self.push(&piece[used..]);
        (piece.len(), None)
    }

    fn next_element(&mut self, piece: &[u8]) -> Result<(usize, Option<Row>), RowsError> {
        let mut begin = 0;
        for (at, byte) in piece.iter().copied().enumerate() {
            match self.place {
                Place::Before if is_space(byte) => begin = at + 1,
                Place::Before if byte == b'[' => {
                    self.place = Place::Inside;
                    begin = at + 1;
                }
                Place::Before => return Err(RowsError::NoArray),
                Place::After if is_space(byte) => begin = at + 1,
                Place::After => return Err(RowsError::AfterArray),
                Place::Inside => {
                    let ends = self.depth == 0 && !self.in_string && matches!(byte, b',' | b']');
                    if !ends {
                        self.look(byte);
                        continue;
                    }
                    self.push(&piece[begin..at]);
                    let last = byte == b']';
                    if last {
                        self.place = Place::After;
                    }
                    // `[]` has no element; `[1,]` and `[,1]` have an empty one, which is refused
                    // as a row.
                    let empty_array = last && self.number == 1 && self.is_blank();
                    let row = (!empty_array).then(|| self.cut());
                    return Ok((at + 1, row));
                }
            }
        }
        if self.place == Place::Inside {
            self.push(&piece[begin..]);
        }
        Ok((piece.len(), None))
    }

    /// Follows strings and brackets, as far as needed to find the element's end. Whether it is
    /// JSON is found out when it is read.
    fn look(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            b'{' | b'[' if !self.in_string => self.depth = self.depth.saturating_add(1),
            b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        // Space around an element is not counted, so that no indentation makes it too long.
        let bytes = if self.row.is_empty() {
            bytes.trim_ascii_start()
        } else {
            bytes
        };
        if self.too_long || self.row.len() + bytes.len() > MAX_ROW_BYTES {
            self.too_long = true;
            self.row.clear();
        } else {
            self.row.extend_from_slice(bytes);
        }
    }

    fn is_blank(&self) -> bool {
        !self.too_long && self.row.iter().copied().all(is_space)
    }

    /// The row so far, unless it is a blank line, which is counted all the same.
    fn take(&mut self) -> Option<Row> {
        if self.is_blank() {
            self.row.clear();
            self.number += 1;
            return None;
        }
        Some(self.cut())
    }

    fn cut(&mut self) -> Row {
        let row = Row {
            number: self.number,
            json: (!self.too_long).then(|| self.row.trim_ascii_end().to_vec()),
        };
        self.row.clear();
        self.too_long = false;
        self.number += 1;
        row
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Everything in `text`, fed in pieces of `size` bytes.
    fn cut(format: Format, text: &[u8], size: usize) -> Result<Vec<Row>, RowsError> {
        let mut rows = Rows::new(format);
        let mut all = Vec::new();
        for mut piece in text.chunks(size) {
            while !piece.is_empty() {
                let (used, row) = rows.next(piece)?;
                all.extend(row);
                piece = &piece[used..];
            }
        }
        all.extend(rows.finish()?);
        Ok(all)
    }

    fn texts(rows: &[Row]) -> Vec<(u64, String)> {
        let text = |row: &Row| String::from_utf8(row.json.clone().unwrap()).unwrap();
        rows.iter().map(|row| (row.number, text(row))).collect()
    }

    #[test]
    fn blank_lines_are_counted_and_skipped() {
        let rows = cut(Format::Ndjson, b"1\r\n\n  \n{\"a\":1}\n\"x\"", 3).unwrap();
        let expected = [(1, "1"), (4, "{\"a\":1}"), (5, "\"x\"")];
        assert_eq!(texts(&rows), expected.map(|(n, t)| (n, t.to_owned())));
    }

    #[test]
    fn a_broken_array_is_noticed() {
        for (text, error) in [
            ("", RowsError::NoArray),
            ("{}", RowsError::NoArray),
            ("[1", RowsError::Unclosed),
            ("[\"a]", RowsError::Unclosed),
            ("[1] 2", RowsError::AfterArray),
        ] {
            assert_eq!(cut(Format::Array, text.as_bytes(), 2), Err(error), "{text}");
        }
        assert_eq!(cut(Format::Array, b" [ ] ", 1), Ok(vec![]));
        let rows = cut(Format::Array, b"[1,]", 1).unwrap();
        assert_eq!(texts(&rows), [(1, "1".to_owned()), (2, String::new())]);
    }

    #[test]
    fn a_row_that_is_too_long_is_dropped_and_the_next_one_is_read() {
        let long = "x".repeat(MAX_ROW_BYTES + 1);
        let fits = "y".repeat(MAX_ROW_BYTES - 2);
        for (format, text) in [
            (Format::Ndjson, format!("\"{long}\"\n\"{fits}\"\n3")),
            (Format::Array, format!("[\"{long}\", \"{fits}\",3]")),
        ] {
            let rows = cut(format, text.as_bytes(), 1_000).unwrap();
            let lengths: Vec<_> = rows
                .iter()
                .map(|row| row.json.as_ref().map(Vec::len))
                .collect();
            assert_eq!(lengths, [None, Some(MAX_ROW_BYTES), Some(1)]);
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(|n| json!(n)),
            "[ -~\\[\\]{}\"\\\\,\n]{0,12}".prop_map(Value::String),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::hash_map("[a-z\"\\\\\\]]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn rows_are_what_was_written(
            values in prop::collection::vec(any_json(), 0..8),
            size in 1_usize..20,
            pretty: bool,
        ) {
            let array = Value::Array(values.clone());
            let array = if pretty {
                serde_json::to_string_pretty(&array).unwrap()
            } else {
                array.to_string()
            };
            let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
            for (format, text) in [(Format::Array, array), (Format::Ndjson, lines)] {
                let rows = cut(format, text.as_bytes(), size).unwrap();
                let read: Vec<Value> = rows
                    .iter()
                    .map(|row| serde_json::from_slice(row.json.as_ref().unwrap()).unwrap())
                    .collect();
                prop_assert_eq!(&read, &values);
                let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
                prop_assert_eq!(numbers, (1..=values.len() as u64).collect::<Vec<_>>());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            size in 1_usize..20,
        ) {
            let _ = cut(Format::Array, &bytes, size);
            let _ = cut(Format::Ndjson, &bytes, size);
        }
    }
}
