//! Clicks of a source on their way to the server.

use std::collections::HashMap;

use crate::client::{Client, PastClick, PastClicks};

use super::report::ClickCounts;
use super::retry::retrying;

/// Clicks that are gathered before they are sent: those of a link come from all over a log, and are
/// counted in as many commits as there are pieces of them.
const GATHERED: usize = 50_000;
/// About how many bytes these may have.
const GATHERED_BYTES: usize = 16 << 20;
/// Clicks in one request.
const MOST_CLICKS: usize = 1_000;
/// Links in one request.
const MOST_LINKS: usize = 1_000;
/// About how many bytes a request may have: far less than a server takes by default.
const MOST_BYTES: usize = 300 << 10;
/// About how many bytes a click has beside its texts.
const CLICK_BYTES: usize = 120;

/// Sends clicks, in as few requests as may be. A click that is sent again counts once.
pub(super) struct ClickSender<'a> {
    client: &'a Client,
    /// The name of the source.
    source: &'a str,
    /// Whether they are only counted here.
    dry_run: bool,
    links: Vec<PastClicks>,
    /// Where in `links` a link is, by code and domain; the last one, if it is there more than once.
    places: HashMap<(String, Option<String>), usize>,
    clicks: usize,
    bytes: usize,
}

impl<'a> ClickSender<'a> {
    pub(super) fn new(client: &'a Client, source: &'a str, dry_run: bool) -> Self {
        Self {
            client,
            source,
            dry_run,
            links: Vec::new(),
            places: HashMap::new(),
            clicks: 0,
            bytes: 0,
        }
    }

    /// A click of a link, of which so many came before.
    pub(super) fn click(
        &mut self,
        code: &str,
        domain: Option<&str>,
        after: u64,
        click: PastClick,
        counts: &mut ClickCounts,
    ) -> anyhow::Result<()> {
        self.bytes += CLICK_BYTES + click.texts();
        self.clicks += 1;
        self.link(code, domain, after).clicks.push(click);
        self.flush_if_full(counts)
    }

    /// So many clicks of a link, of which so many came before.
    pub(super) fn total(
        &mut self,
        code: &str,
        domain: Option<&str>,
        after: u64,
        clicks: u64,
        counts: &mut ClickCounts,
    ) -> anyhow::Result<()> {
        self.link(code, domain, after).untimed += clicks;
        self.flush_if_full(counts)
    }

    /// The link that what follows those `after` belongs to.
    fn link(&mut self, code: &str, domain: Option<&str>, after: u64) -> &mut PastClicks {
        let name = (code.to_owned(), domain.map(str::to_owned));
        let follows = |place: &usize| {
            let link = &self.links[*place];
            // Nothing can follow those that are only a number.
            link.untimed == 0 && link.after + link.clicks.len() as u64 == after
        };
        let place = self.places.get(&name).copied().filter(follows);
        let place = place.unwrap_or_else(|| {
            self.bytes += CLICK_BYTES + code.len();
            self.links.push(PastClicks {
                code: name.0.clone(),
                domain: name.1.clone(),
                after,
                clicks: Vec::new(),
                untimed: 0,
            });
            self.links.len() - 1
        });
        self.places.insert(name, place);
        &mut self.links[place]
    }

    fn flush_if_full(&mut self, counts: &mut ClickCounts) -> anyhow::Result<()> {
        let full = self.clicks >= GATHERED || self.bytes >= GATHERED_BYTES;
        if full { self.flush(counts) } else { Ok(()) }
    }

    /// Sends what there is.
    pub(super) fn flush(&mut self, counts: &mut ClickCounts) -> anyhow::Result<()> {
        let links = std::mem::take(&mut self.links);
        self.places.clear();
        (self.clicks, self.bytes) = (0, 0);
        if self.dry_run {
            return Ok(());
        }
        for request in requests(links) {
            self.send(&request, counts)?;
        }
        Ok(())
    }

    fn send(&self, links: &[PastClicks], counts: &mut ClickCounts) -> anyhow::Result<()> {
        let answers = retrying(|| self.client.import_clicks(self.source, links))?;
        for (link, answer) in links.iter().zip(answers) {
            let sent = link.clicks.len() as u64 + link.untimed;
            match answer.problem {
                None => {
                    counts.counted += answer.counted;
                    counts.before += sent.saturating_sub(answer.counted);
                }
                Some(problem) => {
                    counts.lost += sent;
                    let code = &link.code;
                    eprintln!("clicks of {code}: {problem}");
                }
            }
        }
        Ok(())
    }
}

