//! HTTP/2 frame by frame: what a server has to say to what RFC 9113 forbids, as h2spec asks for it, and to floods. The
//! client here knows next to nothing of the protocol, so it can send anything.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 32;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The longest wait for what usually takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The connection ends, for one of these reasons.
    Ends(&'static [u32]),
    /// The stream ends, for one of these reasons, and the connection goes on.
    Resets(&'static [u32]),
    /// It is as if it had not been sent: the connection goes on.
    Nothing,
    /// A request that is answered, and the connection goes on.
    Answer,
}

use Said::{Answer, Ends, Nothing, Resets};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields, none of which is indexed.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // Longer lengths take more than a byte.
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/a"),
    (":authority", "x"),
];
const POST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a"),
    (":authority", "x"),
];

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&GET))
}

/// A request without a body, with these fields.
fn request(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields))
}

/// The same, with these behind the usual ones.
fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    request(&[&GET, fields].concat())
}

/// The begin of a request with a body.
fn post(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &block(&[&POST, fields].concat()))
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    let payload = [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

/// What is sent, by the section that forbids it, and what a server says to it.
pub fn cases() -> Vec<(&'static str, Vec<u8>, Said)> {
    let protocol = Ends(&[PROTOCOL_ERROR]);
    let size = Ends(&[FRAME_SIZE_ERROR]);
    let malformed = Resets(&[PROTOCOL_ERROR]);
    let largest = vec![0; 16_384];
    vec![
        ("3.4 a request", get(1), Answer),
        (
            "4.1 a frame of an unknown type",
            frame(22, 0xff, 0, &[0; 8]),
            Nothing,
        ),
        (
            "4.1 an unknown flag",
            frame(PING, 0xfe, 0, &[0; 8]),
            Nothing,
        ),
        (
            "4.1 the reserved bit",
            frame(PING, 0, 1 << 31, &[0; 8]),
            Nothing,
        ),
        (
            "4.2 a frame that is too large",
            [post(&[]), frame(DATA, 0, 1, &[&largest[..], &[0]].concat())].concat(),
            size,
        ),
        (
            "4.2 headers that are too large",
            frame(HEADERS, END_HEADERS, 1, &vec![0; 16_385]),
            size,
        ),
        (
            "4.3 headers that are not compressed right",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x40, 0xff, 0xff]),
            Ends(&[COMPRESSION_ERROR]),
        ),
        (
            "4.3 an index that is none",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff, 0x80, 0x7f]),
            Ends(&[COMPRESSION_ERROR]),
        ),
        (
            "4.3 a table larger than agreed",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &[0x3f, 0xe1, 0xff, 0x3f],
            ),
            Ends(&[COMPRESSION_ERROR]),
        ),
        (
            "4.3 another frame within headers",
            [
                frame(HEADERS, END_STREAM, 1, &block(&GET)),
                frame(PING, 0, 0, &[0; 8]),
            ]
            .concat(),
            protocol,
        ),
        (
            "4.3 headers of another stream within headers",
            [frame(HEADERS, END_STREAM, 1, &block(&GET)), get(3)].concat(),
            protocol,
        ),
        (
            "5.1 data of an idle stream",
            frame(DATA, END_STREAM, 1, b"x"),
            protocol,
        ),
        (
            "5.1 the end of an idle stream",
            frame(RST_STREAM, 0, 1, &[0; 4]),
            protocol,
        ),
        (
            "5.1 a window of an idle stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            protocol,
        ),
        (
            "5.1.1 an even stream",
            frame(HEADERS, END_STREAM | END_HEADERS, 2, &block(&GET)),
            protocol,
        ),
        (
            "5.1.1 a stream before the last",
            [get(5), get(3)].concat(),
            Ends(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        ("6.1 data of no stream", frame(DATA, 0, 0, b"x"), protocol),
        (
            "6.1 padding longer than the data",
            [post(&[]), frame(DATA, PADDED | END_STREAM, 1, &[9, 0, 0])].concat(),
            protocol,
        ),
        (
            "6.2 headers of no stream",
            frame(HEADERS, END_STREAM | END_HEADERS, 0, &block(&GET)),
            protocol,
        ),
        (
            "6.2 padding longer than the headers",
            frame(HEADERS, PADDED | END_STREAM | END_HEADERS, 1, &[0xff, 0x82]),
            protocol,
        ),
        (
            "6.3 a priority",
            [frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7]), get(1)].concat(),
            Answer,
        ),
        (
            "6.3 a priority of no stream",
            frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 7]),
            protocol,
        ),
        (
            "6.4 the end of no stream",
            frame(RST_STREAM, 0, 0, &[0; 4]),
            protocol,
        ),
        (
            "6.4 an end that is too short",
            [post(&[]), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            size,
        ),
        (
            "6.5 settings of a stream",
            frame(SETTINGS, 0, 1, &[]),
            protocol,
        ),
        (
            "6.5 settings that are cut off",
            frame(SETTINGS, 0, 0, &[0; 5]),
            size,
        ),
        (
            "6.5 an acknowledgement with settings",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            size,
        ),
        ("6.5.2 neither to push nor not to", setting(2, 2), protocol),
        (
            "6.5.2 a window over 31 bits",
            setting(4, 1 << 31),
            Ends(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.5.2 frames smaller than all may send",
            setting(5, 16_383),
            protocol,
        ),
        (
            "6.5.2 frames larger than any may be",
            setting(5, 1 << 24),
            protocol,
        ),
        ("6.5.2 an unknown setting", setting(0xff, 1), Nothing),
        (
            "6.6 a promise of a client",
            [
                post(&[]),
                frame(
                    PUSH_PROMISE,
                    END_HEADERS,
                    1,
                    &[&[0, 0, 0, 2][..], &block(&GET)].concat(),
                ),
            ]
            .concat(),
            protocol,
        ),
        (
            "6.7 a ping of a stream",
            frame(PING, 0, 1, &[0; 8]),
            protocol,
        ),
        (
            "6.7 a ping that is too short",
            frame(PING, 0, 0, &[0; 7]),
            size,
        ),
        (
            "6.8 a farewell of a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            protocol,
        ),
        (
            "6.9 a window of nothing",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            protocol,
        ),
        (
            "6.9 a window of nothing of a stream",
            [post(&[]), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            malformed,
        ),
        (
            "6.9 a window that is too short",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]),
            size,
        ),
        (
            "6.9.1 a window over 31 bits",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            Ends(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.1 a window over 31 bits of a stream",
            [
                post(&[]),
                frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
            ]
            .concat(),
            Resets(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.10 headers in two frames",
            [
                frame(HEADERS, END_STREAM, 1, &block(&GET[..2])),
                frame(CONTINUATION, END_HEADERS, 1, &block(&GET[2..])),
            ]
            .concat(),
            Answer,
        ),
        (
            "6.10 the rest of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &block(&GET)),
            protocol,
        ),
        (
            "6.10 the rest of another",
            [
                frame(HEADERS, END_STREAM, 1, &block(&GET)),
                frame(CONTINUATION, END_HEADERS, 3, &[]),
            ]
            .concat(),
            protocol,
        ),
        (
            "8.1 trailers that do not end it",
            [
                post(&[]),
                frame(HEADERS, END_HEADERS, 1, &block(&[("x-a", "b")])),
            ]
            .concat(),
            malformed,
        ),
        (
            // The library below leaves it out.
            "8.1 a pseudo field in trailers",
            [
                post(&[]),
                frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&GET[..1])),
            ]
            .concat(),
            Nothing,
        ),
        (
            "8.1.1 less than was announced",
            [
                post(&[("content-length", "9")]),
                frame(DATA, END_STREAM, 1, b"x"),
            ]
            .concat(),
            malformed,
        ),
        (
            "8.1.1 more than was announced",
            [
                post(&[("content-length", "1")]),
                frame(DATA, END_STREAM, 1, b"xyz"),
            ]
            .concat(),
            malformed,
        ),
        ("8.2 a capital in a name", with(&[("X-a", "b")]), malformed),
        (
            "8.2.1 a line end in a value",
            with(&[("x-a", "b\r\nx-c: d")]),
            malformed,
        ),
        ("8.2.1 NUL in a value", with(&[("x-a", "b\0c")]), malformed),
        (
            "8.2.1 a colon in a name",
            with(&[("x-a:b", "c")]),
            malformed,
        ),
        ("8.2.1 a space in a name", with(&[("x a", "c")]), malformed),
        (
            "8.2.2 connection",
            with(&[("connection", "keep-alive")]),
            malformed,
        ),
        (
            "8.2.2 transfer-encoding",
            with(&[("transfer-encoding", "chunked")]),
            malformed,
        ),
        ("8.2.2 upgrade", with(&[("upgrade", "h2c")]), malformed),
        (
            "8.2.2 te of something else",
            with(&[("te", "gzip")]),
            malformed,
        ),
        (
            "8.3 an unknown pseudo field",
            with(&[(":test", "x")]),
            malformed,
        ),
        (
            "8.3 a pseudo field of answers",
            with(&[(":status", "200")]),
            malformed,
        ),
        (
            "8.3 a pseudo field behind others",
            request(&[GET[0], GET[1], ("x-a", "b"), GET[2], GET[3]]),
            malformed,
        ),
        ("8.3.1 no method", request(&GET[1..]), malformed),
        (
            "8.3.1 no scheme",
            request(&[GET[0], GET[2], GET[3]]),
            malformed,
        ),
        (
            "8.3.1 no path",
            request(&[GET[0], GET[1], GET[3]]),
            malformed,
        ),
        (
            "8.3.1 an empty path",
            request(&[GET[0], GET[1], (":path", ""), GET[3]]),
            malformed,
        ),
        (
            "8.3.1 two methods",
            request(&[GET[0], GET[0], GET[1], GET[2], GET[3]]),
            malformed,
        ),
        (
            "8.3.1 two paths",
            request(&[GET[0], GET[1], GET[2], (":path", "/hidden"), GET[3]]),
            malformed,
        ),
        (
            "8.3.1 a line end in the path",
            request(&[GET[0], GET[1], (":path", "/a HTTP/1.1\r\nx: y"), GET[3]]),
            malformed,
        ),
        (
            "8.3.1 a line end in the authority",
            request(&[GET[0], GET[1], GET[2], (":authority", "x\r\ny: z")]),
            malformed,
        ),
        (
            "10.5 streams that are reset at once",
            (0..5_000)
                .flat_map(|n| {
                    [
                        get(2 * n + 1),
                        frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]),
                    ]
                    .concat()
                })
                .collect(),
            Ends(&[ENHANCE_YOUR_CALM]),
        ),
        (
            "10.5 headers without an end",
            {
                let part = frame(CONTINUATION, 0, 1, &block(&[("x-a", "b")]).repeat(1_000));
                [
                    frame(HEADERS, END_STREAM, 1, &block(&GET)),
                    part.repeat(400),
                ]
                .concat()
            },
            Ends(&[ENHANCE_YOUR_CALM, PROTOCOL_ERROR]),
        ),
        (
            "5.3.1 headers that depend on themselves",
            frame(
                HEADERS,
                WITH_PRIORITY | END_STREAM | END_HEADERS,
                1,
                &[&[0, 0, 0, 1, 7][..], &block(&GET)].concat(),
            ),
            malformed,
        ),
    ]
}

