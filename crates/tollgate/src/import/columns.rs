//! Which column of a CSV means what, under our own names and those of others.

/// What a column means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// Where the link leads.
    Url,
    /// The code.
    Code,
    /// The whole short link; its last segment is the code where no column has it.
    ShortUrl,
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
    /// Something a link cannot take over, such as its state or its count of visits.
    Ignored,
}

impl Column {
    /// From a header's name, whatever its case and punctuation; `None` if it is unknown.
    pub(super) fn named(name: &str) -> Option<Self> {
        let plain: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        Some(match plain.as_str() {
            "url" | "longurl" | "target" | "targeturl" | "destination" | "destinationurl"
            | "originalurl" => Self::Url,
            "code" | "shortcode" | "keyword" | "slug" | "customslug" | "alias" | "address" => {
                Self::Code
            }
            "shorturl" | "shortlink" | "link" => Self::ShortUrl,
            "domain" | "host" => Self::Domain,
            "title" => Self::Title,
            "tags" | "tag" => Self::Tags,
            "createdat" | "created" | "datecreated" | "timestamp" => Self::CreatedAt,
            "startsat" | "validsince" => Self::StartsAt,
            "expiresat" | "validuntil" | "expires" => Self::ExpiresAt,
            "maxclicks" | "maxvisits" => Self::MaxClicks,
            "clicksused" => Self::ClicksUsed,
            "redirect" => Self::Redirect,
            "password" => Self::Password,
            "haspassword" => Self::HasPassword,
            "forwardquery" => Self::ForwardQuery,
            "rules" => Self::Rules,
            "state" | "origin" | "createdby" | "updatedat" | "version" | "visits" | "clicks"
            | "visitcount" | "ip" | "description" => Self::Ignored,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_others_are_understood() {
        let read = |header: &str| -> Vec<Option<Column>> {
            header.split(',').map(Column::named).collect()
        };
        use Column::*;
        assert_eq!(
            read("createdAt,domain,shortCode,shortUrl,longUrl,title,tags,visits"),
            [CreatedAt, Domain, Code, ShortUrl, Url, Title, Tags, Ignored].map(Some)
        );
        assert_eq!(
            read("Long URL,Short code,Domain,Title,Tags"),
            [Url, Code, Domain, Title, Tags].map(Some)
        );
        assert_eq!(
            read("keyword,url,title,timestamp,ip,clicks"),
            [Code, Url, Title, CreatedAt, Ignored, Ignored].map(Some)
        );
        assert_eq!(
            read("link,url,createdAt,tags,title,description"),
            [ShortUrl, Url, CreatedAt, Tags, Title, Ignored].map(Some)
        );
        assert_eq!(Column::named("colour"), None);
    }
}
