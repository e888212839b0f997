//! The servers of a client: one at a time, or those of a cluster.

use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;
use redis::aio::PubSub;
use tokio::runtime::Handle;

use crate::address::Location;
use crate::call::Call;
use crate::cluster::Cluster;
use crate::link::{Link, Used};
use crate::{AskError, Part, failure};

/// Where calls go.
pub(crate) enum Servers {
    One(Arc<Link>),
    Cluster(Arc<Cluster>),
}

impl Servers {
    /// Connects when it is first asked, within the time for each connection.
    pub(crate) fn new(location: Location, script: &Arc<str>, connect_within: Duration) -> Self {
        let script = Arc::clone(script);
        match location {
            Location::Server(address) => {
                let runtime = Handle::current();
                Self::One(Arc::new(Link::new(
                    address,
                    script,
                    connect_within,
                    runtime,
                )))
            }
            Location::Cluster(members) => {
                Self::Cluster(Arc::new(Cluster::new(members, script, connect_within)))
            }
        }
    }

    /// Whether keys are spread over several servers.
    pub(crate) const fn are_several(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Which of them a key is asked of.
    pub(crate) fn part(&self, key: &[u8]) -> Part {
        match self {
            Self::One(_) => Part::default(),
            Self::Cluster(cluster) => cluster.part(key),
        }
    }

    /// Connects.
    pub(crate) async fn ready(&self) -> Result<(), AskError> {
        match self {
            Self::One(link) => link.get().await.map(drop),
            Self::Cluster(cluster) => cluster.ready().await,
        }
    }

    /// Calls the script. `used` is the connection that has to answer, if any.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        call: &Call<'_>,
        used: &mut Option<Used>,
    ) -> Result<T, AskError> {
        match self {
            Self::One(link) => {
                let ready = link.get().await?;
                let used = used.insert(Used {
                    link: Arc::clone(link),
                    ready,
                });
                let answer = call.on(&used.ready, link.script()).await;
                answer.map_err(|error| failure(&error))
            }
            Self::Cluster(cluster) => cluster.call(call, used).await,
        }
    }

    /// A connection on which messages arrive; to another server of a cluster at each attempt.
    pub(crate) async fn listen(&self, attempt: usize) -> Result<PubSub, AskError> {
        let opened = match self {
            Self::One(link) => link.address().listen(attempt).await,
            Self::Cluster(cluster) => cluster.any(attempt)?.listen(attempt).await,
        };
        opened.map_err(|error| failure(&error))
    }

    /// Something is wrong: perhaps another server has taken over.
    pub(crate) fn doubt(&self) {
        match self {
            // Found by connecting anew.
            Self::One(_) => {}
            Self::Cluster(cluster) => {
                cluster.learn();
            }
        }
    }
}
