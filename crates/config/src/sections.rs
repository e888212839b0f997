//! Every section with its keys: fields, defaults, forms and documentation in one declaration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::form;
use crate::key::{Key, Section};
use crate::secret::Secret;
use crate::source::Reader;

/// How codes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// A leased counter block and a keyed bijection.
    Counter,
    /// A hash of the target.
    Hash,
    /// Time, worker and sequence.
    Snowflake,
    /// Made ahead, popped when needed.
    Pool,
    /// The operating system's randomness.
    Random,
}

/// The hash behind the strategy `hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// XXH3, 64 bits.
    Xxh3,
    /// SHA-256.
    Sha256,
}

/// The redirect of links that choose none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirect {
    /// 301.
    MovedPermanently,
    /// 302.
    Found,
    /// 307.
    Temporary,
    /// 308.
    Permanent,
}

/// What the edge answers at `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A plain page.
    Landing,
    /// A redirect to this http(s) URL.
    Redirect(String),
}

/// What of a request a forward-auth descriptor counts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// The address of the client.
    RemoteAddress,
    /// The method of its request.
    Method,
    /// The host it asked.
    Host,
    /// The path it asked for, without the query.
    Path,
    /// Its API key: the token of `Authorization: Bearer`, or `X-Api-Key`.
    ApiKey,
    /// Another header; its name in lower case.
    Header(String),
}

/// Where links, or statistics of clicks, are kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Engine {
    /// In a file; `None` is that in the data directory.
    Sqlite(Option<PathBuf>),
    /// In the PostgreSQL at this URL, which may hold a password.
    Postgres(Secret),
    /// Spread over the PostgreSQLs at these URLs. Only links can be.
    Shards(Vec<Secret>),
    /// In the table of DynamoDB at this URL; links only.
    Dynamo(Secret),
    /// In the database of the ClickHouse at this URL, which may hold a password; statistics only.
    ClickHouse(Secret),
}

/// Where clicks wait to be counted.
#[derive(Debug, Clone, PartialEq)]
pub enum ClickQueue {
    /// In the spool of this server, which counts them itself.
    Local,
    /// In the stream of this URL, from which any server counts them. It may hold a password.
    Redis(Secret),
    /// In the topic of this URL, from which any server counts them. It may hold a password.
    Kafka(Secret),
}

/// How brokers of a Kafka are told who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself.
    Plain,
    /// A proof of it, by SHA-256.
    ScramSha256,
    /// A proof of it, by SHA-512.
    ScramSha512,
}

/// Where limits are counted.
#[derive(Debug, Clone, PartialEq)]
pub enum LimitStore {
    /// In this process.
    Memory,
    /// In the Redis of this URL, which instances share. It may hold a password.
    Redis(Secret),
}

/// What happens to requests while the store of limits fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// They pass.
    Open,
    /// They are refused.
    Closed,
    /// This process counts by itself.
    Local,
}

/// Which servers of a PostgreSQL are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// The primary.
    Off,
    /// Standbys, as long as there are any that can be.
    Prefer,
}

/// What is kept of the addresses of visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Their network.
    Truncated,
    /// All of them.
    Full,
    /// Nothing.
    None,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What becomes of the statistics of a link that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLinkDelete {
    /// They are deleted.
    Delete,
    /// They stay, and a new link of the same name goes on from there.
    Keep,
}

/// Declares a section: its struct, what is known of its keys, and how it is read.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])*
        $type:ident in $section:literal {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $field_type:ty = $default:literal, $form:ident;
            )*
        }
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $type {
            $(
                $(#[doc = $doc])*
                pub $field: $field_type,
            )*
        }

        impl $type {
            pub(crate) const SECTION: Section = Section {
                name: $section,
                doc: &[$($section_doc),*],
                keys: &[$(Key {
                    section: $section,
                    name: stringify!($field),
                    default: $default,
                    expects: form::$form.expects,
                    doc: &[$($doc),*],
                    kind: form::$form.kind,
                }),*],
            };

            /// `None` if a value is wrong; the reader has noted which, and has looked at all.
            pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $(let $field = reader.value($section, stringify!($field), &form::$form);)*
                Some(Self { $($field: $field?),* })
            }
        }
    };
}

