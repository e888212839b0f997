//! Clicks that somebody else has counted, such as another shortener that is moved away from.
//!
//! The clicks of a link at a source of these are numbered in their order, and the number of those that
//! are counted is kept as the position of a [`SourceId`] of its own: so an import that is repeated or
//! goes on after a break counts each click once, and a later one only what has come since.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use smol_str::{SmolStr, format_smolstr};
use tollgate_clock::{Clock, UnixMillis};
use xxhash_rust::xxh3::xxh3_64;

use crate::capture::{
    MAX_CAMPAIGN, MAX_REFERRER, MAX_USER_AGENT, Privacy, Seen, campaign_parameters,
};
use crate::enrich::AHEAD;
use crate::query::LinkName;
use crate::rollup::DAY_MS;
use crate::store::{AddedTogether, ClickStore, EnrichedBatch, StoreError};
use crate::{
    Click, ClickId, ClickKind, Dimension, EnrichedClick, Enricher, MAX_VALUE_BYTES, Position,
    Snippet, SourceId, Values,
};

/// Where clicks are counted whose time nobody knows: the first day of 1970. They are in totals, and in
/// no period that anybody asks for.
pub const UNTIMED: UnixMillis = UnixMillis::from_millis(0);
/// The end of that day.
pub const UNTIMED_END: UnixMillis = UnixMillis::from_millis(DAY_MS);

/// The most clicks in one commit.
const MAX_BATCH: u64 = 50_000;
/// How often batches are tried again because another import of the same links was faster.
const MAX_RACES: usize = 16;

/// A click as its source tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastClick {
    /// When. One without a time, or with an impossible one, counts without.
    pub at: Option<UnixMillis>,
    /// The page the visitor came from.
    pub referrer: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// The visitor's address, of which no more is kept than of new clicks.
    pub address: Option<IpAddr>,
    /// The URL that was asked for, whose query may tell the campaign.
    pub url: Option<String>,
    /// Two letters of ISO 3166.
    pub country: Option<SmolStr>,
    /// The city by its English name.
    pub city: Option<SmolStr>,
    /// Whether a program followed the link; found out if absent.
    pub bot: Option<bool>,
}

/// Clicks of one link, in the order of their source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastClicks {
    /// The link.
    pub link: LinkName,
    /// Who counted them.
    pub source: SmolStr,
    /// How many clicks of the link at this source come before these.
    pub after: u64,
    /// The clicks.
    pub clicks: Vec<PastClick>,
    /// So many more follow, of which nothing else is known.
    pub untimed: u64,
}

/// What became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// All are counted.
    Counted {
        /// Those that had not been before.
        new: u64,
        /// How many of the link are counted from this source.
        position: u64,
    },
    /// Nothing was done, because clicks between these and those that are counted are missing.
    Gap {
        /// How many of the link are counted from this source: go on after these.
        position: u64,
    },
}

/// Counts clicks of others.
pub struct ClickImporter {
    store: Arc<dyn ClickStore>,
    privacy: Privacy,
    clock: Arc<dyn Clock>,
    geo_file: Option<PathBuf>,
    /// Made when it is first needed: it holds a good deal of memory, and most servers never import.
    enricher: Mutex<Option<Enricher>>,
}

