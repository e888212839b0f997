//! Start and end: in which order the parts come up, and go down.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_audit::AuditLog;
use tollgate_clicks::capture::Privacy;
use tollgate_clicks::import::ClickImporter;
use tollgate_clicks::{ClickSource as _, SourceId};
use tollgate_clock::{Clock, SystemClock};
use tollgate_config::Config;
use tollgate_links::store::LeaseStore;
use tollgate_links::{
    CodeFilter, CodeRules, LinkCache, LinkService, ServiceParts, StoreSource, Strategies,
};
use tollgate_server::admin::{self, AdminParts};
use tollgate_server::clicks::Clicks;
use tollgate_server::edge::{self, BindError, BoundEdge, EdgeState};
use tollgate_server::health::Health;
use tollgate_server::metrics::{Metrics, WatchedFile};
use tollgate_server::overload::{Admitting, Overload};
use tollgate_server::qr::Logo;
use tollgate_server::resp::{self, BoundResp, RespHandle, RespState};
use tollgate_server::webhooks::Webhooks;

use super::clicked::Clicked;
use super::shared_links::SharedLinks;
use super::signals::Signals;
use super::{
    background, click_queue, clicks, clickstats, first_key, grpc, limits, options, proxy,
    service_manager, sign_on, webhooks,
};
use crate::link_store::{self, Links};
use crate::{changes, click_store, open, show};

/// Runs everything until a signal.
pub(super) async fn serve(
    config: &Config,
    data_dir: &Path,
    config_file: Option<&Path>,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let qr_logo = options::qr_logo(config)?;
    // The addresses first: nothing is made on disk by a second start by mistake, and short links
    // may be named after the edge's port, which the system may choose.
    let edge = edge::bind(options::edge(config, qr_logo.clone())).map_err(address_help)?;
    let edge_address = edge.local_addr();
    let resp = options::resp(config)
        .map(resp::bind)
        .transpose()
        .map_err(address_help)?;
    let resp_address = resp.as_ref().map(BoundResp::local_addr);
    let admin = tollgate_server::listen(config.admin.listen)
        .with_context(|| format!("the admin side cannot listen on {}", config.admin.listen))
        .map_err(address_help)?;
    let admin_address = admin.local_addr()?;
    // Before the stores are brought up to date, which may take minutes.
    let made = CancellationToken::new();
    let starting = tokio::spawn(admin::starting(admin, made.clone()));
    let grpc = grpc::bind(config).map_err(address_help)?;
    let grpc_address = grpc.as_ref().map(|grpc| grpc.address);
    let proxy = proxy::bind(config).map_err(address_help)?;
    let proxy_address = proxy.as_ref().map(|proxy| (proxy.scheme(), proxy.address));

    let mut store = link_store::open(config, data_dir).await?;
    let shared_links = SharedLinks::connect(config, &store.store).await?;
    store.store = shared_links.told_of(store.store);
    let (keys, keys_file) = open::keys(&config.keys_file(data_dir))?;
    let statistics = click_store::open(config, data_dir).await?;
    let outbox = open::webhooks(&config.webhooks_file(data_dir))?;
    let webhooks_file = open::watched("webhooks", outbox.watch_writer());
    let files = store.file.take().into_iter();
    let files = files.chain([keys_file, webhooks_file]).collect();
    let webhooks = webhooks::webhooks(config, outbox)?;
    let limits = limits::limits(config, data_dir).await?;
    let visitor_key = secret(&*store.leases, "visitor").await?;
    let privacy = options::privacy(config, secret(&*store.leases, "click visitor").await?);
    let clicks = clicks::start(config, data_dir, privacy.clone(), &statistics)?;
    let deletions = match statistics.is_shared {
        true => clickstats::shared_deletions(secret(&*store.leases, "deleted links").await?),
        false => clickstats::own_deletions(),
    };
    let audit = Arc::new(changes::log(config, data_dir)?);
    let first_key = first_key::ensure(&keys, &audit).await?;
    changes::started(&audit, config, config_file).await?;

    made.cancel();
    let admin = starting.await.context("the admin side does not start")?;
    let bound = Bound {
        edge,
        resp,
        admin,
        grpc,
        proxy,
    };
    let parts = Made {
        store,
        shared_links,
        visitor_key,
        keys: Arc::new(keys),
        clicks,
        privacy,
        statistics,
        deletions,
        webhooks,
        audit,
        limits,
        qr_logo,
        files,
    };
    let running = Running::start(config, bound, parts)?;
    let scheme = if config.edge.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    show::line(format_args!("edge       {scheme}://{edge_address}"))?;
    if config.admin.dashboard {
        // Before the admin side: programs that start a server may stop reading after that.
        show::line(format_args!("dashboard  http://{admin_address}/"))?;
    }
    show::line(format_args!("admin      http://{admin_address}"))?;
    if let Some(address) = resp_address {
        show::line(format_args!("resp       redis://{address}"))?;
        if !address.ip().is_loopback() && config.resp.password.is_none() {
            tracing::warn!(
                %address,
                "whoever reaches the Redis protocol can use it: set resp.password"
            );
        }
    }
    if let Some(address) = grpc_address {
        show::line(format_args!("grpc       http://{address}"))?;
    }
    if let Some((scheme, address)) = proxy_address {
        show::line(format_args!("proxy      {scheme}://{address}"))?;
    }
    if let Some(secret) = first_key {
        show::line(format_args!(
            "admin key  {secret}\n           shown only this once: keep it, and give it as --key or TOLLGATE_KEY"
        ))?;
    }
    let resp_address = resp_address.map(tracing::field::display);
    let grpc_address = grpc_address.map(tracing::field::display);
    let proxy_address = proxy_address.map(|(_, address)| tracing::field::display(address));
    tracing::info!(
        %edge_address,
        %admin_address,
        resp_address,
        grpc_address,
        proxy_address,
        "serving"
    );
    service_manager::ready(edge_address, admin_address);
    running.until_signal(&mut signals).await
}