section! {
    /// Short links: where they are kept, what they look like, where they may lead.
    Links in "links" {
        /// The store of the links: `sqlite:` and the path of a file, or what instances share: the URL of a
        /// PostgreSQL, `postgres://user:password@host:5432/database`; an array of such URLs, over which links
        /// are spread, in the environment with spaces between; or a table of DynamoDB,
        /// `dynamodb://region/table`, with `?endpoint=http://host:8000` if it is not at Amazon. Empty: the
        /// file `links.db` in the data directory.
        store: Engine = r#""""#, LINK_STORE;
        /// A cache between the memory and the store, in a Redis that instances share. Empty: none.
        cache: Option<Secret> = r#""""#, LINK_CACHE;
        /// What short links on the default domain begin with. Empty: the address of the edge, which
        /// is `http://127.0.0.1:8080` by default.
        base_url: Option<String> = r#""""#, BASE_URL;
        /// More domains that short links may live on, as base URLs.
        domains: Vec<String> = "[]", BASE_URLS;
        /// The redirect's status for links that choose none. Browsers remember 301 and 308, so
        /// later edits and clicks of such links are not seen.
        redirect: Redirect = "302", REDIRECT;
        /// How codes are made when the request names no strategy.
        strategy: Strategy = r#""counter""#, STRATEGY;
        /// Characters in a generated code. Snowflake codes have a fixed length.
        code_length: usize = "7", CODE_LENGTH;
        /// Read `Sale` and `sale` as the same code, and generate lower-case codes. Choose it before
        /// the first link is made.
        case_insensitive: bool = "false", SWITCH;
        /// Codes nobody can choose, beside the built-in ones.
        reserved_words: Vec<String> = "[]", WORDS;
        /// Words that are refused beside the built-in list of offensive ones: anywhere in generated
        /// codes; in aliases as the whole or as a part between `-`, `_` and `.`.
        blocked_words: Vec<String> = "[]", WORDS;
        /// Schemes a target may have.
        schemes: Vec<String> = r#"["http", "https"]"#, SCHEMES;
        /// Allow `user:password@` in targets.
        allow_credentials: bool = "false", SWITCH;
        /// The hash behind the strategy `hash`.
        hash: Hash = r#""xxh3""#, HASH;
        /// Numbers the strategy `counter` takes from the store at once. An instance that is killed
        /// loses what is left of its block.
        counter_block: u64 = "1000", POSITIVE;
        /// How long the strategy `snowflake` holds its worker number without renewing it.
        worker_lease: Duration = r#""1m""#, PERIOD;
        /// Codes the strategy `pool` keeps ready; 0 makes none ahead.
        pool_target: u64 = "1000", COUNT;
        /// How long the code of a deleted link rests before it returns to the pool.
        quarantine: Duration = r#""30d""#, DURATION;
    }
}

section! {
    /// Links in a PostgreSQL, if `links.store` is one.
    Postgres in "links.postgres" {
        /// The most connections of this instance, beside the one that is told of edits.
        connections: usize = "16", CONNECTIONS;
        /// How long a read or a write may take, waiting for a connection included.
        deadline: Duration = r#""3s""#, PERIOD;
        /// Whether the standbys that `links.store` names beside the primary are read: `off`; or `prefer`,
        /// links of visitors and listings are read from standbys that are well and show what has to be
        /// seen, and from the primary while there are none.
        replicas: Replicas = r#""off""#, REPLICAS;
        /// A standby that has been behind the primary for longer is not read.
        max_lag: Duration = r#""10s""#, PERIOD;
        /// How many links a second that a standby does not have are looked for on the primary, which may
        /// have them already. Visitors of the others are answered 503.
        absent_checks: u64 = "500", COUNT;
    }
}

section! {
    /// Links in a table of DynamoDB, if `links.store` is one. Credentials are found as by all clients of Amazon: in the
    /// environment, in files, or from the machine.
    Dynamo in "links.dynamodb" {
        /// How long one request may take, all attempts included.
        deadline: Duration = r#""3s""#, PERIOD;
        /// Into how many partitions the indexes are divided if the table is made now: each takes about 1,000 new links a
        /// second, and is one more question for each page of a listing.
        partitions: u64 = "8", PARTITIONS;
    }
}

