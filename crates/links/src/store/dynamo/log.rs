//! The log: every edit and deletion, in one order, written down before it is carried out.
//!
//! An entry holds all that has to be done. Whoever finds one that is not settled carries it out, as often as it takes:
//! each step is a write of one item under a condition that holds once. So nothing is left half done by a process that
//! dies, without transactions over several items. The log is also the feed of changes, which tells of settled entries.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_clock::UnixMillis;

use super::DynamoLinkStore;
use super::item::{
    Fields as _, HISTORY, Kept, LINK, digits, expiry, link_pk, print_item, print_pk, unreadable,
};
use super::table::{Change, ITEMS, Item, Query, Range, defect, name, number, string, together};
use crate::store::answer::{Action, read_answer};
use crate::store::columns::action_number;
use crate::store::{Edit, IdempotencyToken, StoreError};
use crate::{Code, Domain, Link, LinkKey};

/// The partition of the log.
const LOG: &str = "log";
/// The most operations of one entry, which has to fit into an item.
pub(super) const ENTRY_OPS: usize = 50;
/// How often a place at the end of the log is tried for.
const APPEND_TRIES: usize = 200;
/// An entry that is not settled for so long is carried out by whoever follows the log.
const ABANDONED: Duration = Duration::from_secs(5);
/// Between two times that what is no longer kept is taken away, in entries.
const TRIM_EVERY: u64 = 32;

/// The names of what only entries hold.
mod field {
    pub(super) const OPS: &str = "ops";
    pub(super) const COUNT: &str = "cnt";
    pub(super) const WRITTEN: &str = "wrt";
    pub(super) const TOLD: &str = "told";
}

/// How far an entry is.
const PENDING: u8 = 0;
const SETTLED: u8 = 1;

/// One operation on one link, with what it needs to be carried out by anyone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Op {
    domain: Box<str>,
    code: Box<str>,
    /// Of this link, in this version.
    id: i64,
    version: u64,
    /// That of the version.
    fingerprint: i64,
    what: What,
    /// To be written, the oldest first.
    history: Vec<Entry>,
    token: Option<Token>,
}

/// What becomes of the link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum What {
    /// It is this from now on.
    Update {
        /// The link, as an answer.
        doc: String,
        fingerprint: i64,
    },
    /// It is gone.
    Delete,
    /// It is gone with its history.
    Sweep,
}

impl What {
    const fn is_update(&self) -> bool {
        matches!(self, Self::Update { .. })
    }
}

/// A history entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    at: i64,
    actor: String,
    action: u8,
    version: u64,
    changes: Value,
}

/// The token of an edit.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Token {
    id: [u8; 16],
    request: [u8; 16],
    at: i64,
}

impl Op {
    pub(super) fn new(
        before: &Kept,
        fingerprint: i64,
        what: What,
        history: &[Edit],
        token: Option<&IdempotencyToken>,
    ) -> Self {
        let key = &before.link.key;
        let history = history.iter().map(|edit| Entry {
            at: edit.at.as_millis(),
            actor: edit.actor.clone(),
            action: action_number(edit.action),
            version: edit.version,
            changes: edit.changes.clone(),
        });
        Self {
            domain: key.domain.as_str().into(),
            code: key.code.as_str().into(),
            id: before.id,
            version: before.link.version,
            fingerprint,
            what,
            history: history.collect(),
            token: token.map(|token| Token {
                id: token.id,
                request: token.request,
                at: token.at.as_millis(),
            }),
        }
    }

    pub(super) fn key(&self) -> LinkKey {
        LinkKey {
            domain: Domain::from_stored(&self.domain),
            code: Code::from_stored(&self.code),
        }
    }

    fn token(&self) -> Option<(IdempotencyToken, Action)> {
        let token = self.token.as_ref()?;
        let action = match self.what {
            What::Update { .. } => Action::Update,
            What::Delete | What::Sweep => Action::Delete,
        };
        Some((
            IdempotencyToken {
                id: token.id,
                request: token.request,
                at: UnixMillis::from_millis(token.at),
            },
            action,
        ))
    }
}

