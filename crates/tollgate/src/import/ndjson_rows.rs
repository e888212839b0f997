//! Rows of NDJSON: a link on each line, as the API takes or shows it.

use std::io::{BufRead as _, BufReader, Read};

use serde_json::{Map, Value};
use tollgate_links::LinkDraft;

use super::{MAX_ROW_BYTES, Row, RowRules, draft};

/// What the API shows of a link and a new one cannot take over.
const SHOWN_ONLY: [&str; 6] = [
    "short_url",
    "state",
    "origin",
    "created_by",
    "updated_at",
    "version",
];

/// Answers the rows; blank lines are none.
pub(super) fn read(
    reader: Box<dyn Read>,
    rules: RowRules,
) -> impl Iterator<Item = anyhow::Result<Row>> {
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let mut line = 0;
    let mut buffer = Vec::new();
    std::iter::from_fn(move || {
        loop {
            match next_line(&mut reader, &mut buffer) {
                Ok(None) => return None,
                Err(error) => return Some(Err(error.into())),
                Ok(Some(fits)) => {
                    line += 1;
                    let text = buffer.trim_ascii();
                    if !fits {
                        let draft = Err(format!("longer than {MAX_ROW_BYTES} bytes"));
                        return Some(Ok(Row { line, draft }));
                    }
                    if !text.is_empty() {
                        let draft = parse(text, rules);
                        return Some(Ok(Row { line, draft }));
                    }
                }
            }
        }
    })
}

/// Reads a line into `buffer`; whether it fits there, or nothing at the end.
fn next_line(
    reader: &mut BufReader<Box<dyn Read>>,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<bool>> {
    buffer.clear();
    let limit = MAX_ROW_BYTES as u64 + 1;
    let read = reader.by_ref().take(limit).read_until(b'\n', buffer)?;
    if read == 0 {
        return Ok(None);
    }
    if buffer.len() <= MAX_ROW_BYTES || buffer.ends_with(b"\n") {
        return Ok(Some(true));
    }
    reader.skip_until(b'\n')?;
    Ok(Some(false))
}

fn parse(text: &[u8], rules: RowRules) -> Result<LinkDraft, String> {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| format!("no JSON object: {error}"))?;
    for name in SHOWN_ONLY {
        fields.remove(name);
    }
    let had_password = fields.remove("has_password") == Some(Value::Bool(true));
    let draft: LinkDraft =
        serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
    draft::check_password(&draft, had_password, rules)?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_each_fault_is_told() {
        let long = format!("{{\"url\":\"{}\"}}", "x".repeat(MAX_ROW_BYTES));
        let text = format!(
            "{{\"url\":\"https://a.example/\",\"state\":\"live\",\"has_password\":false}}\n\n\
             {long}\n{{\"url\":1}}\nnot json\n{{\"url\":\"https://b.example/\",\"colour\":1}}\n\
             {{\"url\":\"https://c.example/\",\"has_password\":true}}"
        );
        let rules = RowRules {
            without_passwords: false,
        };
        let rows: Vec<(u64, Result<String, String>)> =
            read(Box::new(std::io::Cursor::new(text)), rules)
                .map(|row| {
                    let row = row.unwrap();
                    (row.line, row.draft.map(|draft| draft.url))
                })
                .collect();
        let lines: Vec<u64> = rows.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7]);
        assert_eq!(rows[0].1.as_deref(), Ok("https://a.example/"));
        for (row, fault) in rows[1..]
            .iter()
            .zip(["longer", "string", "JSON", "colour", "password"])
        {
            let reason = row.1.as_ref().unwrap_err();
            assert!(reason.contains(fault), "{reason}");
        }
    }
}
