use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tollgate_clock::UnixMillis;
use uuid::Uuid;

use super::damaged;
use crate::{Draft, EventKind, SigningSecret, Subscription, UnknownEvent};

const COLUMNS: &str = "id, url, events, thresholds, domain, description, paused, created_at";

pub(super) fn insert(
    db: &Connection,
    draft: &Draft,
    secret: &SigningSecret,
    now: UnixMillis,
) -> rusqlite::Result<Subscription> {
    let subscription = Subscription {
        id: format!("wh_{}", Uuid::now_v7().simple()),
        draft: draft.clone(),
        paused: false,
        created_at: now,
    };
    let insert = format!(
        "INSERT INTO subscriptions({COLUMNS}, secret) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    );
    db.prepare_cached(&insert)?.execute(params![
        subscription.id,
        subscription.draft.url().as_str(),
        events(&subscription.draft),
        thresholds(&subscription.draft),
        subscription.draft.domain(),
        subscription.draft.description(),
        false,
        now.as_millis(),
        secret.expose(),
    ])?;
    Ok(subscription)
}

pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Subscription>> {
    let select = format!("SELECT {COLUMNS} FROM subscriptions ORDER BY id");
    let mut select = db.prepare_cached(&select)?;
    select.query_map([], read)?.collect()
}

pub(super) fn one(db: &Connection, id: &str) -> rusqlite::Result<Option<Subscription>> {
    let select = format!("SELECT {COLUMNS} FROM subscriptions WHERE id = ?1");
    let mut select = db.prepare_cached(&select)?;
    select.query_row([id], read).optional()
}

pub(super) fn update(
    db: &Connection,
    id: &str,
    draft: &Draft,
    paused: bool,
) -> rusqlite::Result<Option<Subscription>> {
    let mut update = db.prepare_cached(
        "UPDATE subscriptions SET url = ?2, events = ?3, thresholds = ?4, domain = ?5,
            description = ?6, paused = ?7 WHERE id = ?1",
    )?;
    update.execute(params![
        id,
        draft.url().as_str(),
        events(draft),
        thresholds(draft),
        draft.domain(),
        draft.description(),
        paused,
    ])?;
    one(db, id)
}

pub(super) fn rotate(
    db: &Connection,
    id: &str,
    secret: &SigningSecret,
    old_until: UnixMillis,
) -> rusqlite::Result<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE subscriptions SET old_secret = secret, old_until = ?3, secret = ?2
             WHERE id = ?1",
        )?
        .execute(params![id, secret.expose(), old_until.as_millis()])?;
    Ok(changed == 1)
}

pub(super) fn delete(db: &Connection, id: &str) -> rusqlite::Result<bool> {
    for table in ["deliveries", "passed"] {
        let delete = format!("DELETE FROM {table} WHERE subscription = ?1");
        db.prepare_cached(&delete)?.execute([id])?;
    }
    let deleted = db
        .prepare_cached("DELETE FROM subscriptions WHERE id = ?1")?
        .execute([id])?;
    Ok(deleted == 1)
}

fn events(draft: &Draft) -> String {
    let names: Vec<&str> = draft.events().iter().map(|kind| kind.name()).collect();
    names.join(" ")
}

fn thresholds(draft: &Draft) -> String {
    let numbers: Vec<String> = draft.thresholds().iter().map(u64::to_string).collect();
    numbers.join(" ")
}

fn read(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    let events = row.get_ref(2)?.as_str()?.split(' ');
    let events = events
        .map(str::parse::<EventKind>)
        .collect::<Result<_, UnknownEvent>>()
        .map_err(|error| damaged(2, error))?;
    let numbers = row.get_ref(3)?.as_str()?.split_terminator(' ');
    let thresholds = numbers
        .map(str::parse::<u64>)
        .collect::<Result<_, _>>()
        .map_err(|error| damaged(3, error))?;
    let draft = Draft::new(
        row.get_ref(1)?.as_str()?,
        events,
        thresholds,
        row.get(4)?,
        row.get(5)?,
    );
    Ok(Subscription {
        id: row.get(0)?,
        draft: draft.map_err(|error| damaged(1, error))?,
        paused: row.get(6)?,
        created_at: UnixMillis::from_millis(row.get(7)?),
    })
}
