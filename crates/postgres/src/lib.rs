//! A PostgreSQL as every store here wants it: finding the server that can be written, connections
//! that are kept, work with a deadline, bringing tables up to date, and reading from standbys.
//!
//! Every piece of work has a deadline, after which its connection is closed: a server that hangs holds
//! nobody up for longer.

mod address;
mod dial;
mod error;
mod failure;
mod migrate;
mod pool;
mod replicas;
mod tls;

pub use address::{AddressError, PostgresAddress};
pub use error::Error;
pub use failure::Failure;
pub use migrate::Schema;
pub use pool::{Connections, Given, PoolStats, Session};
pub use replicas::{Replica, ReplicaId, ReplicaOptions, ReplicaStats, Replicas};
pub use tokio_postgres::Row;
pub use tokio_postgres::types::{ToSql, Type};