/// The listeners: their addresses are taken, but they serve nobody yet.
struct Bound {
    edge: BoundEdge,
    resp: Option<BoundResp>,
    admin: TcpListener,
    grpc: Option<grpc::Bound>,
    proxy: Option<proxy::Bound>,
}

/// What the listeners serve.
struct Made {
    store: Links,
    shared_links: SharedLinks,
    /// The key of the visitors' hash, the same for all instances on this store.
    visitor_key: [u8; 16],
    keys: Arc<tollgate_access::Keys>,
    clicks: Option<clicks::Clicks>,
    /// What is kept of those who click.
    privacy: Privacy,
    statistics: click_store::Clicks,
    /// The name under which deletions of links are followed.
    deletions: SourceId,
    webhooks: Webhooks,
    audit: Arc<AuditLog>,
    limits: limits::Made,
    qr_logo: Option<Arc<Logo>>,
    /// What is written to.
    files: Vec<WatchedFile>,
}

/// What runs, with what is needed to end it.
struct Running {
    service: LinkService,
    health: Health,
    /// How long all goes on after the signal, so that others notice.
    delay: Duration,
    draining: CancellationToken,
    listeners: CancellationToken,
    tasks: CancellationToken,
    background: TaskTracker,
    edge: edge::EdgeHandle,
    resp: Option<RespHandle>,
    admin: tokio::task::JoinHandle<std::io::Result<()>>,
    clicks: Option<clicks::Clicks>,
    counting: Option<clickstats::Counting>,
    /// What puts clicks into a queue that servers share.
    forwarding: Option<JoinHandle<()>>,
    limits: limits::Ending,
    /// The listeners that are only there if they were asked for.
    optional: JoinSet<anyhow::Result<()>>,
}

