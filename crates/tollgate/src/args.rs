//! What the command line looks like.

// Named, because tests take this file in by its path.
#[path = "args/plan.rs"]
mod plan;
#[path = "args/transfer.rs"]
pub(crate) mod transfer;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tollgate_clock::UnixMillis;
use tollgate_links::StrategyKind;

pub(crate) use plan::PlanArgs;
pub(crate) use transfer::{ExportArgs, ImportArgs};

/// URL shortener and rate limiter in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad usage.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything: the edge that redirects, and the admin side with the API
    Serve(ServeArgs),
    /// Create, find, edit, delete, import and export links, through the API
    Link(LinkArgs),
    /// Show what was clicked: over time, from where, by what; through the API
    Stats(StatsArgs),
    /// Decide requests by policies and change these, through the API; replay and simulate
    Limit(LimitArgs),
    /// Have others told of what happens to links, through the API
    Webhook(WebhookArgs),
    /// Turn traffic into machines: throughput, storage, bandwidth, memory, machines, codes, cost
    Plan(PlanArgs),
    /// Create, list and revoke API keys
    Key(KeyArgs),
    /// Tell who changed what, when and from where, and whether the log of it is as it was written
    Audit(AuditArgs),
    /// Check a configuration, or print the defaults
    Config(ConfigArgs),
    /// Create or upgrade the schema of the stores; `serve` does it by itself
    Migrate(MigrateArgs),
    /// Copy all that a server keeps in files to a new directory, while it runs
    Backup(BackupArgs),
    /// Put the files of a backup where a server looks for them; replaces nothing
    Restore(BackupArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands
    Man {
        /// Write one page for each command into this directory
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// Where the configuration and the files are.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The configuration file; without one the defaults hold
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where files go whose place the configuration does not say
    #[arg(
        long,
        value_name = "DIR",
        env = "TOLLGATE_DATA_DIR",
        default_value = "tollgate-data"
    )]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MigrateArgs {
    #[command(subcommand)]
    pub(crate) command: Option<MigrateCommand>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Move links to where the shards of links.store want them, while servers run; goes on where an
    /// earlier run ended
    Rebalance(RebalanceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RebalanceArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Links moved in one commit, for which writers to these links wait
    #[arg(long, value_name = "LINKS", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
    /// Wait so long between two commits, such as 50ms, to leave more to others
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) pause: std::time::Duration,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The directory of the backup
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Where the edge listens
    #[arg(long, value_name = "ADDR")]
    pub(crate) edge_listen: Option<SocketAddr>,
    /// Where the admin side listens
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// Where the Redis protocol listens, such as 127.0.0.1:6380; by default nowhere
    #[arg(long, value_name = "ADDR")]
    pub(crate) resp_listen: Option<SocketAddr>,
    /// Where rate limits are decided over gRPC, such as 127.0.0.1:8083
    #[arg(long, value_name = "ADDR")]
    pub(crate) grpc_listen: Option<SocketAddr>,
    /// Where the reverse proxy listens, such as 127.0.0.1:8084; needs --proxy-upstream
    #[arg(long, value_name = "ADDR")]
    pub(crate) proxy_listen: Option<SocketAddr>,
    /// The server that the reverse proxy passes requests on to, such as http://127.0.0.1:3000
    #[arg(long, value_name = "URL")]
    pub(crate) proxy_upstream: Option<String>,
    /// What short links begin with
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// How log lines look: text or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// The least level that is logged, such as info or info,tollgate_links=debug
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
}

