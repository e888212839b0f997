//! Which column of a CSV, or field of another shortener's export, means what.

use crate::BadUsage;
use crate::args::transfer::ImportFrom;

/// What a column means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// Where the link leads.
    Url,
    /// The code.
    Code,
    /// The whole short link; its last segment is the code where no column has it.
    ShortUrl,
    /// Further short links to the same target.
    MoreShortUrls,
    /// The host.
    Domain,
    /// The title.
    Title,
    /// Tags with `|` or `,` between.
    Tags,
    /// When it was made.
    CreatedAt,
    /// From when on it can be used.
    StartsAt,
    /// From when on it is gone.
    ExpiresAt,
    /// After how many clicks it is gone.
    MaxClicks,
    /// Clicks already taken of those.
    ClicksUsed,
    /// The redirect's status.
    Redirect,
    /// The password.
    Password,
    /// Whether it had a password, which an export never tells.
    HasPassword,
    /// Whether the request's query is merged into the target's.
    ForwardQuery,
    /// The rules, as JSON.
    Rules,
    /// How often it was clicked.
    Clicks,
    /// Whether the source had switched it off: nothing here does that.
    Off,
    /// Follows from the others.
    Derived,
    /// Something a link cannot take over.
    Ignored,
}

/// The names by which `--column` calls them.
const NAMES: [(&str, Column); 18] = [
    ("url", Column::Url),
    ("code", Column::Code),
    ("short_url", Column::ShortUrl),
    ("domain", Column::Domain),
    ("title", Column::Title),
    ("tags", Column::Tags),
    ("created_at", Column::CreatedAt),
    ("starts_at", Column::StartsAt),
    ("expires_at", Column::ExpiresAt),
    ("max_clicks", Column::MaxClicks),
    ("clicks_used", Column::ClicksUsed),
    ("redirect", Column::Redirect),
    ("password", Column::Password),
    ("has_password", Column::HasPassword),
    ("forward_query", Column::ForwardQuery),
    ("rules", Column::Rules),
    ("clicks", Column::Clicks),
    ("ignore", Column::Ignored),
];

impl Column {
    /// From a name of a source, whatever its case and punctuation. What is unknown is ignored.
    pub(super) fn named(name: &str, from: ImportFrom) -> Self {
        let plain = plain(name);
        let own = match from {
            ImportFrom::Kutt => of_kutt(&plain),
            ImportFrom::Bitly => of_bitly(&plain),
            ImportFrom::Tollgate | ImportFrom::Csv | ImportFrom::Shlink | ImportFrom::Yourls => {
                None
            }
        };
        match own.unwrap_or_else(|| of_all(&plain)) {
            // An export of ours has no clicks: a column of that name is of somebody's own.
            Self::Clicks if from == ImportFrom::Tollgate => Self::Ignored,
            column => column,
        }
    }

    /// Reads `FIELD=NAME`: the meaning, and the name of the column that has it.
    pub(super) fn chosen(text: &str) -> Result<(Self, String), BadUsage> {
        let found = text.split_once('=').and_then(|(field, name)| {
            let (_, column) = NAMES.iter().find(|(known, _)| *known == field.trim())?;
            Some((*column, name.to_owned()))
        });
        found.ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            BadUsage(format!(
                "--column {text:?}: write FIELD=NAME, such as url=Long; the fields are {}",
                known.join(", ")
            ))
        })
    }
}

fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn of_all(plain: &str) -> Column {
    match plain {
        "url" | "longurl" | "target" | "targeturl" | "destination" | "destinationurl"
        | "originalurl" => Column::Url,
        "code" | "shortcode" | "keyword" | "slug" | "customslug" | "alias" | "address" => {
            Column::Code
        }
        "shorturl" | "shortlink" | "link" => Column::ShortUrl,
        "domain" | "host" => Column::Domain,
        "title" => Column::Title,
        "tags" | "tag" => Column::Tags,
        "createdat" | "created" | "datecreated" | "timestamp" => Column::CreatedAt,
        "startsat" | "validsince" => Column::StartsAt,
        "expiresat" | "validuntil" | "expires" => Column::ExpiresAt,
        "maxclicks" | "maxvisits" => Column::MaxClicks,
        "clicksused" => Column::ClicksUsed,
        "redirect" => Column::Redirect,
        "password" => Column::Password,
        "haspassword" => Column::HasPassword,
        "forwardquery" => Column::ForwardQuery,
        "rules" => Column::Rules,
        "visits" | "clicks" | "visitcount" | "visitscount" | "totalclicks" => Column::Clicks,
        "state" => Column::Derived,
        _ => Column::Ignored,
    }
}

fn of_kutt(plain: &str) -> Option<Column> {
    Some(match plain {
        // There it is what a title is here.
        "description" => Column::Title,
        "expirein" => Column::ExpiresAt,
        // Only whether there is one.
        "password" => Column::HasPassword,
        "banned" => Column::Off,
        _ => return None,
    })
}

fn of_bitly(plain: &str) -> Option<Column> {
    Some(match plain {
        "bitlink" | "bitlinks" | "id" => Column::ShortUrl,
        "custombitlinks" | "custombackhalf" | "custombackhalves" => Column::MoreShortUrls,
        "createdts" | "dateadded" => Column::CreatedAt,
        "engagements" | "totalengagements" | "linkclicks" | "userclicks" => Column::Clicks,
        "archived" => Column::Off,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::Column::*;
    use super::*;

    #[test]
    fn headers_of_others_are_understood() {
        for (from, header, columns) in [
            (
                ImportFrom::Shlink,
                "createdAt,domain,shortCode,shortUrl,longUrl,title,tags,visits",
                vec![CreatedAt, Domain, Code, ShortUrl, Url, Title, Tags, Clicks],
            ),
            (
                ImportFrom::Shlink,
                "Long URL,Short code,Domain,Title,Tags",
                vec![Url, Code, Domain, Title, Tags],
            ),
            (
                ImportFrom::Yourls,
                "keyword,url,title,timestamp,ip,clicks",
                vec![Code, Url, Title, CreatedAt, Ignored, Clicks],
            ),
            (
                ImportFrom::Kutt,
                "address,banned,description,expire_in,password,target,visit_count,link",
                vec![
                    Code,
                    Off,
                    Title,
                    ExpiresAt,
                    HasPassword,
                    Url,
                    Clicks,
                    ShortUrl,
                ],
            ),
            (
                ImportFrom::Bitly,
                "Bitlink,Long URL,Title,Created At,Tags,Custom Bitlinks,Total Engagements",
                vec![ShortUrl, Url, Title, CreatedAt, Tags, MoreShortUrls, Clicks],
            ),
            (
                ImportFrom::Csv,
                "link,url,createdAt,tags,title,description",
                vec![ShortUrl, Url, CreatedAt, Tags, Title, Ignored],
            ),
        ] {
            let read: Vec<Column> = header
                .split(',')
                .map(|name| Column::named(name, from))
                .collect();
            assert_eq!(read, columns, "{header}");
        }
        assert_eq!(Column::named("colour", ImportFrom::Csv), Ignored);
        let clicks = Column::named("clicks", ImportFrom::Tollgate);
        assert_eq!(clicks, Ignored);
    }

    #[test]
    fn columns_can_be_chosen() {
        let chosen = Column::chosen("url=The Long One").unwrap();
        assert_eq!(chosen, (Url, "The Long One".to_owned()));
        for wrong in ["url", "colour=x"] {
            let error = Column::chosen(wrong).unwrap_err().to_string();
            assert!(error.contains("expires_at"), "{error}");
        }
    }
}
