//! Connections, and the time that work on them may take.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod,
};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row};

use crate::address::PostgresAddress;
use crate::dial::Dialer;
use crate::error::Error;
use crate::failure::Failure;
use crate::migrate::{Schema, migrate};

/// A value given to a statement.
pub type Given<'a> = &'a (dyn ToSql + Sync);

/// How often work is done that the server undoes for the sake of others.
const ATTEMPTS: u32 = 5;

/// Opens connections. They live on one runtime, whoever asks for them: the edge has many, and each
/// may end before the others.
struct Opener {
    runtime: Handle,
    dialer: Arc<Dialer>,
    settings: String,
    opened: Arc<AtomicU64>,
}

impl Connect for Opener {
    fn connect(
        &self,
        _: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let (driver, dialer) = (self.runtime.clone(), Arc::clone(&self.dialer));
        let (settings, opened) = (self.settings.clone(), Arc::clone(&self.opened));
        // It ends with whoever waits for it, so that a server that never answers gathers nothing.
        let mut opening = JoinSet::new();
        let open = async move {
            let (client, connection) = dialer.dial().await?;
            let task = driver.spawn(async move {
                // Whoever uses the connection is told of its end.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the store ended");
                }
            });
            client.batch_execute(&settings).await?;
            opened.fetch_add(1, Relaxed);
            Ok((client, task))
        };
        opening.spawn_on(open, &self.runtime);
        Box::pin(async move {
            match opening.join_next().await {
                Some(Ok(opened)) => opened,
                // The runtime has ended. This fails, since it is told no host.
                _ => {
                    let (client, _) = Config::new().connect(NoTls).await?;
                    Ok((client, tokio::spawn(async {})))
                }
            }
        })
    }
}

/// What [`Connections`] have done so far, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Connections that are open.
    pub connections: u64,
    /// Those of them that wait for work.
    pub idle: u64,
    /// Connections opened since the start.
    pub opened: u64,
    /// Pieces of work that failed.
    pub failed: u64,
}

/// Connections to one database, opened when they are needed and kept.
pub struct Connections {
    pool: Pool,
    address: PostgresAddress,
    dialer: Arc<Dialer>,
    deadline: Duration,
    opened: Arc<AtomicU64>,
    failed: AtomicU64,
}

impl Connections {
    /// Connects, and brings the tables up to date. There are at most so many connections, and at least
    /// one; they live on the runtime this is called on.
    ///
    /// # Errors
    /// See [`Error`]; a database of a newer version is refused.
    pub async fn open(
        address: PostgresAddress,
        connections: usize,
        deadline: Duration,
        schema: &Schema,
    ) -> Result<Self, Error> {
        let opened = Self::new(address, connections.max(1), deadline, Handle::current())?;
        migrate(&opened, schema).await?;
        Ok(opened)
    }

    /// Connects when a connection is asked for, and leaves the tables as they are.
    pub(crate) fn lazily(
        address: PostgresAddress,
        connections: usize,
        deadline: Duration,
    ) -> Result<Self, Error> {
        Self::new(address, connections.max(1), deadline, Handle::current())
    }

    /// Opens none yet.
    fn new(
        address: PostgresAddress,
        connections: usize,
        deadline: Duration,
        runtime: Handle,
    ) -> Result<Self, Error> {
        let dialer = Arc::new(Dialer::new(&address, deadline)?);
        let opened = Arc::<AtomicU64>::default();
        let ms = deadline.as_millis();
        let opener = Opener {
            runtime,
            dialer: Arc::clone(&dialer),
            settings: format!(
                "SET client_min_messages = warning; SET statement_timeout = {ms}; \
                 SET idle_in_transaction_session_timeout = {}{}",
                ms * 2,
                address.settings
            ),
            opened: Arc::clone(&opened),
        };
        let recycling_method = RecyclingMethod::Fast;
        let manager = Manager::from_connect(
            address.config.clone(),
            opener,
            ManagerConfig { recycling_method },
        );
        let pool = Pool::builder(manager).max_size(connections).build();
        // Without timeouts of the pool's own, nothing can be missing.
        let pool = pool.map_err(|error| Error::Other(error.to_string()))?;
        Ok(Self {
            pool,
            address,
            dialer,
            deadline,
            opened,
            failed: AtomicU64::new(0),
        })
    }

    /// Where it is, without anything secret.
    #[must_use]
    pub fn place(&self) -> &str {
        self.address.place()
    }