/// Sends each case to this server on a connection of its own; answers what was not as it has to be.
pub fn wrong(address: SocketAddr) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, sent, said) in cases() {
        let mut client = Client::connect(address);
        client.send(&sent);
        let last = 99_999;
        // What goes on answers this.
        let alive = frame(PING, 0, 0, b"the last");
        client.send(&[get(last), alive].concat());
        let heard = client.listen(last, said);
        // The library below has no narrower code for much that it cannot read.
        let fits = |why: u32, reasons: &[u32]| why == PROTOCOL_ERROR || reasons.contains(&why);
        let right = match said {
            Ends(reasons) => !heard.goes_on && heard.ended.is_none_or(|why| fits(why, reasons)),
            // What ends a stream may end the connection (RFC 9113, 5.4).
            Resets(reasons) => match heard.goes_on {
                true => heard.reset.is_some_and(|why| reasons.contains(&why)),
                false => heard.ended.is_some_and(|why| fits(why, reasons)),
            },
            Nothing => heard.goes_on && heard.reset.is_none() && heard.ended.is_none(),
            Answer => heard.goes_on && heard.answered && heard.reset.is_none(),
        };
        if !right {
            wrong.push(format!("{name}: {said:?}, but {heard:?}"));
        }
    }
    wrong
}

