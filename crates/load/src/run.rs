//! One thread that gives due requests to whichever connection is free. Unless the plan is patient it never sleeps while
//! there are more to come: it should have a core to itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{LocalSet, yield_now};
use tokio::time::{sleep, timeout};

use crate::answer::{Answer, answer};
use crate::report::Outcome;
use crate::{Order, Plan, Report};

/// How long a patient client sleeps.
const NAP: Duration = Duration::from_millis(1);

/// A request that somebody has to send.
#[derive(Debug, Clone, Copy)]
struct Job {
    number: u64,
    /// When it is due, from the beginning.
    due: Duration,
}

/// What the connections share.
struct Shared {
    plan: Plan,
    /// The request around its value.
    parts: (Vec<u8>, Option<Vec<u8>>),
    begun: Instant,
    state: RefCell<State>,
}

struct State {
    report: Report,
    /// Due, and no connection was free; the oldest first.
    waiting: VecDeque<Job>,
    /// Connections with nothing to do.
    idle: Vec<usize>,
    random: u64,
    /// All requests were given out.
    over: bool,
}

/// Where a connection finds its next request.
#[derive(Default)]
struct Seat {
    job: RefCell<Option<Job>>,
    woken: Notify,
}

/// Does what the plan says, and tells what came of it. It takes the calling thread.
///
/// # Errors
/// If the system gives no event queue.
pub fn run(plan: &Plan) -> io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let plan = plan.clone();
    let report = LocalSet::new().block_on(&runtime, go(plan));
    // Answers that are still to come are of no use.
    runtime.shutdown_background();
    Ok(report)
}

async fn go(plan: Plan) -> Report {
    let parts = match plan.request.split_once("{}") {
        Some((before, after)) => (before.into(), Some(after.into())),
        None => (plan.request.clone().into(), None),
    };
    let seats: Vec<Rc<Seat>> = (0..plan.connections.max(1))
        .map(|_| Rc::default())
        .collect();
    let state = State {
        report: Report::with_windows(plan.window_seconds),
        waiting: VecDeque::new(),
        idle: Vec::new(),
        random: 0x9e37_79b9_7f4a_7c15,
        over: false,
    };
    let shared = Rc::new(Shared {
        parts,
        plan,
        begun: Instant::now(),
        state: RefCell::new(state),
    });
    let workers: Vec<_> = seats
        .iter()
        .enumerate()
        .map(|(number, seat)| {
            tokio::task::spawn_local(work(number, Rc::clone(seat), Rc::clone(&shared)))
        })
        .collect();
    give_out(&shared, &seats).await;
    for (worker, seat) in workers.into_iter().zip(&seats) {
        seat.woken.notify_one();
        // It only fails if it panicked, which is then told by the panic.
        let _ = worker.await;
    }
    let seconds = shared.begun.elapsed().as_secs_f64();
    let report = std::mem::take(&mut shared.state.borrow_mut().report);
    report.end(seconds)
}

async fn give_out(shared: &Shared, seats: &[Rc<Seat>]) {
    let plan = &shared.plan;
    let end = Duration::from_secs_f64(plan.seconds);
    let mut number = 0;
    loop {
        let now = shared.begun.elapsed();
        let more = match plan.requests() {
            Some(requests) => number < requests,
            None => now < end,
        };
        if !more {
            break;
        }
        {
            let mut state = shared.state.borrow_mut();
            loop {
                let job = match plan.requests() {
                    Some(requests) if number < requests && plan.due(number) <= now => Job {
                        number,
                        due: plan.due(number),
                    },
                    // As fast as they are answered: only to whom is free.
                    None if !state.idle.is_empty() => Job { number, due: now },
                    _ => break,
                };
                number += 1;
                match state.idle.pop() {
                    Some(seat) => {
                        *seats[seat].job.borrow_mut() = Some(job);
                        seats[seat].woken.notify_one();
                    }
                    None => state.waiting.push_back(job),
                }
            }
        }
        match plan.patient {
            true => sleep(NAP).await,
            false => yield_now().await,
        }
    }
    // Those that wait are still taken, or given up.
    shared.state.borrow_mut().over = true;
}