impl ClickImporter {
    /// Into this store. Of visitors no more is kept than `privacy` allows.
    #[must_use]
    pub fn new(
        store: Arc<dyn ClickStore>,
        privacy: Privacy,
        geo_file: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            privacy,
            clock,
            geo_file,
            enricher: Mutex::new(None),
        }
    }

    /// Counts clicks, but those that were counted before; answers what became of each. Those of many
    /// links become durable together, in as few commits as may be. It computes a lot between its waits.
    ///
    /// # Errors
    /// [`StoreError`]; to give them again is right.
    pub async fn import(&self, all: &[PastClicks]) -> Result<Vec<Imported>, StoreError> {
        let ids: Vec<SourceId> = all
            .iter()
            .map(|past| source_id(&past.link, &past.source))
            .collect();
        let found = self.store.positions(&ids).await?;
        let mut positions: HashMap<&SourceId, u64> = HashMap::new();
        positions.extend(ids.iter().zip(found.iter().map(|found| found.offset)));
        let mut new = vec![0; all.len()];
        let mut imported = vec![None; all.len()];
        let mut races = 0;
        loop {
            let steps = self.steps(all, &ids, &positions, &mut imported, &new);
            if steps.is_empty() {
                return Ok(imported.into_iter().flatten().collect());
            }
            let (places, batches): (Vec<usize>, Vec<EnrichedBatch>) = steps.into_iter().unzip();
            let to: Vec<Position> = batches.iter().map(|batch| batch.to).collect();
            let is_at = match self.store.add_together(batches).await? {
                AddedTogether::Counted => {
                    for (place, to) in places.iter().zip(&to) {
                        new[*place] += to.offset - positions[&ids[*place]];
                    }
                    to
                }
                AddedTogether::Elsewhere(found) if races < MAX_RACES => {
                    races += 1;
                    found
                }
                AddedTogether::Elsewhere(_) => {
                    let busy = "others import clicks of the same links: try again";
                    return Err(StoreError::Unavailable(busy.to_owned()));
                }
            };
            for (place, is_at) in places.iter().zip(is_at) {
                positions.insert(&ids[*place], is_at.offset);
            }
        }
    }

    /// What can be counted together next, each with its place in `all`; and notes in `imported` what
    /// there is nothing more to do of.
    fn steps(
        &self,
        all: &[PastClicks],
        ids: &[SourceId],
        positions: &HashMap<&SourceId, u64>,
        imported: &mut [Option<Imported>],
        new: &[u64],
    ) -> Vec<(usize, EnrichedBatch)> {
        let mut steps = Vec::new();
        let mut room = MAX_BATCH;
        // More of a source has to wait until what comes before it is counted.
        let mut begun: HashSet<&SourceId> = HashSet::new();
        for (place, (past, source)) in all.iter().zip(ids).enumerate() {
            if imported[place].is_some() || begun.contains(source) {
                continue;
            }
            let position = positions[source];
            let end = past.after + past.clicks.len() as u64 + past.untimed;
            if position < past.after {
                imported[place] = Some(Imported::Gap { position });
                continue;
            }
            if position >= end {
                let new = new[place];
                imported[place] = Some(Imported::Counted { new, position });
                continue;
            }
            begun.insert(source);
            let from = position - past.after;
            let to = (from + room).min(end - past.after);
            if from == to {
                continue;
            }
            room -= to - from;
            let batch = EnrichedBatch {
                source: source.clone(),
                after: at(position),
                to: at(past.after + to),
                clicks: self.enriched(past, source, from..to),
            };
            steps.push((place, batch));
        }
        steps
    }

    /// Those of `past` from one number to another.
    fn enriched(
        &self,
        past: &PastClicks,
        source: &SourceId,
        numbers: std::ops::Range<u64>,
    ) -> Vec<Arc<EnrichedClick>> {
        let listed = past.clicks.len() as u64;
        let process = xxh3_64(source.0.as_bytes());
        let id = |number: u64| ClickId {
            process,
            number: past.after + number,
        };
        let mut enricher = self.enricher.lock();
        let enricher = enricher
            .get_or_insert_with(|| Enricher::new(self.geo_file.clone(), Arc::clone(&self.clock)));
        enricher.refresh();
        let mut clicks = Vec::with_capacity((numbers.end - numbers.start) as usize);
        for number in numbers.start..numbers.end.min(listed) {
            let told = &past.clicks[number as usize];
            clicks.push(Arc::new(self.click(told, &past.link, id(number), enricher)));
        }
        // They are all the same, and none of them is kept alone.
        let rest = numbers.end.saturating_sub(numbers.start.max(listed));
        if rest > 0 {
            let one = Arc::new(untimed(&past.link, id(listed)));
            clicks.extend(std::iter::repeat_n(one, rest as usize));
        }
        clicks
    }

    fn click(
        &self,
        told: &PastClick,
        link: &LinkName,
        id: ClickId,
        enricher: &Enricher,
    ) -> EnrichedClick {
        let latest = self.clock.now().saturating_add(AHEAD);
        let possible = UNTIMED_END..=latest;
        let Some(at) = told.at.filter(|at| possible.contains(at)) else {
            let mut click = untimed(link, id);
            click.bot = told.bot.unwrap_or_default();
            return click;
        };
        let text = |text: &Option<String>, most| {
            let text = text.as_ref()?;
            Snippet::of(text.as_bytes(), most)
        };
        let query = told.url.as_ref().and_then(|url| {
            let query = url.split_once('?')?.1;
            Some(query.split('#').next().unwrap_or(query))
        });
        let campaign: Vec<&str> = campaign_parameters(query, None).collect();
        let user_agent = told.user_agent.as_ref().map(String::as_bytes);
        let kept = told.address.map(|address| {
            self.privacy.kept(&Seen {
                at,
                kind: ClickKind::Visit,
                domain: &link.domain,
                code: &link.code,
                address,
                referrer: None,
                user_agent,
                language: None,
                query: None,
                target: None,
                objects: false,
            })
        });
        let click = Click {
            at,
            referrer: text(&told.referrer, MAX_REFERRER),
            user_agent: text(&told.user_agent, MAX_USER_AGENT),
            campaign: Snippet::of(campaign.join("&").as_bytes(), MAX_CAMPAIGN),
            visitor: kept.as_ref().and_then(|kept| kept.visitor),
            network: kept.as_ref().and_then(|kept| kept.network),
            ..bare(link, id)
        };
        let mut click = enricher.describe(click, false);
        if let Some(country) = &told.country {
            let city = told.city.as_ref().and_then(|city| {
                let city = format!("{city}, {country}");
                Snippet::of(city.as_bytes(), MAX_VALUE_BYTES).map(|city| city.as_str().into())
            });
            click.values.set(Dimension::Country, Some(country.clone()));
            click.values.set(Dimension::City, city);
        }
        click.bot = told.bot.unwrap_or(click.bot);
        click
    }
}

