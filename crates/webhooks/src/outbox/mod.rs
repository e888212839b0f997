//! Subscriptions, and the messages that wait for them, in a SQLite file.

mod deliveries;
mod queue;
mod schema;
mod subscriptions;

use std::num::NonZeroUsize;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use tollgate_clock::UnixMillis;
use tollgate_sqlite::{
    Error, OpenOptions, Readers, ReadersOptions, Writer, WriterOptions, WriterStats, migrate, open,
};

use crate::{Draft, Event, SigningSecret, Subscription};

/// One thread has time to spare: people read, and the dispatcher writes.
const READER_THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// Subscriptions and messages in a file. Other processes may use it at the same time.
pub struct Outbox {
    // Closed before the writer, so that the writer is the last connection and empties the log.
    readers: Readers,
    writer: Writer,
}

/// What became of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queued {
    /// Messages that wait now.
    pub messages: u64,
    /// Messages for which a subscription has no room, and which are lost.
    pub overflowed: u64,
}

/// A link that was clicked.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Its host; empty for the default domain.
    pub domain: String,
    /// Its code.
    pub code: String,
    /// All its clicks.
    pub clicks: u64,
    /// What is told of it, an object, to which the numbers are added.
    pub data: Value,
}

/// A message that is to be sent.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its identifier: `msg_` and 32 hexadecimal digits.
    pub id: String,
    /// Where to.
    pub url: String,
    /// What it is signed with: the secret, and for a day the one before.
    pub secrets: Vec<SigningSecret>,
    /// What it says.
    pub body: String,
    /// How often it was sent.
    pub attempts: u32,
}

/// How a message is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is to be sent, for the first time or again.
    Waiting,
    /// It was accepted.
    Delivered,
    /// It was sent as often as it is sent, and never accepted.
    Dead,
}

impl DeliveryState {
    const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    const fn number(self) -> i64 {
        self as i64
    }

    fn of(number: i64) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.number() == number)
            .unwrap_or(Self::Dead)
    }
}

/// A message, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its identifier, the same each time that it is sent.
    pub id: String,
    /// The event.
    pub kind: String,
    /// How it is doing.
    pub state: DeliveryState,
    /// When the event was queued.
    pub queued_at: UnixMillis,
    /// How often it was sent.
    pub attempts: u32,
    /// When it is sent next, if it waits.
    pub next_at: Option<UnixMillis>,
    /// When it was last sent.
    pub last_at: Option<UnixMillis>,
    /// The status of the last answer.
    pub last_status: Option<u16>,
    /// Why it was not accepted the last time.
    pub last_error: Option<String>,
    /// What it says.
    pub body: String,
}

/// Some messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// Ask with this for the next page.
    pub next: Option<i64>,
}

/// What came of sending a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) at: UnixMillis,
    pub(crate) status: Option<u16>,
    /// Why it was not accepted; accepted if none.
    pub(crate) error: Option<String>,
    /// When it is sent again, if it was not accepted; never if none.
    pub(crate) next_at: Option<UnixMillis>,
}

