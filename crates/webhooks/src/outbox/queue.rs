//! From events to messages.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Value, json};
use tollgate_clock::UnixMillis;
use uuid::Uuid;

use super::{Passed, Queued, subscriptions};
use crate::{Event, EventKind, Subscription};

/// The most messages that wait for one subscription. More would only be sent when nobody knows any
/// more what they were about.
const MOST_WAITING: u64 = 100_000;

pub(super) fn position(db: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT at FROM positions WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

pub(super) fn queue(
    db: &Connection,
    events: &[Event],
    positions: &[(&str, i64)],
    now: UnixMillis,
) -> rusqlite::Result<Queued> {
    let mut queued = Queued::default();
    if !events.is_empty() {
        for mut queue in Queue::of_all(db)? {
            for event in events {
                if queue.wants(event) {
                    queue.push(db, event, now, &mut queued)?;
                }
            }
        }
        // Another link of this name begins anew.
        let mut forget = db.prepare_cached("DELETE FROM passed WHERE domain = ?1 AND code = ?2")?;
        let deleted = events.iter().filter(|it| it.kind == EventKind::LinkDeleted);
        for event in deleted {
            let code = event.data["code"].as_str().unwrap_or_default();
            forget.execute([event.domain.as_str(), code])?;
        }
    }
    let mut remember =
        db.prepare_cached("INSERT OR REPLACE INTO positions(name, at) VALUES (?1, ?2)")?;
    for position in positions {
        remember.execute(*position)?;
    }
    Ok(queued)
}

pub(super) fn passed(
    db: &Connection,
    links: &[Passed],
    now: UnixMillis,
) -> rusqlite::Result<Queued> {
    let mut queued = Queued::default();
    for mut queue in Queue::of_all(db)? {
        for link in links {
            if let Some(event) = pass(db, &queue.subscription, link, now)? {
                queue.push(db, &event, now, &mut queued)?;
            }
        }
    }
    Ok(queued)
}

/// The greatest threshold that a link has reached, if it is a new one.
fn pass(
    db: &Connection,
    subscription: &Subscription,
    link: &Passed,
    now: UnixMillis,
) -> rusqlite::Result<Option<Event>> {
    let draft = &subscription.draft;
    if draft.domain().is_some_and(|domain| domain != link.domain) {
        return Ok(None);
    }
    let Some(&threshold) = draft.thresholds().range(..=link.clicks).next_back() else {
        return Ok(None);
    };
    let told = db
        .prepare_cached(
            "INSERT INTO passed(subscription, domain, code, threshold) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET threshold = excluded.threshold
             WHERE excluded.threshold > threshold",
        )?
        .execute(params![
            subscription.id,
            link.domain,
            link.code,
            threshold.cast_signed()
        ])?;
    if told == 0 {
        return Ok(None);
    }
    let mut data = link.data.clone();
    if let Value::Object(fields) = &mut data {
        fields.insert("threshold".to_owned(), json!(threshold));
        fields.insert("clicks".to_owned(), json!(link.clicks));
    }
    Ok(Some(Event {
        kind: EventKind::LinkThreshold,
        // What was told is remembered above, until the link is deleted.
        key: format!("threshold:{}", Uuid::now_v7()),
        domain: link.domain.clone(),
        at: now,
        data,
    }))
}

pub(super) fn ping(db: &Connection, id: &str, now: UnixMillis) -> rusqlite::Result<Option<String>> {
    let Some(subscription) = subscriptions::one(db, id)? else {
        return Ok(None);
    };
    let event = Event {
        kind: EventKind::Ping,
        key: format!("ping:{}", Uuid::now_v7()),
        domain: String::new(),
        at: now,
        data: json!({"webhook": id}),
    };
    insert(db, &subscription.id, &event, now)
}

/// What waits for a subscription that is not paused.
struct Queue {
    subscription: Subscription,
    waiting: u64,
}

impl Queue {
    fn of_all(db: &Connection) -> rusqlite::Result<Vec<Self>> {
        let mut count = db.prepare_cached(
            "SELECT count(*) FROM deliveries WHERE state = 0 AND subscription = ?1",
        )?;
        let all = subscriptions::all(db)?.into_iter();
        all.filter(|subscription| !subscription.paused)
            .map(|subscription| {
                let waiting: i64 = count.query_row([&subscription.id], |row| row.get(0))?;
                Ok(Self {
                    waiting: waiting.cast_unsigned(),
                    subscription,
                })
            })
            .collect()
    }

    fn wants(&self, event: &Event) -> bool {
        let draft = &self.subscription.draft;
        draft.events().contains(&event.kind)
            && draft.domain().is_none_or(|domain| domain == event.domain)
    }

    fn push(
        &mut self,
        db: &Connection,
        event: &Event,
        now: UnixMillis,
        queued: &mut Queued,
    ) -> rusqlite::Result<()> {
        if self.waiting >= MOST_WAITING {
            queued.overflowed += 1;
        } else if insert(db, &self.subscription.id, event, now)?.is_some() {
            self.waiting += 1;
            queued.messages += 1;
        }
        Ok(())
    }
}

/// Answers the identifier of the message, if it is not there already.
fn insert(
    db: &Connection,
    subscription: &str,
    event: &Event,
    now: UnixMillis,
) -> rusqlite::Result<Option<String>> {
    let id = format!("msg_{}", Uuid::now_v7().simple());
    let inserted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO deliveries(id, subscription, key, kind, body, queued_at, state,
                attempts, next_at, claimed_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?6, 0)",
        )?
        .execute(params![
            id,
            subscription,
            event.key,
            event.kind.name(),
            event.body(),
            now.as_millis(),
        ])?;
    Ok((inserted == 1).then_some(id))
}