async fn work(number: usize, seat: Rc<Seat>, shared: Rc<Shared>) {
    let mut connection = None;
    let mut buffer = vec![0; 16 * 1024];
    let mut out = Vec::new();
    loop {
        let Some(job) = next(number, &seat, &shared).await else {
            return;
        };
        shared.write(job, &mut out);
        let left = (job.due + shared.plan.timeout()).saturating_sub(shared.begun.elapsed());
        let asked = ask(&mut connection, number, &shared, &out, &mut buffer);
        let (outcome, keep) = match timeout(left, asked).await {
            Ok(Ok(answer)) => (Outcome::Answered(answer.status), !answer.closes),
            Ok(Err(_)) => (Outcome::Broken, false),
            Err(_) => (Outcome::Late, false),
        };
        if !keep {
            leave(connection.take());
        }
        let took = shared.begun.elapsed().saturating_sub(job.due);
        // This thread may notice too late that it was too late.
        let outcome = match outcome {
            Outcome::Answered(_) if took > shared.plan.timeout() => Outcome::Late,
            outcome => outcome,
        };
        let report = &mut shared.state.borrow_mut().report;
        report.add(job.due, outcome, took);
    }
}

/// The next request for a connection; none once all were given out.
async fn next(number: usize, seat: &Seat, shared: &Shared) -> Option<Job> {
    loop {
        let given = seat.job.borrow_mut().take();
        if let Some(job) = given {
            let late = shared.begun.elapsed().saturating_sub(job.due);
            shared.state.borrow_mut().report.sent(late);
            return Some(job);
        }
        {
            let mut state = shared.state.borrow_mut();
            let now = shared.begun.elapsed();
            while let Some(job) = state.waiting.front().copied()
                && job.due + shared.plan.timeout() <= now
            {
                // Whoever wanted it has left before there was a connection.
                state.waiting.pop_front();
                state.report.add(job.due, Outcome::Late, now - job.due);
            }
            // The newest first: the connections stand for those who ask, and these for the next of them.
            if let Some(job) = state.waiting.pop_back() {
                return Some(job);
            }
            if state.over {
                return None;
            }
            // It is taken off again by whoever wakes it.
            state.idle.push(number);
        }
        seat.woken.notified().await;
    }
}

async fn ask(
    connection: &mut Option<TcpStream>,
    number: usize,
    shared: &Shared,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> io::Result<Answer> {
    // The server may have closed one that was idle meanwhile: then a new one is asked, as all clients do.
    if let Some(kept) = connection {
        match over(kept, request, buffer).await {
            Err(Some(_)) => leave(connection.take()),
            Err(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(answer) => return Ok(answer),
        }
    }
    let stream = connection.insert(connect(number, &shared.plan).await?);
    over(stream, request, buffer)
        .await
        .map_err(|error| error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))
}

/// Asks over an open connection. An error without a reason: it broke off within the answer.
async fn over(
    stream: &mut TcpStream,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<Answer, Option<io::Error>> {
    stream.write_all(request).await?;
    let mut length = 0;
    loop {
        if length == buffer.len() {
            buffer.resize(length * 2, 0);
        }
        match stream.read(&mut buffer[length..]).await {
            Ok(0) if length == 0 => return Err(Some(io::ErrorKind::UnexpectedEof.into())),
            Ok(0) => return Err(None),
            Err(_) if length > 0 => return Err(None),
            Err(error) => return Err(Some(error)),
            Ok(read) => length += read,
        }
        if let Some(answer) = answer(&buffer[..length]) {
            return Ok(answer);
        }
    }
}

async fn connect(number: usize, plan: &Plan) -> io::Result<TcpStream> {
    let socket = match plan.address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if !plan.from.is_empty() {
        socket.bind((plan.from[number % plan.from.len()], 0).into())?;
    }
    let stream = socket.connect(plan.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Resets the connection: closed in order, tens of thousands would linger and use ports up.
fn leave(connection: Option<TcpStream>) {
    if let Some(stream) = connection {
        // It fails on one that is dead, which is what it is for.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

impl Shared {
    fn write(&self, job: Job, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.parts.0);
        let Some(after) = &self.parts.1 else {
            return;
        };
        let values = &self.plan.values;
        let at = match self.plan.order {
            Order::Sequence => job.number,
            Order::Random => {
                let random = &mut self.state.borrow_mut().random;
                *random ^= *random << 13;
                *random ^= *random >> 7;
                *random ^= *random << 17;
                *random
            }
        };
        if let Some(value) = values.get(at as usize % values.len().max(1)) {
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(after);
    }
}
