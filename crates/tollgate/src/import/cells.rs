//! From the named texts of a row to a link.

use jiff::civil;
use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;
use tollgate_clock::UnixMillis;
use tollgate_links::{LinkDraft, MAX_TITLE_CHARS};
use url::Url;

use super::RowRules;
use super::columns::Column;
use super::row::{Clicks, Fault, LeftOut, Place, Row};
use crate::args::transfer::ImportFrom;

/// Hosts that belong to Bitly: its links cannot go on living there.
const OF_BITLY: [&str; 3] = ["bit.ly", "j.mp", "bitly.is"];

/// The rows of a row of cells: one, and one more for each further short link to the same target.
/// Cells that are empty were not chosen.
pub(super) fn rows_of<'a>(
    place: &Place,
    cells: impl Iterator<Item = (Column, &'a str, &'a str)>,
    rules: &RowRules,
) -> Vec<Row> {
    let mut reading = Reading::default();
    let mut draft = Ok(());
    for (column, name, cell) in cells.filter(|(_, _, cell)| !cell.is_empty()) {
        draft = draft.and(reading.take(column, name, cell, rules));
    }
    let name = reading.draft.code.clone();
    let draft = draft.and_then(|()| reading.finish(rules));
    let Reading {
        left_out,
        clicks,
        more,
        ..
    } = reading;
    let more: Vec<Row> = match &draft {
        Ok(draft) => more
            .into_iter()
            .filter(|(code, domain)| (Some(code), domain) != (draft.code.as_ref(), &draft.domain))
            .map(|(code, domain)| {
                let further = LinkDraft {
                    code: Some(code),
                    domain,
                    ..draft.clone()
                };
                Row::of(place.clone(), Ok(further))
            })
            .collect(),
        Err(_) => Vec::new(),
    };
    let first = Row {
        left_out,
        clicks: clicks.map_or(Clicks::None, Clicks::Total),
        name,
        ..Row::of(place.clone(), draft)
    };
    std::iter::once(first).chain(more).collect()
}

/// What was read of a row.
#[derive(Default)]
struct Reading {
    draft: LinkDraft,
    short_url: Option<String>,
    had_password: bool,
    clicks: Option<u64>,
    more: Vec<(String, Option<String>)>,
    left_out: Vec<LeftOut>,
}

impl Reading {
    fn take(
        &mut self,
        column: Column,
        name: &str,
        cell: &str,
        rules: &RowRules,
    ) -> Result<(), Fault> {
        let draft = &mut self.draft;
        match column {
            Column::Url => cell.clone_into(&mut draft.url),
            Column::Code => draft.code = Some(cell.to_owned()),
            // A name for the same may come twice: the first one counts.
            Column::ShortUrl => {
                self.short_url.get_or_insert_with(|| cell.to_owned());
            }
            Column::MoreShortUrls => {
                let links = cell.split(['|', ',', ' ']).filter(|link| !link.is_empty());
                for link in links {
                    let (code, domain) = self.short_link(link, rules)?;
                    self.more.push((code, domain));
                }
            }
            Column::Domain => draft.domain = Some(cell.to_owned()),
            Column::Title => draft.title = Some(cell.to_owned()),
            Column::Tags => draft.tags = tags(cell),
            Column::CreatedAt => draft.created_at = time(cell, "created_at")?,
            Column::StartsAt => draft.starts_at = time(cell, "starts_at")?,
            Column::ExpiresAt => draft.expires_at = time(cell, "expires_at")?,
            Column::MaxClicks => draft.max_clicks = Some(number(cell, "max_clicks")?),
            Column::ClicksUsed => draft.clicks_used = Some(number(cell, "clicks_used")?),
            Column::Redirect => draft.redirect = Some(number(cell, "redirect")?),
            Column::Password => draft.password = Some(cell.into()),
            Column::HasPassword => self.had_password = switch(cell, "has_password")?,
            Column::ForwardQuery => draft.forward_query = switch(cell, "forward_query")?,
            Column::Rules => {
                draft.rules = serde_json::from_str(cell)
                    .map_err(|error| Fault::of("rules", error.to_string()))?;
            }
            Column::Clicks if rules.clicks => self.clicks = Some(number(cell, "clicks")?),
            Column::Clicks => self.left_out(name, None),
            Column::Off => {
                if switch(cell, "banned")? {
                    let told = "the link was switched off there, and leads to its target here";
                    self.left_out(name, Some(told));
                }
            }
            Column::Derived => {}
            Column::Ignored => self.left_out(name, None),
        }
        Ok(())
    }

