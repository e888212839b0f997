//! The calls of one connection, made by the task that reads and writes it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;
use parking_lot::Mutex;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper puts calls that begin.
///
/// In tasks of their own each would wake the connection when it has its answer, which would be written alone. So those that
/// came together are answered together: half of the system calls, where a proxy has some calls in flight.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Vec<Call>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, call: F) {
        self.0.lock().push(Box::pin(call));
    }
}

impl Calls {
    fn begun(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock())
    }

    /// Drives a connection whose calls come here, to its end. Calls that nobody can be told of are dropped then.
    pub(super) async fn drive<C: Future>(self, connection: C) -> C::Output {
        let mut connection = pin!(connection);
        let mut running = FuturesUnordered::new();
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                    return Poll::Ready(end);
                }
                running.extend(self.begun());
                let mut some_ended = false;
                while let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {
                    some_ended = true;
                }
                // What they answered is still to be written.
                if !some_ended {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}
