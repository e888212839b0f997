//! The servers of a store: one at a time, or those of a cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::address::Location;
use super::call::Call;
use super::cluster::Cluster;
use super::failure;
use super::link::{Link, Used};
use crate::store::StoreError;

/// Where calls go.
pub(super) enum Servers {
    One(Arc<Link>),
    Cluster(Arc<Cluster>),
}

impl Servers {
    /// Connects when it is first asked, within the time for each connection.
    pub(super) fn new(location: Location, script: &Arc<str>, connect_within: Duration) -> Self {
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
    pub(super) const fn are_several(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Connects.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        match self {
            Self::One(link) => link.get().await.map(drop),
            Self::Cluster(cluster) => cluster.ready().await,
        }
    }

    /// Calls the script. `used` is the connection that has to answer, if any.
    pub(super) async fn call(
        &self,
        call: &Call<'_>,
        used: &mut Option<Used>,
    ) -> Result<Vec<i64>, StoreError> {
        match self {
            Self::One(link) => {
                let ready = link.get().await?;
                let used = used.insert(Used {
                    link: Arc::clone(link),
                    ready,
                });
                let answer = call.on(&used.ready).await;
                answer.map_err(|error| failure(&error))
            }
            Self::Cluster(cluster) => cluster.call(call, used).await,
        }
    }

    /// Something is wrong: perhaps another server has taken over.
    pub(super) fn doubt(&self) {
        match self {
            // Found by connecting anew.
            Self::One(_) => {}
            Self::Cluster(cluster) => {
                cluster.learn();
            }
        }
    }
}