/// A click of which nothing is known but the link.
fn bare(link: &LinkName, id: ClickId) -> Click {
    Click {
        id,
        at: UNTIMED,
        domain: link.domain.clone(),
        code: link.code.clone(),
        kind: ClickKind::Visit,
        referrer: None,
        user_agent: None,
        language: None,
        campaign: None,
        visitor: None,
        network: None,
    }
}

fn untimed(link: &LinkName, id: ClickId) -> EnrichedClick {
    EnrichedClick {
        click: bare(link, id),
        adjusted: false,
        bot: false,
        values: Values::default(),
    }
}

const fn at(offset: u64) -> Position {
    Position { segment: 0, offset }
}

/// Under which the store keeps how far a link is imported from a source.
fn source_id(link: &LinkName, source: &str) -> SourceId {
    let LinkName { domain, code } = link;
    SourceId(format_smolstr!("import/{domain}/{code}/{source}"))
}

/// All identifiers of sources of a link are from the first of these on, and before the second.
pub(crate) fn sources_of(link: &LinkName) -> (String, String) {
    let LinkName { domain, code } = link;
    // What follows a slash in ASCII is a zero; neither a domain nor a code has a slash.
    (
        format!("import/{domain}/{code}/"),
        format!("import/{domain}/{code}0"),
    )
}

#[cfg(test)]
mod tests {
    use tollgate_clock::ManualClock;

    use super::*;
    use crate::capture::Addresses;
    use crate::query::{Period, Query, Scope, Totals};
    use crate::store::{SqliteClickStore, SqliteOptions};

    const NOW: i64 = 1_795_608_000_000;

    fn link() -> LinkName {
        LinkName {
            domain: "".into(),
            code: "abc".into(),
        }
    }

    fn importer(directory: &std::path::Path) -> ClickImporter {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(NOW)));
        let file = directory.join("clicks.db");
        let store = SqliteClickStore::open(&file, clock.clone(), SqliteOptions::default()).unwrap();
        let privacy = Privacy {
            addresses: Addresses::None,
            respect_dnt: true,
            key: [1; 16],
        };
        ClickImporter::new(Arc::new(store), privacy, None, clock)
    }

    fn past(after: u64, clicks: Vec<PastClick>, untimed: u64) -> PastClicks {
        PastClicks {
            link: link(),
            source: "old".into(),
            after,
            clicks,
            untimed,
        }
    }

    fn click(at: i64) -> PastClick {
        PastClick {
            at: Some(UnixMillis::from_millis(at)),
            ..PastClick::default()
        }
    }

    async fn totals(importer: &ClickImporter) -> Totals {
        let scopes = vec![Scope::Link(link())];
        importer.store.totals(scopes).await.unwrap()[0]
    }

    async fn in_period(importer: &ClickImporter, from: i64, to: i64) -> crate::query::Statistics {
        let period = Period::new(UnixMillis::from_millis(from), UnixMillis::from_millis(to));
        let mut query = Query::new(Scope::Link(link()), period.unwrap());
        query.bucket = crate::query::Bucket::Month;
        query.by = vec![Dimension::Country, Dimension::City, Dimension::UtmSource];
        importer.store.statistics(query).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_told_of_a_click_becomes_its_dimensions() {
        let directory = tempfile::tempdir().unwrap();
        let importer = importer(directory.path());
        let told = PastClick {
            country: Some("DE".into()),
            city: Some("Berlin".into()),
            url: Some("https://s.example/abc?utm_source=mail&x=1#f".into()),
            address: Some("192.0.2.7".parse().unwrap()),
            bot: Some(false),
            ..click(NOW - DAY_MS)
        };
        let program = PastClick {
            user_agent: Some("curl/8.5.0".into()),
            ..click(NOW - DAY_MS)
        };
        let clicks = vec![told.clone(), told, program];
        importer.import(&[past(0, clicks, 0)]).await.unwrap();
        let all = totals(&importer).await;
        assert_eq!((all.people, all.programs), (2, 1));
        let statistics = in_period(&importer, NOW - 2 * DAY_MS, NOW).await;
        assert_eq!(statistics.unique, Some(1));
        let first = |place: usize| statistics.by[place].values[0].value.to_string();
        assert_eq!(
            [first(0), first(1), first(2)],
            ["DE", "Berlin, DE", "mail"].map(str::to_owned)
        );
    }
}
