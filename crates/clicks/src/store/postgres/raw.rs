//! Single clicks, in partitions of one table.

use tollgate_postgres::{Failure, Given, Row, Session};

use crate::EnrichedClick;
use crate::store::raw::{self, RawClick, StoredClick, TEXTS, columns};

/// Clicks in one statement.
const CHUNK: usize = 2_000;

/// Writes raw clicks, in their order.
pub(super) async fn insert(session: &mut Session, clicks: &[RawClick<'_>]) -> Result<(), Failure> {
    let names = columns();
    let types = [
        "bigint", "bigint", "text", "bigint", "bigint", "bigint", "boolean", "boolean", "bigint",
        "text",
    ];
    let types = types.into_iter().chain([("text"); TEXTS]);
    let arrays: Vec<String> = types
        .enumerate()
        .map(|(at, of)| format!("${}::{of}[]", at + 1))
        .collect();
    let columns = names.join(", ");
    let sql = format!(
        "INSERT INTO click_raw({columns})
         SELECT {columns} FROM unnest({}) WITH ORDINALITY AS click({columns}, place) ORDER BY place",
        arrays.join(", ")
    );
    for chunk in clicks.chunks(CHUNK) {
        let link: Vec<_> = chunk.iter().map(|click| click.link).collect();
        let domain: Vec<_> = chunk.iter().map(|click| click.domain).collect();
        let orphan: Vec<_> = chunk.iter().map(|click| click.orphan.as_deref()).collect();
        let at: Vec<_> = chunk.iter().map(|click| click.at).collect();
        let process: Vec<_> = chunk.iter().map(|click| click.process).collect();
        let event: Vec<_> = chunk.iter().map(|click| click.event).collect();
        let bot: Vec<_> = chunk.iter().map(|click| click.bot).collect();
        let adjusted: Vec<_> = chunk.iter().map(|click| click.adjusted).collect();
        let visitor: Vec<_> = chunk.iter().map(|click| click.visitor).collect();
        let network: Vec<_> = chunk.iter().map(|click| click.network.as_deref()).collect();
        let texts: Vec<Vec<Option<&str>>> = (0..TEXTS)
            .map(|place| chunk.iter().map(|click| click.texts[place]).collect())
            .collect();
        let first: [Given<'_>; 10] = [
            &link, &domain, &orphan, &at, &process, &event, &bot, &adjusted, &visitor, &network,
        ];
        let texts = texts.iter().map(|column| column as Given<'_>);
        let given: Vec<Given<'_>> = first.into_iter().chain(texts).collect();
        session.change(&sql, &given).await?;
    }
    Ok(())
}

/// The beginning of a query for [`read`].
pub(super) fn selected() -> String {
    raw::selected(&"click_raw")
}

/// Reads a row of [`selected`]: the number of the click, and the click.
pub(super) fn read(row: &Row) -> Result<(i64, EnrichedClick), Failure> {
    let mut texts = [None; TEXTS];
    for (place, found) in texts.iter_mut().enumerate() {
        *found = row.try_get(11 + place)?;
    }
    let (domain, code): (Option<&str>, Option<&str>) = (row.try_get(1)?, row.try_get(2)?);
    let stored = StoredClick {
        link: domain.zip(code),
        orphan: row.try_get(3)?,
        at: row.try_get(4)?,
        process: row.try_get(5)?,
        event: row.try_get(6)?,
        bot: row.try_get(7)?,
        adjusted: row.try_get(8)?,
        visitor: row.try_get(9)?,
        network: row.try_get(10)?,
        texts,
    };
    let click = stored
        .read()
        .map_err(|error| Failure::Damaged(format!("the network of a click: {error}")))?;
    Ok((row.try_get(0)?, click))
}