/// What came until the connection ended, or the last request was answered.
#[derive(Debug, Default)]
struct Heard {
    /// Whether the last request was answered, and a ping.
    goes_on: bool,
    /// Whether the first one was.
    answered: bool,
    /// Why the first stream was reset.
    reset: Option<u32>,
    /// Why the connection ends.
    ended: Option<u32>,
}

struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self(stream);
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        client
    }

    /// A server that has had enough does not take all.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    fn listen(&mut self, last: u32, said: Said) -> Heard {
        let mut heard = Heard::default();
        let (mut last_answered, mut pinged) = (false, false);
        while let Some((kind, flags, stream, payload)) = self.frame() {
            let reason = |at: usize| {
                let bytes = payload.get(at..at + 4);
                bytes.map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
            };
            match kind {
                HEADERS if stream == last => last_answered = true,
                HEADERS if stream == 1 => heard.answered = true,
                RST_STREAM if stream == 1 => heard.reset = reason(0),
                // Some say so before they know of an error.
                GOAWAY if reason(4) != Some(0) => heard.ended = reason(4),
                PING if flags == ACK && payload == b"the last" => pinged = true,
                SETTINGS if flags != ACK => self.send(&frame(SETTINGS, ACK, 0, &[])),
                _ => {}
            }
            let all = match said {
                Answer => heard.answered,
                Resets(_) => heard.reset.is_some(),
                Ends(_) | Nothing => true,
            };
            if last_answered && pinged && all {
                heard.goes_on = true;
                return heard;
            }
        }
        heard
    }

    /// None at the end of the connection.
    fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        if let Err(error) = self.0.read_exact(&mut head) {
            let waited = matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            );
            assert!(!waited, "neither an answer nor an end");
            return None;
        }
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }
}
