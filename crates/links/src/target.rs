use std::fmt;

use url::Url;

use crate::Domain;

/// The longest target URL, in bytes, as given and as normalised.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// Where a link leads: a URL in the normal form of the WHATWG URL standard, ASCII only, so that it
/// can stand in a `Location` header as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetUrl(Box<str>);

/// Why a text cannot be a target.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// Over [`MAX_TARGET_BYTES`].
    #[error("a target URL has at most {MAX_TARGET_BYTES} bytes")]
    TooLong,
    /// Control characters, which URL parsers would silently drop.
    #[error("a target URL cannot hold control characters such as tabs and line breaks")]
    ControlCharacter,
    /// The WHATWG parser refused it.
    #[error("not a URL ({0}): write it whole, like https://example.com/page")]
    Malformed(url::ParseError),
    /// A scheme that is not allowed here.
    #[error("the scheme {0:?} is not allowed here: use http or https")]
    Scheme(String),
    /// `user:password@host`.
    #[error("a target URL cannot hold a user name or password: leave out what is before the @")]
    Credentials,
    /// It points back at one of our own short domains.
    #[error("the target would lead back to this service")]
    Loop,
}

/// What targets are allowed; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct TargetRules {
    /// Allowed schemes, lower case. Those that run scripts or read local files in the visitor's
    /// browser (`javascript`, `data`, `file` and their like) stay refused even if named here.
    pub schemes: Vec<String>,
    /// Whether `user:password@` may stand in a target.
    pub allow_credentials: bool,
    /// Hosts that are this service itself. A port is compared where one is given, 80 and 443 being
    /// the same one: whoever serves a host on either usually redirects from the other.
    pub own_hosts: Vec<(Domain, Option<u16>)>,
}

/// Schemes whose URLs act in the visitor's browser instead of leading somewhere.
const NEVER: [&str; 8] = [
    "javascript",
    "vbscript",
    "data",
    "blob",
    "filesystem",
    "file",
    "about",
    "view-source",
];

impl TargetRules {
    /// Parses and normalises a target by the WHATWG URL standard. Spaces around it, which come from
    /// copying, are dropped; fragments stay. Parsing a normal form again changes nothing.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(&self, text: &str) -> Result<TargetUrl, TargetError> {
        if text.len() > MAX_TARGET_BYTES {
            return Err(TargetError::TooLong);
        }
        // Before the parser, which strips tabs and line breaks wherever they stand.
        if text.chars().any(char::is_control) {
            return Err(TargetError::ControlCharacter);
        }
        let url = Url::parse(text.trim_matches(' ')).map_err(TargetError::Malformed)?;
        let scheme = url.scheme();
        if NEVER.contains(&scheme) || !self.schemes.iter().any(|allowed| allowed == scheme) {
            return Err(TargetError::Scheme(scheme.chars().take(32).collect()));
        }
        if !self.allow_credentials && (!url.username().is_empty() || url.password().is_some()) {
            return Err(TargetError::Credentials);
        }
        let host = url.host_str().filter(|_| is_web(scheme));
        if host.is_some_and(|host| host.trim_end_matches('.').is_empty()) {
            return Err(TargetError::Malformed(url::ParseError::EmptyHost));
        }
        if self.leads_back(&url) {
            return Err(TargetError::Loop);
        }
        // The standard leaves spaces in opaque paths (`mailto:a b`) as they are.
        let text = String::from(url).replace(' ', "%20");
        if text.len() > MAX_TARGET_BYTES {
            return Err(TargetError::TooLong);
        }
        debug_assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
        Ok(TargetUrl(text.into()))
    }

    fn leads_back(&self, url: &Url) -> bool {
        let Some(host) = url.host_str().filter(|_| is_web(url.scheme())) else {
            return false;
        };
        // `example.com.` names the same host. Case and the many ways to write an IP address are
        // gone already.
        let host = host.trim_end_matches('.');
        let port = url.port_or_known_default();
        self.own_hosts.iter().any(|(own, own_port)| {
            own.as_str() == host
                && (own_port.is_none() || *own_port == port || is_default(*own_port, port))
        })
    }
}

fn is_web(scheme: &str) -> bool {
    matches!(scheme, "http" | "https")
}

fn is_default(own: Option<u16>, port: Option<u16>) -> bool {
    let default = |port| matches!(port, Some(80 | 443));
    default(own) && default(port)
}