/// Which server, and who asks.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The admin address of the server
    #[arg(
        long,
        value_name = "URL",
        env = "TOLLGATE_SERVER",
        default_value = "http://127.0.0.1:8081"
    )]
    pub(crate) server: String,
    /// The API key
    #[arg(long, value_name = "KEY", env = "TOLLGATE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Print JSON instead of text for people
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The code of a link; without one, of all links
    pub(crate) code: Option<String>,
    /// The host the link lives on, or all links of a host
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
    /// Of all links that have this tag now
    #[arg(long, conflicts_with = "code")]
    pub(crate) tag: Option<String>,
    /// Of visits of codes that do not exist; --by link tells which
    #[arg(long, conflicts_with_all = ["code", "domain", "tag"])]
    pub(crate) orphans: bool,
    /// Where the period begins: a date, or a time such as 2030-01-31T12:00; by default 30 days ago,
    /// with other buckets more or less
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Where it ends, itself not included; by default now
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// The time zone in which days begin, such as Europe/Berlin; by default that of this machine
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// The length of a step: hour, day, week or month
    #[arg(long, default_value = "day")]
    pub(crate) bucket: String,
    /// What to count by, joined by commas, such as utm_campaign,city; by default
    /// referrer,country,device,browser, and with --csv nothing
    #[arg(long, value_name = "DIMENSIONS")]
    pub(crate) by: Option<String>,
    /// So many values of each
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) top: u16,
    /// Only such clicks: dimension=value; can be given several times
    #[arg(long = "filter", value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// Whether programs count: include, exclude or only
    #[arg(long, default_value = "include")]
    pub(crate) bots: String,
    /// Count the period before, too
    #[arg(long)]
    pub(crate) compare: bool,
    /// Print the series as CSV, or the values of the one dimension that --by names
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    #[command(subcommand)]
    pub(crate) command: LimitCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LimitCommand {
    /// Decide one request; ends with 1 if it is refused
    Check(LimitCheckArgs),
    /// List the policies in force, or print those of a domain
    Policies(LimitPoliciesArgs),
    /// Show who is refused most
    Denied(LimitDeniedArgs),
    /// Set the policies of a domain from a file
    Set(LimitSetArgs),
    /// Take back what was set: what the server's own file says is in force again
    Unset(LimitUnsetArgs),
    /// Put access logs through policies, and tell what these would have done; needs no server
    Replay(LimitReplayArgs),
    /// Put made traffic through algorithms side by side, and tell what each lets through; needs no
    /// server
    Simulate(LimitSimulateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LimitCheckArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The domain of the policies
    #[arg(long)]
    pub(crate) domain: String,
    /// How much the request takes; 0 looks without taking
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) hits: u64,
    /// What the request is: key=value, or several joined by commas
    #[arg(required = true, value_name = "DESCRIPTOR")]
    pub(crate) descriptors: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LimitPoliciesArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print the YAML in which this domain's policies are given
    pub(crate) domain: Option<String>,
    /// Show beside what each policy refuses, or would, what a replay forecast: a file that
    /// `limit replay --json` has printed; may be given several times, for several domains
    #[arg(long, value_name = "FILE", conflicts_with = "domain")]
    pub(crate) forecast: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LimitDeniedArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// How many, at most 1000
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u16,
}

#[derive(Debug, Args)]
pub(crate) struct LimitSetArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The policies of one domain, as YAML
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LimitUnsetArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The domain
    pub(crate) domain: String,
}

