//! Clicks of a source on their way to the server.

use crate::client::{Client, PastClick, PastClicks};

use super::report::ClickCounts;
use super::retry::retrying;

/// Clicks in one request.
const MOST_CLICKS: usize = 1_000;
/// Links in one request.
const MOST_LINKS: usize = 250;
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
        let follows = |link: &PastClicks| {
            let end = link.after + link.clicks.len() as u64;
            // Nothing can follow those that are only a number.
            let open = link.untimed == 0 && end == after;
            open && link.code == code && link.domain.as_deref() == domain
        };
        // Newest first: clicks of one link mostly come together.
        let place = self.links.iter().rposition(follows);
        let place = place.unwrap_or_else(|| {
            self.bytes += CLICK_BYTES + code.len();
            self.links.push(PastClicks {
                code: code.to_owned(),
                domain: domain.map(str::to_owned),
                after,
                clicks: Vec::new(),
                untimed: 0,
            });
            self.links.len() - 1
        });
        &mut self.links[place]
    }

    fn flush_if_full(&mut self, counts: &mut ClickCounts) -> anyhow::Result<()> {
        let full = self.clicks >= MOST_CLICKS
            || self.links.len() >= MOST_LINKS
            || self.bytes >= MOST_BYTES;
        if full { self.flush(counts) } else { Ok(()) }
    }

    /// Sends what there is.
    pub(super) fn flush(&mut self, counts: &mut ClickCounts) -> anyhow::Result<()> {
        let links = std::mem::take(&mut self.links);
        (self.clicks, self.bytes) = (0, 0);
        if links.is_empty() || self.dry_run {
            return Ok(());
        }
        let answers = retrying(|| self.client.import_clicks(self.source, &links))?;
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
}
