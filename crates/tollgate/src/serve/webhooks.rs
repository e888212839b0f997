//! Webhooks: what happens to links is found in their store and in the statistics of clicks, queued for
//! whoever wants to know, and sent.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_clicks::query::{Bucket, LinkName, Period, Query, Scope};
use tollgate_clicks::store::ClickStore as _;
use tollgate_clock::{SystemClock, UnixMillis};
use tollgate_config::Config;
use tollgate_links::store::{ChangeSeq, Expiry, Lifecycle};
use tollgate_links::{Code, Domain, Link, LinkKey, LinkService, LinkView};
use tollgate_server::metrics::{Counter, Metrics};
use tollgate_server::webhooks::Webhooks;
use tollgate_webhooks::{
    AddressRules, DispatchStats, Dispatcher, Event, EventKind, Outbox, Passed, Queued, Sender,
    SystemLookup,
};

use super::background::Pace;
use super::clicked::Clicked;

/// How often is looked for what has happened.
const LOOK: Duration = Duration::from_secs(1);
/// Links looked at in one commit.
const BATCH: usize = 500;
/// Links whose clicks are looked up in one round: each is a question to the statistics.
const CLICKED_IN_ROUND: usize = 200;

/// The names under which the outbox keeps up to where was looked.
const MADE: &str = "made";
const CHANGED: &str = "changed";
const EXPIRED_AT: &str = "expired-at";
const EXPIRED_LINK: &str = "expired-link";

/// Opens nothing: takes what is open, and makes what sends.
pub(super) fn webhooks(config: &Config, outbox: Arc<Outbox>) -> anyhow::Result<Webhooks> {
    let section = &config.webhooks;
    let rules = AddressRules::new(section.allow_private.clone());
    let sender = Sender::new(rules, Arc::new(SystemLookup), section.timeout)
        .context("webhooks cannot be sent")?;
    let seed = getrandom::u64().context("the system gives no randomness")?;
    let dispatcher = Dispatcher::new(
        Arc::clone(&outbox),
        sender,
        Arc::new(SystemClock::new()),
        StdRng::seed_from_u64(seed),
        section.keep,
    );
    Ok(Webhooks {
        outbox,
        dispatcher: Arc::new(dispatcher),
    })
}

/// What finds events.
pub(super) struct Finder {
    pub(super) links: LinkService,
    pub(super) lifecycle: Arc<dyn Lifecycle>,
    pub(super) clicks: Arc<Clicked>,
    pub(super) webhooks: Webhooks,
    /// Messages for which there was no room.
    pub(super) overflowed: Arc<AtomicU64>,
}

/// Starts finding and sending.
pub(super) fn start(
    finder: Finder,
    metrics: &Metrics,
    tracker: &TaskTracker,
    end: &CancellationToken,
) {
    register(metrics, &finder);
    let dispatcher = Arc::clone(&finder.webhooks.dispatcher);
    tracker.spawn(dispatcher.run(end.clone().cancelled_owned()));
    tracker.spawn(finder.run(end.clone()));
}

fn register(metrics: &Metrics, finder: &Finder) {
    let stats = finder.webhooks.dispatcher.stats();
    let counters: [Counter<Arc<DispatchStats>>; 3] = [
        (
            "tollgate_webhooks_delivered",
            "Messages of webhooks that were accepted",
            |stats| stats.delivered(),
        ),
        (
            "tollgate_webhooks_failed",
            "Attempts to deliver a message that were not accepted",
            |stats| stats.failed(),
        ),
        (
            "tollgate_webhooks_dead",
            "Messages that were given up after the last attempt",
            |stats| stats.dead(),
        ),
    ];
    let counted = Arc::clone(&stats);
    metrics.register_counters(counters, move || Arc::clone(&counted));
    metrics.register_gauge(
        "tollgate_webhooks_waiting",
        "Messages that are to be sent, as it was some seconds ago",
        move || stats.waiting() as f64,
    );
    let overflowed = Arc::clone(&finder.overflowed);
    metrics.register_counter(
        "tollgate_webhooks_overflowed",
        "Messages that were lost because too many wait for their webhook",
        move || overflowed.load(Relaxed) as f64,
    );
}

impl Finder {
    async fn run(self, end: CancellationToken) {
        let mut pace = Pace::new("looking for what webhooks tell", LOOK, end);
        while pace.next().await {
            let round = self.round().await;
            pace.note(round.map_err(|error| format!("{error:#}")));
        }
    }

    async fn round(&self) -> anyhow::Result<()> {
        self.made().await?;
        self.changed().await?;
        self.expired().await?;
        self.passed().await
    }

    fn note(&self, queued: Queued) {
        self.overflowed.fetch_add(queued.overflowed, Relaxed);
        if queued.overflowed > 0 {
            let lost = queued.overflowed;
            tracing::warn!(
                lost,
                "too many messages wait for a webhook: new ones are lost"
            );
        }
        if queued.messages > 0 {
            self.webhooks.dispatcher.wake();
        }
    }