impl Running {
    fn start(
        config: &Config,
        Bound {
            edge,
            resp,
            admin,
            grpc,
            proxy,
        }: Bound,
        Made {
            store,
            shared_links,
            visitor_key,
            keys,
            clicks,
            privacy,
            statistics,
            deletions,
            webhooks,
            audit,
            limits,
            qr_logo,
            files,
        }: Made,
    ) -> anyhow::Result<Self> {
        let lifecycle = Arc::clone(&store.lifecycle);
        let metrics = Arc::new(Metrics::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let overload = Overload::new(options::overload(config), &clock).context("overload")?;
        metrics.register_overload(overload.clone());
        let service = service(
            config,
            &edge,
            store,
            &shared_links,
            &metrics,
            &overload,
            &clock,
        )?;
        metrics.register_files(files.clone());
        let health = Health::new(
            Arc::clone(&service.parts().store),
            Arc::clone(&clock),
            files,
        );
        metrics.register_cache(Arc::clone(&service.parts().cache));
        shared_links.register(&metrics);
        limits.register(&metrics);
        (statistics.register)(&metrics);
        let statistics = statistics.store;
        let tasks = CancellationToken::new();
        let clicked = Arc::new(Clicked::new(Arc::clone(&statistics)));
        let (mut counting, mut forwarding) = (None, None);
        if let Some(clicks) = &clicks {
            clicks.register(&metrics);
            let queue = click_queue::open(config, clicks.source.id())?;
            if let Some(queue) = &queue {
                let source = clicks.source.clone();
                let (queue, store) = (Arc::clone(queue), Arc::clone(&statistics));
                let forwarder = click_queue::forwarder(source, queue, store, &metrics);
                forwarding = Some(tokio::spawn(click_queue::forward(forwarder, tasks.clone())));
            }
            let parts = clickstats::Parts {
                source: Arc::new(clicks.source.clone()),
                queue,
                store: clicked.clone(),
                patient: Arc::new(clicked.beside(Arc::clone(&clicks.patient))),
                filled: Box::new(clicks.filled(config.clicks.spool_max_bytes)),
                clock: Arc::clone(&clock),
                end: tasks.clone(),
            };
            counting = Some(clickstats::Counting::start(config, parts, &metrics)?);
        }

        let draining = CancellationToken::new();
        let listeners = CancellationToken::new();
        let edge = edge.serve(
            EdgeState {
                service: service.clone(),
                guard: limits.limits.guard.clone(),
                metrics: Arc::clone(&metrics),
                clicks: clicks.as_ref().map(|clicks| Arc::clone(&clicks.capture)),
                counted: Arc::clone(&overload.counted),
                visitor_key,
            },
            listeners.clone(),
        )?;
        let limit_store = Arc::clone(&limits.store);
        let (limits, ending) = limits.into_parts();
        let mut optional = JoinSet::new();
        if let Some(grpc) = grpc {
            let service = Arc::clone(&limits.service);
            let state = grpc::state(config, service, &metrics, draining.clone());
            optional.spawn(grpc.serve(state, listeners.clone()));
        }
        if let Some(proxy) = proxy {
            let service = Arc::clone(&limits.service);
            optional.spawn(proxy.serve(service, &metrics, listeners.clone())?);
        }
        let book = Arc::clone(&limits.book);
        let resp = match resp {
            Some(resp) => Some(resp.serve(
                RespState {
                    store: limit_store,
                    service: Arc::clone(&limits.service),
                    clock,
                    metrics: Arc::clone(&metrics),
                },
                listeners.clone(),
            )?),
            None => None,
        };
        let state = AdminParts {
            limits,
            clicks: Some(Clicks {
                store: Arc::clone(&statistics),
                importer: Arc::new(ClickImporter::new(
                    Arc::clone(&statistics),
                    privacy,
                    config.clicks.geo_file.clone(),
                    Arc::clone(&service.parts().clock),
                )),
                live: counting
                    .as_ref()
                    .map(clickstats::Counting::live)
                    .unwrap_or_default(),
                shutdown: listeners.clone(),
            }),
            webhooks: webhooks.clone(),
            audit: Arc::clone(&audit),
            service: service.clone(),
            keys,
            metrics: Arc::clone(&metrics),
            health: health.clone(),
            overload,
            sign_on: sign_on::sign_on(config, Arc::new(SystemClock::new()))?,
            options: options::admin(config, qr_logo),
        };
        let admin = tokio::spawn(admin::serve(admin, state.into(), listeners.clone()));
        let background = background(config, &service, &metrics, &tasks);
        service_manager::keep_alive(&background, &tasks);
        shared_links.tend(&service.parts().cache, &background, &tasks);
        let upkeep = clickstats::Upkeep {
            links: service.clone(),
            store: Arc::clone(&statistics),
            deletions,
        };
        upkeep.start(config, &background, &tasks);
        let finder = webhooks::Finder {
            links: service.clone(),
            lifecycle,
            clicks: clicked,
            webhooks,
            overflowed: Arc::default(),
        };
        webhooks::start(finder, &metrics, &background, &tasks);
        let watching = limits::watch(book, Arc::clone(&audit), config.limits.watch, tasks.clone());
        background.spawn(watching);
        background.spawn(changes::tidy(audit, config.changes.clone(), tasks.clone()));
        ending.tend(&background, &tasks);
        Ok(Self {
            service,
            health,
            delay: config.shutdown.delay,
            draining,
            listeners,
            tasks,
            background,
            edge,
            resp,
            admin,
            clicks,
            counting,
            forwarding,
            limits: ending,
            optional,
        })
    }

    /// Waits for a signal, then ends everything in the order that loses nothing: first nobody new
    /// is sent here, then nobody new is let in, then requests in flight finish, then their clicks are written, then what is
    /// leased is given back.
    async fn until_signal(mut self, signals: &mut Signals) -> anyhow::Result<()> {
        tokio::select! {
            signal = signals.next() => tracing::info!(signal, "shutting down"),
            ended = &mut self.admin => {
                let error = match ended {
                    Ok(Err(error)) => anyhow::Error::from(error),
                    Ok(Ok(())) => anyhow!("it ended by itself"),
                    Err(error) => error.into(),
                };
                return Err(error.context("the admin side stopped"));
            }
            Some(ended) = self.optional.join_next() => {
                ended??;
                return Err(anyhow!("a listener ended by itself"));
            }
        }
        tokio::select! {
            ended = self.end() => ended,
            signal = signals.next_apart() => Err(anyhow!("{signal} once more: not waiting any longer")),
        }
    }

    async fn end(mut self) -> anyhow::Result<()> {
        service_manager::stopping();
        self.health.drain();
        self.draining.cancel();
        if !self.delay.is_zero() {
            tracing::info!(delay = ?self.delay, "not ready any more, and serving on");
            tokio::time::sleep(self.delay).await;
        }
        self.listeners.cancel();
        let (edge, resp) = (self.edge, self.resp);
        let edge = tokio::task::spawn_blocking(move || {
            edge.join();
            if let Some(resp) = resp {
                resp.join();
            }
        });
        let optional = async {
            let mut ended = Ok(());
            while let Some(one) = self.optional.join_next().await {
                ended = ended.and(one.map_err(Into::into).flatten());
            }
            ended
        };
        let (edge, admin, optional) = tokio::join!(edge, self.admin, optional);
        if let Some(clicks) = self.clicks {
            let finished = tokio::task::spawn_blocking(|| clicks.finish()).await;
            finished.context("writing the last clicks failed")?;
        }
        self.tasks.cancel();
        self.background.wait().await;
        if let Some(forwarding) = self.forwarding {
            forwarding.await.context("forwarding clicks failed")?;
        }
        if let Some(counting) = self.counting {
            let joined = tokio::task::spawn_blocking(|| counting.join()).await;
            joined.context("counting clicks did not end")?;
        }
        let returned = self.service.parts().strategies.shutdown().await;
        if let Err(error) = returned {
            tracing::warn!(%error, "leases are not given back: they end by themselves");
        }
        self.limits.keep();
        drop(self.limits);
        edge.context("an edge thread failed")?;
        admin?.context("the admin side failed")?;
        optional?;
        tracing::info!("shut down");
        Ok(())
    }
}

fn service(
    config: &Config,
    edge: &BoundEdge,
    store: Links,
    shared: &SharedLinks,
    metrics: &Metrics,
    overload: &Overload,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<LinkService> {
    (store.register)(metrics);
    let domains = open::domains(config, Some(edge.local_addr()))?;
    let links = &config.links;
    let filter = Arc::new(CodeFilter::new(&links.reserved_words, &links.blocked_words));
    let strategies = Strategies::new(
        options::strategies(config),
        store.leases,
        Arc::clone(&filter),
        Arc::clone(clock),
    );
    let seed = getrandom::u64().context("the system gives no randomness")?;
    let options = options::cache(config, seed);
    let source = match shared.source() {
        Some(source) => source,
        None => Arc::new(StoreSource(Arc::clone(&store.store))),
    };
    let source = Admitting::new(source, Arc::clone(&overload.reads));
    let cache = LinkCache::over(options, Arc::new(source), Arc::clone(clock));
    Ok(LinkService::new(ServiceParts {
        store: store.store,
        feed: store.feed,
        cache,
        strategies: Arc::new(strategies),
        default_strategy: options::strategy(config),
        codes: CodeRules {
            case_insensitive: links.case_insensitive,
        },
        filter,
        specs: options::specs(config, &domains, edge.local_addr()),
        domains,
        clock: Arc::clone(clock),
    }))
}

/// A key of this name, the same for all instances on this store.
async fn secret(store: &dyn LeaseStore, name: &'static str) -> anyhow::Result<[u8; 16]> {
    let mut candidate = [0; 32];
    getrandom::fill(&mut candidate).context("the system gives no randomness")?;
    let secret = store.secret(name, candidate).await?;
    let mut key = [0; 16];
    key.copy_from_slice(&secret[..16]);
    Ok(key)
}

fn background(
    config: &Config,
    service: &LinkService,
    metrics: &Metrics,
    end: &CancellationToken,
) -> TaskTracker {
    let created = service.clone();
    metrics.register_counter(
        "tollgate_links_created",
        "Links that were created by requests, also in bulk, without those that were there before",
        move || created.created() as f64,
    );
    let swept = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&swept);
    metrics.register_counter(
        "tollgate_links_swept",
        "Expired links that were deleted",
        // Exact up to 2^53, which no process reaches.
        move || counted.load(Relaxed) as f64,
    );
    let tracker = TaskTracker::new();
    tracker.spawn(background::follow(
        service.clone(),
        config.memory_cache.clone(),
        end.clone(),
    ));
    tracker.spawn(background::sweep(
        service.clone(),
        config.sweep.clone(),
        swept,
        end.clone(),
    ));
    tracker.spawn(background::tend(service.clone(), end.clone()));
    tracker.close();
    tracker
}

/// Adds what to do about an address that cannot be had.
fn address_help(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    let of_edge = match error.downcast_ref() {
        Some(BindError::Listen { error, .. }) => Some(error),
        _ => None,
    };
    let of_resp = error
        .downcast_ref()
        .map(|resp::BindError { error, .. }| error);
    let of_admin = error.downcast_ref::<std::io::Error>();
    if of_edge.or(of_resp).or(of_admin).map(std::io::Error::kind)
        == Some(std::io::ErrorKind::AddrInUse)
    {
        anyhow!(
            "{error:#}. Another process listens there, perhaps another `tollgate serve`: end it, \
             or choose other addresses by --edge-listen, --admin-listen, --resp-listen, --grpc-listen and \
             --proxy-listen"
        )
    } else {
        error
    }
}
