//! Rows of NDJSON: a link on each line, as the API takes or shows it.

use std::io::{BufRead as _, BufReader, Read};

use serde_json::{Map, Value};
use tollgate_links::LinkDraft;

use super::cells::check_password;
use super::row::{Fault, LeftOut, Place, Row};
use super::{MAX_ROW_BYTES, RowRules};

/// What the API shows of a link and a new one has by itself.
const DERIVED: [&str; 2] = ["short_url", "state"];
/// What it shows of a link and a new one cannot take over.
const SHOWN_ONLY: [&str; 5] = [
    "origin",
    "created_by",
    "updated_at",
    "version",
    "password_hash",
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
                        let fault = Fault::whole(format!("longer than {MAX_ROW_BYTES} bytes"));
                        return Some(Ok(Row::bad(Place::Line(line), fault)));
                    }
                    if !text.is_empty() {
                        return Some(Ok(parse(Place::Line(line), text, &rules)));
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

fn parse(place: Place, text: &[u8], rules: &RowRules) -> Row {
    let mut left_out = Vec::new();
    let draft = draft(text, rules, &mut left_out);
    Row {
        left_out,
        ..Row::of(place, draft)
    }
}

fn draft(text: &[u8], rules: &RowRules, left_out: &mut Vec<LeftOut>) -> Result<LinkDraft, Fault> {
    let mut fields: Map<String, Value> = serde_json::from_slice(text)
        .map_err(|error| Fault::whole(format!("no JSON object: {error}")))?;
    for name in DERIVED {
        fields.remove(name);
    }
    if rules.full {
        restore(&mut fields);
    }
    for name in SHOWN_ONLY {
        if fields.remove(name).is_some() {
            left_out.push(LeftOut {
                field: name.to_owned(),
                told: None,
            });
        }
    }
    let had_password = fields.remove("has_password") == Some(Value::Bool(true));
    let mut draft: LinkDraft = serde_json::from_value(Value::Object(fields))
        .map_err(|error| Fault::whole(error.to_string()))?;
    if let Some(domain) = &rules.domain {
        draft.domain.clone_from(domain);
    }
    check_password(&draft, had_password, rules)?;
    Ok(draft)
}

/// Puts what a new link would have otherwise where the API takes it.
fn restore(fields: &mut Map<String, Value>) {
    if !SHOWN_ONLY[..4]
        .iter()
        .all(|name| fields.contains_key(*name))
    {
        // Somebody wrote this line, or an export that was not full.
        return;
    }
    let restored: Map<String, Value> = SHOWN_ONLY
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), fields.remove(*name)?)))
        .collect();
    fields.insert("restore".to_owned(), restored.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::transfer::ImportFrom;

    #[test]
    fn lines_are_counted_and_each_fault_is_told() {
        let long = format!("{{\"url\":\"{}\"}}", "x".repeat(MAX_ROW_BYTES));
        let text = format!(
            "{{\"url\":\"https://a.example/\",\"state\":\"live\",\"has_password\":false}}\n\n\
             {long}\n{{\"url\":1}}\nnot json\n{{\"url\":\"https://b.example/\",\"colour\":1}}\n\
             {{\"url\":\"https://c.example/\",\"has_password\":true}}"
        );
        let rules = RowRules::new(ImportFrom::Tollgate);
        let rows: Vec<Row> = read(Box::new(std::io::Cursor::new(text)), rules)
            .map(Result::unwrap)
            .collect();
        let lines: Vec<&Place> = rows.iter().map(|row| &row.place).collect();
        let expected = [1, 3, 4, 5, 6, 7].map(Place::Line);
        assert_eq!(lines, expected.iter().collect::<Vec<_>>());
        assert_eq!(rows[0].draft.as_ref().unwrap().url, "https://a.example/");
        for (row, fault) in rows[1..]
            .iter()
            .zip(["longer", "string", "JSON", "colour", "password"])
        {
            let reason = row.draft.as_ref().unwrap_err().to_string();
            assert!(reason.contains(fault), "{reason}");
        }
    }
}
