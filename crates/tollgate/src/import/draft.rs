//! From the text of a row's fields to a draft.

use jiff::civil;
use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;
use tollgate_clock::UnixMillis;
use tollgate_links::LinkDraft;
use url::Url;

use super::RowRules;
use super::columns::Column;

/// A row of CSV as a draft. Cells that are empty were not chosen.
pub(super) fn from_cells<'a>(
    cells: impl Iterator<Item = (Column, &'a str)>,
    rules: RowRules,
) -> Result<LinkDraft, String> {
    let mut draft = LinkDraft::default();
    let mut short_url = None;
    let mut had_password = false;
    for (column, cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
        match column {
            Column::Url => cell.clone_into(&mut draft.url),
            Column::Code => draft.code = Some(cell.to_owned()),
            Column::ShortUrl => short_url = Some(cell),
            Column::Domain => draft.domain = Some(cell.to_owned()),
            Column::Title => draft.title = Some(cell.to_owned()),
            Column::Tags => draft.tags = tags(cell),
            Column::CreatedAt => draft.created_at = Some(time(cell, "created_at")?),
            Column::StartsAt => draft.starts_at = Some(time(cell, "starts_at")?),
            Column::ExpiresAt => draft.expires_at = Some(time(cell, "expires_at")?),
            Column::MaxClicks => draft.max_clicks = Some(number(cell, "max_clicks")?),
            Column::ClicksUsed => draft.clicks_used = Some(number(cell, "clicks_used")?),
            Column::Redirect => draft.redirect = Some(number(cell, "redirect")?),
            Column::Password => draft.password = Some(cell.to_owned()),
            Column::HasPassword => had_password = switch(cell, "has_password")?,
            Column::ForwardQuery => draft.forward_query = switch(cell, "forward_query")?,
            Column::Rules => {
                draft.rules =
                    serde_json::from_str(cell).map_err(|error| format!("rules: {error}"))?;
            }
            Column::Ignored => {}
        }
    }
    if draft.url.is_empty() {
        return Err("url: there is none".to_owned());
    }
    if draft.code.is_none() {
        draft.code = short_url.map(code_of).transpose()?;
    }
    check_password(&draft, had_password, rules)?;
    Ok(draft)
}

/// Refuses to drop a password silently: the link would be open to everybody.
pub(super) fn check_password(
    draft: &LinkDraft,
    had_password: bool,
    rules: RowRules,
) -> Result<(), String> {
    if had_password && draft.password.is_none() && !rules.without_passwords {
        return Err(
            "password: the link had one, and exports never tell it. Add it as the field password, \
             or give --without-passwords to import such links open to everybody"
                .to_owned(),
        );
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

fn number<T: std::str::FromStr>(cell: &str, field: &str) -> Result<T, String> {
    cell.parse()
        .map_err(|_| format!("{field}: {cell:?} is no number this field can take"))
}

fn switch(cell: &str, field: &str) -> Result<bool, String> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("{field}: expected true or false, found {cell:?}")),
    }
}

/// RFC 3339, or a date with a time and no zone, which YOURLS writes, as UTC.
fn time(cell: &str, field: &str) -> Result<UnixMillis, String> {
    cell.parse::<UnixMillis>().or_else(|error| {
        cell.parse::<civil::DateTime>()
            .ok()
            .and_then(|at| at.to_zoned_datetime(TimeZone::UTC).ok())
            .map(|at| UnixMillis::from_millis(at.timestamp().as_millisecond()))
            .ok_or_else(|| format!("{field}: {error}"))
    })
}

/// The code in a whole short link: its last segment.
fn code_of(short_url: &str) -> Result<String, String> {
    let no_code = || format!("short_url: {short_url:?} ends with no code");
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
    code.map(Into::into).map_err(|_| no_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: RowRules = RowRules {
        without_passwords: false,
    };

    #[test]
    fn a_row_of_another_shortener_keeps_code_time_and_tags() {
        let cells = [
            (Column::ShortUrl, "s.example/caf%C3%A9"),
            (Column::Url, "https://a.example/?q=1#f"),
            (Column::CreatedAt, "2020-02-03 04:05:06"),
            (Column::Tags, "news|sale, autumn"),
            (Column::Title, ""),
        ];
        let draft = from_cells(cells.into_iter(), KEEP).unwrap();
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
        let cells = [
            (Column::Url, "https://a.example/"),
            (Column::HasPassword, "true"),
        ];
        assert!(
            from_cells(cells.into_iter(), KEEP)
                .unwrap_err()
                .contains("password")
        );
        let drop = RowRules {
            without_passwords: true,
        };
        assert!(from_cells(cells.into_iter(), drop).is_ok());
        let given = cells.into_iter().chain([(Column::Password, "secret")]);
        assert!(from_cells(given, KEEP).is_ok());
    }

    #[test]
    fn wrong_cells_name_their_field() {
        for (column, cell, field) in [
            (Column::ExpiresAt, "tomorrow", "expires_at"),
            (Column::MaxClicks, "-1", "max_clicks"),
            (Column::Rules, "{", "rules"),
            (Column::ForwardQuery, "perhaps", "forward_query"),
            (Column::ShortUrl, "https://s.example/", "short_url"),
        ] {
            let cells = [(Column::Url, "https://a.example/"), (column, cell)];
            let error = from_cells(cells.into_iter(), KEEP).unwrap_err();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
