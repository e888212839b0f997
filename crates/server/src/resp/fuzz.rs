//! What has to hold for whatever a client of the Redis protocol sends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame as _};
use redis_protocol::{resp2, resp3};
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::policy::PolicySet;
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{MemoryOptions, MemoryStore};

use super::accept::{RespThread, Shared};
use super::answer::{Step, answer};
use super::reply::{Protocol, Replies};
use super::request::{FrameLimits, ProtocolError, Requests};
use super::{MAX_ELEMENTS, MAX_FRAME, RespOptions, RespState};
use crate::metrics::Metrics;

const POLICIES: &str = "\
domain: shop
descriptors:
  - key: user
    rate_limit: {unit: minute, requests_per_unit: 2}
  - key: job
    rate_limit: {unit: second, requests_per_unit: 2, burst: 3, on_exceed: delay}
";
const PASSWORD: &str = "pass";
const LIMITS: FrameLimits = FrameLimits {
    elements: MAX_ELEMENTS,
    bytes: MAX_FRAME,
    unauthenticated: false,
};

type Command = Vec<Vec<u8>>;

/// Bytes are the same commands however they arrive; commands that another library reads are those that we read; and
/// each has one answer, which that library understands.
pub fn resp(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else {
        return;
    };
    let (commands, fault) = read(&[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(cut % 32) + 1).collect();
    assert_eq!(read(&pieces), (commands.clone(), fault));
    for command in &commands {
        assert!((1..=MAX_ELEMENTS).contains(&command.len()));
        assert!(command.iter().map(Vec::len).sum::<usize>() <= bytes.len().min(MAX_FRAME));
    }
    if let Some(theirs) = first_of_others(bytes) {
        assert_eq!(commands.first(), Some(&theirs), "as others read it");
    }
    // With and without a password.
    converse(&commands, cut >= 128);
}

fn read(pieces: &[&[u8]]) -> (Vec<Command>, Option<ProtocolError>) {
    let (mut requests, mut commands) = (Requests::default(), Vec::new());
    let mut unread = Vec::new();
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            match requests.next(&unread, &LIMITS) {
                Ok(Some(words)) => {
                    commands.push(words.iter().map(|word| word.to_vec()).collect());
                }
                Ok(None) => break,
                Err(fault) => return (commands, Some(fault)),
            }
        }
        unread.drain(..requests.done());
    }
    (commands, None)
}

/// The command at the beginning, if it is one that is within the limits, as another library reads it. That takes more
/// than Redis writes, such as anything for a line end: of such bytes it has no say.
fn first_of_others(bytes: &[u8]) -> Option<Command> {
    let Ok(Some((frame, length))) = resp2::decode::decode(bytes) else {
        return None;
    };
    let mut written = vec![0; length];
    let same = resp2::encode::encode(&mut written, &frame, false) == Ok(length);
    if !same || written != bytes[..length] {
        return None;
    }
    let OwnedFrame::Array(words) = frame else {
        return None;
    };
    if words.is_empty() || words.len() > MAX_ELEMENTS {
        return None;
    }
    let words = words.into_iter().map(|word| match word {
        OwnedFrame::BulkString(word) => Some(word),
        _ => None,
    });
    let words = words.collect::<Option<Command>>()?;
    (words.iter().map(Vec::len).sum::<usize>() <= MAX_FRAME).then_some(words)
}

/// Gives commands to a server, and reads what it answers.
fn converse(commands: &[Command], with_password: bool) {
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_700_000_000_000)));
    let Ok(policies) = PolicySet::parse("fuzz", POLICIES) else {
        unreachable!("the policies above are right");
    };
    let small = MemoryOptions {
        max_bytes: 1 << 20,
        max_keys: 1_000,
        shards: 1,
        seed: 7,
    };
    let store = Arc::new(MemoryStore::new(small, clock.clone()));
    let service = LimitService::new(policies, store.clone(), store.clone());
    let options = RespOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        threads: 1,
        max_connections: 1,
        idle_timeout: Duration::from_secs(1),
        max_frame: MAX_FRAME,
        password: with_password.then(|| PASSWORD.into()),
        drain: Duration::ZERO,
    };
    let thread = RespThread::new(&Arc::new(Shared::new(
        options,
        RespState {
            store,
            service: Arc::new(service),
            clock,
            metrics: Arc::new(Metrics::new()),
        },
    )));
    let mut session = thread.shared.session();
    let mut protocol = Protocol::default();
    for command in commands.iter().take(64) {
        let authenticated = session.authenticated;
        let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        let mut replies = Replies {
            out: &mut bytes,
            protocol,
        };
        let step = answer(&thread, &mut session, &words, &mut replies);
        protocol = replies.protocol;
        let ends = match step {
            Step::GoOn => false,
            Step::Close => true,
            Step::Late(_) => unreachable!("the store in memory never waits"),
        };
        match protocol {
            // Closed without a word, as it speaks HTTP.
            _ if bytes.is_empty() => assert!(ends),
            Protocol::Resp2 => {
                let answer = resp2::decode::decode(&bytes);
                let Ok(Some((frame, read))) = answer else {
                    panic!("no answer: {answer:?}");
                };
                assert_eq!(read, bytes.len(), "one answer");
                if !authenticated && !session.authenticated {
                    let text = frame.as_str().unwrap_or_default();
                    let harmless = ["OK", "RESET"].contains(&text);
                    assert!(harmless || matches!(frame, OwnedFrame::Error(_)), "{text}");
                }
            }
            Protocol::Resp3 => {
                let answer = resp3::decode::complete::decode(&bytes);
                let Ok(Some((_, read))) = answer else {
                    panic!("no answer: {answer:?}");
                };
                assert_eq!(read, bytes.len(), "one answer");
            }
        }
        if session.authenticated && !authenticated {
            assert!(command.iter().any(|word| word == PASSWORD.as_bytes()));
        }
        if ends {
            return;
        }
    }
}