impl Outbox {
    /// Opens the file, and makes it and its tables if they are missing.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut connection = open(path, &OpenOptions::default())?;
        migrate(&mut connection, path, schema::COMPONENT, schema::STEPS)?;
        let readers = ReadersOptions {
            threads: READER_THREADS,
            ..ReadersOptions::default()
        };
        Ok(Self {
            writer: Writer::start(connection, path, &WriterOptions::default())?,
            readers: Readers::start(path, &readers)?,
        })
    }

    /// Tells what its writing thread has done, without keeping the file open.
    pub fn watch_writer(&self) -> impl Fn() -> WriterStats + Send + Sync + use<> {
        self.writer.watch()
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.run(work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.readers.run(work).await
    }

    /// Makes a subscription.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn subscribe(
        &self,
        draft: Draft,
        secret: SigningSecret,
        now: UnixMillis,
    ) -> Result<Subscription, Error> {
        self.write(move |db| subscriptions::insert(db, &draft, &secret, now))
            .await
    }

    /// All subscriptions, oldest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, Error> {
        self.read(|db| subscriptions::all(db)).await
    }

    /// One subscription.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn subscription(&self, id: &str) -> Result<Option<Subscription>, Error> {
        let id = id.to_owned();
        self.read(move |db| subscriptions::one(db, &id)).await
    }

    /// Changes what a subscription wants, or pauses it. Answers it as it is then.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn change(
        &self,
        id: &str,
        draft: Draft,
        paused: bool,
    ) -> Result<Option<Subscription>, Error> {
        let id = id.to_owned();
        self.write(move |db| subscriptions::update(db, &id, &draft, paused))
            .await
    }

    /// Gives a subscription another secret. Messages are signed with the old one as well until
    /// `old_until`. Answers whether there is such a subscription.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rotate(
        &self,
        id: &str,
        secret: SigningSecret,
        old_until: UnixMillis,
    ) -> Result<bool, Error> {
        let id = id.to_owned();
        self.write(move |db| subscriptions::rotate(db, &id, &secret, old_until))
            .await
    }

    /// Deletes a subscription and its messages. Answers whether there was one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn unsubscribe(&self, id: &str) -> Result<bool, Error> {
        let id = id.to_owned();
        self.write(move |db| subscriptions::delete(db, &id)).await
    }

    /// Up to where events of this name were looked for.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn position(&self, name: &'static str) -> Result<Option<i64>, Error> {
        self.read(move |db| queue::position(db, name)).await
    }

    /// Queues events for all that want them, each once, and remembers up to where was looked for
    /// them under these names, in one commit.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn queue(
        &self,
        events: Vec<Event>,
        positions: Vec<(&'static str, i64)>,
        now: UnixMillis,
    ) -> Result<Queued, Error> {
        self.write(move |db| queue::queue(db, &events, &positions, now))
            .await
    }

    /// Tells all that wait for so many clicks of a link, and were not told of as many before.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn passed(&self, links: Vec<Passed>, now: UnixMillis) -> Result<Queued, Error> {
        self.write(move |db| queue::passed(db, &links, now)).await
    }

    /// Queues a message for one subscription, so that it can see whether messages arrive. Answers the
    /// message's identifier, if there is such a subscription.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ping(&self, id: &str, now: UnixMillis) -> Result<Option<String>, Error> {
        let id = id.to_owned();
        self.write(move |db| queue::ping(db, &id, now)).await
    }

    /// Messages of a subscription, newest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn deliveries(
        &self,
        id: &str,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<DeliveryPage, Error> {
        let id = id.to_owned();
        self.read(move |db| deliveries::list(db, &id, state, before, limit))
            .await
    }

    /// Sends a message again, from the first attempt on. Answers whether there is such a message.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn send_again(
        &self,
        subscription: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<bool, Error> {
        let (subscription, id) = (subscription.to_owned(), id.to_owned());
        self.write(move |db| deliveries::send_again(db, &subscription, &id, now))
            .await
    }

    /// Takes messages that are due, of each subscription so that at most `in_flight` are being sent.
    /// Until `claimed_until` nobody else takes them.
    pub(crate) async fn claim(
        &self,
        now: UnixMillis,
        claimed_until: UnixMillis,
        in_flight: usize,
        limit: usize,
    ) -> Result<Vec<Waiting>, Error> {
        self.write(move |db| deliveries::claim(db, now, claimed_until, in_flight, limit))
            .await
    }

    pub(crate) async fn sent(&self, sent: Sent) -> Result<(), Error> {
        self.write(move |db| deliveries::sent(db, &sent)).await
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn waiting(&self) -> Result<u64, Error> {
        self.read(|db| deliveries::waiting(db)).await
    }

    /// Forgets messages that were last sent before a moment and are not sent again, at most 1,000.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn forget(&self, before: UnixMillis) -> Result<u64, Error> {
        self.write(move |db| deliveries::forget(db, before)).await
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

/// What is wrong in a column that only we write.
fn damaged(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}
