//! What has to hold for any file that is imported, and for any answer of a shortener that is imported from.

use std::io::{Cursor, Read};

use serde_json::{from_value, to_value};

use super::row::{Place, Row};
use super::sql::Dump;
use super::{RowRules, csv_rows, json_rows, ndjson_rows, shlink, yourls};
use crate::args::transfer::ImportFrom;
use crate::client::Client;

/// The most tables a file is made into that repeats itself, in bytes for each of its own.
const MOST_GROWTH: usize = 64;

/// A CSV of whichever shortener the first byte names.
pub fn import_csv(data: &[u8]) {
    let Some((&choice, file)) = data.split_first() else {
        return;
    };
    let from = match choice % 6 {
        0 => ImportFrom::Tollgate,
        1 => ImportFrom::Shlink,
        2 => ImportFrom::Yourls,
        3 => ImportFrom::Kutt,
        4 => ImportFrom::Bitly,
        _ => ImportFrom::Csv,
    };
    check(file, |reader| {
        let rows = csv_rows::read(reader, &[], rules(choice, from));
        rows.map_or_else(|_| Vec::new(), Iterator::collect)
    });
}

/// What the API of Kutt or Bitly answers.
pub fn import_json(data: &[u8]) {
    let Some((&choice, file)) = data.split_first() else {
        return;
    };
    let from = match choice % 2 {
        0 => ImportFrom::Kutt,
        _ => ImportFrom::Bitly,
    };
    check(file, |reader| {
        json_rows::read(reader, rules(choice, from)).collect()
    });
}

/// An export of ours.
pub fn import_ndjson(data: &[u8]) {
    let Some((&choice, file)) = data.split_first() else {
        return;
    };
    let rows = check(file, |reader| {
        let mut rules = rules(choice, ImportFrom::Tollgate);
        rules.full = choice & 64 != 0;
        ndjson_rows::read(reader, rules).collect()
    });
    // No row but one for each line that holds something.
    let lines = file.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty());
    assert_eq!(rows.len(), lines.count());
}

/// A dump of YOURLS. What is read of one can be written as a dump, which is read as the same.
pub fn import_sql(data: &[u8]) {
    check(data, |reader| {
        yourls::read(reader, RowRules::new(ImportFrom::Yourls)).collect()
    });
    const COLUMNS: super::sql::UsualColumns = &["one", "two"];
    let mut dump = Dump::new(data);
    let (mut written, mut rows) = (Vec::new(), Vec::new());
    while let Ok(Some(row)) = dump.next_row(|_| Some(COLUMNS)) {
        if let Ok(values) = row.values {
            write_insert(&values, &mut written);
            rows.push(values);
        }
    }
    let (mut dump, mut again) = (Dump::new(&*written), Vec::new());
    while let Ok(Some(row)) = dump.next_row(|_| Some(COLUMNS)) {
        again.push(row.values.unwrap_or_default());
    }
    assert_eq!(again, rows);
}

fn write_insert(values: &[Option<String>], out: &mut Vec<u8>) {
    out.extend_from_slice(b"INSERT INTO `a` VALUES (");
    for (number, value) in values.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        let Some(text) = value else {
            out.extend_from_slice(b"NULL");
            continue;
        };
        out.push(b'\'');
        for byte in text.bytes() {
            match byte {
                b'\'' => out.extend_from_slice(b"''"),
                b'\\' => out.extend_from_slice(b"\\\\"),
                0 => out.extend_from_slice(b"\\0"),
                b'\n' => out.extend_from_slice(b"\\n"),
                byte => out.push(byte),
            }
        }
        out.push(b'\'');
    }
    out.extend_from_slice(b");\n");
}

/// What a Shlink answers, to whichever question.
pub fn import_shlink(data: &[u8]) {
    let Ok(client) = Client::with_header("http://127.0.0.1:1", "x-api-key", None) else {
        unreachable!("that is a server");
    };
    let rules = RowRules::new(ImportFrom::Shlink);
    for row in &shlink::rows_of_answer(data, &client, &rules) {
        check_row(row, data.len());
    }
}

fn rules(choice: u8, from: ImportFrom) -> RowRules {
    let mut rules = RowRules::new(from);
    rules.without_passwords = choice & 128 != 0;
    rules
}

/// Reads a file at once and in single bytes, which has to be the same.
fn check(file: &[u8], read: impl Fn(Box<dyn Read>) -> Vec<anyhow::Result<Row>>) -> Vec<Row> {
    let rows = read(Box::new(Cursor::new(file.to_vec())));
    let pieces = read(Box::new(OneByOne(Cursor::new(file.to_vec()))));
    let (rows, ended) = whole(rows);
    assert_eq!((&rows, ended), (&whole(pieces).0, ended));
    let lines = file.iter().filter(|byte| **byte == b'\n').count() as u64;
    let mut last = 1;
    for row in &rows {
        check_row(row, file.len());
        if let Place::Line(line) = row.place {
            assert!(
                (last..=lines + 1).contains(&line),
                "line {line} after {last}"
            );
            last = line;
        }
    }
    rows
}

/// The rows before a fault that ends the import, and whether there is one.
fn whole(rows: Vec<anyhow::Result<Row>>) -> (Vec<Row>, bool) {
    let all = rows.len();
    let rows: Vec<Row> = rows.into_iter().map_while(Result::ok).collect();
    let ended = rows.len() < all;
    assert!(all - rows.len() <= 1, "nothing comes after a fault");
    (rows, ended)
}

fn check_row(row: &Row, bytes: usize) {
    match &row.draft {
        Ok(draft) => {
            let written = to_value(draft).unwrap_or_default();
            assert_eq!(from_value(written).ok().as_ref(), Some(draft));
            assert!(draft.url.len() <= MOST_GROWTH * bytes);
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}

/// A file that comes in single bytes.
struct OneByOne<R>(R);

impl<R: Read> Read for OneByOne<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(1);
        self.0.read(&mut buffer[..most])
    }
}
