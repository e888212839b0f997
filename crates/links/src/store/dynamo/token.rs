//! Idempotency tokens.
//!
//! A token is claimed before its request is carried out, with all that it takes to do so. Whoever finds a claim that is
//! not settled settles it first: it does the rest of that request, or takes the claim away if the request came to
//! nothing.

use futures_util::future::BoxFuture;
use tollgate_clock::UnixMillis;

use super::DynamoLinkStore;
use super::item::{Fields as _, Kept, digits, part, partition, read_digits, unreadable};
use super::schema::TTL;
use super::table::{Change, Item, defect, name, number, string};
use crate::Link;
use crate::store::answer::{Action, Seen, answer_column, read_answer};
use crate::store::{IdempotencyToken, StoreError};

/// The sort key of a token.
const TOKEN: &str = "token";
/// The service itself may forget a token so long after it was used, should nobody sweep.
const KEPT_FOR_SECONDS: i64 = 90 * 86_400;
/// How often claims of others are settled before this gives up.
const ROUNDS: usize = 50;

/// The names of what only tokens hold.
mod field {
    pub(super) const REQUEST: &str = "req";
    pub(super) const ACTION: &str = "act";
}

/// How far a claim is.
const PENDING: u8 = 0;
const SETTLED: u8 = 1;

/// Who claims a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimant {
    /// A link that is inserted, by its number.
    Insert(i64),
    /// An entry of the log.
    Edit(u64),
}

impl Claimant {
    fn text(self) -> String {
        match self {
            Self::Insert(id) => format!("i{}", digits(id)),
            Self::Edit(first) => format!("e{first}"),
        }
    }

    fn read(text: &str) -> Result<Self, StoreError> {
        match text.split_at_checked(1) {
            Some(("i", id)) => Ok(Self::Insert(read_digits(id)?)),
            Some(("e", first)) => Ok(Self::Edit(first.parse().map_err(unreadable)?)),
            _ => Err(unreadable("no claim of a token")),
        }
    }
}

