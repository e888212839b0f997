//! Idempotency tokens, and what else must not be asked about by two at once.

use std::collections::{BTreeSet, HashMap};

use tollgate_postgres::{Failure, Session};

use super::row::damaged;
use crate::Link;
use crate::store::IdempotencyToken;
use crate::store::answer::{Action, Seen, answer_column, read_answer};

/// Locks there are for all tokens and fingerprints: few enough for batches of any size, because the
/// server has room for some thousands.
const SLOTS: u64 = 256;
/// What tells these locks from others in the same database.
const CLASS: i32 = 0x7467_6c00;

/// A lock held until the end of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(i32);

impl Slot {
    /// That of a token.
    pub(super) fn of_token(token: &IdempotencyToken) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = token.id;
        Self::of_hash(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// That of links that are alike.
    pub(super) fn of_fingerprint(fingerprint: i64) -> Self {
        Self::of_hash(fingerprint.cast_unsigned())
    }

    fn of_hash(hash: u64) -> Self {
        // Below 256.
        Self((hash % SLOTS) as i32)
    }
}

/// Takes locks, in an order that cannot end in a deadlock. What is read afterwards, others have
/// finished with.
pub(super) async fn lock(session: &mut Session, slots: &BTreeSet<Slot>) -> Result<(), Failure> {
    if slots.is_empty() {
        return Ok(());
    }
    let slots: Vec<i32> = slots.iter().map(|slot| slot.0).collect();
    session
        .rows(
            "SELECT pg_advisory_xact_lock($1, slot) FROM unnest($2::integer[]) AS slot",
            &[&CLASS, &slots],
        )
        .await?;
    Ok(())
}

/// What a token was used for.
struct Used {
    request: [u8; 16],
    action: u8,
    link: Option<Link>,
}

/// Tokens that were looked up.
#[derive(Default)]
pub(in crate::store) struct Tokens(HashMap<[u8; 16], Used>);

impl Tokens {
    /// What is known of some.
    pub(super) async fn load(
        session: &mut Session,
        tokens: impl Iterator<Item = &IdempotencyToken>,
    ) -> Result<Self, Failure> {
        let ids: Vec<&[u8]> = tokens.map(|token| token.id.as_slice()).collect();
        let mut known = HashMap::new();
        if ids.is_empty() {
            return Ok(Self(known));
        }
        let rows = session
            .rows(
                "SELECT id, request, action, answer FROM link_tokens WHERE id = ANY($1)",
                &[&ids],
            )
            .await?;
        for row in rows {
            let bytes = |column: usize, name| {
                let bytes = row.try_get::<_, &[u8]>(column)?;
                <[u8; 16]>::try_from(bytes).map_err(|error| damaged(name, error))
            };
            let answer = row.try_get::<_, Option<&str>>(3)?;
            let answer = answer
                .map(read_answer)
                .transpose()
                .map_err(|error| damaged("answer", error))?;
            let used = Used {
                request: bytes(1, "request")?,
                action: u8::try_from(row.try_get::<_, i16>(2)?)
                    .map_err(|error| damaged("action", error))?,
                link: answer,
            };
            known.insert(bytes(0, "id")?, used);
        }
        Ok(Self(known))
    }

    /// Adds what is known elsewhere.
    pub(in crate::store) fn absorb(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// What one means.
    pub(in crate::store) fn seen(&self, token: Option<&IdempotencyToken>, action: Action) -> Seen {
        let Some(used) = token.and_then(|token| self.0.get(&token.id)) else {
            return Seen::New;
        };
        let same = token.is_some_and(|token| token.request == used.request);
        if !same || used.action != action as u8 {
            return Seen::Mismatch;
        }
        Seen::Before(used.link.clone().map(Box::new))
    }

    /// Notes what is answered, for those that come later in the same batch.
    pub(in crate::store) fn note(
        &mut self,
        token: &IdempotencyToken,
        action: Action,
        link: Option<&Link>,
    ) {
        let used = Used {
            request: token.request,
            action: action as u8,
            link: link.cloned(),
        };
        self.0.insert(token.id, used);
    }
}

/// Looks one token up, and keeps others from using it until the end of the transaction.
pub(super) async fn take(
    session: &mut Session,
    token: Option<&IdempotencyToken>,
    action: Action,
) -> Result<Seen, Failure> {
    let Some(token) = token else {
        return Ok(Seen::New);
    };
    lock(session, &BTreeSet::from([Slot::of_token(token)])).await?;
    let tokens = Tokens::load(session, std::iter::once(token)).await?;
    Ok(tokens.seen(Some(token), action))
}

/// Remembers what is answered to each.
pub(super) async fn remember(
    session: &mut Session,
    answers: &[(IdempotencyToken, Option<&Link>)],
    action: Action,
) -> Result<(), Failure> {
    if answers.is_empty() {
        return Ok(());
    }
    let ids: Vec<&[u8]> = answers
        .iter()
        .map(|(token, _)| token.id.as_slice())
        .collect();
    let requests: Vec<&[u8]> = answers
        .iter()
        .map(|(token, _)| token.request.as_slice())
        .collect();
    let moments: Vec<i64> = answers
        .iter()
        .map(|(token, _)| token.at.as_millis())
        .collect();
    let links = answers
        .iter()
        .map(|(_, link)| link.map(answer_column).transpose())
        .collect::<Result<Vec<Option<String>>, _>>()?;
    session
        .change(
            "INSERT INTO link_tokens(id, request, at, action, answer)
             SELECT id, request, at, $5, answer
             FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::text[])
                AS given(id, request, at, answer)",
            &[&ids, &requests, &moments, &links, &i16::from(action as u8)],
        )
        .await?;
    Ok(())
}
