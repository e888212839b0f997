//! The cookies of the dashboard.

use std::fmt;
use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// When it is sent along.
#[derive(Debug, Clone, Copy)]
pub(super) enum SameSite {
    /// From our own pages only.
    Strict,
    /// When somebody follows a link to us, too.
    Lax,
}

/// A cookie that scripts cannot read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cookie {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) same_site: SameSite,
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
        })
    }
}

impl Cookie {
    /// Has the browser keep a value; over TLS, it never sends that in plain.
    pub(super) fn set(
        self,
        value: &str,
        keep: Duration,
        over_tls: bool,
    ) -> Option<(HeaderName, HeaderValue)> {
        let Self {
            name,
            path,
            same_site,
        } = self;
        let seconds = keep.as_secs();
        let secure = if over_tls { "; Secure" } else { "" };
        let cookie = format!(
            "{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}"
        );
        Some((SET_COOKIE, HeaderValue::from_str(&cookie).ok()?))
    }

    /// Its value, if it came along.
    pub(super) fn find(self, headers: &HeaderMap) -> Option<&str> {
        let all = headers.get_all(COOKIE).iter();
        let pairs = all.filter_map(|value| value.to_str().ok());
        let mut pairs = pairs.flat_map(|value| value.split(';'));
        pairs.find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.name).then_some(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: Cookie = Cookie {
        name: "tollgate_session",
        path: "/",
        same_site: SameSite::Strict,
    };

    #[test]
    fn it_is_found_among_others() {
        let found = |value: &str| {
            let header = (http::header::COOKIE, value.parse().unwrap());
            let headers = HeaderMap::from_iter([header]);
            COOKIE.find(&headers).map(str::to_owned)
        };
        assert_eq!(found("a=b; tollgate_session=t; c=d").as_deref(), Some("t"));
        assert_eq!(found("tollgate_session=t").as_deref(), Some("t"));
        assert_eq!(found("xtollgate_session=t"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn it_is_kept_from_scripts_and_from_plain_connections() {
        let (_, plain) = COOKIE.set("t", Duration::from_mins(1), false).unwrap();
        let expected = "tollgate_session=t; Path=/; Max-Age=60; HttpOnly; SameSite=Strict";
        assert_eq!(plain, expected);
        let (_, over_tls) = COOKIE.set("t", Duration::from_mins(1), true).unwrap();
        assert_eq!(over_tls, format!("{expected}; Secure"));
    }
}
