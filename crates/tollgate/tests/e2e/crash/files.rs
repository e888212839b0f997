//! Looking through the files that a server has left. A copy of them: the server that starts next has to
//! repair them itself.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::ledger::{Books, Ledger, Verdict};
use super::load::{LIMIT, MAX_CLICKS};

const DATABASES: [&str; 4] = ["links.db", "keys.db", "clicks.db", "webhooks.db"];

/// Compares the files with what was answered. From then on what is there counts, also of what had no answer.
pub(super) fn inspect(home: &TempDir, ledger: &Ledger, verdict: &mut Verdict) {
    let copies = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    verdict.inspections += 1;
    for name in DATABASES {
        for suffix in ["", "-wal"] {
            let name = format!("{name}{suffix}");
            // Logs are gone after an orderly end.
            let _ = std::fs::copy(data.join(&name), copies.path().join(&name));
        }
        let database = open(copies.path(), name);
        let check: String = database
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        if check != "ok" {
            verdict.damaged.push(format!("{name}: {check}"));
        }
    }
    ledger.with(|books| {
        links(&open(copies.path(), "links.db"), books, verdict);
        keys(&open(copies.path(), "keys.db"), books, verdict);
        let (links, changes) = std::mem::take(&mut books.answered);
        verdict.links += links;
        verdict.changes += changes;
        verdict.duplicates += std::mem::take(&mut books.given_twice);
        verdict.duplicates += std::mem::take(&mut books.token_answers);
    });
    verdict.limit = LIMIT;
    verdict.most_passed = verdict.most_passed.max(ledger.most_passed());
}

fn open(directory: &Path, name: &str) -> Connection {
    Connection::open(directory.join(name)).unwrap()
}

fn links(database: &Connection, books: &mut Books, verdict: &mut Verdict) {
    let mut found: HashMap<String, String> = HashMap::new();
    let mut urls: HashMap<String, usize> = HashMap::new();
    let mut rows = 0_i64;
    // Not by an index: that would not tell of rows that it does not have.
    let mut statement = database
        .prepare("SELECT code, url, clicks_used FROM links NOT INDEXED")
        .unwrap();
    let mut all = statement.query([]).unwrap();
    while let Some(row) = all.next().unwrap() {
        let (code, url): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        rows += 1;
        if code == "limited" {
            let used = row.get::<_, i64>(2).unwrap().cast_unsigned();
            let (answered, unanswered) = books.clicks;
            let is_right = used <= MAX_CLICKS && (answered..=answered + unanswered).contains(&used);
            verdict.clicks_wrong += usize::from(!is_right);
        }
        *urls.entry(url.clone()).or_default() += 1;
        if found.insert(code, url).is_some() {
            verdict.duplicates += 1;
        }
    }
    verdict.duplicates += urls.values().filter(|&&count| count > 1).count();
    let total: i64 = database
        .query_row("SELECT links FROM totals", [], |row| row.get(0))
        .unwrap();
    if total != rows {
        verdict
            .damaged
            .push(format!("{rows} links, of which the total says {total}"));
    }

    for (code, states) in &mut books.links {
        let is = found.remove(code);
        // Without states it is not one of those that are changed.
        if states.is_empty() {
            continue;
        }
        if !states.contains(&is) {
            if is.is_none() {
                verdict.lost += 1;
            } else {
                verdict.undone += 1;
            }
        }
        *states = vec![is];
    }
    for (code, url) in found {
        if !books.sent.contains(&url) {
            verdict.foreign += 1;
        }
        books.links.insert(code, vec![Some(url)]);
    }
}

fn keys(database: &Connection, books: &mut Books, verdict: &mut Verdict) {
    for (id, revoked) in &mut books.keys {
        let found: Result<bool, _> = database.query_row(
            "SELECT revoked_at IS NOT NULL FROM api_keys WHERE id = ?1",
            [id],
            |row| row.get(0),
        );
        match found {
            Ok(is) if revoked.contains(&is) => *revoked = vec![is],
            _ => verdict.keys_wrong += 1,
        }
    }
}
