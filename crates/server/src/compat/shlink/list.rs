//! Listing short URLs: filtered, ordered, in pages by number.
//!
//! Our own listings have cursors and few filters, which stay fast however many links there are.
//! What Shlink's clients ask for beyond that is found by looking at links one by one, up to a bound.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_clock::UnixMillis;
use tollgate_links::store::{ListOrder, ListQuery, without_scheme};
use tollgate_links::{Link, LinkState, Tag};

use super::Holder;
use super::asked::Asked;
use super::failure::Failure;
use super::paging::Page;
use super::shown::short_urls;
use crate::admin::AdminState;
use crate::compat::totals::of_links;
use crate::compat::walk::walk;
use crate::problem::Problem;

/// Short URLs on a page if the client names no number.
const USUAL_ITEMS: usize = 10;
/// The most on any page.
const MOST_ITEMS: usize = 1_000;

/// What links are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    DateCreated,
    ShortCode,
    LongUrl,
    Title,
    Visits,
    NonBotVisits,
}

/// An order, and whether it is the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    field: Field,
    descending: bool,
}

/// The conditions that links are looked at for.
struct Conditions {
    term: Option<String>,
    tags: Vec<Tag>,
    all_tags: bool,
    without: Vec<Tag>,
    without_all: bool,
    from: Option<UnixMillis>,
    until: Option<UnixMillis>,
    not_used_up: bool,
    not_expired: bool,
    now: UnixMillis,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Scope::LinksRead)?;
    let page = Page::of(&asked, USUAL_ITEMS, MOST_ITEMS)?;
    let order = Order::of(&asked)?;
    let mut conditions = Conditions::of(&asked, state.service.parts().clock.now())?;
    let mut query = ListQuery {
        domain: asked.domain(&state, &caller)?,
        order: order.native(),
        ..ListQuery::default()
    };
    let most = state.options.compat.most_links;
    if conditions.term.is_some() && count(&state).await? > most as u64 {
        // Too many to look into each: the index knows the beginnings of codes, titles and targets.
        let term = conditions.term.take();
        query.prefix = term.map(|term| without_scheme(&term).to_owned());
    }
    if let [tag, ..] = &conditions.tags[..]
        && (conditions.all_tags || conditions.tags.len() == 1)
    {
        query.tag = Some(tag.clone());
    }
    let everything = query.domain.is_none()
        && query.tag.is_none()
        && query.prefix.is_none()
        && !conditions.any();
    let (links, total) = if everything && order.is_native() {
        let count = count(&state).await?;
        let end = page.end();
        if end > most && page.start() as u64 <= count {
            return Err(too_many(most, "page", "pages by number end there"));
        }
        let walked = walk(&state.service, query, end.min(most), |_| true).await?;
        (page.cut(walked.links), count)
    } else {
        let wanted = |link: &Link| conditions.meet(link);
        let walked = walk(&state.service, query, most, wanted).await?;
        if !walked.complete {
            let advice = "ask for a domain or one tag, ordered by dateCreated";
            return Err(too_many(most, "orderBy", advice));
        }
        let total = walked.links.len() as u64;
        (page.cut(order.sort(&state, walked.links).await?), total)
    };
    let shown = short_urls(&state, &links).await?;
    let pagination = page.told(shown.len(), total);
    Ok(Json(json!({
        "shortUrls": { "data": shown, "pagination": pagination },
    })))
}

fn too_many(most: usize, element: &str, advice: &str) -> Failure {
    let reason = format!("more than {most} short URLs would have to be looked at: {advice}");
    Failure::invalid(element, reason)
}

/// How many links there are.
async fn count(state: &AdminState) -> Result<u64, Problem> {
    Ok(state.service.parts().store.count().await?)
}

impl Order {
    fn of(asked: &Asked) -> Result<Self, Failure> {
        let Some(text) = asked.get("orderBy") else {
            return Ok(Self {
                field: Field::DateCreated,
                descending: true,
            });
        };
        let (field, direction) = text.split_once('-').unwrap_or((text, "ASC"));
        let field = match field {
            "dateCreated" => Field::DateCreated,
            "shortCode" => Field::ShortCode,
            "longUrl" => Field::LongUrl,
            "title" => Field::Title,
            "visits" => Field::Visits,
            "nonBotVisits" => Field::NonBotVisits,
            _ => {
                let reason = "order by dateCreated, shortCode, longUrl, title, visits or \
                              nonBotVisits, with -ASC or -DESC behind";
                return Err(Failure::invalid("orderBy", reason));
            }
        };
        let descending = match direction {
            "ASC" => false,
            "DESC" => true,
            _ => return Err(Failure::invalid("orderBy", "the direction is ASC or DESC")),
        };
        Ok(Self { field, descending })
    }

