//! What is found out about a click, off the path of its redirect.

mod campaign;
mod geo;
mod language;
mod referrer;
mod user_agent;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::{Clock, UnixMillis};

pub use geo::{GeoError, GeoFile};
use user_agent::UserAgents;

use crate::store::EnrichedBatch;
use crate::{Click, Dimension, EnrichedClick, Network, Position, Snippet, SourceId, Values};

/// How far in the future a click may be: clocks of instances differ.
pub(crate) const AHEAD: Duration = Duration::from_hours(24);
/// 2020-01-01: no click of ours is older than that.
const EARLIEST: UnixMillis = UnixMillis::from_millis(1_577_836_800_000);

/// When the oldest of some clicks was captured, but for those whose clock was wrong.
pub(crate) fn oldest(clicks: &[Click]) -> Option<UnixMillis> {
    let times = clicks.iter().map(|click| click.at);
    times.filter(|at| *at >= EARLIEST).min()
}

/// Finds out what there is about clicks.
pub struct Enricher {
    user_agents: UserAgents,
    geo: Option<GeoFile>,
    clock: Arc<dyn Clock>,
}

impl Enricher {
    /// With a file in the format of MaxMind for countries and cities, if there is one. It need not
    /// exist yet.
    #[must_use]
    pub fn new(geo_file: Option<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            user_agents: UserAgents::new(),
            geo: geo_file.map(GeoFile::new),
            clock,
        }
    }

    /// Reads the file of countries if it has changed, but not more often than every few seconds.
    pub fn refresh(&mut self) {
        if let Some(geo) = &mut self.geo {
            geo.refresh(self.clock.monotonic());
        }
    }

    /// Finds out about clicks of a source that follow each other.
    pub(crate) fn batch(
        &mut self,
        source: SourceId,
        after: Position,
        to: Position,
        clicks: Vec<Click>,
    ) -> EnrichedBatch {
        self.refresh();
        let enriched = clicks.into_iter().map(|click| Arc::new(self.enrich(click)));
        EnrichedBatch {
            source,
            after,
            to,
            clicks: enriched.collect(),
        }
    }

    /// Finds out about a click. Its time is put to now if it is more than a day in the future, or
    /// before 2020: the clock of whoever captured it was wrong.
    #[must_use]
    pub fn enrich(&self, mut click: Click) -> EnrichedClick {
        let now = self.clock.now();
        let adjusted = click.at > now.saturating_add(AHEAD) || click.at < EARLIEST;
        if adjusted {
            click.at = now.max(EARLIEST);
        }
        self.describe(click, adjusted)
    }

    /// Finds out about a click whose time is settled.
    pub(crate) fn describe(&self, click: Click, adjusted: bool) -> EnrichedClick {
        let mut values = Values::default();
        let agent = click
            .user_agent
            .as_ref()
            .map(|agent| self.user_agents.read(agent));
        // Every browser says what it is. Of those who object to being tracked it is not kept, as
        // little as their hash.
        let bot = match &agent {
            Some(agent) => agent.bot,
            None => click.visitor.is_some(),
        };
        if let Some(agent) = agent {
            values.set(Dimension::Browser, agent.browser.clone());
            values.set(Dimension::Os, agent.os.clone());
            values.set(Dimension::Device, agent.device.map(Into::into));
        }
        let has_campaign = click
            .campaign
            .as_ref()
            .is_some_and(|query| campaign::read(query.as_str(), &mut values));
        let referrer = click
            .referrer
            .as_ref()
            .map(Snippet::as_str)
            .and_then(referrer::host);
        let channel = referrer::channel(referrer.as_deref(), has_campaign);
        values.set(Dimension::Channel, Some(channel.into()));
        values.set(Dimension::Referrer, referrer);
        let language = click.language.as_ref().map(Snippet::as_str);
        values.set(Dimension::Language, language.and_then(language::first));
        if let (Some(geo), Some(Network::Full(address) | Network::Truncated(address))) =
            (&self.geo, click.network)
        {
            let place = geo.find(address);
            values.set(Dimension::Country, place.country);
            values.set(Dimension::City, place.city);
        }
        EnrichedClick {
            click,
            adjusted,
            bot,
            values,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_clock::ManualClock;

    use super::*;
    use crate::{ClickId, ClickKind, Value};

    const NOW: i64 = 1_795_608_000_000;

    fn enricher() -> Enricher {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(NOW)));
        Enricher::new(None, clock)
    }

    fn click(at: i64) -> Click {
        Click {
            id: ClickId {
                process: 1,
                number: 2,
            },
            at: UnixMillis::from_millis(at),
            domain: "go.example".into(),
            code: "x".into(),
            kind: ClickKind::Visit,
            referrer: None,
            user_agent: None,
            language: None,
            campaign: None,
            visitor: None,
            network: None,
        }
    }

    #[test]
    fn all_that_a_click_tells_is_found() {
        let text = |text: &str| Snippet::of(text.as_bytes(), 512);
        let enriched = enricher().enrich(Click {
            referrer: text("https://www.google.de/search?q=x"),
            user_agent: text(
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            ),
            language: text("de-AT,de;q=0.8,en;q=0.5"),
            campaign: text("a=b&utm_source=News+Letter&utm_medium=mail&UTM_CAMPAIGN=%C3%A4"),
            ..click(NOW)
        });
        let found: Vec<_> = enriched
            .values
            .iter()
            .map(|(d, v)| (d.name(), v.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("referrer", "google.de"),
                ("channel", "campaign"),
                ("browser", "Firefox"),
                ("os", "Linux"),
                ("device", "desktop"),
                ("language", "de"),
                ("utm_source", "News Letter"),
                ("utm_medium", "mail"),
                ("utm_campaign", "\u{e4}"),
            ]
        );
        assert!(!enriched.bot && !enriched.adjusted);
    }

    #[test]
    fn a_click_that_tells_nothing_is_direct_and_of_a_program() {
        let enriched = enricher().enrich(Click {
            visitor: Some(1),
            ..click(NOW)
        });
        assert!(enriched.bot);
        assert_eq!(
            enriched.value(Dimension::Channel),
            Value::Is("direct".into())
        );
        assert_eq!(enriched.values.iter().count(), 1);
    }

    #[test]
    fn who_does_not_want_to_be_tracked_is_no_program_for_that() {
        let enriched = enricher().enrich(click(NOW));
        assert!(!enriched.bot);
        assert_eq!(enriched.value(Dimension::Device), Value::None);
    }

    #[test]
    fn times_that_cannot_be_are_put_to_now_and_marked() {
        let day = 86_400_000;
        for (at, adjusted) in [
            (NOW, false),
            (NOW + day, false),
            (NOW + day + 1, true),
            (NOW - 1_000 * day, false),
            (0, true),
            (-1, true),
            (i64::MAX, true),
            (i64::MIN, true),
        ] {
            let enriched = enricher().enrich(click(at));
            assert_eq!(enriched.adjusted, adjusted, "{at}");
            let expected = if adjusted { NOW } else { at };
            assert_eq!(enriched.click.at.as_millis(), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn any_bytes_of_a_client_give_short_values(
            texts in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..9_000),
                    "(https?://)?[ -~\u{e4}]{0,300}".prop_map(String::into_bytes),
                    "(utm_[a-z]{4,8}=[ -~]{0,200}&?){0,5}".prop_map(String::into_bytes),
                    "(Mozilla/5.0 |[A-Za-z]{1,9}/[0-9.]{1,9} |[(;)]){0,60}".prop_map(String::into_bytes),
                ], 4),
            at in any::<i64>(),
        ) {
            let text = |place: usize| Snippet::of(&texts[place], 8_192);
            let enriched = enricher().enrich(Click {
                referrer: text(0),
                user_agent: text(1),
                language: text(2),
                campaign: text(3),
                ..click(at)
            });
            for (dimension, value) in enriched.values.iter() {
                prop_assert!(value.len() <= crate::MAX_VALUE_BYTES, "{} {}", dimension, value);
                prop_assert!(!value.is_empty());
            }
        }
    }
}
