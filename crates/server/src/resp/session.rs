//! What a connection has said of itself: password, name, version of the protocol.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::reply::{Protocol, Replies};

/// The only user.
const USER: &[u8] = b"default";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

/// The password of the listener, as its hash: comparing hashes takes as long for a word of any
/// length.
pub(super) struct Password([u8; 32]);

impl Password {
    pub(super) fn new(secret: &SecretString) -> Self {
        Self(Sha256::digest(secret.expose_secret()).into())
    }

    fn is(&self, word: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(word).into();
        self.0.ct_eq(&hash).into()
    }
}

/// A connection's own state.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: i64,
    pub(super) authenticated: bool,
    pub(super) name: Vec<u8>,
}

/// What is refused, as the text of the answer.
pub(super) type Refused = std::borrow::Cow<'static, str>;

impl Session {
    pub(super) fn new(id: i64, password: Option<&Password>) -> Self {
        Self {
            id,
            authenticated: password.is_none(),
            name: Vec::new(),
        }
    }

    /// `AUTH [user] password`.
    pub(super) fn auth(
        &mut self,
        words: &[&[u8]],
        password: Option<&Password>,
    ) -> Result<(), Refused> {
        match (words, password) {
            ([_, _], None) => Err(
                "ERR AUTH <password> called without any password configured \
                 for the default user. Are you sure your configuration is correct?"
                    .into(),
            ),
            ([_, word], Some(_)) => self.log_in(USER, word, password),
            ([_, user, word], _) => self.log_in(user, word, password),
            _ => Err("ERR syntax error".into()),
        }
    }

    /// Without a password every word is right, as in Redis.
    fn log_in(
        &mut self,
        user: &[u8],
        word: &[u8],
        password: Option<&Password>,
    ) -> Result<(), Refused> {
        let right = password.is_none_or(|password| password.is(word));
        if user != USER || !right {
            return Err(WRONG_PASSWORD.into());
        }
        self.authenticated = true;
        Ok(())
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`: all of it, or nothing.
    pub(super) fn hello(
        &mut self,
        words: &[&[u8]],
        password: Option<&Password>,
        replies: &mut Replies<'_>,
    ) -> Result<(), Refused> {
        let mut protocol = replies.protocol;
        let (mut user, mut name) = (None, None);
        let mut rest = words.get(1..).unwrap_or_default();
        if let [version, options @ ..] = rest {
            rest = options;
            protocol = match *version {
                b"2" => Protocol::Resp2,
                b"3" => Protocol::Resp3,
                other if std::str::from_utf8(other).is_ok_and(|v| v.parse::<i64>().is_ok()) => {
                    return Err("NOPROTO unsupported protocol version".into());
                }
                _ => {
                    return Err("ERR Protocol version is not an integer or out of range".into());
                }
            };
        }
        while let [option, options @ ..] = rest {
            rest = match options {
                [as_user, word, after @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                    user = Some((as_user, word));
                    after
                }
                [new, after @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                    check_name(new)?;
                    name = Some(new);
                    after
                }
                _ => {
                    let shown = String::from_utf8_lossy(&option[..option.len().min(64)]);
                    return Err(format!("ERR Syntax error in HELLO option '{shown}'").into());
                }
            };
        }
        if let Some((user, word)) = user {
            self.log_in(user, word, password)?;
        }
        if !self.authenticated {
            return Err(
                "NOAUTH HELLO must be called with the client already authenticated, \
                 otherwise the HELLO <proto> AUTH <user> <pass> option can be used to \
                 authenticate the client and select the RESP protocol version at the same time"
                    .into(),
            );
        }
        if let Some(name) = name {
            self.name = name.to_vec();
        }
        replies.protocol = protocol;
        self.introduce(replies);
        Ok(())
    }

    fn introduce(&self, replies: &mut Replies<'_>) {
        replies.map(7);
        for (key, value) in [
            ("server", "tollgate"),
            ("version", env!("CARGO_PKG_VERSION")),
        ] {
            replies.bulk(key);
            replies.bulk(value);
        }
        replies.bulk("proto");
        replies.integer(replies.protocol.number());
        replies.bulk("id");
        replies.integer(self.id);
        for (key, value) in [("mode", "standalone"), ("role", "master")] {
            replies.bulk(key);
            replies.bulk(value);
        }
        replies.bulk("modules");
        replies.array(0);
    }

    /// `CLIENT …`, what clients send at their start.
    pub(super) fn client(
        &mut self,
        words: &[&[u8]],
        replies: &mut Replies<'_>,
    ) -> Result<(), Refused> {
        let subcommand = words.get(1).map(|word| word.to_ascii_lowercase());
        let subcommand = subcommand.as_deref().unwrap_or_default();
        match (subcommand, words.get(2..).unwrap_or_default()) {
            (b"id", []) => replies.integer(self.id),
            (b"getname", []) if self.name.is_empty() => replies.null(),
            (b"getname", []) => replies.bulk(&self.name),
            (b"setname", [name]) => {
                check_name(name)?;
                self.name = name.to_vec();
                replies.simple("OK");
            }
            (b"setinfo", [attribute, value]) => {
                let lower = attribute.to_ascii_lowercase();
                if lower != b"lib-name" && lower != b"lib-ver" {
                    let shown = String::from_utf8_lossy(&attribute[..attribute.len().min(64)]);
                    return Err(format!("ERR Unrecognized option '{shown}'").into());
                }
                // Nobody asks for it; refusing it would keep clients away.
                check_name(value)?;
                replies.simple("OK");
            }
            (b"id" | b"getname" | b"setname" | b"setinfo", _) => {
                let name = String::from_utf8_lossy(subcommand);
                return Err(
                    format!("ERR wrong number of arguments for 'client|{name}' command").into(),
                );
            }
            _ => return Err(unknown_subcommand(words.get(1).map_or(&[], |word| word))),
        }
        Ok(())
    }

    /// As if it were new, but for its number.
    pub(super) fn reset(&mut self, password: Option<&Password>, replies: &mut Replies<'_>) {
        *self = Self::new(self.id, password);
        replies.protocol = Protocol::default();
    }
}

/// The answer to a subcommand that does not exist.
pub(super) fn unknown_subcommand(subcommand: &[u8]) -> Refused {
    let shown = String::from_utf8_lossy(&subcommand[..subcommand.len().min(128)]);
    format!("ERR unknown subcommand '{shown}'").into()
}

fn check_name(name: &[u8]) -> Result<(), Refused> {
    match name.iter().all(u8::is_ascii_graphic) {
        true => Ok(()),
        false => Err(BAD_NAME.into()),
    }
}
