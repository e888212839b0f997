//! A Shlink that runs, asked through its API (`/rest/v3`).

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_clock::UnixMillis;
use tollgate_links::{Condition, LinkDraft, Os, Rule};
use tollgate_server::compat::{ShlinkCondition, condition_of_shlink};
use ureq::http::Method;

use super::RowRules;
use super::clicks::ClickSender;
use super::report::ClickCounts;
use super::retry::retrying;
use super::row::{Clicks, Fault, LeftOut, Place, Row};
use super::send::Link;
use super::yourls::is_country;
use crate::client::{Client, ClientError, NOTHING, PastClick, segment};

/// Short URLs on a page.
const LINKS: &str = "100";
/// Visits on a page.
const VISITS: &str = "1000";
const SHORT_URLS: &str = "/rest/v3/short-urls";
/// What an answer says that needs no place of its own here.
const DERIVED: [&str; 5] = [
    "shortUrl",
    "visitsCount",
    "hasRedirectRules",
    "deviceLongUrls",
    "crawlable",
];

/// A Shlink.
pub(super) struct Shlink<'a> {
    client: &'a Client,
    rules: &'a RowRules,
    /// No later visits are asked for, so that pages do not move while they are read.
    until: UnixMillis,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShortUrls {
    short_urls: Page<Value>,
}