#[derive(Debug, Args)]
pub(crate) struct LimitReplayArgs {
    /// Access logs, plain, gzip or zstd: common or combined log format, or JSON a line as nginx,
    /// Caddy and others write it; `-` is standard input. Several are merged by time
    #[arg(required = true, value_name = "ACCESS_LOG")]
    pub(crate) logs: Vec<PathBuf>,
    /// The policies; by default those of the configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) policies: Option<PathBuf>,
    /// The configuration that says how requests are counted: that of the reverse proxy, if it has
    /// one, or else that of forward auth
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The domain of the policies; by default as the configuration says, or the only one there is
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// A descriptor of each request, such as remote_address or host+path; may be given several
    /// times; by default as the configuration says
    #[arg(long, value_name = "DESCRIPTOR")]
    pub(crate) by: Vec<String>,
    /// Where JSON has something: time, client, method, path, request, host, user_agent, referrer,
    /// api_key or header:NAME, and its key, as in time=meta.at
    #[arg(long = "field", value_name = "NAME=KEY")]
    pub(crate) fields: Vec<String>,
    /// Who should never be refused: a file with an address or network a line, or a rule such as
    /// user_agent~Googlebot or path=/health
    #[arg(long, value_name = "FILE|RULE")]
    pub(crate) good: Vec<String>,
    /// Propose limits that leave this share of the keys alone, such as 0.999
    #[arg(long, value_name = "SHARE")]
    pub(crate) suggest: Option<f64>,
    /// Take times of whole seconds as they are written, instead of spreading the lines of a second
    /// over it
    #[arg(long)]
    pub(crate) as_written: bool,
    /// How many of the keys refused most are shown, and of the lines that are no requests
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) limit: u16,
    #[command(flatten)]
    pub(crate) output: ReportArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LimitSimulateArgs {
    /// What comes
    #[arg(long, value_enum, default_value_t = TrafficArg::Poisson)]
    pub(crate) traffic: TrafficArg,
    /// The algorithms, by their names in policies, joined by commas; by default all
    #[arg(long = "algorithm", value_name = "NAME", value_delimiter = ',')]
    pub(crate) algorithms: Vec<String>,
    /// Requests a window
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u64,
    /// The window, such as 1s, 1m or 1h
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub(crate) window: String,
    /// The capacity of buckets; by default the limit
    #[arg(long, value_name = "N")]
    pub(crate) burst: Option<u64>,
    /// How much comes to each key on average, as a multiple of the limit; with zipf, to the first
    #[arg(long, value_name = "TIMES", default_value_t = 1.2)]
    pub(crate) load: f64,
    /// For how many windows
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) windows: u64,
    /// How many keys there are; by default 1, and with zipf 1000
    #[arg(long, value_name = "N")]
    pub(crate) keys: Option<u64>,
    /// Another seed makes other traffic of the same kind
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// With fleet: how many servers share the Redis
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) servers: u64,
    /// With fleet: by how much the clocks of the servers are wrong at most
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    pub(crate) skew: String,
    /// With fleet: when the Redis is away, in windows from the start; by default the middle third
    #[arg(long, value_name = "FROM..TO")]
    pub(crate) outage: Option<String>,
    /// Write a picture of it, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: ReportArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrafficArg {
    /// Requests at even distances
    Steady,
    /// Independent requests
    Poisson,
    /// Twice the load for three quarters of a window, then nothing for as long
    Bursty,
    /// Two loads at once about every second boundary of windows
    Boundary,
    /// Many keys, of which the nth asks an nth of what the first does
    Zipf,
    /// Independent requests to servers that share a Redis, which is away for a while; for each of
    /// the ways to go on without it
    Fleet,
}

/// How a report is printed.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Print JSON instead of text for people
    #[arg(long)]
    pub(crate) json: bool,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    #[command(subcommand)]
    pub(crate) command: LinkCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// Create a link and print its address
    Create(CreateArgs),
    /// Show a link
    Get(OneLinkArgs),
    /// List links, newest first
    List(ListArgs),
    /// Edit a link; what is not named stays
    Update(UpdateArgs),
    /// Delete links
    Delete(DeleteArgs),
    /// Import links from CSV or NDJSON, or from another shortener with its clicks
    Import(ImportArgs),
    /// Export all links as CSV or NDJSON
    Export(ExportArgs),
    /// Show what was done to a link, newest first
    History(HistoryArgs),
    /// Draw the QR code of a link, on the terminal or into a file
    Qr(QrArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Where the link leads
    pub(crate) url: String,
    /// The wanted code; without one a strategy makes it
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// The host the link lives on
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
    #[command(flatten)]
    pub(crate) fields: FieldArgs,
    /// Print an equal link if there is one, instead of making another
    #[arg(long)]
    pub(crate) reuse: bool,
    /// How the code is made: counter, hash, snowflake, pool or random
    #[arg(long, conflicts_with = "code")]
    pub(crate) strategy: Option<StrategyKind>,
}

/// What can be chosen for a link, and edited later.
#[derive(Debug, Args)]
pub(crate) struct FieldArgs {
    /// From when on it can be used, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) starts_at: Option<UnixMillis>,
    /// From when on it is gone, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_at: Option<UnixMillis>,
    /// After how many clicks it is gone
    #[arg(long, value_name = "N")]
    pub(crate) max_clicks: Option<u64>,
    /// The redirect's status: 301, 302, 307 or 308
    #[arg(long, value_name = "STATUS")]
    pub(crate) redirect: Option<u16>,
    /// Asked for before the redirect
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// A label; can be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// For people; shown on the preview page
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Merge the request's query into the target's
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) forward_query: Option<bool>,
    /// Other targets for some visitors: a JSON array, or @ and the name of a file that holds it
    #[arg(long, value_name = "JSON")]
    pub(crate) rules: Option<String>,
}

