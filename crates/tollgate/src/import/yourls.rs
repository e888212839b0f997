//! The tables of YOURLS in a dump of its data base.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use super::RowRules;
use super::cells::{moment, rows_of};
use super::clicks::ClickSender;
use super::columns::Column;
use super::resume::State;
use super::row::{Clicks, Fault, Place, Row};
use super::source::open_again;
use super::sql::{Dump, SqlRow, UsualColumns};
use crate::client::PastClick;

/// The columns of a table of links, if the dump does not tell them.
const LINK_COLUMNS: [&str; 6] = ["keyword", "url", "title", "timestamp", "ip", "clicks"];
/// The columns of a table of clicks.
const CLICK_COLUMNS: [&str; 7] = [
    "click_id",
    "click_time",
    "shorturl",
    "referrer",
    "user_agent",
    "ip_address",
    "country_code",
];

fn of_links(table: &str) -> Option<UsualColumns> {
    (table == "url" || table.ends_with("_url")).then_some(&LINK_COLUMNS)
}

fn of_clicks(table: &str) -> Option<UsualColumns> {
    (table == "log" || table.ends_with("_log")).then_some(&CLICK_COLUMNS)
}

/// Answers the links of a dump.
pub(super) fn read(
    reader: Box<dyn Read>,
    rules: RowRules,
) -> impl Iterator<Item = anyhow::Result<Row>> {
    let mut dump = Dump::new(reader);
    let rows = std::iter::from_fn(move || match dump.next_row(of_links) {
        Ok(row) => Some(Ok(links(row?, &rules))),
        Err(error) => Some(Err(error.into())),
    });
    super::flat(rows)
}

fn links(row: SqlRow, rules: &RowRules) -> Vec<Row> {
    let place = Place::Line(row.line);
    let columns = row.columns;
    // Somebody else's table with such a name.
    if !["keyword", "url"]
        .iter()
        .all(|name| columns.iter().any(|column| column == name))
    {
        return Vec::new();
    }
    let values = match row.values {
        Ok(values) => values,
        Err(fault) => return vec![Row::bad(place, Fault::whole(fault))],
    };
    if values.len() != columns.len() {
        let fault = format!("{} values for {} columns", values.len(), columns.len());
        return vec![Row::bad(place, Fault::whole(fault))];
    }
    let cells = columns.iter().zip(&values).filter_map(|(name, value)| {
        let column = Column::named(name, rules.from);
        Some((column, name.as_str(), value.as_deref()?))
    });
    rows_of(&place, cells, rules)
}

/// Counts the clicks of a dump: those that the log has one by one, and then what the links say beyond
/// these. The dump is read twice more for that.
pub(super) fn count(
    file: &Path,
    rules: &RowRules,
    sender: &mut ClickSender<'_>,
    state: &mut State,
) -> anyhow::Result<()> {
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut dump = Dump::new(open_again(file)?);
    while let Some(row) = dump.next_row(of_clicks)? {
        let Ok(values) = row.values else {
            state.counts.clicks.found += 1;
            state.counts.clicks.lost += 1;
            continue;
        };
        let value = |name: &str| {
            let place = row.columns.iter().position(|column| column == name)?;
            let text = values.get(place)?.as_deref()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let Some(keyword) = value("shorturl") else {
            // Somebody else's table with such a name.
            continue;
        };
        state.counts.clicks.found += 1;
        let number = seen.entry(keyword.clone()).or_default();
        let after = *number;
        *number += 1;
        if state.refused.contains(&keyword) {
            state.counts.clicks.lost += 1;
            continue;
        }
        let click = PastClick {
            at: value("click_time").and_then(|time| moment(&time).ok()),
            referrer: value("referrer").filter(|referrer| referrer != "direct"),
            user_agent: value("user_agent"),
            address: value("ip_address").and_then(|address| address.parse().ok()),
            country: value("country_code").filter(|country| is_country(country)),
            ..PastClick::default()
        };
        let counts = &mut state.counts.clicks;
        sender.click(&keyword, domain(rules), after, click, counts)?;
    }
    sender.flush(&mut state.counts.clicks)?;
    for row in read(Box::new(open_again(file)?), rules.clone()) {
        let row = row?;
        let (Some(keyword), Clicks::Total(total)) = (row.name, row.clicks) else {
            continue;
        };
        let listed = seen.get(&keyword).copied().unwrap_or(0);
        let rest = total.saturating_sub(listed);
        state.counts.clicks.found += rest;
        if state.refused.contains(&keyword) {
            state.counts.clicks.lost += rest;
        } else if rest > 0 {
            let counts = &mut state.counts.clicks;
            sender.total(&keyword, domain(rules), listed, rest, counts)?;
        }
    }
    sender.flush(&mut state.counts.clicks)
}

fn domain(rules: &RowRules) -> Option<&str> {
    rules.domain.as_ref().and_then(|domain| domain.as_deref())
}

/// Whether it is a code of ISO 3166.
pub(super) fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::transfer::ImportFrom;

    #[test]
    fn links_have_the_columns_that_the_dump_tells() {
        let dump = "CREATE TABLE `yourls_url` (`keyword` varchar(200), `url` text, `title` text, \
             `timestamp` timestamp, `clicks` int, PRIMARY KEY (`keyword`));\n\
             INSERT INTO `yourls_url` VALUES ('boja','https://a.example/boja','BOJA \\'1\\'','2026-02-25 08:28:34',176),\n\
             ('short','https://b.example/');\n\
             INSERT INTO `shop_url` (id, path) VALUES (1, 'x');\n\
             INSERT INTO `old_url` VALUES ('ozh',0x687474703A2F2F6F7A682E6F72672F,'ozh','2014-03-08 00:35:07','127.0.0.1','3');";
        let reader = Box::new(std::io::Cursor::new(dump));
        let rows: Vec<Row> = read(reader, RowRules::new(ImportFrom::Yourls))
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows.len(), 3);
        let draft = rows[0].draft.as_ref().unwrap();
        assert_eq!(draft.code.as_deref(), Some("boja"));
        assert_eq!(draft.title.as_deref(), Some("BOJA '1'"));
        assert_eq!(
            draft.created_at.unwrap().to_string(),
            "2026-02-25T08:28:34Z"
        );
        assert_eq!(rows[0].clicks, Clicks::Total(176));
        assert!(
            rows[1]
                .draft
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("2 values")
        );
        let old = rows[2].draft.as_ref().unwrap();
        assert_eq!(old.url, "http://ozh.org/");
        assert_eq!(rows[2].left_out[0].field, "ip");
    }
}
