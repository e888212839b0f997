//! Rows of a CSV with a header.

use std::io::Read;

use csv::StringRecord;

use super::columns::Column;
use super::lines::CountLines;
use super::{Row, RowRules, draft};
use crate::BadUsage;

/// Reads the header and answers the rows after it.
pub(super) fn read(
    reader: Box<dyn Read>,
    rules: RowRules,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Row>>> {
    let (reader, lines) = CountLines::new(reader);
    let mut reader = csv::ReaderBuilder::new().from_reader(reader);
    let columns = header(reader.headers()?)?;
    let mut record = StringRecord::new();
    let mut ended = false;
    Ok(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let begin = reader.position().byte();
        let read = reader.read_record(&mut record);
        let line = lines.borrow_mut().at(begin);
        match read {
            Ok(true) => {
                let cells = columns.iter().zip(&record);
                let cells = cells.filter_map(|(column, cell)| Some(((*column)?, cell)));
                let draft = draft::from_cells(cells, rules);
                Some(Ok(Row { line, draft }))
            }
            Ok(false) => {
                ended = true;
                None
            }
            Err(error) => match bad_record(&error) {
                Some(reason) => Some(Ok(Row {
                    line,
                    draft: Err(reason),
                })),
                None => {
                    ended = true;
                    Some(Err(error.into()))
                }
            },
        }
    }))
}

/// The columns by place; unknown ones are told once and left out.
fn header(names: &StringRecord) -> anyhow::Result<Vec<Option<Column>>> {
    let mut columns = Vec::new();
    let mut unknown = Vec::new();
    for (at, name) in names.iter().enumerate() {
        // Spreadsheets begin a file with a byte order mark.
        let name = if at == 0 {
            name.trim_start_matches('\u{feff}')
        } else {
            name
        };
        let column = Column::named(name);
        if column.is_none() {
            unknown.push(format!("{name:?}"));
        }
        columns.push(column);
    }
    if !columns.contains(&Some(Column::Url)) {
        let found: Vec<&str> = names.iter().take(20).collect();
        let message = format!(
            "the first line names no column for the target: call it url. Found: {}",
            found.join(", ")
        );
        return Err(BadUsage(message).into());
    }
    if !unknown.is_empty() {
        eprintln!(
            "columns that mean nothing here are left out: {}",
            unknown.join(", ")
        );
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
    use super::*;

    fn rows(text: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let rules = RowRules {
            without_passwords: false,
        };
        let reader = Box::new(std::io::Cursor::new(text.to_vec()));
        read(reader, rules)
            .unwrap()
            .map(|row| {
                let row = row.unwrap();
                (row.line, row.draft.map(|draft| draft.url))
            })
            .collect()
    }

    #[test]
    fn lines_are_those_of_the_file_though_records_span_several() {
        let text = b"\xef\xbb\xbfurl,title\r\nhttps://a.example/,\"two\nlines\"\r\n\r\n\
                     https://b.example/\r\nhttps://c.example/,\xff\r\n,x\r\nhttps://d.example/,\r\n";
        let rows = rows(text);
        let lines: Vec<u64> = rows.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 5, 6, 7, 8]);
        assert_eq!(rows[0].1.as_deref(), Ok("https://a.example/"));
        assert!(rows[1].1.as_ref().unwrap_err().contains("1 fields"));
        assert!(rows[2].1.as_ref().unwrap_err().contains("UTF-8"));
        assert!(rows[3].1.as_ref().unwrap_err().starts_with("url"));
        assert_eq!(rows[4].1.as_deref(), Ok("https://d.example/"));
    }

    #[test]
    fn a_header_without_a_target_is_refused() {
        let rules = RowRules {
            without_passwords: false,
        };
        let reader = Box::new(std::io::Cursor::new(b"code,title\na,b\n".to_vec()));
        assert!(read(reader, rules).is_err());
    }
}