/// Names one link.
#[derive(Debug, Args)]
pub(crate) struct OneLinkArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The link's code
    pub(crate) code: String,
    /// The host the link lives on
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Only links whose code, title or target begins with this
    #[arg(short, long, value_name = "PREFIX")]
    pub(crate) query: Option<String>,
    /// Only links with this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Only links on this host
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
    /// The order
    #[arg(long, value_enum)]
    pub(crate) order: Option<OrderArg>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OrderArg {
    /// Newest first
    Newest,
    /// Oldest first
    Oldest,
    /// By code
    Code,
    /// By code backwards
    CodeDesc,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    pub(crate) link: OneLinkArgs,
    /// Where the link leads
    #[arg(long)]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) fields: FieldArgs,
    /// A field to empty; can be given several times
    #[arg(long, value_enum, value_name = "FIELD")]
    pub(crate) clear: Vec<ClearArg>,
    /// Edit only if the link is still at this version
    #[arg(long, value_name = "N")]
    pub(crate) if_version: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClearArg {
    StartsAt,
    ExpiresAt,
    MaxClicks,
    Redirect,
    Password,
    Tags,
    Title,
    Rules,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The links' codes
    #[arg(required = true)]
    pub(crate) codes: Vec<String>,
    /// The host the links live on
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct QrArgs {
    #[command(flatten)]
    pub(crate) link: OneLinkArgs,
    /// The file to write, which ends in .svg or .png; without it the code is shown on the terminal
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Pixels of a side, up to 1024; 300 by default
    #[arg(long, value_name = "PIXELS", requires = "output")]
    pub(crate) size: Option<u32>,
    /// The width of the margin, in modules; 4 by default
    #[arg(long, value_name = "MODULES", requires = "output")]
    pub(crate) margin: Option<u32>,
    /// The level of error correction: l, m, q or h; m by default, h with a logo
    #[arg(long, requires = "output")]
    pub(crate) level: Option<String>,
    /// The colour of the modules, such as 0b57d0; black by default
    #[arg(long, value_name = "HEX", requires = "output")]
    pub(crate) color: Option<String>,
    /// The colour behind them; white by default
    #[arg(long, value_name = "HEX", requires = "output")]
    pub(crate) background: Option<String>,
    /// A PNG to put into the middle, of up to 256 KiB and 1024x1024 pixels
    #[arg(long, value_name = "FILE", requires = "output")]
    pub(crate) logo: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) link: OneLinkArgs,
    /// At most so many entries
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookArgs {
    #[command(subcommand)]
    pub(crate) command: WebhookCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Create a webhook and print the secret that messages are signed with, which is shown only once
    Create(WebhookCreateArgs),
    /// List webhooks, oldest first
    List(WebhookListArgs),
    /// Queue and send nothing for the time being
    Pause(OneWebhookArgs),
    /// Go on after a pause
    Resume(OneWebhookArgs),
    /// Delete a webhook with its messages
    Delete(OneWebhookArgs),
    /// Give a webhook another secret
    Rotate(OneWebhookArgs),
    /// Send a message to see whether it arrives
    Ping(OneWebhookArgs),
    /// List the messages of a webhook, newest first
    Deliveries(WebhookDeliveriesArgs),
    /// Send a message again
    Resend(WebhookResendArgs),
}

#[derive(Debug, Args)]
pub(crate) struct WebhookCreateArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Where messages are sent to
    pub(crate) url: String,
    /// Of what, with commas between: link.created, link.updated, link.deleted, link.expired,
    /// link.threshold
    #[arg(
        long,
        value_name = "EVENTS",
        value_delimiter = ',',
        default_value = "link.created,link.updated,link.deleted,link.expired"
    )]
    pub(crate) events: Vec<String>,
    /// At how many clicks of a link link.threshold is sent, with commas between
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub(crate) thresholds: Vec<u64>,
    /// Only of links of this host
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookListArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OneWebhookArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The webhook's identifier, as `webhook list` shows it
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookDeliveriesArgs {
    #[command(flatten)]
    pub(crate) webhook: OneWebhookArgs,
    /// Only those in this state: waiting, delivered or dead
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// At most so many, up to 1000
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookResendArgs {
    #[command(flatten)]
    pub(crate) webhook: OneWebhookArgs,
    /// The message's identifier, as `webhook deliveries` shows it
    pub(crate) delivery: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --server or --key the keys of that server are meant, and --key must be one with the scope \
admin. Without both, the store that --config and --data-dir name is used.")]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key and print its secret, which is shown only once
    Create(KeyCreateArgs),
    /// List keys, oldest first
    List(KeyListArgs),
    /// Give a key another secret, which is shown only once; the one before goes on for a while
    Rotate(KeyRotateArgs),
    /// Revoke a key for good
    Revoke(KeyRevokeArgs),
}

/// Of a server, or of a store on this machine.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The admin address of the server
    #[arg(long, value_name = "URL", env = "TOLLGATE_SERVER")]
    pub(crate) server: Option<String>,
    /// The API key
    #[arg(long, value_name = "KEY", env = "TOLLGATE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print JSON instead of text for people
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreateArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// A name for people
    pub(crate) name: String,
    /// What it allows, with commas between: links:read, links:write, stats:read, limits:check,
    /// audit:read, admin
    #[arg(
        long = "scopes",
        visible_alias = "scope",
        value_name = "SCOPES",
        value_delimiter = ',',
        default_value = "links:read,links:write"
    )]
    pub(crate) scopes: Vec<String>,
    /// The only host whose links it may touch
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
    /// From when on it is refused, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_at: Option<UnixMillis>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyListArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRevokeArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// The key's identifier, as `key list` shows it
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRotateArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// The key's identifier, as `key list` shows it
    pub(crate) id: String,
    /// How long the secret before is accepted as well, at most 30d; 0 ends it at once
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = grace)]
    pub(crate) grace: std::time::Duration,
}