/// An entry of the log.
pub(super) struct Logged {
    /// The number of its first operation.
    pub(super) first: u64,
    ops: Vec<Op>,
    count: u64,
    /// Which operations took place, once that is settled.
    told: Option<Vec<bool>>,
    written: UnixMillis,
}

impl Logged {
    fn read(item: &Item) -> Result<Self, StoreError> {
        let settled = item.number::<u8>(name::PHASE)? == SETTLED;
        let told = settled.then(|| item.text(field::TOLD)).transpose()?;
        Ok(Self {
            first: item.number(name::LAST)?,
            ops: serde_json::from_str(item.text(field::OPS)?).map_err(unreadable)?,
            count: item.number(field::COUNT)?,
            told: told.map(|told| told.bytes().map(|told| told == b'1').collect()),
            written: UnixMillis::from_millis(item.number(field::WRITTEN)?),
        })
    }

    /// The number of its last operation.
    pub(super) const fn last(&self) -> u64 {
        self.first + self.count - 1
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.told.is_some()
    }

    pub(super) fn is_abandoned(&self, now: UnixMillis) -> bool {
        self.written.saturating_add(ABANDONED) < now
    }

    /// The links it deletes, unless they were edited meanwhile.
    fn deleted(&self) -> impl Iterator<Item = LinkKey> {
        let deleted = self.ops.iter().filter(|op| !op.what.is_update());
        deleted.map(Op::key)
    }

    /// The links it tells of, with the numbers of the operations.
    pub(super) fn keys(&self) -> impl Iterator<Item = (u64, LinkKey)> {
        let told = self.told.iter().flatten();
        let told = (self.first..).zip(&self.ops).zip(told);
        told.filter(|(_, told)| **told)
            .map(|((number, op), _)| (number, op.key()))
    }
}

fn entry_sk(first: u64) -> String {
    format!("{first:016x}")
}

impl DynamoLinkStore {
    /// Entries in order, from one number on or backwards from the newest.
    pub(super) async fn entries(
        &self,
        range: Range,
        forward: bool,
        limit: usize,
    ) -> Result<Vec<Logged>, StoreError> {
        let query = Query {
            index: ITEMS,
            part: LOG.into(),
            range,
            forward,
            limit,
        };
        let (items, _) = self.table.query(query).await?;
        items.iter().map(Logged::read).collect()
    }