    /// What they have done so far.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let status = self.pool.status();
        PoolStats {
            connections: status.size as u64,
            idle: status.available as u64,
            opened: self.opened.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    /// Closes them; those in use end with their work.
    pub fn close(&self) {
        self.pool.close();
    }

    /// A connection to work with until the deadline.
    ///
    /// # Errors
    /// [`Failure`], if none is to be had in time.
    pub async fn session(&self) -> Result<Session, Failure> {
        self.session_within(self.deadline).await
    }

    /// The same for work that takes longer than usual, or may not: until `within` from now. The server is
    /// told the usual deadline, until [`Session::begin_long`].
    ///
    /// # Errors
    /// [`Failure`], if none is to be had within the usual deadline.
    pub async fn session_within(&self, within: Duration) -> Result<Session, Failure> {
        let now = Instant::now();
        let until = now + within;
        match timeout_at(now + self.deadline.min(within), self.pool.get()).await {
            Ok(Ok(object)) => Ok(Session {
                object: Some(object),
                until,
                unsound: false,
            }),
            Ok(Err(PoolError::Backend(error))) => Err(Failure::Client(error)),
            Ok(Err(error)) => Err(Failure::Refused(Error::Unavailable(format!(
                "{}: {error}",
                self.place()
            )))),
            Err(_) => Err(Failure::Late),
        }
    }

    /// Reads. A connection that broke since it was used last is no reason to fail.
    ///
    /// # Errors
    /// What the work failed with.
    pub async fn read<T, F>(&self, work: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.run(work, |failure| {
            failure.is_conflict()
                || (failure.is_of_connection() && !matches!(failure, Failure::Late))
        })
        .await
    }

    /// Writes. Done again only when the server has undone it: what became of it is not known when
    /// the connection breaks.
    ///
    /// # Errors
    /// What the work failed with.
    pub async fn write<T, F>(&self, work: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.run(work, Failure::is_conflict).await
    }

    async fn run<T, F>(
        &self,
        work: impl Fn() -> F,
        again: impl Fn(&Failure) -> bool,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempt = 1;
        loop {
            match work().await {
                Ok(done) => return Ok(done),
                Err(failure) => {
                    let retries = if failure.is_conflict() { ATTEMPTS } else { 2 };
                    if attempt < retries && again(&failure) {
                        attempt += 1;
                        continue;
                    }
                    self.failed.fetch_add(1, Relaxed);
                    return Err(failure.into_error(self.place()));
                }
            }
        }
    }

    /// Listens on a channel, and calls for each notification, and once when it begins to listen.
    /// Ends when the connection does.
    ///
    /// # Errors
    /// Why it cannot listen, or the connection broke.
    pub async fn listen(&self, channel: &str, heard: impl Fn()) -> Result<(), Failure> {
        let dialed = timeout_at(Instant::now() + self.deadline, self.dialer.dial()).await;
        let (client, mut connection) = dialed.map_err(|_| Failure::Late)??;
        let listen = format!("LISTEN {channel}");
        let mut listening = std::pin::pin!(client.batch_execute(&listen));
        let mut listens = false;
        loop {
            tokio::select! {
                begun = &mut listening, if !listens => {
                    begun?;
                    listens = true;
                    heard();
                }
                message = poll_fn(|context| connection.poll_message(context)) => match message {
                    Some(Ok(AsyncMessage::Notification(_))) => heard(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                },
            }
        }
    }
}

/// A connection in use. It returns to the others when this is dropped, unless something is unfinished
/// on it.
pub struct Session {
    object: Option<Object>,
    until: Instant,
    unsound: bool,
}

impl Session {
    /// Rows of a statement that is prepared once on each connection.
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn rows(&mut self, sql: &str, given: &[Given<'_>]) -> Result<Vec<Row>, Failure> {
        self.in_time(async |client| {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, given).await
        })
        .await
    }

    /// Rows of a statement that is planned for the values it is given.
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn planned(
        &mut self,
        sql: &str,
        given: &[(Given<'_>, Type)],
    ) -> Result<Vec<Row>, Failure> {
        self.in_time(async |client| client.query_typed(sql, given).await)
            .await
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn row(&mut self, sql: &str, given: &[Given<'_>]) -> Result<Option<Row>, Failure> {
        Ok(self.rows(sql, given).await?.into_iter().next())
    }

    /// The row of a statement that always has one.
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn one(&mut self, sql: &str, given: &[Given<'_>]) -> Result<Row, Failure> {
        let row = self.row(sql, given).await?;
        row.ok_or_else(|| Failure::Damaged("a row that is always there is gone".into()))
    }

    /// How many rows a statement changed.
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn change(&mut self, sql: &str, given: &[Given<'_>]) -> Result<u64, Failure> {
        self.in_time(async |client| {
            let statement = client.prepare_cached(sql).await?;
            client.execute(&statement, given).await
        })
        .await
    }

    /// Statements without values.
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn script(&mut self, sql: &str) -> Result<(), Failure> {
        self.in_time(async |client| client.batch_execute(sql).await)
            .await
    }

    /// Begins a transaction. Without [`Session::commit`], it and the connection end.
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn begin(&mut self) -> Result<(), Failure> {
        self.unsound = true;
        self.script("BEGIN").await
    }

    /// The same, for statements that take longer than usual, each up to `within`.
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn begin_long(&mut self, within: Duration) -> Result<(), Failure> {
        self.unsound = true;
        let ms = within.as_millis();
        self.script(&format!("BEGIN; SET LOCAL statement_timeout = {ms}"))
            .await
    }

    /// Begins to read one state of the database, until [`Session::commit`].
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn begin_reading(&mut self) -> Result<(), Failure> {
        self.unsound = true;
        self.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
    }

    /// Makes the transaction durable.
    ///
    /// # Errors
    /// [`Failure`]; whatever is unfinished then ends with the connection.
    pub async fn commit(&mut self) -> Result<(), Failure> {
        self.script("COMMIT").await?;
        self.unsound = false;
        Ok(())
    }

    /// Undoes the transaction; the connection is of use again.
    ///
    /// # Errors
    /// [`Failure`]; it is undone nevertheless, with the connection.
    pub async fn roll_back(&mut self) -> Result<(), Failure> {
        self.script("ROLLBACK").await?;
        self.unsound = false;
        Ok(())
    }

    async fn in_time<T>(
        &mut self,
        work: impl AsyncFnOnce(&Object) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Failure> {
        let Some(client) = &self.object else {
            return Err(Failure::Late);
        };
        match timeout_at(self.until, work(client)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let failure = Failure::Client(error);
                self.unsound |= failure.is_of_connection();
                Err(failure)
            }
            Err(_) => {
                self.unsound = true;
                Err(Failure::Late)
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(object) = self.object.take_if(|_| self.unsound) {
            drop(Object::take(object));
        }
    }
}
