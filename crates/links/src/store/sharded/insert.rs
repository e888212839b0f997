//! New links. Those that are wanted whatever else there is go to their shards at once. Where a token or an equal
//! link may be on any shard, all are asked first, and until it is done others that would ask for the
//! same wait at the home.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::{join_all, try_join_all};

use super::view::View;
use super::write::{hash, release};
use super::{ShardedLinkStore, by_the_map};
use crate::Link;
use crate::LinkKey;
use crate::store::answer::{Action, Seen};
use crate::store::columns::{Stored, fingerprint};
use crate::store::postgres::token::Tokens;
use crate::store::{IdempotencyToken, Insert, Inserted, LinkStore as _, StoreError};

/// What is known of a batch so far, also when it has to go on by another map.
struct Progress<'a> {
    inserts: &'a [Insert],
    fingerprints: Vec<i64>,
    answers: Vec<Option<Inserted>>,
    /// Tokens of links that were found, to be remembered.
    owed: Vec<(IdempotencyToken, Link)>,
}

/// What may be found instead of making a link.
#[derive(Default)]
struct Known {
    tokens: Tokens,
    /// Good links by fingerprint, the oldest first.
    alike: HashMap<i64, Vec<Stored>>,
}

/// What an insert needs.
enum Decision {
    Answer(Box<Inserted>),
    /// Its row has to be tried.
    Try,
    /// What becomes of an earlier one has to be known first.
    Wait,
}

/// Inserts that do not depend on each other.
#[derive(Default)]
struct Round<'a> {
    tried: Vec<usize>,
    keys: HashSet<&'a LinkKey>,
    tokens: HashSet<[u8; 16]>,
    fingerprints: HashSet<i64>,
}

impl ShardedLinkStore {
    /// Inserts each as if it were alone, in one commit on each shard.
    pub(super) async fn insert_all(&self, inserts: &[Insert]) -> Result<Vec<Inserted>, StoreError> {
        let mut progress = Progress {
            inserts,
            fingerprints: fingerprints(inserts)?,
            answers: vec![None; inserts.len()],
            owed: Vec::new(),
        };
        let is_wide = |insert: &Insert| insert.reuse || insert.idempotency.is_some();
        if inserts.iter().any(is_wide) {
            by_the_map!(self, view => self.insert_wide(&view, &mut progress).await)?;
        } else {
            by_the_map!(self, view => {
                let left = progress.unanswered();
                self.try_rows(&view, &mut progress, &left).await
            })?;
        }
        Ok(progress.answers.into_iter().flatten().collect())
    }

    /// Sends rows to their shards, and notes the answers. If some are refused, the others are answered nevertheless.
    async fn try_rows(
        &self,
        view: &View,
        progress: &mut Progress<'_>,
        tried: &[usize],
    ) -> Result<(), StoreError> {
        let keys: Vec<&LinkKey> = tried.iter().map(|&at| progress.key(at)).collect();
        self.shared.bring(view, &keys).await?;
        let mut groups: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for &at in tried {
            let shard = view.place(progress.key(at)).at;
            groups.entry(shard).or_default().push(at);
        }
        let inserts = progress.inserts;
        let sent = groups.into_iter().map(async |(shard, group)| {
            let rows = group.iter().map(|&at| Insert {
                link: inserts[at].link.clone(),
                // Looked for on all shards before.
                reuse: false,
                idempotency: inserts[at].idempotency,
            });
            let answers = view.shard(shard)?.store.insert(rows.collect()).await?;
            Ok::<_, StoreError>((group, answers))
        });
        let (mut refused, mut failed) = (None, None);
        for outcome in join_all(sent).await {
            match outcome {
                Ok((group, answers)) => {
                    for (at, answer) in group.into_iter().zip(answers) {
                        progress.answers[at] = Some(answer);
                    }
                }
                Err(error @ StoreError::ShardsChanged(_)) => refused = Some(error),
                Err(error) => failed = Some(error),
            }
        }
        failed.or(refused).map_or(Ok(()), Err)
    }

    async fn insert_wide(
        &self,
        view: &View,
        progress: &mut Progress<'_>,
    ) -> Result<(), StoreError> {
        let hashes: Vec<u64> = progress.hashes().collect();
        let home = view.home()?.db();
        let lock = home.lock_wide(view.version(), hashes.into_iter()).await?;
        let mut known = self.known(view, progress).await?;
        loop {
            let mut round = Round::default();
            for at in progress.unanswered() {
                match self.decide(&known, progress, at, &round) {
                    Decision::Answer(answer) => {
                        progress.answers[at] = Some(*answer);
                        known.note(progress, at);
                    }
                    Decision::Try => round.add(at, progress.inserts, &progress.fingerprints),
                    // Whoever is behind it comes after it, also in the order of insertion.
                    Decision::Wait => break,
                }
            }
            if round.tried.is_empty() {
                break;
            }
            let tried = round.tried;
            self.try_rows(view, progress, &tried).await?;
            for at in tried {
                known.note(progress, at);
            }
        }
        self.remember(view, progress).await?;
        release(Some(lock)).await
    }