section! {
    /// The cache in memory, in front of the store.
    MemoryCache in "links.memory_cache" {
        /// The most memory all entries may take, bookkeeping included.
        max_bytes: u64 = r#""64MiB""#, SIZE;
        /// How long a link is fresh.
        ttl: Duration = r#""5m""#, PERIOD;
        /// How long the absence of a link is believed.
        negative_ttl: Duration = r#""5s""#, DURATION;
        /// How long past its freshness a link may be served while the store is away.
        stale_if_error: Duration = r#""1h""#, DURATION;
        /// How eagerly hot links are read again before they are stale: 1 is the usual choice, more
        /// is earlier, 0 is never.
        early_refresh: f64 = "1.0", BETA;
        /// How often edits made by other processes on the same store are looked for.
        follow: Duration = r#""1s""#, PERIOD;
    }
}

section! {
    /// The cache that instances share, if `links.cache` is a Redis.
    SharedCache in "links.shared_cache" {
        /// How long a link is kept there after it was read from the store. No instance serves what the
        /// store does not say any more for longer, whatever else fails but the store.
        ttl: Duration = r#""1h""#, PERIOD;
        /// How long the absence of a link is kept there.
        negative_ttl: Duration = r#""5s""#, DURATION;
        /// How long a Redis may take to answer. After that the store is read instead.
        deadline: Duration = r#""50ms""#, PERIOD;
        /// What keys in a Redis begin with. Instances with the same prefix share their links: give
        /// those on another store another one.
        prefix: String = r#""tollgate:""#, PREFIX;
    }
}

section! {
    /// Deleting what has expired.
    Sweep in "links.sweep" {
        /// How often expired links are looked for.
        interval: Duration = r#""1m""#, PERIOD;
        /// The most links deleted in one commit.
        batch: usize = "500", BATCH;
        /// How long an expired link is kept and answered with 410, before it is deleted and
        /// answered with 404.
        grace: Duration = r#""30d""#, DURATION;
        /// How long a repeated request with the same `Idempotency-Key` is recognised.
        keep_idempotency: Duration = r#""7d""#, DURATION;
    }
}

section! {
    /// API keys.
    Access in "access" {
        /// The store of the keys: `sqlite:` and the path of a file. Empty: the file `keys.db` in the
        /// data directory.
        store: Option<PathBuf> = r#""""#, STORE;
    }
}

section! {
    /// The public listener, which redirects.
    Edge in "edge" {
        /// Where it listens. Port 0 takes any free one.
        listen: SocketAddr = r#""127.0.0.1:8080""#, ADDRESS;
        /// Threads that serve it; 0 takes one for each core.
        threads: usize = "0", THREADS;
        /// How long a client may take to send the head of its request.
        header_timeout: Duration = r#""10s""#, PERIOD;
        /// How long an idle connection is kept.
        idle_timeout: Duration = r#""60s""#, PERIOD;
        /// How long requests in flight may take to finish at shutdown.
        drain: Duration = r#""10s""#, DURATION;
        /// The most connections at once, over all threads.
        max_connections: u64 = "65536", POSITIVE;
        /// The most connections at once of one address, or of one IPv6 network of 64 bits; more are closed at
        /// once. `trusted_proxies` are not bounded.
        max_connections_per_address: u64 = "16384", POSITIVE;
        /// The most bytes in the head of a request.
        max_header_bytes: u64 = r#""32KiB""#, HEADER_SIZE;
        /// What `/` answers: a landing page, or a redirect to this URL.
        root: Root = r#""landing""#, ROOT;
        /// Proxies whose `X-Forwarded-For` is believed.
        trusted_proxies: Vec<IpNet> = "[]", NETWORKS;
        /// The certificate chain, PEM. With `tls_key`, the edge speaks TLS.
        tls_cert: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// The private key of the certificate, PEM.
        tls_key: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// A logo that QR codes can have in the middle, `?logo=true`: a PNG of up to 256 KiB and 1024x1024
        /// pixels, read at start.
        qr_logo: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
    }
}

