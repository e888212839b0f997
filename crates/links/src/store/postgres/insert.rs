//! New links.

use std::collections::{BTreeSet, HashMap, HashSet};

use tollgate_clock::UnixMillis;
use tollgate_postgres::{Failure, Session};

use super::row::read_link;
use super::token::{self, Slot, Tokens};
use crate::store::answer::{Action, Seen};
use crate::store::columns::{columns, fingerprint, origin_number, rules_column, tags_column};
use crate::store::search::{beginning, fold, target_term};
use crate::store::{Insert, Inserted};
use crate::{Link, LinkKey};

/// Inserts each as if it were alone, all in one commit.
pub(super) async fn insert_all(
    session: &mut Session,
    inserts: &[Insert],
    now: UnixMillis,
) -> Result<Vec<Inserted>, Failure> {
    let mut batch = Batch::new(inserts)?;
    let simple = inserts
        .iter()
        .all(|insert| !insert.reuse && insert.idempotency.is_none());
    if simple && inserts.len() <= 1 {
        // One statement is a transaction of its own, in one round trip.
        batch.run(session, now).await?;
    } else {
        session.begin().await?;
        batch.prepare(session, now).await?;
        batch.run(session, now).await?;
        token::remember(session, &batch.remembered(), Action::Insert).await?;
        session.commit().await?;
    }
    Ok(batch.answers.into_iter().flatten().collect())
}

/// Inserts that are under way.
struct Batch<'a> {
    inserts: &'a [Insert],
    fingerprints: Vec<i64>,
    tokens: Tokens,
    /// Good links that can be had instead of new ones, the oldest first, by fingerprint.
    reusable: HashMap<i64, Vec<Link>>,
    answers: Vec<Option<Inserted>>,
}

/// What an insert needs.
enum Decision {
    Answer(Box<Inserted>),
    /// Its row has to be tried.
    Try,
    /// What becomes of an earlier one has to be known first.
    Wait,
}