    fn left_out(&mut self, field: &str, told: Option<&str>) {
        self.left_out.push(LeftOut {
            field: field.to_owned(),
            told: told.map(str::to_owned),
        });
    }

    fn finish(&mut self, rules: &RowRules) -> Result<LinkDraft, Fault> {
        if self.draft.url.is_empty() {
            return Err(Fault::of("url", "there is none"));
        }
        if let Some(short_url) = self.short_url.take()
            && self.draft.code.is_none()
        {
            let (code, domain) = self.short_link(&short_url, rules)?;
            self.draft.code = Some(code);
            self.draft.domain = self.draft.domain.take().or(domain);
        }
        if rules.from != ImportFrom::Tollgate {
            self.mend_title();
        }
        if let Some(domain) = &rules.domain {
            self.draft.domain.clone_from(domain);
        }
        check_password(&self.draft, self.had_password, rules)?;
        if let (Some(_), Some(clicks), None) =
            (self.draft.max_clicks, self.clicks, self.draft.clicks_used)
        {
            // There, they count against the bound.
            self.draft.clicks_used = Some(clicks);
        }
        Ok(std::mem::take(&mut self.draft))
    }

    /// Titles of pages, which other shorteners fetch, can hold what ours cannot.
    fn mend_title(&mut self) {
        let Some(title) = &mut self.draft.title else {
            return;
        };
        if title.chars().any(char::is_control) {
            let words: Vec<&str> = title
                .split(|c: char| c.is_control() || c == ' ')
                .filter(|word| !word.is_empty())
                .collect();
            *title = words.join(" ");
        }
        if let Some((end, _)) = title.char_indices().nth(MAX_TITLE_CHARS) {
            title.truncate(end);
            let told = format!("it is longer than {MAX_TITLE_CHARS} characters, and cut");
            self.left_out("title", Some(&told));
        }
    }

    /// The code of a short link, and the domain where the source tells it by that.
    fn short_link(
        &mut self,
        short_url: &str,
        rules: &RowRules,
    ) -> Result<(String, Option<String>), Fault> {
        let (code, host) = code_of(short_url)?;
        if rules.from != ImportFrom::Bitly || rules.domain.is_some() {
            return Ok((code, None));
        }
        let is_theirs = OF_BITLY.contains(&host.as_str());
        if is_theirs {
            self.left_out("domain", None);
        }
        Ok((code, (!is_theirs).then_some(host)))
    }
}

/// Refuses to drop a password silently: the link would be open to everybody.
pub(super) fn check_password(
    draft: &LinkDraft,
    had_password: bool,
    rules: &RowRules,
) -> Result<(), Fault> {
    let restored = draft.restore.as_ref();
    let hash = restored.and_then(|restored| restored.password_hash.as_ref());
    let lost = draft.password.is_none() && hash.is_none();
    if had_password && lost && !rules.without_passwords {
        let reason = "the link had one, and exports never tell it. Add it as the field password, \
                      bring its hash along by a full export, or give --without-passwords to import \
                      such links open to everybody";
        return Err(Fault::of("password", reason));
    }
    Ok(())
}

/// About how many bytes a draft is on the wire.
pub(super) fn weight(draft: &LinkDraft) -> usize {
    let rules: usize = draft.rules.iter().map(|rule| rule.target.len() + 64).sum();
    let tags: usize = draft.tags.iter().map(|tag| tag.len() + 4).sum();
    draft.url.len() + draft.title.as_deref().map_or(0, str::len) + rules + tags + 128
}