section! {
    /// The private listener: API, dashboard, metrics and health.
    Admin in "admin" {
        /// Where it listens. Port 0 takes any free one.
        listen: SocketAddr = r#""127.0.0.1:8081""#, ADDRESS;
        /// The most bytes in the body of a request. Bulk requests have no bound as a whole: each of
        /// their rows has at most 64 KiB.
        max_body: u64 = r#""1MiB""#, SIZE;
        /// How long the body of a request may take to arrive, and then its answer to be made. In a
        /// bulk request, how long the next rows may take.
        request_timeout: Duration = r#""30s""#, PERIOD;
        /// How long a client may take to send the head of its request.
        header_timeout: Duration = r#""10s""#, PERIOD;
        /// The most connections at once. On those beyond, only health, metrics and signing in are answered, and the
        /// rest 503, once each; when there are a quarter more, the oldest of those is closed.
        max_connections: u64 = "1024", POSITIVE;
        /// The most connections at once of one address, or of one IPv6 network of 64 bits; more are closed at
        /// once.
        max_connections_per_address: u64 = "512", POSITIVE;
        /// How long a client may take nothing of an answer that waits for it, and send nothing either, before its
        /// connection is closed.
        stall_timeout: Duration = r#""60s""#, PERIOD;
        /// How long requests in flight may take to finish at shutdown.
        drain: Duration = r#""10s""#, DURATION;
        /// Serve the dashboard at `/`.
        dashboard: bool = "true", SWITCH;
        /// Listen on an address that others than this machine and its private network may reach, `0.0.0.0` and `::`
        /// included. This listener speaks no TLS: whoever is on the way reads keys and sessions. Only for containers,
        /// and where a firewall or a proxy with TLS stands in front.
        allow_public: bool = "false", SWITCH;
    }
}

section! {
    /// The audit log of changes: who changed what, when and from where. See also `limits.audit`, which is about
    /// requests that limits refuse.
    Changes in "admin.audit" {
        /// The store of the log: `sqlite:` and the path of a file. Empty: the file `audit.db` in the data directory.
        store: Option<PathBuf> = r#""""#, STORE;
        /// Let each entry hold the hash of the one before, so that `tollgate audit verify` finds what was changed or
        /// taken out.
        chain: bool = "true", SWITCH;
        /// Actions that are not written down: one such as `link.create`, or all of a kind such as `link`.
        leave_out: Vec<String> = "[]", WORDS;
        /// How long entries are kept. 0 keeps them as long as there is room.
        keep: Duration = r#""365d""#, DURATION;
        /// The most bytes of the file. Beyond that the oldest entries go.
        max_bytes: u64 = r#""1GiB""#, SPOOL_SIZE;
    }
}

section! {
    /// Signing in on the dashboard at a provider of OpenID Connect, beside API keys.
    Oidc in "admin.oidc" {
        /// The provider, an `https` URL: `/.well-known/openid-configuration` is appended to it. Empty: there is none.
        issuer: Option<String> = r#""""#, ISSUER;
        /// Who this server is to the provider.
        client_id: Option<String> = r#""""#, OPTIONAL_NAME;
        /// What proves that. Empty: nothing, for clients that the provider calls public.
        client_secret: Option<Secret> = r#""""#, SECRET;
        /// The address at which people reach the dashboard. The provider has to know it with `/sign-in/back`
        /// appended, as where people come back to.
        url: Option<String> = r#""""#, BASE_URL;
        /// What the button says after *Sign in with*.
        name: String = r#""single sign-on""#, NAME;
        /// What to ask the provider for, beside `openid`.
        scopes: Vec<String> = r#"["email", "profile"]"#, WORDS;
        /// Who may do what: `"claim=value -> scopes"`, such as `"groups=ops -> admin"` or
        /// `"email=*@example.com -> links:read links:write"`. All that fit are added up; whom none fits is not let in.
        grants: Vec<String> = "[]", GRANTS;
    }
}

