//! New links.

use std::collections::HashSet;
use std::time::Duration;

use tollgate_clock::UnixMillis;

use super::DynamoLinkStore;
use super::item::{
    Fields as _, Kept, LINK, digits, link_item, link_pk, print_item, print_pk, read_link_pk,
};
use super::table::{Change, ITEMS, Item, Query, Range, defect, name, number, string, together};
use super::token::{Claimant, token_name};
use crate::store::answer::{Action, Seen};
use crate::store::columns::fingerprint;
use crate::store::{Insert, Inserted, StoreError};
use crate::{Link, LinkSpec};

/// Links that are given their numbers at once: few enough that each is there soon after.
const NUMBERED: usize = 100;
/// How often an insert is begun again because somebody was faster.
const ROUNDS: usize = 50;

/// How long who looks for a link like this keeps others from doing the same.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// Between two tries to be the one who looks.
const LOOK_AGAIN: Duration = Duration::from_millis(15);
/// How often it is tried: longer than a lock lasts that nobody gives back.
const LOOK_TRIES: usize = 600;
/// The sort key of that lock; it sorts behind all links that are alike.
const LOCK: &str = "lock";
const UNTIL: &str = "til";

impl DynamoLinkStore {
    /// Inserts each as if it were alone, in their order where that matters.
    pub(super) async fn insert_all(&self, inserts: &[Insert]) -> Result<Vec<Inserted>, StoreError> {
        let now = self.clock.now();
        let mut answers = Vec::with_capacity(inserts.len());
        for chunk in inserts.chunks(NUMBERED) {
            let mut id = self.take_numbers(chunk.len()).await?;
            let before = answers.len();
            for run in runs(chunk) {
                let numbered: Vec<(i64, &Insert)> = (id..).zip(run).collect();
                id += i64::try_from(run.len()).map_err(defect)?;
                self.print_all(&numbered).await?;
                let mut work = Vec::new();
                for (id, insert) in numbered {
                    work.push(self.insert_one(insert, id, now));
                }
                let run = together(work).await?;
                answers.extend(run);
            }
            let made = answers.iter().skip(before);
            let made = made.filter(|answer| matches!(answer, Inserted::Created(_)));
            let missing = chunk.len() - made.count();
            if missing > 0 {
                self.add_to_total(-i64::try_from(missing).map_err(defect)?)
                    .await?;
            }
        }
        Ok(answers)
    }

    /// Takes numbers for links that are about to be inserted, which are counted already; the first of them.
    async fn take_numbers(&self, count: usize) -> Result<i64, StoreError> {
        let taken = Change::default()
            .add(name::LAST, count as i128)
            .add(name::LINKS, count as i128);
        let taken = self
            .table
            .update(super::META, super::NUMBERS, taken)
            .await?;
        let last: i64 = taken.unwrap_or_default().number(name::LAST)?;
        Ok(last - i64::try_from(count).map_err(defect)? + 1)
    }

    /// Says which links are alike, before they are there: otherwise a process that dies between could leave one that
    /// is never found again. What is said of links that do not come to be is not believed.
    async fn print_all(&self, numbered: &[(i64, &Insert)]) -> Result<(), StoreError> {
        let items = numbered.iter().map(|(id, insert)| {
            let print = fingerprint_of(&insert.link)?;
            Ok(print_item(print, *id, &insert.link.key))
        });
        self.table
            .put_all(items.collect::<Result<_, StoreError>>()?)
            .await
    }

    async fn unprint(&self, link: &Link, id: i64) -> Result<(), StoreError> {
        let pk = print_pk(fingerprint_of(link)?);
        self.table.delete_all(vec![(pk, digits(id))]).await
    }

    async fn insert_one(
        &self,
        insert: &Insert,
        id: i64,
        now: UnixMillis,
    ) -> Result<Inserted, StoreError> {
        let answer = if insert.reuse {
            let print = fingerprint_of(&insert.link)?;
            let owner = self.owner();
            self.lock_print(print, &owner).await?;
            let answer = self.try_insert(insert, id, now).await;
            self.unlock_print(print, &owner).await?;
            answer?
        } else {
            self.try_insert(insert, id, now).await?
        };
        if !matches!(answer, Inserted::Created(_)) {
            self.unprint(&insert.link, id).await?;
        }
        Ok(answer)
    }

    async fn try_insert(
        &self,
        insert: &Insert,
        id: i64,
        now: UnixMillis,
    ) -> Result<Inserted, StoreError> {
        let Insert { link, reuse, .. } = insert;
        let token = insert.idempotency.as_ref();
        let claimant = Claimant::Insert(id);
        for _ in 0..ROUNDS {
            match self.seen(token, Action::Insert).await? {
                Seen::New => {}
                Seen::Before(Some(link)) => return Ok(Inserted::Replayed(*link)),
                Seen::Before(None) | Seen::Mismatch => return Ok(Inserted::TokenMismatch),
            }
            let found = if *reuse {
                self.reusable(link, now).await?
            } else {
                None
            };
            let answer = found.as_ref().unwrap_or(link);
            if let Some(token) = token {
                let settled = found.is_some();
                let claim = self.claim(token, Action::Insert, claimant, Some(answer), settled);
                if !claim.await? {
                    continue;
                }
            }
            if let Some(found) = found {
                return Ok(Inserted::Reused(found));
            }
            let name = token.map(token_name);
            let created = self.put_link(link, id, name.as_deref()).await?;
            if let Some(name) = &name {
                if created {
                    self.finish(name, claimant, None).await?;
                } else {
                    self.give_back(name, claimant).await?;
                }
            }
            return Ok(if created {
                Inserted::Created(link.clone())
            } else {
                Inserted::CodeTaken
            });
        }
        Err(StoreError::Overloaded)
    }

