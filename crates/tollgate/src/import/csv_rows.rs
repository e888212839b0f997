//! Rows of a CSV with a header.

use std::io::{self, Cursor, Read};

use csv::StringRecord;

use super::RowRules;
use super::cells::rows_of;
use super::columns::Column;
use super::lines::CountLines;
use super::row::{Fault, Place, Row};
use crate::BadUsage;

/// Reads the header and answers the rows after it. Columns may be chosen by the names that they have
/// in the header.
pub(super) fn read(
    reader: Box<dyn Read>,
    chosen: &[(Column, String)],
    rules: RowRules,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Row>> + use<>> {
    let (reader, lines) = CountLines::new(without_mark(reader)?, b"\r");
    let mut reader = csv::ReaderBuilder::new().from_reader(reader);
    let columns = header(reader.headers()?, chosen, &rules)?;
    let mut record = StringRecord::new();
    let mut ended = false;
    let rows = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let begin = reader.position().byte();
        let read = reader.read_record(&mut record);
        let place = Place::Line(lines.borrow_mut().at(begin));
        match read {
            Ok(true) => {
                let cells = columns.iter().zip(&record);
                let cells = cells.map(|((column, name), cell)| (*column, name.as_str(), cell));
                Some(Ok(rows_of(&place, cells, &rules)))
            }
            Ok(false) => {
                ended = true;
                None
            }
            Err(error) => match bad_record(&error) {
                Some(reason) => Some(Ok(vec![Row::bad(place, Fault::whole(reason))])),
                None => {
                    ended = true;
                    Some(Err(error.into()))
                }
            },
        }
    });
    Ok(super::flat(rows))
}

/// A file without the mark of its byte order, with which spreadsheets begin it; some programs put another one before. The
/// library below only finds one, and that only if it comes in one piece.
fn without_mark(mut reader: Box<dyn Read>) -> io::Result<impl Read> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let mut begin = Vec::with_capacity(MARK.len());
    loop {
        (&mut reader)
            .take(MARK.len() as u64)
            .read_to_end(&mut begin)?;
        if begin != MARK {
            return Ok(Cursor::new(begin).chain(reader));
        }
        begin.clear();
    }
}

/// The columns by place, with their names.
fn header(
    names: &StringRecord,
    chosen: &[(Column, String)],
    rules: &RowRules,
) -> anyhow::Result<Vec<(Column, String)>> {
    let mut columns = Vec::new();
    for name in names {
        let own = chosen.iter().find(|(_, its)| its == name);
        let column = match own {
            Some((column, _)) => *column,
            None => match Column::named(name, rules.from) {
                // Another one was chosen for that.
                column if chosen.iter().any(|(one, _)| *one == column) => Column::Ignored,
                column => column,
            },
        };
        columns.push((column, name.to_owned()));
    }
    let found = || {
        let found: Vec<&str> = names.iter().take(20).collect();
        found.join(", ")
    };
    for (_, name) in chosen {
        if !columns.iter().any(|(_, its)| its == name) {
            let message = format!("there is no column {name:?}. Found: {}", found());
            return Err(BadUsage(message).into());
        }
    }
    if !columns.iter().any(|(column, _)| *column == Column::Url) {
        let message = format!(
            "the first line names no column for the target: call it url, or give --column \
             url=NAME. Found: {}",
            found()
        );
        return Err(BadUsage(message).into());
    }
    Ok(columns)
}

/// The fault of a record that is wrong in itself; `None` where reading failed.
fn bad_record(error: &csv::Error) -> Option<String> {
    match error.kind() {
        csv::ErrorKind::Utf8 { err, .. } => Some(format!("field {} is not UTF-8", err.field() + 1)),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => Some(format!("{len} fields, but the header has {expected_len}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Clicks;
    use super::*;
    use crate::args::transfer::ImportFrom;

    fn read_all(text: &[u8], chosen: &[(Column, String)]) -> Vec<Row> {
        let rules = RowRules::new(ImportFrom::Csv);
        let reader = Box::new(std::io::Cursor::new(text.to_vec()));
        read(reader, chosen, rules)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn lines_are_those_of_the_file_though_records_span_several() {
        let text = b"\xef\xbb\xbfurl,title\r\nhttps://a.example/,\"two\nlines\"\r\n\r\n\
                     https://b.example/\r\nhttps://c.example/,\xff\r\n,x\r\nhttps://d.example/,\r\n";
        let rows = read_all(text, &[]);
        let places: Vec<&Place> = rows.iter().map(|row| &row.place).collect();
        assert_eq!(
            places,
            [2, 5, 6, 7, 8].map(Place::Line).iter().collect::<Vec<_>>()
        );
        let url = |row: usize| rows[row].draft.as_ref().unwrap().url.clone();
        assert_eq!(url(0), "https://a.example/");
        assert_eq!(url(4), "https://d.example/");
        for (row, fault) in [(1, "1 fields"), (2, "UTF-8"), (3, "url")] {
            let told = rows[row].draft.as_ref().unwrap_err().to_string();
            assert!(told.contains(fault), "{told}");
        }
    }

    #[test]
    fn marks_of_the_byte_order_are_no_part_of_the_first_name() {
        for marks in 0..4 {
            let text = "\u{feff}".repeat(marks) + "\"url\",title\nhttps://a.example/,x\n";
            let rows = read_all(text.as_bytes(), &[]);
            assert_eq!(rows.len(), 1, "{marks}");
            assert!(rows[0].draft.is_ok(), "{marks}");
        }
    }

    #[test]
    fn a_header_without_a_target_is_refused() {
        let rules = RowRules::new(ImportFrom::Csv);
        let refused = |chosen: &[(Column, String)]| {
            let reader = Box::new(std::io::Cursor::new(b"code,title\na,b\n".to_vec()));
            read(reader, chosen, rules.clone())
                .err()
                .unwrap()
                .to_string()
        };
        assert!(refused(&[]).contains("code, title"));
        let chosen = [(Column::Url, "long".to_owned())];
        assert!(refused(&chosen).contains("\"long\""));
    }

    #[test]
    fn chosen_columns_stand_before_known_names() {
        let text = b"Long,url,Hits,colour\nhttps://a.example/,https://b.example/,7,red\n";
        let chosen = ["url=Long", "clicks=Hits"].map(|one| Column::chosen(one).unwrap());
        let rows = read_all(text, &chosen);
        assert_eq!(rows[0].draft.as_ref().unwrap().url, "https://a.example/");
        assert_eq!(rows[0].clicks, Clicks::Total(7));
        let left_out: Vec<&str> = rows[0].left_out.iter().map(|one| &*one.field).collect();
        assert_eq!(left_out, ["url", "colour"]);
    }
}