section! {
    /// The APIs of other shorteners, on the admin listener, so that their clients can be used with
    /// this one. Each needs an API key of ours.
    Compat in "compat" {
        /// Answer the REST API of Shlink, version 3, under `/rest/v3`.
        shlink: bool = "false", SWITCH;
        /// Answer the API of YOURLS at `/yourls-api.php`.
        yourls: bool = "false", SWITCH;
        /// A signature that clients of YOURLS send, or sign the time with, such as the one they
        /// have from YOURLS. Empty: clients send the secret of an API key as their signature, and
        /// cannot sign the time.
        yourls_signature: Option<Secret> = r#""""#, SECRET;
        /// The secret of the API key that `yourls_signature` stands for. Empty: `yourls_signature`
        /// is that secret itself.
        yourls_key: Option<Secret> = r#""""#, SECRET;
        /// Answer version 4 of the API of Bitly under `/v4`.
        bitly: bool = "false", SWITCH;
    }
}

section! {
    /// Clicks: what is captured of visits, and how it gets from the edge to a file.
    Clicks in "clicks" {
        /// Capture clicks. Links with `max_clicks` are counted exactly, with it and without.
        enabled: bool = "true", SWITCH;
        /// What is kept of the addresses of visitors: `truncated` keeps the network (24 bits of IPv4,
        /// 48 bits of IPv6), `full` all of it, `none` nothing. A hash that tells the visitors of one
        /// day apart is kept beside it.
        addresses: Addresses = r#""truncated""#, ADDRESSES;
        /// Of visitors who send `DNT: 1` or `Sec-GPC: 1`, keep only that somebody came, and from
        /// which site.
        respect_dnt: bool = "true", SWITCH;
        /// How many bytes of clicks may wait on each thread of the edge. A click has some 50 to 300.
        queue_bytes: u64 = r#""4MiB""#, QUEUE_SIZE;
        /// The directory of clicks that are not counted yet. Each process needs one of its own.
        /// Empty: `spool` in the data directory.
        spool: Option<PathBuf> = r#""""#, OPTIONAL_DIRECTORY;
        /// The most bytes of it. Beyond that, new clicks are dropped.
        spool_max_bytes: u64 = r#""1GiB""#, SPOOL_SIZE;
        /// How often clicks are synced to the disk, which is what a power cut may cost; `"0"` leaves it
        /// to the system. A crash of the process alone costs only what is not written yet, at most
        /// 50 ms.
        sync: Duration = r#""1s""#, DURATION;
        /// Who counts the clicks: with `local:` this server its own; with the URL of a Redis and the name of a
        /// stream, such as `redis://host:6379/clicks`, or the brokers of a Kafka and the name of a topic, such as
        /// `kafka://host1:9092,host2:9092/clicks` (`kafkas://` for TLS), any server that is given the same one. That
        /// needs a store of the statistics that they share.
        queue: ClickQueue = r#""local:""#, CLICK_QUEUE;
        /// The store of the statistics: `sqlite:` and the path of a file, or the URL of what instances count in
        /// together: a PostgreSQL, `postgres://user:password@host:5432/database`, or a ClickHouse,
        /// `clickhouse://user:password@host:8123/database` (`clickhouses://` for HTTPS). Empty: the file
        /// `clicks.db` in the data directory.
        store: Engine = r#""""#, CLICK_STORE;
        /// How long single clicks are kept, in whole days in UTC. Statistics stay when they go.
        /// 0 keeps none.
        retain_raw: Duration = r#""90d""#, DURATION;
        /// A directory where single clicks are written before they go, as compressed lines of JSON,
        /// a file for each day. Empty: they are not.
        archive_dir: Option<PathBuf> = r#""""#, OPTIONAL_DIRECTORY;
        /// A database of MaxMind's format, such as `GeoLite2-City.mmdb`, which tells the country
        /// and the city of a click. It is read again when it changes. Empty: they stay unknown.
        geo_file: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// What happens to the statistics and the single clicks of a link that is deleted: `delete`
        /// or `keep`. Totals of its domain and of everything stay anyway.
        on_link_delete: OnLinkDelete = r#""delete""#, ON_LINK_DELETE;
    }
}

section! {
    /// Statistics of clicks in a ClickHouse, if `clicks.store` is one.
    ClicksClickHouse in "clicks.clickhouse" {
        /// How long a statement may take.
        deadline: Duration = r#""30s""#, PERIOD;
    }
}

