//! Clicks are counted in the time that nothing else wants of the processor, as long as there is room
//! for those that wait.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tollgate_clicks::consume::Counts;
use tollgate_clicks::store::ClickStore;
use tollgate_clicks::{Batch, ClickSource, Position, SourceError, SourceId};

/// How full the spool may be until counting takes its share of the processor.
const HURRY_FROM: f64 = 0.5;
/// How empty it has to be until counting gives way again.
const HURRY_TO: f64 = 0.25;
/// How often that is looked at. Even a small spool takes many seconds from half full to full.
const LOOK: Duration = Duration::from_secs(1);

/// Lets this thread, and those that it starts, run only where no other one wants to
/// (`SCHED_IDLE`). There is no way back without privileges.
pub(crate) fn give_way() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    if let Err(error) = set {
        tracing::warn!(?error, "counting clicks cannot give way to redirects");
    }
}

/// A source that is read by the threads of another runtime, which do not give way: they hold locks
/// that whoever writes clicks waits for, if only for a moment.
pub(super) struct ReadBy {
    pub(super) runtime: Handle,
    pub(super) source: Arc<dyn ClickSource>,
}

impl ReadBy {
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SourceError>> + Send + 'static,
    ) -> Result<T, SourceError> {
        let done = AbortOnDropHandle::new(self.runtime.spawn(work)).await;
        done.map_err(|error| SourceError::Unavailable(error.to_string()))?
    }
}

#[async_trait]
impl ClickSource for ReadBy {
    fn id(&self) -> &SourceId {
        self.source.id()
    }

    async fn next(&self, after: Position, most: usize) -> Result<Batch, SourceError> {
        let source = Arc::clone(&self.source);
        self.run(async move { source.next(after, most).await })
            .await
    }

    async fn counted(&self, position: Position) -> Result<(), SourceError> {
        let source = Arc::clone(&self.source);
        self.run(async move { source.counted(position).await })
            .await
    }
}

/// What it takes to count.
pub(super) struct Work<C> {
    /// Reads and counts.
    pub(super) consumer: C,
    /// A store whose writing thread gives way.
    pub(super) patient: Arc<dyn ClickStore>,
    /// The same store, with a writing thread that does not.
    pub(super) prompt: Arc<dyn ClickStore>,
    /// How full the spool is: 1 is full.
    pub(super) filled: Box<dyn Fn() -> f64 + Send>,
    /// Ends it.
    pub(super) end: CancellationToken,
}

/// Counts on threads of its own.
pub(super) fn start<C: Counts>(work: Work<C>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    thread::Builder::new()
        .name("clicks-hurry".into())
        .spawn(move || {
            if let Err(error) = runtime.block_on(work.run()) {
                tracing::error!(%error, "clicks are not counted any more");
            }
        })
}

impl<C: Counts> Work<C> {
    async fn run(self) -> io::Result<()> {
        let Self {
            mut consumer,
            patient,
            prompt,
            filled,
            end,
        } = self;
        loop {
            let stop = end.child_token();
            let thread = patiently(consumer.with_store(Arc::clone(&patient)), stop.clone())?;
            tokio::select! {
                () = end.cancelled() => {}
                () = until(|| filled() >= HURRY_FROM) => {}
                // It only ends by itself if it fails.
                () = until(|| thread.is_finished()) => {}
            }
            stop.cancel();
            consumer = thread.join().map_err(|_| io::Error::other("a panic"))??;
            if end.is_cancelled() {
                return Ok(());
            }
            tracing::warn!(
                "the spool is half full: counting clicks takes its share of the processor"
            );
            consumer = consumer.with_store(Arc::clone(&prompt));
            tokio::select! {
                () = end.cancelled() => return Ok(()),
                () = until(|| filled() <= HURRY_TO) => {}
                never = consumer.run() => match never {},
            }
            tracing::info!("the spool has room: counting clicks gives way again");
        }
    }
}

/// Counts on a thread that gives way, until it is told to stop. Answers the consumer.
fn patiently<C: Counts>(
    mut consumer: C,
    stop: CancellationToken,
) -> io::Result<JoinHandle<io::Result<C>>> {
    thread::Builder::new().name("clicks".into()).spawn(move || {
        give_way();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let never: Option<Infallible> = runtime.block_on(stop.run_until_cancelled(consumer.run()));
        drop(runtime);
        match never {
            None => Ok(consumer),
            Some(never) => match never {},
        }
    })
}

/// Waits until it is so.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(LOOK).await;
    }
}