fn grace(text: &str) -> Result<std::time::Duration, String> {
    const LONGEST: std::time::Duration = std::time::Duration::from_hours(30 * 24);
    let time = match text {
        "0" => Ok(std::time::Duration::ZERO),
        text => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }?;
    if time > LONGEST {
        return Err("at most 30d".to_owned());
    }
    Ok(time)
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show who changed what, newest first
    List(AuditListArgs),
    /// Write one entry a line as JSON, oldest first
    Export(AuditExportArgs),
    /// Tell whether the log is as it was written: nothing changed, taken out or moved
    Verify(AuditVerifyArgs),
}

/// Which entries.
#[derive(Debug, Args)]
pub(crate) struct AuditFilterArgs {
    /// Only this action, such as link.delete, or all done to one kind of thing, such as link
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only of the key, person or user with this identifier or name
    #[arg(long, value_name = "ACTOR")]
    pub(crate) actor: Option<String>,
    /// Only what was done to this, such as go.example/spring or the identifier of a key
    #[arg(long, value_name = "RESOURCE")]
    pub(crate) resource: Option<String>,
    /// Only from this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// Only with this result: done or refused
    #[arg(long, value_name = "RESULT")]
    pub(crate) result: Option<String>,
    /// Only from then on, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<UnixMillis>,
    /// Only before then
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<UnixMillis>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditListArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: AuditFilterArgs,
    /// The most entries
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct AuditExportArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) filter: AuditFilterArgs,
    /// Write into this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Look at what was exported, all of it, instead of the log itself
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
    /// A head that was printed before and kept elsewhere: the log has to have that entry still
    #[arg(long, value_name = "NUMBER:HASH")]
    pub(crate) head: Vec<String>,
    /// Print JSON instead of text for people
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Tell what is wrong with a configuration, environment included
    Check {
        /// The file; goes before --config
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The file, as `serve` takes it
        #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
        config: Option<PathBuf>,
    },
    /// Print a file that says every default
    Default,
    /// Print the reference of all keys, in Markdown
    Reference,
}