section! {
    /// Statistics of clicks in a PostgreSQL, if `clicks.store` is one.
    ClicksPostgres in "clicks.postgres" {
        /// The most connections of this instance.
        connections: usize = "4", CONNECTIONS;
        /// How long it may take to count a batch of clicks, or to answer a query.
        deadline: Duration = r#""30s""#, PERIOD;
    }
}

section! {
    /// Clicks in a stream of Redis, if `clicks.queue` is one.
    ClicksRedis in "clicks.redis" {
        /// The most entries of the stream, of up to 256 KiB each. Beyond that, clicks wait in the spools.
        max_entries: u64 = "10000", POSITIVE;
        /// When a server took clicks and did not count them for so long, others do.
        claim_after: Duration = r#""30s""#, PERIOD;
        /// How long a Redis may take for an answer. After that it counts as failed.
        deadline: Duration = r#""2s""#, PERIOD;
    }
}

section! {
    /// The queue of clicks, if `clicks.queue` is a Kafka.
    ClicksKafka in "clicks.kafka" {
        /// When a server took clicks and did not count them for so long, they are given again, to others if it is gone.
        claim_after: Duration = r#""30s""#, PERIOD;
        /// How long it may take until clicks are where they have to be. After that it counts as failed.
        deadline: Duration = r#""10s""#, PERIOD;
        /// How brokers are told who comes, if `clicks.queue` has a user and a password: `scram-sha-512` and
        /// `scram-sha-256` prove that this server has the password, `plain` sends it.
        sasl_mechanism: SaslMechanism = r#""scram-sha-512""#, SASL_MECHANISM;
        /// The certificates of whom is trusted to sign those of brokers, as PEM, for `kafkas://`. Empty: those of the system.
        ca_file: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// The certificate by which brokers know this server, as PEM, for `kafkas://`. Empty: none.
        client_cert: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// The private key of that certificate, as PEM.
        client_key: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
    }
}

section! {
    /// Webhooks: messages about links, sent to whom asked for them through the API.
    Webhooks in "webhooks" {
        /// The store of the webhooks and their messages: `sqlite:` and the path of a file. Empty: the
        /// file `webhooks.db` in the data directory.
        store: Option<PathBuf> = r#""""#, STORE;
        /// Networks that are not public, and may be sent to nevertheless. Whoever may make a webhook
        /// can then make this server send requests to them.
        allow_private: Vec<IpNet> = "[]", NETWORKS;
        /// How long a message may take, from the look-up of the address to the answer.
        timeout: Duration = r#""10s""#, PERIOD;
        /// How long messages are kept that were delivered or given up.
        keep: Duration = r#""30d""#, DURATION;
    }
}

section! {
    /// Rate limits: for those who ask by the API, and for this server itself.
    Limits in "limits" {
        /// The store of the counters: `memory:` in this process, or a Redis, which instances share.
        store: LimitStore = r#""memory:""#, LIMIT_STORE;
        /// What happens to requests while a Redis cannot be reached, for policies that do not say so
        /// themselves: `open` lets them pass, `closed` refuses them, `local` counts them in this
        /// process, for its share of the limit.
        on_store_failure: OnStoreFailure = r#""local""#, ON_STORE_FAILURE;
        /// How long a Redis may take for a decision. After that it counts as failed.
        deadline: Duration = r#""5ms""#, PERIOD;
        /// What keys in a Redis begin with. Instances with the same prefix share their limits.
        prefix: String = r#""tollgate:""#, PREFIX;
        /// The policies: a file in the format of the Envoy ratelimit service, extended. Empty: only
        /// those that guard this server, and those that were set by the API. It is read again when
        /// it changes, and on SIGHUP.
        policies: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// The most keys remembered at once in this process.
        max_keys: u64 = "1000000", POSITIVE;
        /// Where the counters are kept while the server is down: written at shutdown, read at start.
        /// Empty: nowhere, and limits begin anew.
        snapshot: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// How often the file of the policies is looked at.
        watch: Duration = r#""1s""#, PERIOD;
        /// The domain of the policies that `/api/v1/limits/authorize` asks, unless its query names
        /// another one.
        authorize_domain: String = r#""http""#, NAME;
        /// The descriptors it asks for, unless its query names others: each one or more of `remote_address`, `method`, `host`, `path`, `api_key` and
        /// `header:NAME`, joined by `+`. Those that no policy matches cost nothing.
        authorize_by: Vec<Vec<Attribute>> = r#"["remote_address", "api_key", "host+path", "path+remote_address"]"#, DESCRIPTORS;
        /// Answer it without an API key: for proxies that cannot send one, on a network where
        /// nobody else reaches the admin side.
        authorize_without_key: bool = "false", SWITCH;
    }
}