impl TargetUrl {
    /// From text a store wrote.
    #[must_use]
    pub fn from_stored(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The URL in normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(schemes: &[&str]) -> TargetRules {
        TargetRules {
            schemes: schemes.iter().map(|s| (*s).to_owned()).collect(),
            allow_credentials: false,
            own_hosts: vec![
                (Domain::parse("go.example").unwrap(), Some(443)),
                (Domain::parse("127.0.0.1").unwrap(), Some(8080)),
                (Domain::parse("any.example").unwrap(), None),
            ],
        }
    }

    fn parse(text: &str) -> Result<String, TargetError> {
        rules(&["http", "https"])
            .parse(text)
            .map(|url| url.to_string())
    }

    #[test]
    fn targets_become_ascii_in_normal_form() {
        for (text, normal) in [
            ("HTTP://Example.COM:80", "http://example.com/"),
            (" https://example.com/a/../b ", "https://example.com/b"),
            (
                "https://b\u{fc}cher.example/\u{e4}?\u{f6}=\u{fc}#\u{df}",
                "https://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC#%C3%9F",
            ),
            (
                "https://example.com/a b?c d#e f",
                "https://example.com/a%20b?c%20d#e%20f",
            ),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("https://a.example/?", "https://a.example/?"),
            ("https://a.example/%e4?x=%zz", "https://a.example/%e4?x=%zz"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(normal), "{text}");
        }
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for text in [
            "",
            "example.com",
            "/a",
            "http://",
            "https://a b/",
            "http://[::1",
            // Names nothing: no browser opens it.
            "http://./",
            "https://..:443/a",
        ] {
            assert!(
                matches!(parse(text), Err(TargetError::Malformed(_))),
                "{text}"
            );
        }
        assert!(matches!(
            parse("ftp://a.example/"),
            Err(TargetError::Scheme(_))
        ));
        for text in [
            "https://a.example/\n",
            "java\tscript:alert(1)",
            "\u{1}https://a.example",
            "https://a.example/\u{85}",
            "https://a.example/\r\nSet-Cookie: a=b",
            "https://a\0.example/",
        ] {
            assert_eq!(parse(text), Err(TargetError::ControlCharacter), "{text:?}");
        }
        for text in [
            "https://u@a.example",
            "https://u:p@a.example",
            "https://:p@a.example",
        ] {
            assert_eq!(parse(text), Err(TargetError::Credentials), "{text}");
        }
    }

    #[test]
    fn other_schemes_are_for_the_configuration_but_never_those_that_run_scripts() {
        let rules = rules(&["mailto", "tel", "javascript", "data", "file", "app"]);
        let parsed = |text: &str| rules.parse(text).map(|url| url.to_string());
        assert_eq!(
            parsed("mailto:a@b.example?subject=a b").as_deref(),
            Ok("mailto:a@b.example?subject=a%20b")
        );
        assert_eq!(parsed("mailto:a b").as_deref(), Ok("mailto:a%20b"));
        assert_eq!(parsed("tel:+49-1").as_deref(), Ok("tel:+49-1"));
        assert_eq!(parsed("app://Open/x").as_deref(), Ok("app://Open/x"));
        for bad in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://a.example/",
        ] {
            assert!(matches!(parsed(bad), Err(TargetError::Scheme(_))), "{bad}");
        }
    }

    #[test]
    fn own_hosts_are_known_however_they_are_written() {
        for text in [
            "https://go.example/x",
            "http://go.example",
            "https://GO.Example.:443/",
            "http://127.0.0.1:8080/",
            "http://0x7f000001:8080/",
            "http://any.example:99/",
        ] {
            assert_eq!(parse(text), Err(TargetError::Loop), "{text}");
        }
        for text in [
            "https://go.example:8443/",
            "http://127.0.0.1/",
            "https://www.go.example/",
            "https://go.example.org/",
            "https://a.example/?to=https://go.example/",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn credentials_pass_where_they_are_allowed() {
        let rules = TargetRules {
            allow_credentials: true,
            ..rules(&["https"])
        };
        assert!(rules.parse("https://u:p@a.example/").is_ok());
    }

    #[test]
    fn the_length_is_bounded_before_and_after_normalisation() {
        let long = |path: String| format!("https://a.example/{path}");
        let room = MAX_TARGET_BYTES - long(String::new()).len();
        assert!(parse(&long("a".repeat(room))).is_ok());
        assert_eq!(
            parse(&long("a".repeat(room + 1))),
            Err(TargetError::TooLong)
        );
        assert_eq!(
            parse(&long("\u{e4}".repeat(room / 2))),
            Err(TargetError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn a_normal_form_is_ascii_and_stays_as_it_is(
            scheme in prop_oneof!["https?:", "mailto:", "app:"],
            rest in prop_oneof!["//[a-z0-9.@:]{1,20}[/?#]\\PC{0,40}", "\\PC{0,60}", "[/.@%\\\\?#a ]{0,20}"],
        ) {
            let rules = rules(&["http", "https", "mailto", "app"]);
            if let Ok(url) = rules.parse(&format!("{scheme}{rest}")) {
                prop_assert!(url.as_str().bytes().all(|b| b.is_ascii_graphic()), "{}", url);
                prop_assert_eq!(rules.parse(url.as_str()), Ok(url));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = rules(&["http", "https", "app"]).parse(&text);
        }
    }
}