/// The name of a token, as items hold it.
pub(super) fn token_name(token: &IdempotencyToken) -> String {
    hex(&token.id)
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn token_pk(name: &str) -> String {
    format!("t:{name}")
}

/// Where a claim stands.
fn is_pending(item: &Item) -> Result<bool, StoreError> {
    Ok(item.number::<u8>(name::PHASE)? == PENDING)
}

fn owned_by(claimant: Claimant) -> Change {
    Change::default().only_if(name::OWNER, string(claimant.text()))
}

impl DynamoLinkStore {
    /// What a token that comes with a write means.
    pub(super) async fn seen(
        &self,
        token: Option<&IdempotencyToken>,
        action: Action,
    ) -> Result<Seen, StoreError> {
        let Some(token) = token else {
            return Ok(Seen::New);
        };
        let pk = token_pk(&token_name(token));
        for _ in 0..ROUNDS {
            let Some(found) = self.table.get(&pk, TOKEN).await? else {
                return Ok(Seen::New);
            };
            if is_pending(&found)? {
                self.settle_claim(found).await?;
                continue;
            }
            let same = found.text(field::REQUEST)? == hex(&token.request)
                && found.number::<u8>(field::ACTION)? == action as u8;
            if !same {
                return Ok(Seen::Mismatch);
            }
            let answer = found.contains_key(name::DOC);
            let answer = answer.then(|| read_answer(found.text(name::DOC)?).map_err(unreadable));
            return Ok(Seen::Before(answer.transpose()?.map(Box::new)));
        }
        Err(StoreError::Overloaded)
    }

    /// Claims a token; `false` if somebody else has it. `settled`: nothing is left to be done.
    pub(super) async fn claim(
        &self,
        token: &IdempotencyToken,
        action: Action,
        claimant: Claimant,
        answer: Option<&Link>,
        settled: bool,
    ) -> Result<bool, StoreError> {
        let id = token_name(token);
        let at = token.at.as_millis();
        let phase = if settled { SETTLED } else { PENDING };
        let mut item = Item::from([
            (name::PK.into(), string(token_pk(&id))),
            (name::SK.into(), string(TOKEN)),
            (name::OWNER.into(), string(claimant.text())),
            (name::PHASE.into(), number(phase)),
            (field::REQUEST.into(), string(hex(&token.request))),
            (field::ACTION.into(), number(action as u8)),
            (
                name::TIME_PART.into(),
                string(partition(part::TOKENS, &id, self.partitions)),
            ),
            (name::BY_TIME.into(), string(digits(at) + &id)),
            (
                TTL.into(),
                number((at / 1_000).saturating_add(KEPT_FOR_SECONDS)),
            ),
        ]);
        if let Some(link) = answer {
            item.insert(
                name::DOC.into(),
                string(answer_column(link).map_err(defect)?),
            );
        }
        if self.table.put_new(item).await? {
            return Ok(true);
        }
        // Perhaps an attempt whose answer was lost, or somebody else carries out the same entry.
        let found = self.table.get(&token_pk(&id), TOKEN).await?;
        Ok(found.is_some_and(|found| {
            found
                .text(name::OWNER)
                .is_ok_and(|owner| owner == claimant.text())
        }))
    }

    /// Claims a token for an entry of the log; `false` if another request has it.
    pub(super) async fn claim_for_edit(
        &self,
        token: &IdempotencyToken,
        action: Action,
        first: u64,
    ) -> Result<bool, StoreError> {
        let claimant = Claimant::Edit(first);
        for _ in 0..ROUNDS {
            if self.claim(token, action, claimant, None, false).await? {
                return Ok(true);
            }
            match self.table.get(&token_pk(&token_name(token)), TOKEN).await? {
                Some(found) if is_pending(&found)? => self.settle_claim(found).await?,
                Some(_) => return Ok(false),
                None => {}
            }
        }
        Err(StoreError::Overloaded)
    }

    /// Remembers what an edit was answered.
    pub(super) async fn finish_edit(
        &self,
        token: &IdempotencyToken,
        first: u64,
        answer: Option<&Link>,
    ) -> Result<(), StoreError> {
        self.finish(&token_name(token), Claimant::Edit(first), answer)
            .await
    }

    /// Gives a token back that came with an edit that did not take place.
    pub(super) async fn disclaim(
        &self,
        token: &IdempotencyToken,
        first: u64,
    ) -> Result<(), StoreError> {
        self.give_back(&token_name(token), Claimant::Edit(first))
            .await
    }

    /// Settles the claim of a request that took place.
    pub(super) async fn finish(
        &self,
        token: &str,
        claimant: Claimant,
        answer: Option<&Link>,
    ) -> Result<(), StoreError> {
        let mut change = owned_by(claimant).set(name::PHASE, number(SETTLED));
        if let Some(link) = answer {
            let doc = answer_column(link).map_err(defect)?;
            change = change.set(name::DOC, string(doc));
        }
        self.table.update(&token_pk(token), TOKEN, change).await?;
        Ok(())
    }

    /// Takes away the claim of a request that did not take place.
    pub(super) async fn give_back(
        &self,
        token: &str,
        claimant: Claimant,
    ) -> Result<(), StoreError> {
        let pending = owned_by(claimant).only_if(name::PHASE, number(PENDING));
        self.table.delete(&token_pk(token), TOKEN, pending).await?;
        Ok(())
    }

    /// Sees to it that the claim of a link's insertion is settled, before the link changes.
    pub(super) async fn settle_insert(&self, kept: &Kept) -> Result<(), StoreError> {
        let Some(token) = &kept.made_with else {
            return Ok(());
        };
        self.finish(token, Claimant::Insert(kept.id), None).await
    }

    /// Does what is left of the request that claimed a token.
    fn settle_claim(&self, found: Item) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let pk = found.text(name::PK)?;
            let token = pk.strip_prefix("t:").unwrap_or(pk);
            let claimant = Claimant::read(found.text(name::OWNER)?)?;
            let took_place = match claimant {
                Claimant::Edit(first) => {
                    self.settle(first).await?;
                    false
                }
                Claimant::Insert(id) => {
                    let link = read_answer(found.text(name::DOC)?).map_err(unreadable)?;
                    self.put_link(&link, id, Some(token)).await?
                }
            };
            if took_place {
                self.finish(token, claimant, None).await
            } else {
                // Unless it is settled.
                self.give_back(token, claimant).await
            }
        })
    }

    /// Forgets tokens, the oldest first, and says how many.
    pub(super) async fn forget_tokens(
        &self,
        before: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let before = digits(before.as_millis());
        let found = self.due(part::TOKENS, &before, limit).await?;
        let mut forgotten = 0;
        for pk in found {
            let was = self.table.delete(&pk, TOKEN, Change::default()).await?;
            forgotten += usize::from(was.is_some());
        }
        Ok(forgotten)
    }
}
