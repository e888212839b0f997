use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The answer of a future that has nothing to wait for, as stores in memory never do.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return answer;
        }
    }
}
