//! Listings: pages by keyset, so that following pages costs the same however deep they are, and
//! inserts move nothing.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::row::read_link;
use crate::store::columns::{Stored, columns};
use crate::store::cursor::Position;
use crate::store::search::{beginning, fold};
use crate::store::{ListOrder, ListQuery, Page};
use crate::{Domain, LinkKey};

/// Up to so many links are found by a filter's own index and then sorted. When more pass a filter
/// they are so dense that walking in order meets a page of them soon.
const SORTED_LINKS: i64 = 10_000;

/// The statement that yields the identifiers of candidates in order, and what it is given.
struct Candidates {
    sql: String,
    given: Vec<Value>,
}

/// One page. Needs to see one state of the file.
pub(super) fn list(
    connection: &Connection,
    query: &ListQuery,
    after: Option<&Position>,
) -> rusqlite::Result<Page> {
    let Candidates { sql, given } = candidates(connection, query, after)?;
    let mut ids = connection.prepare_cached(&sql)?;
    let mut ids = ids.query(params_from_iter(given))?;
    let mut load =
        connection.prepare_cached(concat!("SELECT ", columns!(), " FROM links WHERE id = ?1"))?;
    let page = query.page_links();
    let (mut links, mut last, mut more) = (Vec::new(), None, false);
    while let Some(row) = ids.next()? {
        let stored = load
            .query_row([row.get::<_, i64>(0)?], read_link)
            .optional()?;
        let Some(Stored { id, link }) = stored.filter(|stored| query.matches(&stored.link)) else {
            continue;
        };
        if links.len() == page {
            more = true;
            break;
        }
        last = Some(position(
            query.order,
            id,
            &link.key,
            link.created_at.as_millis(),
        ));
        links.push(link);
    }
    let next = last.filter(|_| more).map(|last| last.to_cursor());
    Ok(Page { links, next })
}

fn position(order: ListOrder, id: i64, key: &LinkKey, at_ms: i64) -> Position {
    match order {
        ListOrder::CreatedAscending | ListOrder::CreatedDescending => {
            Position::Created { at_ms, id }
        }
        ListOrder::CodeAscending | ListOrder::CodeDescending => Position::Code(key.clone()),
    }
}

/// Chooses the index that leaves the least to look at. Every candidate is checked against the
/// whole query afterwards.
fn candidates(
    connection: &Connection,
    query: &ListQuery,
    after: Option<&Position>,
) -> rusqlite::Result<Candidates> {
    let by_creation = matches!(
        query.order,
        ListOrder::CreatedAscending | ListOrder::CreatedDescending
    );
    let prefix = query.prefix.as_deref().map(fold);
    if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
        let from = beginning(&prefix).as_bytes().to_vec();
        // No UTF-8 text holds this byte, so it is past everything that begins with the prefix.
        let to = [from.as_slice(), &[0xff]].concat();
        let given = vec![Value::Blob(from), Value::Blob(to)];
        let found = "SELECT link FROM terms WHERE term >= ? AND term < ?";
        if is_few(connection, found, &given)? {
            return Ok(sorted(found, given, query.order, after));
        }
    }
    if let Some(tag) = &query.tag {
        let given = vec![Value::Text(tag.as_str().to_owned())];
        if by_creation {
            return Ok(in_order(
                "SELECT link FROM tags WHERE tag = ?",
                given,
                ["created_at", "link"],
                query.order,
                after,
            ));
        }
        let found = "SELECT link FROM tags WHERE tag = ?";
        if is_few(connection, found, &given)? {
            return Ok(sorted(found, given, query.order, after));
        }
    }
    let keys = if by_creation {
        ["created_at", "id"]
    } else {
        ["code", "domain"]
    };
    let (source, given) = match query.domain.as_ref().map(Domain::as_str) {
        None => (everything(by_creation, "TRUE"), Vec::new()),
        Some("") => (everything(by_creation, "domain = ''"), Vec::new()),
        Some(domain) => {
            let index = if by_creation {
                "links_by_domain_and_creation"
            } else {
                "links_by_domain_and_code"
            };
            (
                format!(
                    "SELECT id FROM links INDEXED BY {index} WHERE domain <> '' AND domain = ?"
                ),
                vec![Value::Text(domain.to_owned())],
            )
        }
    };
    Ok(in_order(&source, given, keys, query.order, after))
}

fn everything(by_creation: bool, condition: &str) -> String {
    let index = if by_creation {
        "links_by_creation"
    } else {
        "links_by_code"
    };
    format!("SELECT id FROM links INDEXED BY {index} WHERE {condition}")
}

