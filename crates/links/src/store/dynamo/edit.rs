//! Changes of links that exist, and what is remembered of them.

use super::DynamoLinkStore;
use super::insert::fingerprint_with;
use super::item::{Fields as _, HISTORY, Kept, LINK, link_pk};
use super::log::{Op, What, read_edit};
use super::table::{Change, ITEMS, Query, Range, defect, name};
use crate::LinkKey;
use crate::store::answer::{Action, Seen, answer_column};
use crate::store::history::creation;
use crate::store::{
    ClickGrant, Delete, Deleted, Edit, EditAction, StoreError, Update, Updated, changes,
};

/// How often an edit is begun again because somebody was faster.
const ROUNDS: usize = 50;

impl DynamoLinkStore {
    /// A link as it can be edited: whatever was under way with it is done.
    pub(super) async fn ready(&self, key: &LinkKey) -> Result<Option<Kept>, StoreError> {
        for _ in 0..ROUNDS {
            let Some(found) = self.table.get(&link_pk(key), LINK).await? else {
                return Ok(None);
            };
            let found = Kept::read(&found)?;
            if let Some(entry) = found.gone_by {
                self.settle(entry).await?;
                self.remove(key.clone(), entry).await?;
                continue;
            }
            self.finish_earlier(&found).await?;
            return Ok(Some(found));
        }
        Err(StoreError::Overloaded)
    }

    /// Sees to it that what made a link this is settled: afterwards nothing would tell that it took place.
    pub(super) async fn finish_earlier(&self, found: &Kept) -> Result<(), StoreError> {
        if let Some(entry) = found.edited_by {
            self.settle(entry).await?;
        }
        self.settle_insert(found).await
    }

    /// Replaces a spec.
    pub(super) async fn update_link(&self, update: &Update) -> Result<Updated, StoreError> {
        let token = update.idempotency.as_ref();
        for _ in 0..ROUNDS {
            match self.seen(token, Action::Update).await? {
                Seen::New => {}
                Seen::Before(Some(link)) => return Ok(Updated::Replayed(*link)),
                Seen::Before(None) | Seen::Mismatch => return Ok(Updated::TokenMismatch),
            }
            let Some(before) = self.ready(&update.key).await? else {
                return Ok(Updated::NotFound);
            };
            if before.link.version != update.expected_version {
                return Ok(Updated::VersionMismatch(before.link.version));
            }
            let mut after = before.link.clone();
            after.spec = update.spec.clone();
            after.version += 1;
            after.updated_at = update.at;
            let edit = Edit {
                at: update.at,
                actor: update.actor.clone(),
                action: EditAction::Updated,
                version: after.version,
                changes: changes(Some(&before.link.spec), Some(&after.spec)),
            };
            let what = What::Update {
                doc: answer_column(&after).map_err(defect)?,
                fingerprint: fingerprint_with(&after, &after.spec)?,
            };
            if self
                .edit(&before, what, edit, update.idempotency.as_ref())
                .await?
            {
                return Ok(Updated::Updated(after));
            }
        }
        Err(StoreError::Overloaded)
    }

    /// Deletes a link.
    pub(super) async fn delete_link(&self, delete: &Delete) -> Result<Deleted, StoreError> {
        let token = delete.idempotency.as_ref();
        for _ in 0..ROUNDS {
            match self.seen(token, Action::Delete).await? {
                Seen::New => {}
                Seen::Before(_) => return Ok(Deleted::Replayed),
                Seen::Mismatch => return Ok(Deleted::TokenMismatch),
            }
            let Some(before) = self.ready(&delete.key).await? else {
                return Ok(Deleted::NotFound);
            };
            let version = before.link.version;
            if delete
                .expected_version
                .is_some_and(|expected| expected != version)
            {
                return Ok(Deleted::VersionMismatch(version));
            }
            let edit = Edit {
                at: delete.at,
                actor: delete.actor.clone(),
                action: EditAction::Deleted,
                version,
                changes: changes(Some(&before.link.spec), None),
            };
            if self.edit(&before, What::Delete, edit, token).await? {
                return Ok(Deleted::Deleted(before.link));
            }
        }
        Err(StoreError::Overloaded)
    }

    /// Does something to a link as it was; `false` if it is no longer that, or the token was used meanwhile.
    async fn edit(
        &self,
        before: &Kept,
        what: What,
        edit: Edit,
        token: Option<&crate::store::IdempotencyToken>,
    ) -> Result<bool, StoreError> {
        // The creation of a link stands nowhere until it is edited.
        let history: Vec<Edit> = creation(&before.link).into_iter().chain([edit]).collect();
        let print = fingerprint_with(&before.link, &before.link.spec)?;
        let told = self
            .perform(vec![Op::new(before, print, what, &history, token)])
            .await?;
        Ok(told == [true])
    }

    /// Takes one click.
    pub(super) async fn take(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        let (used, max) = (name::CLICKS, name::CLICK_LIMIT);
        let pk = link_pk(key);
        let taken = Change::default()
            .add(used, 1)
            .only_without(name::GONE_BY)
            .condition(format!("{used} < {max}"));
        if let Some(link) = self.table.update(&pk, LINK, taken).await? {
            let (used, max): (u64, u64) = (link.number(used)?, link.number(max)?);
            let remaining = max.saturating_sub(used);
            return Ok(ClickGrant::Granted { remaining });
        }
        let found = self.table.get(&pk, LINK).await?;
        Ok(match found.as_ref().map(Kept::read).transpose()? {
            Some(found) if found.gone_by.is_some() => ClickGrant::NotFound,
            Some(found) if found.link.spec.max_clicks.is_none() => ClickGrant::Unlimited,
            Some(_) => ClickGrant::UsedUp,
            None => ClickGrant::NotFound,
        })
    }

    /// The newest entries about a name, newest first.
    pub(super) async fn read_history(
        &self,
        key: &LinkKey,
        limit: usize,
    ) -> Result<Vec<Edit>, StoreError> {
        let mut edits = Vec::new();
        let mut range = Range::All;
        while edits.len() < limit {
            let query = Query {
                index: ITEMS,
                part: link_pk(key),
                range,
                forward: false,
                limit: (limit - edits.len()).saturating_add(1).min(1_000),
            };
            let (items, more) = self.table.query(query).await?;
            for item in &items {
                if item.text(name::SK)? != LINK {
                    edits.push(read_edit(item)?);
                    continue;
                }
                let kept = Kept::read(item)?;
                let is_there = kept.gone_by.is_none();
                edits.extend(creation(&kept.link).filter(|_| is_there));
            }
            let Some(last) = items.last().filter(|_| more) else {
                break;
            };
            range = Range::Before(last.text(name::SK)?.to_owned());
        }
        edits.truncate(limit);
        Ok(edits)
    }

    /// Where the history of a name is.
    pub(super) async fn history_keys(
        &self,
        key: &LinkKey,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let pk = link_pk(key);
        let mut keys = Vec::new();
        let mut from = HISTORY.to_owned();
        loop {
            let query = Query {
                index: ITEMS,
                part: pk.clone(),
                range: Range::Between(from, "i".into()),
                forward: true,
                limit: 1_000,
            };
            let (items, more) = self.table.query(query).await?;
            for item in &items {
                keys.push((pk.clone(), item.text(name::SK)?.to_owned()));
            }
            match keys.last() {
                Some((_, last)) if more => from = format!("{last}0"),
                _ => return Ok(keys),
            }
        }
    }
}
