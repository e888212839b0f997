//! Which commands there are, as `COMMAND` describes them.

use super::reply::Replies;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    /// `CL.THROTTLE`
    ClThrottle,
    /// `THROTTLE`
    Throttle,
    /// `TG.CHECK`
    TgCheck,
    /// `PING`
    Ping,
    /// `ECHO`
    Echo,
    /// `AUTH`
    Auth,
    /// `HELLO`
    Hello,
    /// `INFO`
    Info,
    /// `COMMAND`
    Command,
    /// `CLIENT`
    Client,
    /// `SELECT`
    Select,
    /// `QUIT`
    Quit,
    /// `RESET`
    Reset,
}

/// What is known of a command.
pub(crate) struct Spec {
    pub(crate) name: Name,
    /// How many words it has, its name included; at least so many if it is negative.
    arity: i64,
    flags: &'static [&'static str],
    /// Whether its first argument is a key.
    key: bool,
    summary: &'static str,
    group: &'static str,
}

impl Name {
    /// In lower case, as Redis shows names.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::ClThrottle => "cl.throttle",
            Self::Throttle => "throttle",
            Self::TgCheck => "tg.check",
            Self::Ping => "ping",
            Self::Echo => "echo",
            Self::Auth => "auth",
            Self::Hello => "hello",
            Self::Info => "info",
            Self::Command => "command",
            Self::Client => "client",
            Self::Select => "select",
            Self::Quit => "quit",
            Self::Reset => "reset",
        }
    }
}

const fn spec(name: Name, arity: i64, group: &'static str, summary: &'static str) -> Spec {
    Spec {
        name,
        arity,
        flags: &["fast"],
        key: false,
        summary,
        group,
    }
}

const fn limit(name: Name, summary: &'static str) -> Spec {
    Spec {
        flags: &["write", "fast"],
        key: true,
        ..spec(name, -5, "module", summary)
    }
}

const fn before_auth(name: Name, arity: i64, summary: &'static str) -> Spec {
    Spec {
        flags: &["fast", "no_auth"],
        ..spec(name, arity, "connection", summary)
    }
}

/// All of them.
pub(crate) const ALL: [Spec; 13] = [
    limit(
        Name::ClThrottle,
        "Takes from the limit of a key, and tells what is left.",
    ),
    limit(
        Name::Throttle,
        "Takes from the limit of a key; the answer has another order.",
    ),
    Spec {
        // The policies say what is counted by: no word is a key of a store.
        key: false,
        ..limit(
            Name::TgCheck,
            "Takes from the limit that the policies of a domain have for a descriptor.",
        )
    },
    spec(
        Name::Ping,
        -1,
        "connection",
        "Answers PONG, or the message.",
    ),
    spec(Name::Echo, 2, "connection", "Answers the message."),
    before_auth(Name::Auth, -2, "Authenticates the connection."),
    before_auth(Name::Hello, -1, "Chooses the version of the protocol."),
    spec(Name::Info, -1, "server", "Tells about the server."),
    spec(Name::Command, -1, "server", "Describes the commands."),
    spec(Name::Client, -2, "connection", "Names the connection."),
    spec(Name::Select, 2, "connection", "Takes 0, the only database."),
    before_auth(Name::Quit, -1, "Closes the connection."),
    before_auth(Name::Reset, 1, "Makes the connection as if it were new."),
];

/// The command of this name, in whatever case.
pub(super) fn find(name: &[u8]) -> Option<&'static Spec> {
    ALL.iter()
        .find(|spec| spec.name.text().as_bytes().eq_ignore_ascii_case(name))
}

impl Spec {
    /// Whether it takes so many words, its name included.
    pub(super) fn takes(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        if self.arity < 0 {
            words >= -self.arity
        } else {
            words == self.arity
        }
    }

    /// Whether it may come before the password.
    pub(super) fn before_auth(&self) -> bool {
        self.flags.contains(&"no_auth")
    }

    fn describe(&self, replies: &mut Replies<'_>) {
        replies.array(10);
        replies.bulk(self.name.text());
        replies.integer(self.arity);
        replies.set(self.flags.len());
        for flag in self.flags {
            replies.simple(flag);
        }
        // Where the keys are: the first, the last, the step.
        for _ in 0..3 {
            replies.integer(i64::from(self.key));
        }
        // Categories of access, tips.
        replies.set(0);
        replies.array(0);
        // Key specifications, which say the same more exactly, and subcommands.
        replies.array(0);
        replies.array(0);
    }

    fn document(&self, replies: &mut Replies<'_>) {
        let fields = [
            ("summary", self.summary),
            ("since", env!("CARGO_PKG_VERSION")),
            ("group", self.group),
        ];
        replies.bulk(self.name.text());
        replies.map(fields.len());
        for (field, text) in fields {
            replies.bulk(field);
            replies.bulk(text);
        }
    }
}

/// Answers `COMMAND` and its subcommands; `Err` holds one that does not exist.
pub(super) fn command<'a>(words: &[&'a [u8]], replies: &mut Replies<'_>) -> Result<(), &'a [u8]> {
    let (subcommand, names) = match words {
        [_, subcommand, names @ ..] => (Some(subcommand), names),
        _ => (None, words),
    };
    let named = names.iter().map(|name| find(name));
    match subcommand.map(|word| word.to_ascii_lowercase()).as_deref() {
        None => describe_all(replies),
        Some(b"info") if names.is_empty() => describe_all(replies),
        Some(b"info") => {
            replies.array(names.len());
            for spec in named {
                match spec {
                    Some(spec) => spec.describe(replies),
                    None => replies.null_array(),
                }
            }
        }
        Some(b"docs") if names.is_empty() => {
            replies.map(ALL.len());
            ALL.iter().for_each(|spec| spec.document(replies));
        }
        Some(b"docs") => {
            let known: Vec<_> = named.flatten().collect();
            replies.map(known.len());
            known.iter().for_each(|spec| spec.document(replies));
        }
        Some(b"count") if names.is_empty() => replies.integer(ALL.len() as i64),
        Some(b"list") if names.is_empty() => {
            replies.array(ALL.len());
            ALL.iter().for_each(|spec| replies.bulk(spec.name.text()));
        }
        Some(_) => return Err(subcommand.map_or(&[], |word| word)),
    }
    Ok(())
}

fn describe_all(replies: &mut Replies<'_>) {
    replies.array(ALL.len());
    ALL.iter().for_each(|spec| spec.describe(replies));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_in_the_order_of_their_names() {
        for (i, spec) in ALL.iter().enumerate() {
            assert_eq!(spec.name as usize, i);
            let upper = spec.name.text().to_uppercase();
            assert!(find(upper.as_bytes()).is_some_and(|found| found.name == spec.name));
        }
        assert!(find(b"get").is_none());
        assert!(find(b"").is_none());
    }

    #[test]
    fn the_number_of_words_is_exact_or_the_least() {
        let takes = |name: &[u8], words| find(name).unwrap().takes(words);
        assert!(takes(b"echo", 2) && !takes(b"echo", 1) && !takes(b"echo", 3));
        assert!(takes(b"auth", 2) && takes(b"auth", 3) && !takes(b"auth", 1));
    }
}