/// Whether a statement yields so few rows that they can be sorted.
fn is_few(connection: &Connection, found: &str, given: &[Value]) -> rusqlite::Result<bool> {
    let limit = SORTED_LINKS + 1;
    let counted = connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM (SELECT 1 FROM ({found}) LIMIT {limit})"
        ))?
        .query_row(params_from_iter(given), |row| row.get::<_, i64>(0))?;
    Ok(counted <= SORTED_LINKS)
}

/// Finds first and sorts then: the signs keep SQLite from walking an index in order instead.
fn sorted(
    found: &str,
    given: Vec<Value>,
    order: ListOrder,
    after: Option<&Position>,
) -> Candidates {
    let keys = match order {
        ListOrder::CreatedAscending | ListOrder::CreatedDescending => ["+created_at", "+id"],
        ListOrder::CodeAscending | ListOrder::CodeDescending => ["+code", "+domain"],
    };
    let source = format!("SELECT id FROM links WHERE id IN ({found})");
    in_order(&source, given, keys, order, after)
}

/// Orders a statement and begins it after the last page.
fn in_order(
    source: &str,
    mut given: Vec<Value>,
    [first, second]: [&str; 2],
    order: ListOrder,
    after: Option<&Position>,
) -> Candidates {
    let (beyond, direction) = match order {
        ListOrder::CreatedAscending | ListOrder::CodeAscending => (">", "ASC"),
        ListOrder::CreatedDescending | ListOrder::CodeDescending => ("<", "DESC"),
    };
    let mut sql = source.to_owned();
    if let Some(after) = after {
        // The collation, which is that of the columns anyway, is what lets SQLite search by the
        // identifier every index ends with: an import can make many links in one millisecond.
        sql += &format!(" AND ({first}, {second}) {beyond} (?, ? COLLATE BINARY)");
        given.extend(match after {
            Position::Created { at_ms, id } => [Value::Integer(*at_ms), Value::Integer(*id)],
            Position::Code(LinkKey { domain, code }) => {
                [code.as_str(), domain.as_str()].map(|text| Value::Text(text.to_owned()))
            }
        });
    }
    sql += &format!(" ORDER BY {first} {direction}, {second} {direction}");
    Candidates { sql, given }
}

#[cfg(test)]
mod tests {
    use super::super::schema::STEPS;
    use super::*;
    use crate::{Code, Tag};

    const ORDERS: [ListOrder; 4] = [
        ListOrder::CreatedAscending,
        ListOrder::CreatedDescending,
        ListOrder::CodeAscending,
        ListOrder::CodeDescending,
    ];

    fn plan(connection: &Connection, query: &ListQuery) -> String {
        let key = LinkKey {
            domain: Domain::from_stored("b.example"),
            code: Code::from_stored("c"),
        };
        let after = position(query.order, 7, &key, 9);
        let Candidates { sql, given } = candidates(connection, query, Some(&after)).unwrap();
        let mut explain = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let steps = explain.query_map(params_from_iter(given), |row| row.get::<_, String>(3));
        let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
        steps.join("; ")
    }

    #[test]
    fn pages_begin_by_an_index_search_and_are_not_sorted() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        for order in ORDERS {
            for domain in [None, Some(""), Some("b.example")] {
                let query = ListQuery {
                    domain: domain.map(Domain::from_stored),
                    order,
                    ..ListQuery::default()
                };
                let plan = plan(&connection, &query);
                assert!(plan.starts_with("SEARCH links"), "{query:?}: {plan}");
                // The tie-breaker takes part in the search, or ties would be read for every page.
                // Within one domain a code has none.
                let to_the_end = plan.contains("(?,?)") || plan.contains("domain=? AND code");
                assert!(to_the_end, "{query:?}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
            }
        }
        let tagged = ListQuery {
            tag: Some(Tag::from_stored("a")),
            ..ListQuery::default()
        };
        let plan = plan(&connection, &tagged);
        assert!(plan.starts_with("SEARCH tags"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[test]
    fn few_found_by_a_prefix_are_looked_up_by_identifier() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        for order in ORDERS {
            let query = ListQuery {
                prefix: Some("a".into()),
                order,
                ..ListQuery::default()
            };
            let plan = plan(&connection, &query);
            assert!(plan.contains("INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
            assert!(plan.contains("SEARCH terms USING PRIMARY KEY"), "{plan}");
        }
    }
}