section! {
    /// Budgets over all regions, for policies with a `global_budget`: each region decides by a store of
    /// its own, and tells the others in the background.
    GlobalLimits in "limits.global" {
        /// A Redis that the servers of all regions share. Empty: budgets are not enforced. Keys in it
        /// begin with `limits.prefix`.
        store: Option<Secret> = r#""""#, GLOBAL_STORE;
        /// How often a server tells what it let through, and asks what the others did.
        every: Duration = r#""1s""#, PERIOD;
        /// How long the Redis may take for an answer. After that it counts as failed, and what was told
        /// is told again.
        deadline: Duration = r#""1s""#, PERIOD;
        /// The most keys whose budget is followed in this process. Budgets of more are not enforced.
        max_keys: usize = "100000", BUDGET_KEYS;
    }
}

section! {
    /// The audit log of refusals: one line of JSON each. Who changed what is in `admin.audit`.
    Audit in "limits.audit" {
        /// The file; empty for none. Descriptors stand in it as they are, such as addresses.
        file: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// One in so many refusals is written.
        one_in: u64 = "1", POSITIVE;
        /// How large the file becomes before it is renamed, with a number at the end, and the next
        /// one is begun.
        max_bytes: u64 = r#""64MiB""#, SIZE;
        /// How many of those are kept.
        keep: usize = "5", BATCH;
    }
}

section! {
    /// The listener of the Redis protocol, which decides limits.
    Resp in "resp" {
        /// Where it listens. Port 0 takes any free one. Empty: nowhere.
        listen: Option<SocketAddr> = r#""""#, OPTIONAL_ADDRESS;
        /// What clients have to say by `AUTH` or `HELLO` before anything else. Empty: nothing.
        password: Option<Secret> = r#""""#, SECRET;
        /// Threads that serve it; 0 takes one for each core.
        threads: usize = "0", THREADS;
        /// The most connections at once, over all threads.
        max_connections: u64 = "10000", POSITIVE;
        /// How long an idle connection is kept. The rest of a command that has begun may take as
        /// long, but at most 10 seconds.
        idle_timeout: Duration = r#""5m""#, PERIOD;
        /// How long commands in flight may take to finish at shutdown.
        drain: Duration = r#""10s""#, DURATION;
    }
}

section! {
    /// The gRPC listener: rate limits in the protocol of Envoy, for proxies. It knows no API keys:
    /// whoever reaches it can ask.
    Grpc in "grpc" {
        /// Where it listens, such as `127.0.0.1:8083`. Port 0 takes any free one. Empty: it is off.
        listen: Option<SocketAddr> = r#""""#, OPTIONAL_ADDRESS;
        /// Send `RateLimit`, `RateLimit-Policy` and `Retry-After` with each decision, for the proxy
        /// to add to its response.
        headers: bool = "false", SWITCH;
        /// The most connections at once; more wait.
        max_connections: u64 = "1024", POSITIVE;
        /// The most calls at once on one connection; more wait.
        max_streams: u32 = "1024", STREAMS;
        /// The most bytes of a message.
        max_message: u64 = r#""1MiB""#, SIZE;
        /// How long a message may take to arrive, and then its answer to be made. Policies that
        /// queue hold the answer back for as long as they delay a request.
        request_timeout: Duration = r#""10s""#, PERIOD;
        /// How long calls in flight may take to finish at shutdown.
        drain: Duration = r#""10s""#, DURATION;
    }
}