#[derive(Deserialize)]
struct Visits {
    visits: Page<Visit>,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    pagination: Pagination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    pages_count: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShortUrl {
    short_code: String,
    long_url: String,
    #[serde(default)]
    date_created: Option<UnixMillis>,
    #[serde(default)]
    visits_summary: Option<Summary>,
    /// What older ones say instead.
    #[serde(default)]
    visits_count: Option<u64>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    meta: Meta,
    #[serde(default)]
    domain: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    crawlable: Option<bool>,
    #[serde(default)]
    forward_query: bool,
    #[serde(default)]
    has_redirect_rules: bool,
    /// What older ones had before rules.
    #[serde(default)]
    device_long_urls: Option<Map<String, Value>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
struct Summary {
    total: u64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    valid_since: Option<UnixMillis>,
    #[serde(default)]
    valid_until: Option<UnixMillis>,
    #[serde(default)]
    max_visits: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedirectRules {
    redirect_rules: Vec<RedirectRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedirectRule {
    long_url: String,
    conditions: Vec<ShlinkCondition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Visit {
    #[serde(default)]
    referer: Option<String>,
    date: UnixMillis,
    #[serde(default)]
    user_agent: Option<String>,
    #[serde(default)]
    visit_location: Option<Location>,
    #[serde(default)]
    potential_bot: Option<bool>,
    #[serde(default)]
    visited_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(default)]
    country_code: Option<String>,
    #[serde(default)]
    city_name: Option<String>,
}

impl<'a> Shlink<'a> {
    pub(super) const fn new(client: &'a Client, rules: &'a RowRules, until: UnixMillis) -> Self {
        Self {
            client,
            rules,
            until,
        }
    }

    /// Answers its links, oldest first.
    pub(super) fn rows(&self) -> impl Iterator<Item = anyhow::Result<Row>> + use<'_, 'a> {
        let mut waiting: VecDeque<Value> = VecDeque::new();
        let mut next = Some(1);
        std::iter::from_fn(move || {
            loop {
                if let Some(short_url) = waiting.pop_front() {
                    return Some(self.row(short_url));
                }
                let page = next?;
                match self.page(page) {
                    Ok(read) => {
                        next = (page < read.pagination.pages_count).then_some(page + 1);
                        waiting.extend(read.data);
                    }
                    Err(error) => {
                        next = None;
                        return Some(Err(error));
                    }
                }
            }
        })
    }

    fn page(&self, page: u64) -> anyhow::Result<Page<Value>> {
        let page = page.to_string();
        let query = [
            ("page", Some(page.as_str())),
            ("itemsPerPage", Some(LINKS)),
            // New ones come at the end.
            ("orderBy", Some("dateCreated-ASC")),
        ];
        let read: ShortUrls = self.get(SHORT_URLS, &query)?;
        Ok(read.short_urls)
    }

    fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
    ) -> anyhow::Result<T> {
        let request = || self.client.call(Method::GET, path, query, &[], NOTHING);
        retrying(request)
    }

    fn row(&self, short_url: Value) -> anyhow::Result<Row> {
        let named = |name: &str| short_url.get(name).and_then(Value::as_str);
        let place = named("shortUrl").or_else(|| named("shortCode"));
        let place = Place::Link(place.unwrap_or("a short URL without a name").to_owned());
        let told: ShortUrl = match serde_json::from_value(short_url) {
            Ok(told) => told,
            Err(error) => return Ok(Row::bad(place, Fault::whole(error.to_string()))),
        };
        let mut left_out = Vec::new();
        let mut leave_out = |field: &str, told: Option<String>| {
            left_out.push(LeftOut {
                field: field.to_owned(),
                told,
            });
        };
        for (name, value) in &told.others {
            let nothing = value.is_null() || *value == Value::Bool(false);
            if !nothing && !DERIVED.contains(&name.as_str()) {
                leave_out(name, None);
            }
        }
        // Here, search engines may follow all.
        if told.crawlable == Some(false) {
            leave_out("crawlable: false", None);
        }
        let rules = self.redirect_rules(&told, &mut leave_out)?;
        let total = told.visits_summary.map(|summary| summary.total);
        let total = total.or(told.visits_count).unwrap_or(0);
        let draft = LinkDraft {
            url: told.long_url,
            code: Some(told.short_code.clone()),
            domain: match &self.rules.domain {
                Some(domain) => domain.clone(),
                None => told.domain.clone(),
            },
            starts_at: told.meta.valid_since,
            expires_at: told.meta.valid_until,
            max_clicks: told.meta.max_visits,
            // Visits count against the bound.
            clicks_used: told.meta.max_visits.map(|_| total),
            tags: told.tags,
            title: told.title,
            forward_query: told.forward_query,
            rules,
            created_at: told.date_created,
            ..LinkDraft::default()
        };
        let clicks = if total == 0 {
            Clicks::None
        } else if self.rules.clicks {
            Clicks::Listed {
                code: told.short_code,
                domain: told.domain,
                total,
            }
        } else {
            leave_out("visits", None);
            Clicks::None
        };
        Ok(Row {
            left_out,
            clicks,
            ..Row::of(place, Ok(draft))
        })
    }

    fn redirect_rules(
        &self,
        told: &ShortUrl,
        leave_out: &mut impl FnMut(&str, Option<String>),
    ) -> anyhow::Result<Vec<Rule>> {
        let mut rules = Vec::new();
        if told.has_redirect_rules {
            let path = format!("{SHORT_URLS}/{}/redirect-rules", segment(&told.short_code));
            let query = [("domain", told.domain.as_deref())];
            let read: RedirectRules = self.get(&path, &query)?;
            rules.extend(read.rules(&mut *leave_out));
        }
        for (device, target) in told.device_long_urls.iter().flatten() {
            let Some(target) = target.as_str() else {
                continue;
            };
            let systems: &[Os] = match device.as_str() {
                "android" => &[Os::Android],
                "ios" => &[Os::Ios],
                "desktop" => &[Os::Windows, Os::Macos, Os::Linux, Os::Chromeos],
                _ => {
                    leave_out("deviceLongUrls", Some(format!("{device}: {target}")));
                    continue;
                }
            };
            rules.extend(systems.iter().map(|os| Rule {
                conditions: vec![Condition::Os { is: *os }],
                target: target.to_owned(),
            }));
        }
        Ok(rules)
    }

    /// Sends the visits of a short URL for the link that it became, oldest first, and those of its
    /// `total` that are not listed any more.
    pub(super) fn send_visits(
        &self,
        (code, domain): (&str, Option<&str>),
        total: u64,
        link: &Link,
        sender: &mut ClickSender<'_>,
        counts: &mut ClickCounts,
    ) -> anyhow::Result<()> {
        let mut after = 0;
        let first = self.visits(code, domain, 1)?;
        let pages = first.pagination.pages_count.max(1);
        let mut first = Some(first);
        // The newest are on the first page.
        for page in (1..=pages).rev() {
            let read = match first.take_if(|_| page == 1) {
                Some(read) => read,
                None => self.visits(code, domain, page)?,
            };
            for visit in read.data.into_iter().rev() {
                let click = visit.click();
                sender.click(&link.code, link.domain.as_deref(), after, click, counts)?;
                after += 1;
            }
        }
        let rest = total.saturating_sub(after);
        counts.found += after + rest;
        if rest > 0 {
            sender.total(&link.code, link.domain.as_deref(), after, rest, counts)?;
        }
        Ok(())
    }

    fn visits(&self, code: &str, domain: Option<&str>, page: u64) -> anyhow::Result<Page<Visit>> {
        let path = format!("{SHORT_URLS}/{}/visits", segment(code));
        let page = page.to_string();
        let until = self.until.to_string();
        let query = [
            ("domain", domain),
            ("page", Some(page.as_str())),
            ("itemsPerPage", Some(VISITS)),
            ("endDate", Some(until.as_str())),
        ];
        let read: Visits = self.get(&path, &query)?;
        Ok(read.visits)
    }
}

impl RedirectRules {
    /// Those that can be rules here.
    fn rules(self, mut leave_out: impl FnMut(&str, Option<String>)) -> Vec<Rule> {
        let rules = self.redirect_rules.into_iter().filter_map(|rule| {
            let conditions: Result<Vec<Condition>, String> =
                rule.conditions.iter().map(condition_of_shlink).collect();
            match conditions {
                Ok(conditions) => Some(Rule {
                    conditions,
                    target: rule.long_url,
                }),
                Err(reason) => {
                    let told = format!("the rule to {}: {reason}", rule.long_url);
                    leave_out("redirectRules", Some(told));
                    None
                }
            }
        });
        rules.collect()
    }
}

impl Visit {
    fn click(self) -> PastClick {
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let location = self.visit_location;
        let (country, city) = match location {
            Some(location) => (text(location.country_code), text(location.city_name)),
            None => (None, None),
        };
        let country = country.filter(|code| is_country(code));
        PastClick {
            at: Some(self.date),
            referrer: text(self.referer),
            user_agent: text(self.user_agent),
            url: text(self.visited_url),
            city: city.filter(|city| country.is_some() && city.len() <= 100),
            country,
            bot: self.potential_bot,
            ..PastClick::default()
        }
    }
}

/// Whether a server is a Shlink that takes the key; told before anything is imported.
pub(super) fn check(client: &Client) -> Result<(), ClientError> {
    let query = [("itemsPerPage", Some("1"))];
    let answer: Result<ShortUrls, ClientError> =
        client.call(Method::GET, SHORT_URLS, &query, &[], NOTHING);
    answer.map(drop)
}

/// What is made of an answer, whichever it is; of short URLs, without what would be asked for further.
#[cfg(feature = "fuzzing")]
pub(super) fn rows_of_answer(answer: &[u8], client: &Client, rules: &RowRules) -> Vec<Row> {
    let shlink = Shlink::new(client, rules, UnixMillis::from_millis(0));
    let (mut rows, mut left_out) = (Vec::new(), 0);
    if let Ok(read) = serde_json::from_slice::<ShortUrls>(answer) {
        for mut short_url in read.short_urls.data {
            if let Some(fields) = short_url.as_object_mut() {
                fields.remove("hasRedirectRules");
            }
            rows.extend(shlink.row(short_url).ok());
        }
    }
    if let Ok(read) = serde_json::from_slice::<RedirectRules>(answer) {
        let all = read.redirect_rules.len();
        let taken = read.rules(|_, _| left_out += 1);
        assert_eq!(taken.len() + left_out, all);
    }
    if let Ok(read) = serde_json::from_slice::<Visits>(answer) {
        for visit in read.visits.data {
            let click = visit.click();
            assert!(click.country.as_deref().is_none_or(is_country));
            assert!(click.country.is_some() || click.city.is_none());
        }
    }
    rows
}