/// Cuts clicks into requests. Those of one link that follow each other are never in the same one,
/// where they would be counted at once.
fn requests(links: Vec<PastClicks>) -> Vec<Vec<PastClicks>> {
    let mut requests = Vec::new();
    let mut request: Vec<PastClicks> = Vec::new();
    let (mut clicks, mut bytes) = (0, 0);
    for link in links {
        let begin = |after| PastClicks {
            code: link.code.clone(),
            domain: link.domain.clone(),
            after,
            clicks: Vec::new(),
            untimed: 0,
        };
        let mut piece = begin(link.after);
        for click in link.clicks {
            clicks += 1;
            bytes += CLICK_BYTES + click.texts();
            piece.clicks.push(click);
            if clicks >= MOST_CLICKS || bytes >= MOST_BYTES {
                let rest = begin(piece.after + piece.clicks.len() as u64);
                request.push(std::mem::replace(&mut piece, rest));
                requests.push(std::mem::take(&mut request));
                (clicks, bytes) = (0, 0);
            }
        }
        piece.untimed = link.untimed;
        if piece.clicks.is_empty() && piece.untimed == 0 {
            continue;
        }
        bytes += CLICK_BYTES + link.code.len();
        request.push(piece);
        if request.len() >= MOST_LINKS || bytes >= MOST_BYTES {
            requests.push(std::mem::take(&mut request));
            (clicks, bytes) = (0, 0);
        }
    }
    if !request.is_empty() {
        requests.push(request);
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicks_of_a_link_go_together_while_they_follow_each_other() {
        let client = Client::to("http://127.0.0.1:1", None).unwrap();
        let mut sender = ClickSender::new(&client, "old", false);
        let mut counts = ClickCounts::default();
        let click = PastClick::default;
        for (code, after) in [("a", 0), ("b", 0), ("a", 1), ("b", 7)] {
            sender
                .click(code, None, after, click(), &mut counts)
                .unwrap();
        }
        sender.total("a", None, 2, 5, &mut counts).unwrap();
        let links: Vec<_> = sender
            .links
            .iter()
            .map(|link| (&*link.code, link.after, link.clicks.len(), link.untimed))
            .collect();
        assert_eq!(links, [("a", 0, 2, 5), ("b", 0, 1, 0), ("b", 7, 1, 0)]);
    }

    #[test]
    fn requests_have_bounds_and_all_clicks_in_order() {
        let link = |code: &str, clicks: usize, untimed: u64| PastClicks {
            code: code.to_owned(),
            domain: None,
            after: 3,
            clicks: vec![PastClick::default(); clicks],
            untimed,
        };
        let mut links = vec![link("a", 400, 0), link("b", 2_500, 9), link("c", 0, 0)];
        links.extend((0..300).map(|n| link(&format!("d{n}"), 1, 0)));
        let cut = requests(links);
        for request in &cut {
            let clicks: usize = request.iter().map(|link| link.clicks.len()).sum();
            assert!(clicks <= MOST_CLICKS && request.len() <= MOST_LINKS);
            let codes: std::collections::HashSet<_> = request.iter().map(|one| &one.code).collect();
            assert_eq!(codes.len(), request.len());
        }
        let of_b: Vec<_> = cut
            .iter()
            .flatten()
            .filter(|link| link.code == "b")
            .map(|link| (link.after, link.clicks.len(), link.untimed))
            .collect();
        assert_eq!(of_b, [(3, 600, 0), (603, 1_000, 0), (1_603, 900, 9)]);
        let all: usize = cut.iter().flatten().map(|link| link.clicks.len()).sum();
        assert_eq!(all, 400 + 2_500 + 300);
        let numbers = (0..2_500).map(|n| link(&format!("e{n}"), 0, 1)).collect();
        let pieces: Vec<usize> = requests(numbers).iter().map(Vec::len).collect();
        assert_eq!(pieces, [1_000, 1_000, 500]);
        let long = PastClick {
            user_agent: Some("x".repeat(MOST_BYTES)),
            ..PastClick::default()
        };
        let mut heavy = link("e", 0, 1);
        heavy.clicks = vec![long; 2];
        let pieces: Vec<usize> = requests(vec![heavy]).iter().map(Vec::len).collect();
        assert_eq!(pieces, [1, 1, 1]);
    }
}
