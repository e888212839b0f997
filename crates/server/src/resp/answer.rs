//! One command: who may give it, what it does, what it answers.

use bytes::Bytes;
use tollgate_limit::store::StoreError;

use super::accept::RespThread;
use super::check;
use super::command::{self, Name};
use super::info;
use super::reply::Replies;
use super::session::{Refused, Session, unknown_subcommand};
use super::throttle::{self, Dialect};
use crate::metrics::RespOutcome;

/// What comes after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The next command.
    GoOn,
    /// The end of the connection, once the answer is written.
    Close,
}

/// Answers a command, whose words are at least its name.
pub(super) async fn answer(
    thread: &RespThread,
    session: &mut Session,
    words: &[Bytes],
    replies: &mut Replies,
) -> Next {
    let name = words.first().map_or(&[][..], |word| word);
    let found = command::find(name);
    let count = |outcome| {
        thread
            .recorder
            .observe(found.map(|spec| spec.name), outcome)
    };
    // A page in somebody's browser can make it send HTTP here: Redis guards against that as well.
    if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
        tracing::debug!("a connection that speaks HTTP was closed");
        count(RespOutcome::Refused);
        return Next::Close;
    }
    let answered = match found {
        _ if !session.authenticated && !found.is_some_and(command::Spec::before_auth) => {
            Err("NOAUTH Authentication required.".into())
        }
        None => Err(unknown(name, &words[1..])),
        Some(spec) if !spec.takes(words.len()) => Err(wrong_count(spec.name)),
        Some(spec) => run(thread, session, spec.name, words, replies).await,
    };
    match answered {
        Ok(outcome) => count(outcome),
        Err(refused) => {
            replies.error(&refused);
            count(RespOutcome::Refused);
        }
    }
    match found.map(|spec| spec.name) {
        Some(Name::Quit) => Next::Close,
        _ => Next::GoOn,
    }
}

async fn run(
    thread: &RespThread,
    session: &mut Session,
    name: Name,
    words: &[Bytes],
    replies: &mut Replies,
) -> Result<RespOutcome, Refused> {
    let password = thread.shared.password.as_ref();
    match name {
        Name::ClThrottle => return limit(thread, Dialect::Cell, words, replies).await,
        Name::Throttle => return limit(thread, Dialect::Crab, words, replies).await,
        Name::TgCheck => return by_policies(thread, words, replies).await,
        Name::Ping => match words {
            [_] => replies.simple("PONG"),
            [_, message] => replies.bulk(message),
            _ => return Err(wrong_count(name)),
        },
        Name::Echo => replies.bulk(&words[1]),
        Name::Auth => {
            session.auth(words, password)?;
            replies.simple("OK");
        }
        Name::Hello => session.hello(words, password, replies)?,
        Name::Info => replies.verbatim(&info::text(&thread.shared, &words[1..])),
        Name::Command => {
            command::command(words, replies).map_err(unknown_subcommand)?;
        }
        Name::Client => session.client(words, replies)?,
        Name::Select => match std::str::from_utf8(&words[1]).map(str::parse::<i64>) {
            Ok(Ok(0)) => replies.simple("OK"),
            Ok(Ok(_)) => return Err("ERR DB index is out of range".into()),
            _ => return Err("ERR value is not an integer or out of range".into()),
        },
        Name::Quit => replies.simple("OK"),
        Name::Reset => {
            session.reset(password, replies);
            replies.simple("RESET");
        }
    }
    Ok(RespOutcome::Done)
}

async fn limit(
    thread: &RespThread,
    dialect: Dialect,
    words: &[Bytes],
    replies: &mut Replies,
) -> Result<RespOutcome, Refused> {
    let charge =
        throttle::charge(dialect, words).map_err(|error| Refused::from(format!("ERR {error}")))?;
    let decided = match thread.shared.state.store.decide(&[charge]).await {
        Ok(decided) => decided
            .into_iter()
            .next()
            .ok_or_else(|| StoreError::Failed("it answered a charge with no decision".to_owned())),
        Err(error) => Err(error),
    };
    match decided {
        Ok(shaped) => {
            throttle::answer(dialect, &shaped.decision, replies);
            Ok(match shaped.decision.allowed() {
                true => RespOutcome::Allowed,
                false => RespOutcome::Limited,
            })
        }
        Err(error) => {
            thread.store_failures.log(&error);
            // The log has the details, which are nothing for strangers.
            replies.error(match error {
                StoreError::Unavailable(_) => "ERR the store of limits cannot be reached",
                StoreError::Failed(_) => "ERR the store of limits failed",
            });
            Ok(RespOutcome::Unavailable)
        }
    }
}

/// The answer comes at once, also where a policy delays: whoever waited here would hold up the
/// commands behind it.
async fn by_policies(
    thread: &RespThread,
    words: &[Bytes],
    replies: &mut Replies,
) -> Result<RespOutcome, Refused> {
    let refused = |error: &dyn std::fmt::Display| Refused::from(format!("ERR {error}"));
    let request = check::request(words).map_err(|error| refused(&error))?;
    let service = &thread.shared.state.service;
    let answer = service.check(&request).await;
    let answer = answer.map_err(|error| refused(&error))?;
    check::answer(&answer, replies);
    Ok(match answer.allowed {
        true => RespOutcome::Allowed,
        false => RespOutcome::Limited,
    })
}

fn wrong_count(name: Name) -> Refused {
    match name {
        Name::ClThrottle => format!("ERR {}", throttle::ThrottleError::Usage),
        name => format!(
            "ERR wrong number of arguments for '{}' command",
            name.text()
        ),
    }
    .into()
}

/// The text of Redis, which shows the name and the first 128 bytes of the arguments.
fn unknown(name: &[u8], arguments: &[Bytes]) -> Refused {
    const SHOWN: usize = 128;
    let shown = |word: &[u8], most: usize| {
        String::from_utf8_lossy(&word[..word.len().min(most)]).into_owned()
    };
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        shown(name, SHOWN)
    );
    let mut left = SHOWN;
    for argument in arguments {
        if left == 0 {
            break;
        }
        let part = format!("'{}' ", shown(argument, left));
        left = left.saturating_sub(part.len());
        text.push_str(&part);
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_shown_with_a_part_of_its_arguments() {
        let words = ["a".into(), "x".repeat(500).into(), "b".into()];
        assert_eq!(
            unknown(b"get", &words[..1]),
            "ERR unknown command 'get', with args beginning with: 'a' "
        );
        let long = unknown(&[b'y'; 1000], &words);
        assert!(long.len() < 320, "{}", long.len());
        assert!(!long.contains("'b'"), "{long}");
    }
}