    /// Asks all shards.
    async fn known(&self, view: &View, progress: &Progress<'_>) -> Result<Known, StoreError> {
        let tokens: Vec<IdempotencyToken> = progress
            .inserts
            .iter()
            .filter_map(|insert| insert.idempotency)
            .collect();
        let mut wanted: Vec<i64> = progress
            .inserts
            .iter()
            .zip(&progress.fingerprints)
            .filter(|(insert, _)| insert.reuse)
            .map(|(_, fingerprint)| *fingerprint)
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut alike: HashMap<i64, Vec<Stored>> = HashMap::new();
        if !wanted.is_empty() {
            let now = self.shared.clock.now();
            let (view, wanted) = (view, &wanted);
            let asked = view.ask_all(|shard| shard.db().alike(wanted, now)).await?;
            for (fingerprint, found) in asked.into_iter().flat_map(|(_, found)| found) {
                alike.entry(fingerprint).or_default().push(found);
            }
            for found in alike.values_mut() {
                found.sort_by_key(|one| (one.link.created_at, one.id));
            }
        }
        Ok(Known {
            tokens: self.tokens(view, &tokens).await?,
            alike,
        })
    }

    fn decide(
        &self,
        known: &Known,
        progress: &Progress<'_>,
        at: usize,
        round: &Round<'_>,
    ) -> Decision {
        let Insert {
            link,
            reuse,
            idempotency,
        } = &progress.inserts[at];
        let fingerprint = progress.fingerprints[at];
        let token = idempotency.as_ref();
        if round.keys.contains(&link.key)
            || token.is_some_and(|token| round.tokens.contains(&token.id))
            || (*reuse && round.fingerprints.contains(&fingerprint))
        {
            return Decision::Wait;
        }
        let answer = match known.tokens.seen(token, Action::Insert) {
            Seen::Before(Some(link)) => Inserted::Replayed(*link),
            Seen::Before(None) | Seen::Mismatch => Inserted::TokenMismatch,
            Seen::New => {
                let now = self.shared.clock.now();
                let alike = known.alike.get(&fingerprint).filter(|_| *reuse);
                let found = alike.into_iter().flatten().find(|found| {
                    let found = &found.link;
                    found.is_as_good_as(&link.key.domain, &link.spec, now)
                });
                match found {
                    Some(found) => Inserted::Reused(found.link.clone()),
                    None => return Decision::Try,
                }
            }
        };
        Decision::Answer(Box::new(answer))
    }

    /// Remembers tokens of links that were found, where those links are.
    async fn remember(&self, view: &View, progress: &mut Progress<'_>) -> Result<(), StoreError> {
        let mut groups: BTreeMap<u16, Vec<(IdempotencyToken, Link)>> = BTreeMap::new();
        for (token, link) in &progress.owed {
            let shard = view.place(&link.key).at;
            let group = groups.entry(shard).or_default();
            group.push((*token, link.clone()));
        }
        let remembered = groups.iter().map(async |(shard, owed)| {
            let db = view.shard(*shard)?.db();
            db.remember(view.version(), owed).await
        });
        try_join_all(remembered).await?;
        progress.owed.clear();
        Ok(())
    }
}

impl Known {
    /// Notes an answer, for those that come later in the batch.
    fn note(&mut self, progress: &mut Progress<'_>, at: usize) {
        let Some(answer) = &progress.answers[at] else {
            return;
        };
        let token = progress.inserts[at].idempotency;
        if let Inserted::Created(link) = answer {
            let alike = self.alike.entry(progress.fingerprints[at]).or_default();
            alike.push(Stored {
                id: i64::MAX,
                link: link.clone(),
            });
        }
        if let (Some(token), Inserted::Created(link) | Inserted::Reused(link)) = (token, answer) {
            self.tokens.note(&token, Action::Insert, Some(link));
        }
        if let (Some(token), Inserted::Reused(link)) = (token, answer) {
            progress.owed.push((token, link.clone()));
        }
    }
}

impl<'a> Progress<'a> {
    fn unanswered(&self) -> Vec<usize> {
        (0..self.answers.len())
            .filter(|&at| self.answers[at].is_none())
            .collect()
    }

    fn key(&self, at: usize) -> &'a LinkKey {
        &self.inserts[at].link.key
    }

    /// By which locks are found, of tokens and of links that are alike.
    fn hashes(&self) -> impl Iterator<Item = u64> {
        let tokens = self.inserts.iter().filter_map(|insert| insert.idempotency);
        let alike = self.inserts.iter().zip(&self.fingerprints);
        let alike = alike.filter(|(insert, _)| insert.reuse);
        tokens
            .map(|token| hash(&token))
            .chain(alike.map(|(_, fingerprint)| fingerprint.cast_unsigned()))
    }
}

impl<'a> Round<'a> {
    fn add(&mut self, at: usize, inserts: &'a [Insert], fingerprints: &[i64]) {
        let insert = &inserts[at];
        self.tried.push(at);
        self.keys.insert(&insert.link.key);
        self.tokens.extend(insert.idempotency.map(|token| token.id));
        self.fingerprints.insert(fingerprints[at]);
    }
}

fn fingerprints(inserts: &[Insert]) -> Result<Vec<i64>, StoreError> {
    inserts
        .iter()
        .map(|Insert { link, .. }| fingerprint(&link.key.domain, &link.spec))
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Unexpected(error.to_string()))
}