    /// Entries that hold operations after a number. Some may end before it.
    pub(super) async fn entries_behind(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Logged>, StoreError> {
        // The one that holds the next may begin so much earlier.
        let from = (after + 1).saturating_sub(ENTRY_OPS as u64);
        self.entries(Range::After(entry_sk(from)), true, limit)
            .await
    }

    /// The number of the newest operation.
    pub(super) async fn newest(&self) -> Result<u64, StoreError> {
        let newest = self.entries(Range::All, false, 1).await?;
        Ok(newest.first().map_or(0, Logged::last))
    }

    /// Does some operations, and says which took place.
    pub(super) async fn perform(&self, ops: Vec<Op>) -> Result<Vec<bool>, StoreError> {
        let entry = self.append(ops).await?;
        let first = entry.first;
        let told = self.carry_out(entry).await?;
        if first / TRIM_EVERY != (first + told.len() as u64) / TRIM_EVERY {
            self.trim().await?;
        }
        Ok(told)
    }

    /// Writes an entry behind the newest.
    async fn append(&self, ops: Vec<Op>) -> Result<Logged, StoreError> {
        debug_assert!((1..=ENTRY_OPS).contains(&ops.len()));
        let owner = self.owner();
        let count = ops.len() as u64;
        let text = serde_json::to_string(&ops).map_err(defect)?;
        let written = self.clock.now();
        // One at a time here: so only other instances are in the way.
        let _turn = self.appending.lock().await;
        for _ in 0..APPEND_TRIES {
            let first = self.newest().await? + 1;
            let item = Item::from([
                (name::PK.into(), string(LOG)),
                (name::SK.into(), string(entry_sk(first))),
                (name::LAST.into(), number(first)),
                (field::COUNT.into(), number(count)),
                (field::OPS.into(), string(text.as_str())),
                (field::WRITTEN.into(), number(written.as_millis())),
                (name::PHASE.into(), number(PENDING)),
                (name::OWNER.into(), string(owner.as_str())),
            ]);
            if self.table.put_new(item).await? || self.is_ours(first, &owner).await? {
                return Ok(Logged {
                    first,
                    ops,
                    count,
                    told: None,
                    written,
                });
            }
        }
        Err(StoreError::Overloaded)
    }

    /// Whether an attempt took place whose answer was lost.
    async fn is_ours(&self, first: u64, owner: &str) -> Result<bool, StoreError> {
        let found = self.table.get(LOG, &entry_sk(first)).await?;
        Ok(found.is_some_and(|found| found.text(name::OWNER).is_ok_and(|found| found == owner)))
    }

    /// Sees to it that an entry is settled; one that is no longer kept was.
    pub(super) fn settle(&self, first: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if let Some(found) = self.table.get(LOG, &entry_sk(first)).await? {
                self.settle_entry(Logged::read(&found)?).await?;
            }
            Ok(())
        })
    }

    pub(super) async fn settle_entry(&self, entry: Logged) -> Result<(), StoreError> {
        if !entry.is_settled() {
            self.carry_out(entry).await?;
        }
        Ok(())
    }

    /// Carries an entry out, whoever wrote it, and says which operations took place.
    async fn carry_out(&self, entry: Logged) -> Result<Vec<bool>, StoreError> {
        let Logged { first, ops, .. } = &entry;
        let told = together(ops.iter().map(|op| self.apply(op, *first)).collect()).await?;
        let text: String = told
            .iter()
            .map(|told| if *told { '1' } else { '0' })
            .collect();
        let settled = Change::default()
            .set(name::PHASE, number(SETTLED))
            .set(field::TOLD, string(text))
            .only_if(name::PHASE, number(PENDING));
        let told = match self.table.update(LOG, &entry_sk(*first), settled).await? {
            Some(_) => told,
            // Somebody else was faster: what is written there is what everybody goes by.
            None => match self.table.get(LOG, &entry_sk(*first)).await? {
                Some(found) => Logged::read(&found)?.told.unwrap_or(told),
                None => told,
            },
        };
        let mut gone = Vec::new();
        for (op, told) in ops.iter().zip(&told) {
            if *told && !op.what.is_update() {
                gone.push(self.remove(op.key(), *first));
            }
        }
        together(gone).await?;
        Ok(told)
    }

    /// Takes away what is left of a link after its deletion was settled.
    pub(super) async fn remove(&self, key: LinkKey, gone_by: u64) -> Result<(), StoreError> {
        let gone = Change::default().only_if(name::GONE_BY, number(gone_by));
        let was = self.table.delete(&link_pk(&key), LINK, gone).await?;
        // Whoever took it away counts it.
        if was.is_some() {
            self.add_to_total(-1).await?;
        }
        Ok(())
    }

    /// One operation; whether it took place.
    async fn apply(&self, op: &Op, first: u64) -> Result<bool, StoreError> {
        let token = op.token();
        if let Some((token, action)) = &token
            && !self.claim_for_edit(token, *action, first).await?
        {
            return Ok(false);
        }
        let Some(after) = self.change_link(op, first).await? else {
            if let Some((token, _)) = &token {
                self.disclaim(token, first).await?;
            }
            return Ok(false);
        };
        self.change_rest(op, first).await?;
        if let Some((token, action)) = &token {
            let answer = matches!(action, Action::Update).then_some(&after);
            self.finish_edit(token, first, answer).await?;
        }
        Ok(true)
    }

    /// Changes the link itself, once; `None` if it is not the one that was meant.
    async fn change_link(&self, op: &Op, first: u64) -> Result<Option<Link>, StoreError> {
        let pk = link_pk(&op.key());
        let change = Change::default()
            .only_if(name::ID, string(digits(op.id)))
            .only_if(name::VERSION, number(op.version))
            .only_without(name::GONE_BY);
        let change = match &op.what {
            What::Update { doc, .. } => {
                let link = read_answer(doc).map_err(unreadable)?;
                let mut change = change
                    .set(name::DOC, string(doc.as_str()))
                    .set(name::VERSION, number(link.version))
                    .put(name::CLICK_LIMIT, link.spec.max_clicks.map(number))
                    .set(name::EDITED_BY, number(first))
                    .remove(name::MADE_WITH);
                change = match expiry(&link, op.id, self.partitions) {
                    Some(keys) => keys
                        .into_iter()
                        .fold(change, |change, (name, value)| change.set(name, value)),
                    None => change.remove(name::TIME_PART).remove(name::BY_TIME),
                };
                change
            }
            What::Delete | What::Sweep => change
                .set(name::GONE_BY, number(first))
                .remove(name::PART)
                .remove(name::TIME_PART),
        };
        if let Some(after) = self.table.update(&pk, LINK, change).await? {
            return Ok(Some(Kept::read(&after)?.link));
        }
        // Perhaps it was changed by this very entry: by another that carries it out, or by an attempt whose answer was
        // lost. Nobody changes it further before the entry is settled.
        let Some(found) = self.table.get(&pk, LINK).await? else {
            return Ok(None);
        };
        let found = Kept::read(&found)?;
        let ours = match op.what {
            What::Update { .. } => found.edited_by == Some(first),
            What::Delete | What::Sweep => found.gone_by == Some(first),
        };
        Ok((ours && found.id == op.id).then_some(found.link))
    }

    /// What goes with a change of a link.
    async fn change_rest(&self, op: &Op, first: u64) -> Result<(), StoreError> {
        let key = op.key();
        let old = (print_pk(op.fingerprint), digits(op.id));
        match &op.what {
            What::Update { fingerprint, .. } if *fingerprint == op.fingerprint => {}
            What::Update { fingerprint, .. } => {
                self.table
                    .put(print_item(*fingerprint, op.id, &key))
                    .await?;
                self.table.delete_all(vec![old]).await?;
            }
            What::Delete => self.table.delete_all(vec![old]).await?,
            What::Sweep => {
                let mut keys = self.history_keys(&key).await?;
                keys.push(old);
                self.table.delete_all(keys).await?;
            }
        }
        let entries = op.history.iter().enumerate().map(|(number, entry)| {
            let sk = format!("{HISTORY}{}{number}", entry_sk(first));
            let doc = serde_json::to_string(entry).map_err(defect)?;
            Ok(Item::from([
                (name::PK.into(), string(link_pk(&key))),
                (name::SK.into(), string(sk)),
                (name::DOC.into(), string(doc)),
            ]))
        });
        let entries = entries.collect::<Result<Vec<_>, StoreError>>()?;
        if entries.is_empty() {
            return Ok(());
        }
        self.table.put_all(entries).await
    }

    /// Takes away settled entries that nobody is told of any more.
    pub(super) async fn trim(&self) -> Result<(), StoreError> {
        let Some(upto) = self.newest().await?.checked_sub(self.feed_capacity) else {
            return Ok(());
        };
        loop {
            let oldest = self.entries(Range::All, true, 100).await?;
            let old: Vec<Logged> = oldest
                .into_iter()
                .take_while(|entry| entry.last() <= upto)
                .collect();
            if old.is_empty() {
                return Ok(());
            }
            let mut keys = Vec::new();
            for entry in old {
                let first = entry.first;
                keys.push((LOG.to_owned(), entry_sk(first)));
                // A process may have ended before it took away what it had deleted.
                let left: Vec<LinkKey> = entry.deleted().collect();
                self.settle_entry(entry).await?;
                together(
                    left.into_iter()
                        .map(|key| self.remove(key, first))
                        .collect(),
                )
                .await?;
            }
            self.table.delete_all(keys).await?;
        }
    }
}

/// Reads an item of the history.
pub(super) fn read_edit(item: &Item) -> Result<Edit, StoreError> {
    let entry: Entry = serde_json::from_str(item.text(name::DOC)?).map_err(unreadable)?;
    Ok(Edit {
        at: UnixMillis::from_millis(entry.at),
        actor: entry.actor,
        action: crate::store::columns::action_of(entry.action)
            .ok_or_else(|| unreadable("no such action"))?,
        version: entry.version,
        changes: entry.changes,
    })
}
