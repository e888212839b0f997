//! One command: who may give it, what it does, what it answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use tollgate_limit::Shaped;
use tollgate_limit::service::{self, CheckAnswer};
use tollgate_limit::store::{LimitStore, StoreError};

use super::accept::RespThread;
use super::check;
use super::command::{self, Name};
use super::info;
use super::reply::Replies;
use super::session::{Refused, Session, unknown_subcommand};
use super::throttle::{self, Dialect};
use crate::metrics::RespOutcome;

/// What comes of a command.
pub(super) enum Step {
    /// It is answered; the next one is to be.
    GoOn,
    /// The end of the connection, once the answer is written.
    Close,
    /// The answer comes later, before that to the next one.
    Late(Late),
}

/// An answer that waits for a store.
pub(super) struct Late {
    name: Name,
    asking: Asking,
}

type Asking = Pin<Box<dyn Future<Output = Asked> + Send>>;

/// What was asked for, and what came of it.
enum Asked {
    Limit(Dialect, Result<Shaped, StoreError>),
    Policies(Result<CheckAnswer, service::CheckError>),
}

/// What a command has done.
enum Ran {
    Done(RespOutcome),
    Late(Asking),
}

impl From<RespOutcome> for Ran {
    fn from(outcome: RespOutcome) -> Self {
        Self::Done(outcome)
    }
}

/// Answers a command, whose words are at least its name.
pub(super) fn answer(
    thread: &RespThread,
    session: &mut Session,
    words: &[&[u8]],
    replies: &mut Replies<'_>,
) -> Step {
    let name = words.first().copied().unwrap_or_default();
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
        return Step::Close;
    }
    let answered = match found {
        _ if !session.authenticated && !found.is_some_and(command::Spec::before_auth) => {
            Err("NOAUTH Authentication required.".into())
        }
        None => Err(unknown(name, &words[1..])),
        Some(spec) if !spec.takes(words.len()) => Err(wrong_count(spec.name)),
        Some(spec) => match run(thread, session, spec.name, words, replies) {
            Ok(Ran::Done(outcome)) => Ok(outcome),
            Ok(Ran::Late(asking)) => {
                let name = spec.name;
                return Step::Late(Late { name, asking });
            }
            Err(refused) => Err(refused),
        },
    };
    match answered {
        Ok(outcome) => count(outcome),
        Err(refused) => {
            replies.error(&refused);
            count(RespOutcome::Refused);
        }
    }
    match found.map(|spec| spec.name) {
        Some(Name::Quit) => Step::Close,
        _ => Step::GoOn,
    }
}

impl Late {
    /// Writes the answer once it is there.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        thread: &RespThread,
        replies: &mut Replies<'_>,
    ) -> Poll<()> {
        let asked = ready!(self.asking.as_mut().poll(cx));
        let outcome = tell(thread, asked, replies);
        thread.recorder.observe(Some(self.name), outcome);
        Poll::Ready(())
    }
}

fn run(
    thread: &RespThread,
    session: &mut Session,
    name: Name,
    words: &[&[u8]],
    replies: &mut Replies<'_>,
) -> Result<Ran, Refused> {
    let password = thread.shared.password.as_ref();
    match name {
        Name::ClThrottle => return limit(thread, Dialect::Cell, words, replies),
        Name::Throttle => return limit(thread, Dialect::Crab, words, replies),
        Name::TgCheck => return by_policies(thread, words, replies),
        Name::Ping => match words {
            [_] => replies.simple("PONG"),
            [_, message] => replies.bulk(message),
            _ => return Err(wrong_count(name)),
        },
        Name::Echo => replies.bulk(words[1]),
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
        Name::Select => match std::str::from_utf8(words[1]).map(str::parse::<i64>) {
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
    Ok(RespOutcome::Done.into())
}

fn limit(
    thread: &RespThread,
    dialect: Dialect,
    words: &[&[u8]],
    replies: &mut Replies<'_>,
) -> Result<Ran, Refused> {
    let request =
        throttle::request(dialect, words).map_err(|error| Refused::from(format!("ERR {error}")))?;
    let store = &thread.shared.state.store;
    if let Some(shaped) = store.decide_at_once(&request.key, &request.limiter, request.cost) {
        return Ok(tell(thread, Asked::Limit(dialect, Ok(shaped)), replies).into());
    }
    let store = Arc::clone(store);
    let asking = async move { Asked::Limit(dialect, ask(&*store, request).await) };
    Ok(Ran::Late(Box::pin(asking)))
}

/// The answer comes at once, also where a policy delays: whoever waited here would hold up the
/// commands behind it.
fn by_policies(
    thread: &RespThread,
    words: &[&[u8]],
    replies: &mut Replies<'_>,
) -> Result<Ran, Refused> {
    let request = check::request(words).map_err(|error| Refused::from(format!("ERR {error}")))?;
    let service = Arc::clone(&thread.shared.state.service);
    let mut asking: Asking =
        Box::pin(async move { Asked::Policies(service.check(&request).await) });
    // A store in memory has the answer already.
    Ok(match asking.as_mut().now_or_never() {
        Some(asked) => tell(thread, asked, replies).into(),
        None => Ran::Late(asking),
    })
}

/// Writes what came of it.
fn tell(thread: &RespThread, asked: Asked, replies: &mut Replies<'_>) -> RespOutcome {
    let allowed = match asked {
        Asked::Limit(dialect, Ok(shaped)) => {
            throttle::answer(dialect, &shaped.decision, replies);
            shaped.decision.allowed()
        }
        Asked::Limit(_, Err(error)) => {
            thread.store_failures.log(&error);
            // The log has the details, which are nothing for strangers.
            replies.error(match error {
                StoreError::Unavailable(_) => "ERR the store of limits cannot be reached",
                StoreError::Failed(_) => "ERR the store of limits failed",
            });
            return RespOutcome::Unavailable;
        }
        Asked::Policies(Ok(answer)) => {
            check::answer(&answer, replies);
            answer.allowed
        }
        Asked::Policies(Err(error)) => {
            replies.error(&format!("ERR {error}"));
            return RespOutcome::Refused;
        }
    };
    match allowed {
        true => RespOutcome::Allowed,
        false => RespOutcome::Limited,
    }
}

/// Asks a store that has to be waited for.
async fn ask(store: &dyn LimitStore, request: throttle::Request) -> Result<Shaped, StoreError> {
    let failed = |why: String| StoreError::Failed(why);
    let charge = request
        .into_charge()
        .map_err(|error| failed(error.to_string()))?;
    let decided = store.decide(&[charge]).await?.into_iter().next();
    decided.ok_or_else(|| failed("it answered a charge with no decision".to_owned()))
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
fn unknown(name: &[u8], arguments: &[&[u8]]) -> Refused {
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
        let long = "x".repeat(500);
        let words = [b"a", long.as_bytes(), b"b"];
        assert_eq!(
            unknown(b"get", &words[..1]),
            "ERR unknown command 'get', with args beginning with: 'a' "
        );
        let long = unknown(&[b'y'; 1000], &words);
        assert!(long.len() < 320, "{}", long.len());
        assert!(!long.contains("'b'"), "{long}");
    }
}