section! {
    /// The reverse proxy: limits for a server that knows none itself.
    Proxy in "proxy" {
        /// Where it listens, such as `127.0.0.1:8084`. Port 0 takes any free one. Empty: it is off.
        listen: Option<SocketAddr> = r#""""#, OPTIONAL_ADDRESS;
        /// The server that requests are passed on to.
        upstream: Option<String> = r#""""#, UPSTREAM;
        /// Certificates of the authorities that may vouch for an upstream with `https`, PEM. Empty:
        /// those that the system trusts.
        upstream_ca: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// Tell the upstream the `Host` that the client asked for, and not the upstream's own.
        keep_host: bool = "true", SWITCH;
        /// The domain of the policies.
        domain: String = r#""http""#, NAME;
        /// The descriptors of a request: each one or more of `remote_address`, `method`, `host`, `path`, `api_key` and
        /// `header:NAME`, joined by `+`. Those that no policy matches cost nothing.
        by: Vec<Vec<Attribute>> = r#"["remote_address", "api_key", "host+path", "path+remote_address"]"#, DESCRIPTORS;
        /// Proxies whose `X-Forwarded-For` and other forwarding headers are believed.
        trusted_proxies: Vec<IpNet> = "[]", NETWORKS;
        /// The certificate chain, PEM. With `tls_key`, the proxy speaks TLS.
        tls_cert: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// The private key of the certificate, PEM.
        tls_key: Option<PathBuf> = r#""""#, OPTIONAL_FILE;
        /// The most requests that wait for their turn at once; more are answered with 503.
        max_waiting: u64 = "1024", COUNT;
        /// The most connections at once; more wait.
        max_connections: u64 = "4096", POSITIVE;
        /// The most connections at once of one address, or of one IPv6 network of 64 bits; more are closed at
        /// once. `trusted_proxies` are not bounded.
        max_connections_per_address: u64 = "1024", POSITIVE;
        /// The most bytes in the head of a request.
        max_header_bytes: u64 = r#""32KiB""#, HEADER_SIZE;
        /// How long a client may take to send the head of its request.
        header_timeout: Duration = r#""10s""#, PERIOD;
        /// How long an idle connection is kept, and how long a body or a tunnel may stand still.
        idle_timeout: Duration = r#""60s""#, PERIOD;
        /// How long a connection to the upstream may take to be made.
        connect_timeout: Duration = r#""5s""#, PERIOD;
        /// How long the upstream may take to begin its answer, once it has the request.
        response_timeout: Duration = r#""60s""#, PERIOD;
        /// How long an idle connection to the upstream is kept for the next request. Should be less
        /// than the upstream keeps it.
        keep_alive: Duration = r#""30s""#, PERIOD;
        /// How long requests in flight may take to finish at shutdown, those that wait included.
        drain: Duration = r#""10s""#, DURATION;
    }
}

section! {
    /// Overload: more is asked than can be answered in time. What memory answers is never refused.
    Overload in "overload" {
        /// When a read of the store, a counted click or a request to the API takes longer than this, fewer of
        /// its kind are let in at once; when they are answered in time, more. Those beyond are answered 503.
        latency: Duration = r#""250ms""#, PERIOD;
        /// The fewest of a kind at once, however long they take.
        min: u64 = "16", POSITIVE;
        /// The most of a kind at once, however quick they are. At least `min`.
        max: u64 = "4096", POSITIVE;
        /// The most requests to the API at once that take long by nature: bulk, imports, statistics, lists of clicks,
        /// watching clicks, the APIs of other shorteners.
        max_long: u64 = "256", POSITIVE;
    }
}

section! {
    /// The end of the server.
    Shutdown in "shutdown" {
        /// How long all goes on after the signal, while `/health/ready` is 503 already: what load balancers need to
        /// notice, and send nobody any more.
        delay: Duration = r#""0""#, DURATION;
    }
}

section! {
    /// The log, on standard error.
    Log in "log" {
        /// `text` for people, `json` for machines.
        format: LogFormat = r#""text""#, LOG_FORMAT;
        /// The least level that is written, for everything or by module.
        level: String = r#""info""#, LOG_LEVEL;
    }
}
