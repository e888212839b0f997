//! Clients that should never be refused.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use tollgate_limit::attribute::Attribute;

/// A rule by which a client is known to be good.
#[derive(Debug, Clone)]
pub struct Good(Rule);

#[derive(Debug, Clone)]
enum Rule {
    /// One of these addresses or networks.
    Listed {
        clients: HashSet<String>,
        networks: Vec<IpNet>,
    },
    /// An attribute that is this.
    Is(Attribute, String),
    /// An attribute that has this in it.
    Contains(Attribute, String),
}

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} tells no good clients: write NAME=VALUE, or NAME~PART of a value, where NAME is remote_address, method, \
     host, path, api_key, user_agent or header:NAME"
)]
pub struct GoodError(String);

impl Good {
    /// Whether a text is a rule such as `user_agent~Googlebot`, and not the name of a file.
    #[must_use]
    pub fn is_rule(text: &str) -> bool {
        let name = text.split(['=', '~']).next().unwrap_or_default();
        name.len() < text.len() && attribute(name).is_some()
    }

    /// Reads `NAME=VALUE` or `NAME~PART`.
    ///
    /// # Errors
    /// [`GoodError`], for a text of another form.
    pub fn rule(text: &str) -> Result<Self, GoodError> {
        let wrong = || GoodError(text.to_owned());
        let at = text.find(['=', '~']).ok_or_else(wrong)?;
        let (name, value) = (&text[..at], &text[at + 1..]);
        let attribute = attribute(name).ok_or_else(wrong)?;
        if value.is_empty() {
            return Err(wrong());
        }
        let is = text.as_bytes().get(at) == Some(&b'=');
        if is && attribute == Attribute::RemoteAddress {
            return Ok(Self::list(value));
        }
        let value = value.to_owned();
        Ok(Self(if is {
            Rule::Is(attribute, value)
        } else {
            Rule::Contains(attribute, value)
        }))
    }

    /// A list of clients: an address, a network such as `192.0.2.0/24`, or a name a line. What follows `#`, and
    /// empty lines, do not count.
    #[must_use]
    pub fn list(text: &str) -> Self {
        let (mut clients, mut networks) = (HashSet::new(), Vec::new());
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            match (line.parse::<IpAddr>(), line.parse::<IpNet>()) {
                (Ok(address), _) => {
                    clients.insert(address.to_canonical().to_string());
                }
                (_, Ok(network)) => networks.push(network),
                _ => {
                    clients.insert(line.to_owned());
                }
            }
        }
        Self(Rule::Listed { clients, networks })
    }

    /// What of a request it looks at, but for a list.
    pub(super) const fn attribute(&self) -> Option<&Attribute> {
        match &self.0 {
            Rule::Listed { .. } => None,
            Rule::Is(attribute, _) | Rule::Contains(attribute, _) => Some(attribute),
        }
    }

    /// Whether a request of these values is of a good client.
    pub(super) fn fits<'r>(&self, value: impl Fn(&Attribute) -> Option<Cow<'r, str>>) -> bool {
        match &self.0 {
            Rule::Listed { clients, networks } => {
                let Some(client) = value(&Attribute::RemoteAddress) else {
                    return false;
                };
                if clients.contains(&*client) {
                    return true;
                }
                let address = || client.parse::<IpAddr>().ok();
                !networks.is_empty()
                    && address().is_some_and(|ip| networks.iter().any(|net| net.contains(&ip)))
            }
            Rule::Is(attribute, wanted) => value(attribute).is_some_and(|value| value == *wanted),
            Rule::Contains(attribute, part) => {
                value(attribute).is_some_and(|value| value.contains(&**part))
            }
        }
    }
}

fn attribute(name: &str) -> Option<Attribute> {
    match name {
        "user_agent" => Attribute::header("user-agent"),
        name => Attribute::parse(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(good: &Good, client: &str, agent: &str) -> bool {
        good.fits(|attribute| match attribute {
            Attribute::RemoteAddress => Some(client.into()),
            Attribute::Header(name) if name == "user-agent" => Some(agent.into()),
            _ => None,
        })
    }

    #[test]
    fn clients_are_good_by_list_or_by_rule() {
        let list = Good::list("# ours\n192.0.2.7 # office\n\n2001:DB8:0::/48\nbatch.internal\n");
        for (client, good) in [
            ("192.0.2.7", true),
            ("192.0.2.70", false),
            ("2001:db8::9", true),
            ("2001:db9::9", false),
            ("batch.internal", true),
        ] {
            assert_eq!(fits(&list, client, ""), good, "{client}");
        }
        let agent = Good::rule("user_agent~Googlebot").unwrap();
        assert!(fits(&agent, "", "x (Googlebot/2.1)"));
        assert!(!fits(&agent, "", "googlebot"));
        assert!(fits(
            &Good::rule("header:User-Agent=a=b").unwrap(),
            "",
            "a=b"
        ));
        assert!(fits(
            &Good::rule("remote_address=10.0.0.0/8").unwrap(),
            "10.9.0.1",
            ""
        ));
        assert!(!fits(&Good::rule("path=/").unwrap(), "", ""));
    }

    #[test]
    fn rules_are_told_from_files() {
        for text in ["user_agent~x", "path=/a", "header:x-y~z"] {
            assert!(Good::is_rule(text), "{text}");
        }
        for text in ["good.txt", "/etc/a=b", "user_agent"] {
            assert!(!Good::is_rule(text), "{text}");
        }
        for text in ["", "path", "path=", "nothing~x"] {
            assert!(Good::rule(text).is_err(), "{text}");
        }
    }
}