    /// Writes a link under its name, if that is free; also `true` if this very link is there already.
    pub(super) async fn put_link(
        &self,
        link: &Link,
        id: i64,
        made_with: Option<&str>,
    ) -> Result<bool, StoreError> {
        for _ in 0..ROUNDS {
            let item = link_item(link, id, made_with, self.partitions)?;
            if self.table.put_new(item).await? {
                return Ok(true);
            }
            let Some(found) = self.table.get(&link_pk(&link.key), LINK).await? else {
                continue;
            };
            let found = Kept::read(&found)?;
            match found.gone_by {
                _ if found.id == id => return Ok(true),
                None => return Ok(false),
                Some(entry) => {
                    self.settle(entry).await?;
                    self.remove(link.key.clone(), entry).await?;
                }
            }
        }
        Err(StoreError::Overloaded)
    }

    /// The oldest link that is as good as this one.
    async fn reusable(&self, wanted: &Link, now: UnixMillis) -> Result<Option<Link>, StoreError> {
        let mut from = Range::Before(LOCK.into());
        loop {
            let query = Query {
                index: ITEMS,
                part: print_pk(fingerprint_of(wanted)?),
                range: from,
                forward: true,
                limit: 100,
            };
            let (items, more) = self.table.query(query).await?;
            for item in &items {
                let key = read_link_pk(item.text(name::OWNER)?)?;
                let Some(found) = self.table.get(&link_pk(&key), LINK).await? else {
                    continue;
                };
                let found = Kept::read(&found)?;
                let is_it = digits(found.id) == item.text(name::SK)? && found.gone_by.is_none();
                if is_it
                    && found
                        .link
                        .is_as_good_as(&wanted.key.domain, &wanted.spec, now)
                {
                    return Ok(Some(found.link));
                }
            }
            let Some(last) = items.last().filter(|_| more) else {
                return Ok(None);
            };
            from = Range::Between(format!("{}0", last.text(name::SK)?), LOCK.into());
        }
    }

    /// Keeps others from looking for the same at once. Should this take longer than the lock lasts, two equal links may
    /// come to be, which does no harm.
    async fn lock_print(&self, print: i64, owner: &str) -> Result<(), StoreError> {
        let pk = print_pk(print);
        for _ in 0..LOOK_TRIES {
            let now = self.clock.now();
            let until = now.saturating_add(LOOK_FOR).as_millis();
            let item = Item::from([
                (name::PK.into(), string(pk.as_str())),
                (name::SK.into(), string(LOCK)),
                (name::OWNER.into(), string(owner)),
                (UNTIL.into(), number(until)),
            ]);
            if self.table.put_new(item).await? {
                return Ok(());
            }
            let over = Change::default()
                .set(name::OWNER, string(owner))
                .set(UNTIL, number(until))
                .only(
                    format!("({UNTIL} < :now OR {} = :mine)", name::OWNER),
                    ":now",
                    number(now.as_millis()),
                )
                .value(":mine", string(owner));
            if self.table.update(&pk, LOCK, over).await?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(StoreError::Overloaded)
    }

    async fn unlock_print(&self, print: i64, owner: &str) -> Result<(), StoreError> {
        let ours = Change::default().only_if(name::OWNER, string(owner));
        self.table.delete(&print_pk(print), LOCK, ours).await?;
        Ok(())
    }
}

fn fingerprint_of(link: &Link) -> Result<i64, StoreError> {
    fingerprint_with(link, &link.spec)
}

/// That of a link, were its spec this.
pub(super) fn fingerprint_with(link: &Link, spec: &LinkSpec) -> Result<i64, StoreError> {
    fingerprint(&link.key.domain, spec).map_err(defect)
}

/// Cuts a batch where a link has to wait for those before it: because it may be one of them, has the same name, or
/// came with the same token.
fn runs(inserts: &[Insert]) -> Vec<&[Insert]> {
    let mut runs = Vec::new();
    let mut begin = 0;
    let (mut keys, mut tokens) = (HashSet::new(), HashSet::new());
    for (place, insert) in inserts.iter().enumerate() {
        let token = insert.idempotency.map(|token| token.id);
        let after_reuse = place > begin && inserts[place - 1].reuse;
        let waits = insert.reuse
            || after_reuse
            || keys.contains(&insert.link.key)
            || token.is_some_and(|token| tokens.contains(&token));
        if waits && place > begin {
            runs.push(&inserts[begin..place]);
            begin = place;
            keys.clear();
            tokens.clear();
        }
        keys.insert(&insert.link.key);
        tokens.extend(token);
    }
    if begin < inserts.len() {
        runs.push(&inserts[begin..]);
    }
    runs
}
