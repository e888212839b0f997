//! Listings: pages by keyset, so that following pages costs the same however deep they are, and
//! inserts move nothing.

use tollgate_postgres::{Failure, Given, Row, Session, ToSql, Type};

use super::row::read_link;
use crate::store::columns::{Stored, columns};
use crate::store::cursor::Position;
use crate::store::search::{beginning, fold};
use crate::store::{ListOrder, ListQuery, Page};
use crate::{Domain, LinkKey};

/// Up to so many links are found by a filter's own index and then sorted. When more pass a filter
/// they are so dense that walking in order meets a page of them soon.
const SORTED_LINKS: i64 = 10_000;

/// A statement under construction, with what it is given.
#[derive(Default)]
struct Sql {
    text: String,
    given: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Sql {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Writes the place of a value.
    fn give(&mut self, value: impl ToSql + Sync + Send + 'static, of: Type) {
        self.given.push((Box::new(value), of));
        self.text.push_str(&format!("${}", self.given.len()));
    }

    fn text(&mut self, value: &str) {
        self.give(value.to_owned(), Type::TEXT);
    }

    async fn rows(&self, session: &mut Session) -> Result<Vec<Row>, Failure> {
        let given: Vec<(Given<'_>, Type)> = self
            .given
            .iter()
            .map(|(value, of)| (&**value as Given<'_>, of.clone()))
            .collect();
        session.planned(&self.text, &given).await
    }
}

/// How candidates are found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the index of the order, until the page is full.
    Walk,
    /// By the filters, of which few links pass; then they are sorted.
    Sort,
}

/// One page.
pub(super) async fn list(
    session: &mut Session,
    query: &ListQuery,
    after: Option<Position>,
) -> Result<Page, Failure> {
    let (found, more) = page(session, query, after).await?;
    let last = found.last().filter(|_| more);
    let next = last.map(|last| position_of(query.order, last).to_cursor());
    let links = found.into_iter().map(|stored| stored.link).collect();
    Ok(Page { links, next })
}

/// One page, with the numbers of its links, and whether there are more.
pub(super) async fn page(
    session: &mut Session,
    query: &ListQuery,
    after: Option<Position>,
) -> Result<(Vec<Stored>, bool), Failure> {
    let way = way(session, query).await?;
    let page = query.page_links();
    let (mut links, mut after) = (Vec::new(), after);
    loop {
        // One more than the page holds tells whether there are more.
        let asked = page + 1;
        let rows = statement(query, way, after.as_ref(), asked)
            .rows(session)
            .await?;
        let found = rows.len();
        for row in &rows {
            let stored = read_link(row)?;
            after = Some(position_of(query.order, &stored));
            // Indexes hold beginnings, so some may only look as if they passed.
            if !query.matches(&stored.link) {
                continue;
            }
            if links.len() == page {
                return Ok((links, true));
            }
            links.push(stored);
        }
        if found < asked {
            return Ok((links, false));
        }
    }
}

/// Where a link is in a listing.
pub(in crate::store) fn position_of(order: ListOrder, stored: &Stored) -> Position {
    let Stored { id, link } = stored;
    position(order, *id, &link.key, link.created_at.as_millis())
}

fn position(order: ListOrder, id: i64, key: &LinkKey, at_ms: i64) -> Position {
    if by_creation(order) {
        Position::Created { at_ms, id }
    } else {
        Position::Code(key.clone())
    }
}

fn by_creation(order: ListOrder) -> bool {
    matches!(
        order,
        ListOrder::CreatedAscending | ListOrder::CreatedDescending
    )
}

/// Counts what passes the filters that have no index in this order, as far as it matters.
async fn way(session: &mut Session, query: &ListQuery) -> Result<Way, Failure> {
    let mut sql = Sql::default();
    sql.push("SELECT count(*) FROM (SELECT FROM ");
    if prefix(query).is_some() {
        sql.push("links WHERE TRUE");
        filter_prefix(&mut sql, query);
    } else if let Some(tag) = query.tag.as_ref().filter(|_| !by_creation(query.order)) {
        sql.push("link_tags WHERE tag = ");
        sql.text(tag.as_str());
    } else {
        return Ok(Way::Walk);
    }
    sql.push(&format!(" LIMIT {}) AS found", SORTED_LINKS + 1));
    let rows = sql.rows(session).await?;
    let found = rows
        .first()
        .map(|row| row.try_get::<_, i64>(0))
        .transpose()?;
    Ok(if found.unwrap_or(0) <= SORTED_LINKS {
        Way::Sort
    } else {
        Way::Walk
    })
}

/// What is looked for, unless everything begins with it.
fn prefix(query: &ListQuery) -> Option<String> {
    let prefix = query.prefix.as_deref().map(fold);
    prefix.filter(|prefix| !prefix.is_empty())
}

fn filter_prefix(sql: &mut Sql, query: &ListQuery) {
    let Some(prefix) = prefix(query) else { return };
    let from = beginning(&prefix).as_bytes().to_vec();
    // No UTF-8 text holds this byte, so it is past everything that begins with the prefix.
    let to = [from.as_slice(), &[0xff]].concat();
    for (number, term) in ["code_term", "url_term", "title_term"]
        .into_iter()
        .enumerate()
    {
        sql.push(if number == 0 { " AND ((" } else { " OR (" });
        sql.push(&format!("{term} >= "));
        sql.give(from.clone(), Type::BYTEA);
        sql.push(&format!(" AND {term} < "));
        sql.give(to.clone(), Type::BYTEA);
        sql.push(")");
    }
    sql.push(")");
}

fn filter_tag(sql: &mut Sql, query: &ListQuery) {
    let Some(tag) = &query.tag else { return };
    sql.push(
        " AND EXISTS (SELECT FROM link_tags WHERE link_tags.link = links.id
            AND link_tags.created_at = links.created_at AND link_tags.tag = ",
    );
    sql.text(tag.as_str());
    sql.push(")");
}

fn filter_domain(sql: &mut Sql, query: &ListQuery) {
    match query.domain.as_ref().map(Domain::as_str) {
        None => {}
        Some("") => sql.push(" AND links.domain = ''"),
        Some(domain) => {
            sql.push(" AND links.domain <> '' AND links.domain = ");
            sql.text(domain);
        }
    }
}

/// The statement that yields links in order.
fn statement(query: &ListQuery, way: Way, after: Option<&Position>, limit: usize) -> Sql {
    let mut sql = Sql::default();
    let tag = query.tag.as_ref();
    let [first, second] = if !by_creation(query.order) {
        ["links.code", "links.domain"]
    } else if tag.is_some() && way == Way::Walk {
        ["link_tags.created_at", "link_tags.link"]
    } else {
        ["links.created_at", "links.id"]
    };
    match way {
        Way::Sort => {
            // What is found is fixed first: otherwise an index in order could be walked, past
            // millions that do not pass.
            sql.push("WITH found AS MATERIALIZED (SELECT links.* FROM ");
            if prefix(query).is_some() {
                sql.push("links WHERE TRUE");
                filter_prefix(&mut sql, query);
                filter_tag(&mut sql, query);
            } else if let Some(tag) = tag {
                sql.push(
                    "link_tags JOIN links ON links.id = link_tags.link WHERE link_tags.tag = ",
                );
                sql.text(tag.as_str());
            }
            sql.push(concat!(
                ") SELECT ",
                columns!(),
                " FROM found AS links WHERE TRUE"
            ));
        }
        Way::Walk => match tag.filter(|_| by_creation(query.order)) {
            Some(tag) => {
                sql.push("SELECT links.* FROM link_tags CROSS JOIN LATERAL (SELECT ");
                sql.push(columns!());
                sql.push(
                    ", code_term, url_term, title_term FROM links WHERE links.id = link_tags.link
                     OFFSET 0) AS links WHERE link_tags.tag = ",
                );
                sql.text(tag.as_str());
                filter_prefix(&mut sql, query);
            }
            None => {
                sql.push(concat!("SELECT ", columns!(), " FROM links WHERE TRUE"));
                filter_prefix(&mut sql, query);
                filter_tag(&mut sql, query);
            }
        },
    }
    filter_domain(&mut sql, query);
    let (beyond, direction) = match query.order {
        ListOrder::CreatedAscending | ListOrder::CodeAscending => (">", "ASC"),
        ListOrder::CreatedDescending | ListOrder::CodeDescending => ("<", "DESC"),
    };
    if let Some(after) = after {
        sql.push(&format!(" AND ({first}, {second}) {beyond} ("));
        match after {
            Position::Created { at_ms, id } => {
                sql.give(*at_ms, Type::INT8);
                sql.push(", ");
                sql.give(*id, Type::INT8);
            }
            Position::Code(LinkKey { domain, code }) => {
                sql.text(code.as_str());
                sql.push(", ");
                sql.text(domain.as_str());
            }
        }
        sql.push(")");
    }
    sql.push(&format!(
        " ORDER BY {first} {direction}, {second} {direction} LIMIT {limit}"
    ));
    sql
}