    /// Whether our own listings have it.
    const fn is_native(self) -> bool {
        matches!(self.field, Field::DateCreated | Field::ShortCode)
    }

    /// The order in which links are looked at.
    const fn native(self) -> ListOrder {
        match (self.field, self.descending) {
            (Field::ShortCode, false) => ListOrder::CodeAscending,
            (Field::ShortCode, true) => ListOrder::CodeDescending,
            (Field::DateCreated, false) => ListOrder::CreatedAscending,
            _ => ListOrder::CreatedDescending,
        }
    }

    /// Orders links that were looked at. Those that are equal stay with the newest first.
    async fn sort(self, state: &AdminState, mut links: Vec<Link>) -> Result<Vec<Link>, Failure> {
        match self.field {
            Field::DateCreated | Field::ShortCode => return Ok(links),
            Field::LongUrl => links.sort_by(|one, other| {
                let targets = (&one.spec.target, &other.spec.target);
                self.turned(targets.0.as_str().cmp(targets.1.as_str()))
            }),
            Field::Title => links.sort_by(|one, other| {
                let ordering = one.spec.title.cmp(&other.spec.title);
                self.turned(ordering)
            }),
            Field::Visits | Field::NonBotVisits => {
                let totals = of_links(state, &links).await?;
                let visits = totals.iter().map(|totals| match self.field {
                    Field::NonBotVisits => totals.people,
                    _ => totals.all(),
                });
                let mut counted: Vec<(u64, Link)> = visits.zip(links).collect();
                counted.sort_by(|(one, _), (other, _)| self.turned(one.cmp(other)));
                return Ok(counted.into_iter().map(|(_, link)| link).collect());
            }
        }
        Ok(links)
    }

    const fn turned(self, ordering: std::cmp::Ordering) -> std::cmp::Ordering {
        if self.descending {
            ordering.reverse()
        } else {
            ordering
        }
    }
}

impl Conditions {
    fn of(asked: &Asked, now: UnixMillis) -> Result<Self, Failure> {
        let all = |name| match asked.get(name) {
            None | Some("any") => Ok(false),
            Some("all") => Ok(true),
            Some(_) => Err(Failure::invalid(name, "use any or all")),
        };
        Ok(Self {
            term: asked.get("searchTerm").map(str::to_lowercase),
            tags: asked.tags("tags")?,
            all_tags: all("tagsMode")?,
            without: asked.tags("excludeTags")?,
            without_all: all("excludeTagsMode")?,
            from: asked.moment("startDate")?,
            until: asked.moment("endDate")?,
            not_used_up: asked.is_on("excludeMaxVisitsReached"),
            not_expired: asked.is_on("excludePastValidUntil"),
            now,
        })
    }

    /// Whether there are any beside those that the query has.
    fn any(&self) -> bool {
        self.term.is_some()
            || !self.tags.is_empty()
            || !self.without.is_empty()
            || self.from.is_some()
            || self.until.is_some()
            || self.not_used_up
            || self.not_expired
    }

    fn meet(&self, link: &Link) -> bool {
        let has = |tag: &Tag| link.spec.tags.contains(tag);
        let among = |tags: &[Tag], all: bool| match all {
            true => tags.iter().all(has),
            false => tags.iter().any(has),
        };
        let state = link.state(self.now);
        self.term.as_deref().is_none_or(|term| holds(link, term))
            && (self.tags.is_empty() || among(&self.tags, self.all_tags))
            && (self.without.is_empty() || !among(&self.without, self.without_all))
            && self.from.is_none_or(|from| from <= link.created_at)
            && self.until.is_none_or(|until| link.created_at <= until)
            && !(self.not_used_up && link.is_used_up())
            && !(self.not_expired && state == LinkState::Expired)
    }
}

/// Whether a link has a term, in lower case, in anything that people look for.
fn holds(link: &Link, term: &str) -> bool {
    let spec = &link.spec;
    let tags = spec.tags.iter().map(|tag| tag.as_str());
    [
        link.key.code.as_str(),
        spec.target.as_str(),
        link.key.domain.as_str(),
        spec.title.as_deref().unwrap_or_default(),
    ]
    .into_iter()
    .chain(tags)
    .any(|text| text.to_lowercase().contains(term))
}