impl<'a> Batch<'a> {
    fn new(inserts: &'a [Insert]) -> Result<Self, Failure> {
        let fingerprints = inserts
            .iter()
            .map(|Insert { link, .. }| fingerprint(&link.key.domain, &link.spec))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            inserts,
            fingerprints,
            tokens: Tokens::default(),
            reusable: HashMap::new(),
            answers: vec![None; inserts.len()],
        })
    }

    /// Keeps others from asking for the same, and reads what is there.
    async fn prepare(&mut self, session: &mut Session, now: UnixMillis) -> Result<(), Failure> {
        let (mut slots, mut wanted) = (BTreeSet::new(), BTreeSet::new());
        for (insert, fingerprint) in self.inserts.iter().zip(&self.fingerprints) {
            slots.extend(insert.idempotency.as_ref().map(Slot::of_token));
            if insert.reuse {
                slots.insert(Slot::of_fingerprint(*fingerprint));
                wanted.insert(*fingerprint);
            }
        }
        token::lock(session, &slots).await?;
        let tokens = self.inserts.iter().filter_map(|i| i.idempotency.as_ref());
        self.tokens = Tokens::load(session, tokens).await?;
        if wanted.is_empty() {
            return Ok(());
        }
        let wanted: Vec<i64> = wanted.into_iter().collect();
        // The first of each is nearly always the one: different links seldom share a fingerprint.
        // Numbers without a sign compare when their highest bit is turned.
        let rows = session
            .rows(
                concat!(
                    "SELECT link.*, wanted FROM unnest($1::bigint[]) AS wanted CROSS JOIN LATERAL (
                        SELECT ",
                    columns!(),
                    " FROM links WHERE fingerprint = wanted
                        AND (expires_at IS NULL OR expires_at > $2)
                        AND (max_clicks IS NULL OR (clicks_used # (1::bigint << 63))
                            < (max_clicks # (1::bigint << 63)))
                        ORDER BY id LIMIT 8
                     ) AS link ORDER BY link.id"
                ),
                &[&wanted, &now.as_millis()],
            )
            .await?;
        for row in rows {
            let found = read_link(&row)?.link;
            let fingerprint: i64 = row.try_get("wanted")?;
            self.reusable.entry(fingerprint).or_default().push(found);
        }
        Ok(())
    }

    /// Answers all, in their order. What depends on the outcome of an earlier one of the batch, and all
    /// behind it, waits for the next round; most batches have one.
    async fn run(&mut self, session: &mut Session, now: UnixMillis) -> Result<(), Failure> {
        loop {
            let mut round = Round::default();
            for number in 0..self.inserts.len() {
                if self.answers[number].is_some() {
                    continue;
                }
                match self.decide(number, &round, now) {
                    Decision::Answer(answer) => self.answer(number, *answer),
                    Decision::Try => {
                        round.add(number, &self.inserts[number], self.fingerprints[number])
                    }
                    // Whoever is behind it comes after it, also in the order of insertion.
                    Decision::Wait => break,
                }
            }
            if round.tried.is_empty() {
                return Ok(());
            }
            let made = self.insert_rows(session, &round.tried).await?;
            for number in round.tried {
                let answer = if made.contains(&number) {
                    Inserted::Created(self.inserts[number].link.clone())
                } else {
                    Inserted::CodeTaken
                };
                self.answer(number, answer);
            }
        }
    }

    fn decide(&self, number: usize, round: &Round<'_>, now: UnixMillis) -> Decision {
        let Insert {
            link,
            reuse,
            idempotency,
        } = &self.inserts[number];
        let fingerprint = self.fingerprints[number];
        if round.keys.contains(&link.key)
            || idempotency
                .as_ref()
                .is_some_and(|token| round.tokens.contains(&token.id))
            || (*reuse && round.fingerprints.contains(&fingerprint))
        {
            return Decision::Wait;
        }
        match self.tokens.seen(idempotency.as_ref(), Action::Insert) {
            Seen::New => {}
            Seen::Before(Some(link)) => {
                return Decision::Answer(Box::new(Inserted::Replayed(*link)));
            }
            Seen::Before(None) | Seen::Mismatch => {
                return Decision::Answer(Box::new(Inserted::TokenMismatch));
            }
        }
        let found = reuse
            .then(|| self.reusable.get(&fingerprint))
            .flatten()
            .and_then(|links| {
                links
                    .iter()
                    .find(|found| found.is_as_good_as(&link.key.domain, &link.spec, now))
            });
        match found {
            Some(found) => Decision::Answer(Box::new(Inserted::Reused(found.clone()))),
            None => Decision::Try,
        }
    }

    /// Notes an answer, for those that come later.
    fn answer(&mut self, number: usize, answer: Inserted) {
        let insert = &self.inserts[number];
        if let Inserted::Created(link) = &answer {
            let alike = self.reusable.entry(self.fingerprints[number]).or_default();
            alike.push(link.clone());
        }
        if let (Some(token), Inserted::Created(link) | Inserted::Reused(link)) =
            (&insert.idempotency, &answer)
        {
            self.tokens.note(token, Action::Insert, Some(link));
        }
        self.answers[number] = Some(answer);
    }

    /// The tokens to keep.
    fn remembered(&self) -> Vec<(crate::store::IdempotencyToken, Option<&Link>)> {
        self.inserts
            .iter()
            .zip(&self.answers)
            .filter_map(|(insert, answer)| match (insert.idempotency, answer) {
                (Some(token), Some(Inserted::Created(link) | Inserted::Reused(link))) => {
                    Some((token, Some(link)))
                }
                _ => None,
            })
            .collect()
    }

    /// Inserts rows in one statement, and answers which were made.
    async fn insert_rows(
        &self,
        session: &mut Session,
        tried: &[usize],
    ) -> Result<HashSet<usize>, Failure> {
        let links: Vec<&Link> = tried
            .iter()
            .map(|&number| &self.inserts[number].link)
            .collect();
        fn each<'l, T>(links: &[&'l Link], read: impl Fn(&'l Link) -> T) -> Vec<T> {
            links.iter().map(|link| read(link)).collect()
        }
        let numbers: Vec<i64> = (0..tried.len() as i64).collect();
        let domains = each(&links, |link| link.key.domain.as_str());
        let codes = each(&links, |link| link.key.code.as_str());
        let urls = each(&links, |link| link.spec.target.as_str());
        let origins = each(&links, |link| i16::from(origin_number(link.origin)));
        let created = each(&links, |link| link.created_at.as_millis());
        let updated = each(&links, |link| link.updated_at.as_millis());
        let makers = each(&links, |link| link.created_by.as_str());
        let versions = each(&links, |link| link.version.cast_signed());
        let used = each(&links, |link| link.clicks_used.cast_signed());
        let starts = each(&links, |link| {
            link.spec.starts_at.map(UnixMillis::as_millis)
        });
        let expires = each(&links, |link| {
            link.spec.expires_at.map(UnixMillis::as_millis)
        });
        let max_clicks = each(&links, |link| {
            link.spec.max_clicks.map(|max| max.get().cast_signed())
        });
        let redirects = each(&links, |link| {
            link.spec.redirect.map(|kind| u16::from(kind).cast_signed())
        });
        let passwords = each(&links, |link| {
            link.spec.password.as_ref().map(|hash| hash.as_phc())
        });
        let tags = each(&links, |link| tags_column(&link.spec));
        let tags = tags.into_iter().collect::<Result<Vec<_>, _>>()?;
        let titles = each(&links, |link| link.spec.title.as_deref());
        let forwards = each(&links, |link| link.spec.forward_query);
        let rules = each(&links, |link| rules_column(&link.spec));
        let rules = rules.into_iter().collect::<Result<Vec<_>, _>>()?;
        let fingerprints: Vec<i64> = tried.iter().map(|&n| self.fingerprints[n]).collect();
        let terms = each(&links, Terms::of);
        let code_terms: Vec<&[u8]> = terms.iter().map(|terms| &*terms.code).collect();
        let url_terms: Vec<&[u8]> = terms.iter().map(|terms| &*terms.url).collect();
        let title_terms: Vec<Option<&[u8]>> =
            terms.iter().map(|terms| terms.title.as_deref()).collect();
        let rows = session
            .rows(
                INSERT,
                &[
                    &numbers,
                    &domains,
                    &codes,
                    &urls,
                    &origins,
                    &created,
                    &updated,
                    &makers,
                    &versions,
                    &used,
                    &starts,
                    &expires,
                    &max_clicks,
                    &redirects,
                    &passwords,
                    &tags,
                    &titles,
                    &forwards,
                    &rules,
                    &fingerprints,
                    &code_terms,
                    &url_terms,
                    &title_terms,
                ],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let number = usize::try_from(row.try_get::<_, i64>(0)?).ok();
                let number = number.and_then(|number| tried.get(number)).copied();
                number.ok_or_else(|| Failure::Damaged("a row nobody inserted".into()))
            })
            .collect()
    }
}