    async fn queue(
        &self,
        events: Vec<Event>,
        positions: Vec<(&'static str, i64)>,
    ) -> anyhow::Result<()> {
        let now = self.now();
        let queued = self.webhooks.outbox.queue(events, positions, now).await?;
        self.note(queued);
        Ok(())
    }

    fn now(&self) -> UnixMillis {
        self.links.parts().clock.now()
    }

    async fn made(&self) -> anyhow::Result<()> {
        loop {
            let after = self.webhooks.outbox.position(MADE).await?;
            let (links, upto) = self.lifecycle.made(after, BATCH).await?;
            if after == Some(upto) {
                return Ok(());
            }
            let events = links
                .iter()
                .map(|link| self.event(EventKind::LinkCreated, link));
            self.queue(events.collect(), vec![(MADE, upto)]).await?;
        }
    }

    async fn changed(&self) -> anyhow::Result<()> {
        let parts = self.links.parts();
        loop {
            let after = self.webhooks.outbox.position(CHANGED).await?;
            let begun = after.map(|at| ChangeSeq(at.cast_unsigned()));
            let changes = parts.feed.changes(begun).await?;
            let upto = changes.upto.0.cast_signed();
            if changes.lost {
                tracing::warn!("links were edited unseen: webhooks are not told of that");
            }
            if after == Some(upto) {
                return Ok(());
            }
            let keys: HashSet<LinkKey> = changes.keys.into_iter().collect();
            let mut events = Vec::new();
            for key in keys {
                events.push(match parts.store.get(&key).await? {
                    Some(link) => self.event(EventKind::LinkUpdated, &link),
                    None => self.deleted(&key, upto),
                });
            }
            self.queue(events, vec![(CHANGED, upto)]).await?;
        }
    }

    async fn expired(&self) -> anyhow::Result<()> {
        let outbox = &self.webhooks.outbox;
        loop {
            let now = self.now();
            let at = outbox.position(EXPIRED_AT).await?;
            let link = outbox.position(EXPIRED_LINK).await?;
            let (links, upto) = match (at, link) {
                (Some(at), Some(link)) => {
                    let at = UnixMillis::from_millis(at);
                    let after = Expiry { at, link };
                    self.lifecycle.expired(after, now, BATCH).await?
                }
                _ => (Vec::new(), Expiry::behind(now)),
            };
            let full = links.len() == BATCH;
            let events: Vec<Event> = links
                .iter()
                .map(|link| self.event(EventKind::LinkExpired, link))
                .collect();
            // The position moves with the time; it is only worth a commit if something was found, or
            // once in a while.
            let stale = at.is_none_or(|at| upto.at.as_millis() - at > 60_000);
            if !events.is_empty() || stale {
                let positions = vec![(EXPIRED_AT, upto.at.as_millis()), (EXPIRED_LINK, upto.link)];
                self.queue(events, positions).await?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn passed(&self) -> anyhow::Result<()> {
        let thresholds = self.webhooks.outbox.subscriptions().await?;
        let wanted = thresholds
            .iter()
            .any(|one| !one.draft.thresholds().is_empty());
        self.clicks.watch(wanted);
        let names = self.clicks.take(CLICKED_IN_ROUND);
        if names.is_empty() {
            return Ok(());
        }
        let mut passed = Vec::new();
        for name in &names {
            let looked = self.clicks_of(name).await;
            match looked {
                Ok(found) => passed.extend(found),
                Err(error) => {
                    self.clicks.put_back(names);
                    return Err(error);
                }
            }
        }
        let queued = self.webhooks.outbox.passed(passed, self.now()).await?;
        self.note(queued);
        Ok(())
    }

    /// All clicks of a link that is still there.
    async fn clicks_of(&self, name: &LinkName) -> anyhow::Result<Option<Passed>> {
        let key = LinkKey {
            domain: Domain::from_stored(&name.domain),
            code: Code::from_stored(name.code.as_str()),
        };
        let Some(link) = self.links.parts().store.get(&key).await? else {
            return Ok(None);
        };
        let end = self.now().saturating_add(Duration::from_millis(1));
        // An imported link may be younger than its first clicks are old.
        let Ok(period) = Period::new(UnixMillis::from_millis(0), end) else {
            return Ok(None);
        };
        let mut query = Query::new(Scope::Link(name.clone()), period);
        query.bucket = Bucket::Month;
        let clicks = self.clicks.statistics(query).await?.total;
        Ok(Some(Passed {
            domain: name.domain.to_string(),
            code: name.code.to_string(),
            clicks,
            data: self.shown(&link),
        }))
    }

    fn event(&self, kind: EventKind, link: &Link) -> Event {
        let made = link.created_at.as_millis();
        let at = match kind {
            EventKind::LinkCreated => link.created_at,
            EventKind::LinkExpired => link.spec.expires_at.unwrap_or(link.updated_at),
            _ => link.updated_at,
        };
        let which = match kind {
            EventKind::LinkExpired => at.as_millis(),
            _ => link.version.cast_signed(),
        };
        Event {
            kind,
            key: format!("{kind}:{}:{made}:{which}", link.key),
            domain: link.key.domain.as_str().to_owned(),
            at,
            data: self.shown(link),
        }
    }

    fn deleted(&self, key: &LinkKey, upto: i64) -> Event {
        let parts = self.links.parts();
        let mut data = json!({
            "code": key.code.as_str(),
            "short_url": parts.domains.short_url(key),
        });
        if !key.domain.is_default() {
            data["domain"] = json!(key.domain.as_str());
        }
        Event {
            kind: EventKind::LinkDeleted,
            key: format!("{}:{key}:{upto}", EventKind::LinkDeleted),
            domain: key.domain.as_str().to_owned(),
            at: parts.clock.now(),
            data,
        }
    }

    /// As the API shows it.
    fn shown(&self, link: &Link) -> Value {
        let parts = self.links.parts();
        let view = LinkView::of(link, &parts.domains, parts.clock.now());
        // All of its fields can be written as JSON.
        serde_json::to_value(view).unwrap_or_default()
    }
}