fn tags(cell: &str) -> Vec<String> {
    cell.split(['|', ','])
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
        .map(str::to_owned)
        .collect()
}

fn number<T: std::str::FromStr>(cell: &str, field: &'static str) -> Result<T, Fault> {
    // Spreadsheets may have put spaces around.
    let number = cell.trim().parse();
    number.map_err(|_| Fault::of(field, format!("{cell:?} is no number this field can take")))
}

fn switch(cell: &str, field: &'static str) -> Result<bool, Fault> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => {
            let reason = format!("expected true or false, found {cell:?}");
            Err(Fault::of(field, reason))
        }
    }
}

fn time(cell: &str, field: &'static str) -> Result<Option<UnixMillis>, Fault> {
    // What MySQL writes for no time.
    if cell.starts_with("0000-00-00") {
        return Ok(None);
    }
    let read = moment(cell).map_err(|reason| Fault::of(field, reason))?;
    Ok(Some(read))
}

/// RFC 3339, or a date with a time and no zone, which YOURLS writes, as UTC.
pub(super) fn moment(text: &str) -> Result<UnixMillis, String> {
    text.parse::<UnixMillis>().or_else(|error| {
        // `+0000`, as Bitly writes it, has no colon.
        let spelled = text.rsplit_once('+').filter(|(_, zone)| zone.len() == 4);
        if let Some((at, zone)) = spelled
            && let Ok(at) = format!("{at}+{}:{}", &zone[..2], &zone[2..]).parse()
        {
            return Ok(at);
        }
        text.parse::<civil::DateTime>()
            .ok()
            .and_then(|at| at.to_zoned_datetime(TimeZone::UTC).ok())
            .map(|at| UnixMillis::from_millis(at.timestamp().as_millisecond()))
            .ok_or_else(|| error.to_string())
    })
}