/// Numbers in the order given, because they tell the order of insertion; rows by their names, so that
/// two batches cannot wait for each other.
const INSERT: &str = r#"
WITH given AS MATERIALIZED (
    -- The transaction has its number before the link: `lifecycle.rs` goes by that.
    SELECT CASE WHEN txid_current() > 0 THEN nextval('links_id_seq') END AS id, listed.* FROM (
        SELECT * FROM unnest(
            $1::bigint[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::bigint[],
            $7::bigint[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
            $13::bigint[], $14::smallint[], $15::text[], $16::text[], $17::text[], $18::boolean[],
            $19::text[], $20::bigint[], $21::bytea[], $22::bytea[], $23::bytea[]
        ) AS listed(
            number, domain, code, url, origin, created_at, updated_at, created_by, version,
            clicks_used, starts_at, expires_at, max_clicks, redirect, password, tags, title,
            forward_query, rules, fingerprint, code_term, url_term, title_term
        ) ORDER BY number
    ) AS listed
), made AS (
    INSERT INTO links(
        id, domain, code, url, origin, created_at, updated_at, created_by, version, clicks_used,
        starts_at, expires_at, max_clicks, redirect, password, tags, title, forward_query, rules,
        fingerprint, code_term, url_term, title_term)
    SELECT
        id, domain, code, url, origin, created_at, updated_at, created_by, version, clicks_used,
        starts_at, expires_at, max_clicks, redirect, password, tags, title, forward_query, rules,
        fingerprint, code_term, url_term, title_term
    FROM given ORDER BY code COLLATE "C", domain COLLATE "C"
    ON CONFLICT (code, domain) DO NOTHING
    RETURNING id, created_at, tags
), tagged AS (
    INSERT INTO link_tags(tag, created_at, link)
    SELECT DISTINCT tag, created_at, id
    FROM made CROSS JOIN LATERAL json_array_elements_text(made.tags::json) AS tag
)
SELECT given.number FROM made JOIN given USING (id)
"#;

/// The indexed beginnings of what a prefix is searched in.
pub(super) struct Terms {
    pub(super) code: Box<[u8]>,
    pub(super) url: Box<[u8]>,
    pub(super) title: Option<Box<[u8]>>,
}

impl Terms {
    pub(super) fn of(link: &Link) -> Self {
        let term = |text: &str| beginning(text).as_bytes().into();
        Self {
            code: term(&fold(link.key.code.as_str())),
            url: term(&target_term(&link.spec)),
            title: link.spec.title.as_deref().map(|title| term(&fold(title))),
        }
    }
}

/// Inserts that do not depend on each other.
#[derive(Default)]
struct Round<'a> {
    tried: Vec<usize>,
    keys: HashSet<&'a LinkKey>,
    tokens: HashSet<[u8; 16]>,
    fingerprints: HashSet<i64>,
}

impl<'a> Round<'a> {
    fn add(&mut self, number: usize, insert: &'a Insert, fingerprint: i64) {
        self.tried.push(number);
        self.keys.insert(&insert.link.key);
        self.tokens.extend(insert.idempotency.map(|token| token.id));
        self.fingerprints.insert(fingerprint);
    }
}
