//! Links in JSON, as the APIs of Kutt and Bitly answer them: pages one after the other, an array of
//! links, or a link a line.

use std::io::{BufReader, Read};

use serde_json::{Map, Value};

use super::RowRules;
use super::cells::rows_of;
use super::columns::Column;
use super::lines::CountLines;
use super::row::{Fault, Place, Row};

/// Under which pages have their links.
const LISTS: [&str; 2] = ["data", "links"];

/// Answers the rows. A page is in memory at once, and no more.
pub(super) fn read(
    reader: Box<dyn Read>,
    rules: RowRules,
) -> impl Iterator<Item = anyhow::Result<Row>> {
    let (reader, lines) = CountLines::new(reader, b"\r\t ");
    let values = serde_json::Deserializer::from_reader(BufReader::new(reader));
    let mut values = values.into_iter::<Value>();
    let rows = std::iter::from_fn(move || {
        let begin = values.byte_offset();
        let value = values.next()?;
        let place = Place::Line(lines.borrow_mut().at(begin as u64));
        Some(match value {
            Ok(value) => Ok(links(value)
                .into_iter()
                .flat_map(|link| rows(&place, &link, &rules))
                .collect()),
            Err(error) => Err(error.into()),
        })
    });
    super::flat(rows)
}

/// The links of a page, of many, or of none.
fn links(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values.into_iter().flat_map(links).collect(),
        Value::Object(mut page) => {
            let list = LISTS
                .iter()
                .find(|name| page.get(**name).is_some_and(Value::is_array));
            match list.and_then(|name| page.remove(*name)) {
                Some(Value::Array(links)) => links,
                _ => vec![Value::Object(page)],
            }
        }
        other => vec![other],
    }
}

fn rows(place: &Place, link: &Value, rules: &RowRules) -> Vec<Row> {
    let Value::Object(fields) = link else {
        let fault = Fault::whole("expected a link, which is a JSON object");
        return vec![Row::bad(place.clone(), fault)];
    };
    // All of a page begin on one line.
    let named = fields.get("link").and_then(Value::as_str);
    let place = named.map_or_else(|| place.clone(), |link| Place::Link(link.to_owned()));
    let cells = cells(fields);
    let cells = cells.iter().map(|(name, cell)| {
        let column = Column::named(name, rules.from);
        (column, *name, cell.as_str())
    });
    rows_of(&place, cells, rules)
}

/// The fields as texts; what is nothing, no or empty is no text.
fn cells(fields: &Map<String, Value>) -> Vec<(&str, String)> {
    let cells = fields.iter().filter_map(|(name, value)| {
        let text = match value {
            Value::Null | Value::Bool(false) => return None,
            Value::Bool(true) => "true".to_owned(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            Value::Array(values) => {
                let texts = values.iter().map(|value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                texts.collect::<Vec<_>>().join("|")
            }
            Value::Object(fields) if fields.is_empty() => return None,
            Value::Object(_) => value.to_string(),
        };
        Some((name.as_str(), text))
    });
    cells.collect()
}

#[cfg(test)]
mod tests {
    use super::super::row::Clicks;
    use super::*;
    use crate::args::transfer::ImportFrom;

    fn read_all(from: ImportFrom, text: &'static str) -> Vec<Row> {
        let reader = Box::new(std::io::Cursor::new(text));
        read(reader, RowRules::new(from))
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn pages_of_kutt() {
        let text = r#"{"total":2,"limit":10,"skip":0,"data":[
            {"id":"7a0f","address":"docs","banned":false,"created_at":"2024-01-02T03:04:05.000Z","description":"The docs","domain":null,"expire_in":null,"link":"https://kutt.example/docs","password":false,"target":"https://docs.example/","updated_at":"2024-01-02T03:04:05.000Z","visit_count":42},
            {"address":"gone","banned":true,"created_at":"2024-01-02T03:04:05.000Z","expire_in":"2024-02-02T03:04:05.000Z","password":true,"target":"https://b.example/","visit_count":0}]}
            {"data":[]} [3]"#;
        let rows = read_all(ImportFrom::Kutt, text);
        let draft = rows[0].draft.as_ref().unwrap();
        assert_eq!(draft.code.as_deref(), Some("docs"));
        assert_eq!(draft.title.as_deref(), Some("The docs"));
        assert_eq!(draft.domain, None);
        assert_eq!(rows[0].clicks, Clicks::Total(42));
        let left_out: Vec<_> = rows[0]
            .left_out
            .iter()
            .map(|one| one.field.as_str())
            .collect();
        assert_eq!(left_out, ["id", "updated_at"]);
        assert_eq!(
            rows[1].draft.as_ref().unwrap_err().field.as_deref(),
            Some("password")
        );
        assert!(
            rows[1]
                .left_out
                .iter()
                .any(|one| one.field == "banned" && one.told.is_some())
        );
        assert!(
            rows[2]
                .draft
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("object")
        );
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn pages_of_bitly() {
        let text = r#"[{"links":[
            {"created_at":"2021-03-04T05:06:07+0000","id":"bit.ly/3abcDE","link":"https://bit.ly/3abcDE","custom_bitlinks":["https://bit.ly/spring"],"long_url":"https://a.example/","title":"Spring","archived":false,"created_by":"x","tags":["bitly","api"],"deeplinks":[],"references":{"group":"https://api-ssl.bitly.com/v4/groups/Ba1b"}}
            ],"pagination":{"next":"","size":50,"page":1,"total":1}}]"#;
        let rows = read_all(ImportFrom::Bitly, text);
        let codes: Vec<_> = rows
            .iter()
            .map(|row| row.draft.as_ref().unwrap().code.clone().unwrap())
            .collect();
        assert_eq!(codes, ["3abcDE", "spring"]);
        let draft = rows[0].draft.as_ref().unwrap();
        assert_eq!(draft.tags, ["bitly", "api"]);
        assert_eq!(draft.domain, None);
    }

    #[test]
    fn text_that_is_no_json_ends_the_import() {
        let reader = Box::new(std::io::Cursor::new("{\"data\":[]} nonsense"));
        let rows: Vec<_> = read(reader, RowRules::new(ImportFrom::Kutt)).collect();
        assert!(rows.last().unwrap().is_err());
    }
}