/// The code in a whole short link, which is its last segment, and the host.
fn code_of(short_url: &str) -> Result<(String, String), Fault> {
    let no_code = || Fault::of("short_url", format!("{short_url:?} ends with no code"));
    let url = Url::parse(short_url)
        // Some write the short link without its scheme.
        .or_else(|_| Url::parse(&format!("https://{short_url}")))
        .map_err(|_| no_code())?;
    let segment = url
        .path_segments()
        .and_then(|mut segments| segments.next_back())
        .filter(|segment| !segment.is_empty())
        .ok_or_else(no_code)?;
    let code = percent_decode_str(segment).decode_utf8();
    let code = code.map_err(|_| no_code())?.into_owned();
    Ok((code, url.host_str().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(from: ImportFrom, cells: &[(&'static str, &'static str)]) -> Vec<Row> {
        rows_by(&RowRules::new(from), cells)
    }

    fn rows_by(rules: &RowRules, cells: &[(&'static str, &'static str)]) -> Vec<Row> {
        let cells = cells.iter().map(|(name, cell)| {
            let column = Column::named(name, rules.from);
            (column, *name, *cell)
        });
        rows_of(&Place::Line(1), cells, rules)
    }

    fn fault(cells: &[(&'static str, &'static str)]) -> Fault {
        rows(ImportFrom::Csv, cells).remove(0).draft.unwrap_err()
    }

    #[test]
    fn a_row_of_another_shortener_keeps_code_time_and_tags() {
        let cells = [
            ("link", "s.example/caf%C3%A9"),
            ("url", "https://a.example/?q=1#f"),
            ("created", "2020-02-03 04:05:06"),
            ("tags", "news|sale, autumn"),
            ("title", ""),
        ];
        let draft = rows(ImportFrom::Csv, &cells).remove(0).draft.unwrap();
        assert_eq!(draft.code.as_deref(), Some("café"));
        assert_eq!(
            draft.created_at.unwrap().to_string(),
            "2020-02-03T04:05:06Z"
        );
        assert_eq!(draft.tags, ["news", "sale", "autumn"]);
        assert_eq!(draft.title, None);
    }

    #[test]
    fn a_lost_password_is_no_detail() {
        let cells = [("url", "https://a.example/"), ("has_password", "true")];
        assert_eq!(fault(&cells).field.as_deref(), Some("password"));
        let open = RowRules {
            without_passwords: true,
            ..RowRules::new(ImportFrom::Csv)
        };
        assert!(rows_by(&open, &cells)[0].draft.is_ok());
        let given = [cells[0], cells[1], ("password", "secret")];
        assert!(rows(ImportFrom::Csv, &given)[0].draft.is_ok());
    }

    #[test]
    fn wrong_cells_name_their_field() {
        for (column, cell, field) in [
            ("expires_at", "tomorrow", "expires_at"),
            ("max_clicks", "-1", "max_clicks"),
            ("rules", "{", "rules"),
            ("forward_query", "perhaps", "forward_query"),
            ("short_url", "https://s.example/", "short_url"),
        ] {
            let fault = fault(&[("url", "https://a.example/"), (column, cell)]);
            assert_eq!(fault.field.as_deref(), Some(field), "{fault}");
        }
    }

    #[test]
    fn titles_of_pages_are_mended_and_that_is_told() {
        let title: &'static str = Box::leak("x".repeat(600).into_boxed_str());
        let row = rows(
            ImportFrom::Yourls,
            &[("url", "https://a.example/"), ("title", title)],
        );
        let draft = row[0].draft.as_ref().unwrap();
        assert_eq!(draft.title.as_ref().unwrap().len(), MAX_TITLE_CHARS);
        assert_eq!(row[0].left_out[0].field, "title");
        let lines = rows(
            ImportFrom::Yourls,
            &[("url", "https://a.example/"), ("title", "\n A\tB  C\r\n")],
        );
        let draft = lines[0].draft.as_ref().unwrap();
        assert_eq!(draft.title.as_deref(), Some("A B C"));
    }

    #[test]
    fn links_of_bitly_leave_its_host_and_keep_their_own() {
        let cells = [
            ("link", "https://bit.ly/3abcDE"),
            ("long_url", "https://a.example/"),
            (
                "custom_bitlinks",
                "https://go.example/spring|https://bit.ly/3abcDE",
            ),
            ("created_at", "2021-03-04T05:06:07+0000"),
            ("archived", "true"),
            ("clicks", "12"),
        ];
        let all = rows(ImportFrom::Bitly, &cells);
        let names: Vec<_> = all
            .iter()
            .map(|row| {
                let draft = row.draft.as_ref().unwrap();
                (draft.code.clone().unwrap(), draft.domain.clone())
            })
            .collect();
        let own = Some("go.example".to_owned());
        assert_eq!(
            names,
            [("3abcDE".to_owned(), None), ("spring".to_owned(), own)]
        );
        assert_eq!(all[0].clicks, Clicks::Total(12));
        assert_eq!(all[1].clicks, Clicks::None);
        let told: Vec<_> = all[0]
            .left_out
            .iter()
            .filter(|one| one.told.is_some())
            .collect();
        assert_eq!(told[0].field, "archived");
        let moved = RowRules {
            domain: Some(Some("new.example".to_owned())),
            ..RowRules::new(ImportFrom::Bitly)
        };
        let moved = rows_by(&moved, &cells);
        assert_eq!(
            moved[0].draft.as_ref().unwrap().domain.as_deref(),
            Some("new.example")
        );
    }

    #[test]
    fn clicks_count_against_their_bound() {
        let cells = [
            ("longUrl", "https://a.example/"),
            ("maxVisits", "10"),
            ("visits", "7"),
        ];
        let row = rows(ImportFrom::Shlink, &cells).remove(0);
        assert_eq!(row.draft.unwrap().clicks_used, Some(7));
        let zero = [
            ("url", "https://a.example/"),
            ("timestamp", "0000-00-00 00:00:00"),
        ];
        assert_eq!(
            rows(ImportFrom::Yourls, &zero)[0]
                .draft
                .as_ref()
                .unwrap()
                .created_at,
            None
        );
    }
}
