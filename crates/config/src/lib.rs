//! The configuration: one TOML file, every key also an environment variable and the common ones a
//! flag. Precedence: flag, environment, file, default.
//!
//! A [`Config`] is always complete and valid; [`Config::load`] tells everything that is wrong at
//! once, each with its place. The sections' fields, their defaults, the reference and the
//! commented default file all come from one declaration in `sections.rs`.

mod error;
mod form;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod key;
mod load;
mod reference;
mod secret;
mod sections;
mod source;
mod value;

pub use error::{ConfigError, Place, Problem};
pub use key::{ENV_PREFIX, Key, keys};
pub use load::{Config, Sources};
pub use reference::{default_file, reference};
pub use secret::Secret;
pub use sections::{
    Access, Addresses, Admin, Attribute, Audit, Changes, ClickQueue, Clicks, ClicksClickHouse,
    ClicksKafka, ClicksPostgres, ClicksRedis, Compat, Dynamo, Edge, Engine, GlobalLimits, Grpc,
    Hash, LimitStore, Limits, Links, Log, LogFormat, MemoryCache, Oidc, OnLinkDelete,
    OnStoreFailure, Overload, Postgres, Redirect, Replicas, Resp, Root, SaslMechanism, SharedCache,
    Shutdown, Strategy, Sweep, Webhooks,
};
