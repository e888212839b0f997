//! Configurations as people write them, right and wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step fails the test"
)]
use std::path::Path;
use std::time::Duration;

use tollgate_config::{
    Addresses, Attribute, ClickQueue, Config, Engine, LimitStore, Place, Redirect, Root,
    SaslMechanism, Sources, Strategy, default_file, keys, reference,
};

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    std::fs::write(&path, file).unwrap();
    let sources = Sources {
        file: Some(&path),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        flags: flags
            .iter()
            .map(|(key, value)| (*key, "--flag", (*value).to_owned()))
            .collect(),
    };
    let directory = format!("{}/", dir.path().display());
    Config::load(&sources).map_err(|error| error.to_string().replace(&directory, ""))
}

#[test]
fn the_defaults_are_valid_and_the_default_file_says_just_them() {
    let built_in = Config::load(&Sources::default()).unwrap();
    assert_eq!(load(&default_file(), &[], &[]).unwrap(), built_in);
    assert_eq!(built_in.links.redirect, Redirect::Found);
    assert_eq!(built_in.memory_cache.max_bytes, 64 << 20);
    assert_eq!(built_in.edge.root, Root::Landing);
    let data = Path::new("data");
    assert_eq!(
        built_in.links_file(data).unwrap(),
        Path::new("data/links.db")
    );
    assert_eq!(built_in.keys_file(data), Path::new("data/keys.db"));
    // Each key is really in that file, so that the comparison above looked at all of them.
    for key in keys() {
        assert!(default_file().contains(&format!("\n{} = {}\n", key.name, key.default)));
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "[edge]\nlisten = '127.0.0.1:1'\ndrain = '1s'\nthreads = 1\n[log]\nformat = 'json'";
    let environment = [
        ("TOLLGATE_EDGE__LISTEN", "127.0.0.1:2"),
        ("TOLLGATE_EDGE__DRAIN", "2s"),
        ("TOLLGATE_KEY", "tg_secret"),
        ("PATH", "/bin"),
    ];
    let config = load(file, &environment, &[("edge.listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(config.edge.listen.port(), 3);
    assert_eq!(config.edge.drain, Duration::from_secs(2));
    assert_eq!(config.edge.threads, 1);
}

#[test]
fn every_key_can_be_set_by_its_environment_variable() {
    let config = load(
        "",
        &[
            ("TOLLGATE_LINKS__STORE", "sqlite:/var/lib/l.db"),
            ("TOLLGATE_LINKS__STRATEGY", "pool"),
            ("TOLLGATE_LINKS__CODE_LENGTH", "9"),
            ("TOLLGATE_LINKS__CASE_INSENSITIVE", "true"),
            (
                "TOLLGATE_LINKS__DOMAINS",
                "https://a.example, https://b.example",
            ),
            ("TOLLGATE_LINKS__MEMORY_CACHE__EARLY_REFRESH", "0.5"),
            ("TOLLGATE_LINKS__MEMORY_CACHE__MAX_BYTES", "1MiB"),
            ("TOLLGATE_EDGE__TRUSTED_PROXIES", "10.0.0.0/8,::1"),
            ("TOLLGATE_CLICKS__ADDRESSES", "none"),
            ("TOLLGATE_CLICKS__SPOOL", "/var/spool/clicks"),
            ("TOLLGATE_CLICKS__SYNC", "0"),
            ("TOLLGATE_EDGE__ROOT", "https://example.com"),
            (
                "TOLLGATE_LIMITS__AUTHORIZE_BY",
                "path+header:X-Tenant, api_key",
            ),
        ],
        &[],
    )
    .unwrap();
    assert_eq!(
        config.links_file(Path::new("data")).unwrap(),
        Path::new("/var/lib/l.db")
    );
    assert_eq!(config.links.strategy, Strategy::Pool);
    assert_eq!(config.links.code_length, 9);
    assert!(config.links.case_insensitive);
    assert_eq!(
        config.links.domains,
        ["https://a.example", "https://b.example"]
    );
    assert!((config.memory_cache.early_refresh - 0.5).abs() < f64::EPSILON);
    assert_eq!(config.memory_cache.max_bytes, 1 << 20);
    assert_eq!(config.edge.trusted_proxies.len(), 2);
    assert_eq!(config.clicks.addresses, Addresses::None);
    assert_eq!(
        config.spool_directory(Path::new("data")),
        Path::new("/var/spool/clicks")
    );
    assert!(config.clicks.sync.is_zero());
    assert_eq!(
        config.edge.root,
        Root::Redirect("https://example.com/".into())
    );
    let tenant = Attribute::Header("x-tenant".into());
    assert_eq!(
        config.limits.authorize_by,
        [vec![Attribute::Path, tenant], vec![Attribute::ApiKey]]
    );
    // The names are derived, so one pass over all of them shows that each is known and read.
    for key in keys() {
        let error = load("", &[(&key.env(), "\u{1}")], &[]);
        // Words and paths take any text; everything else refuses a control character.
        let any_text = [
            "reserved_words",
            "blocked_words",
            "tls_cert",
            "tls_key",
            "qr_logo",
            "upstream_ca",
            "ca_file",
            "client_cert",
            "client_key",
            "policies",
            "spool",
            "archive_dir",
            "geo_file",
            "file",
            "snapshot",
            "password",
            "yourls_signature",
            "client_secret",
            "scopes",
            "leave_out",
        ];
        let refused = error.is_err_and(|text| text.contains(&key.env()));
        assert!(refused || any_text.contains(&key.name), "{}", key.env());
    }
}

#[test]
fn a_provider_is_whole_and_its_secret_is_not_shown() {
    let oidc = |more: &str| {
        let toml = format!("[admin.oidc]\nissuer = 'https://id.example/realm'\n{more}");
        load(&toml, &[], &[]).map(|config| (format!("{config:?}"), config.oidc))
    };
    let error = oidc("").unwrap_err();
    for key in ["client_id", "url", "grants"] {
        assert!(
            error.contains(&format!("admin.oidc.{key}: set it")),
            "{error}"
        );
    }
    let whole = "client_id = 'us'\nclient_secret = 'hush'\nurl = 'https://go.example/'\n";
    let (debug, read) = oidc(&format!("{whole}grants = ['groups=ops -> admin']")).unwrap();
    assert!(!debug.contains("hush"));
    assert_eq!(read.issuer.as_deref(), Some("https://id.example/realm"));
    assert_eq!(read.url.as_deref(), Some("https://go.example/"));
    assert_eq!(read.scopes, ["email", "profile"]);
    for grant in [
        "admin",
        "groups=ops",
        "ops -> admin",
        "groups= -> admin",
        "groups=ops ->",
    ] {
        let error = oidc(&format!("{whole}grants = ['{grant}']")).unwrap_err();
        assert!(error.contains("claim=value -> scopes"), "{error}");
    }
}

#[test]
fn a_proxy_has_something_behind_it() {
    let upstream = |url: &str| {
        let toml = format!("[proxy]\nlisten = '127.0.0.1:0'\nupstream = '{url}'");
        load(&toml, &[], &[]).map(|config| config.proxy.upstream)
    };
    let read = upstream("https://Bücher.example:443/").unwrap();
    assert_eq!(read.as_deref(), Some("https://xn--bcher-kva.example"));
    let error = upstream("").unwrap_err();
    assert!(error.contains("t.toml:2:1: proxy.listen:"), "{error}");
    for bad in ["127.0.0.1:3000", "ftp://a", "http://a/b", "http://u@a"] {
        let error = upstream(bad).unwrap_err();
        assert!(error.contains("proxy.upstream:"), "{bad}: {error}");
    }
}

#[test]
fn a_key_of_yourls_stands_behind_a_signature() {
    let yourls = |toml: &str| load(&format!("[compat]\n{toml}"), &[], &[]);
    let config = yourls("yourls = true\nyourls_signature = '1002a612b4'\nyourls_key = 'tg_x'");
    let compat = config.unwrap().compat;
    assert!(compat.yourls && !compat.shlink && !compat.bitly);
    assert!(compat.yourls_signature.is_some() && compat.yourls_key.is_some());
    assert!(yourls("yourls_signature = 'tg_0123456789abcdef'").is_ok());
    let error = yourls("yourls_key = 'tg_0123456789abcdef'").unwrap_err();
    assert!(error.contains("t.toml:2:1: compat.yourls_key:"), "{error}");
    assert!(!error.contains("0123456789"), "{error}");
}

#[test]
fn a_secret_is_never_shown() {
    let config = load("[resp]\npassword = 'sesame'", &[], &[]).unwrap();
    assert!(config.resp.password.is_some());
    assert!(!format!("{config:?}").contains("sesame"));
    let error = load("[resp]\npassword = 86420", &[], &[]).unwrap_err();
    assert!(error.contains("resp.password"), "{error}");
    assert!(!error.contains("86420"), "{error}");
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let file = "\
[links]
stroe = 'sqlite:a.db'
  redirect = 303
cache = 'memcached://127.0.0.1'
store = 'mysql://db'
[links.memory_cache]
ttl = 5
[edgy]
listen = 1
[edge]
tls_cert = 'a.pem'
[log]
format = 'xml'
";
    let environment = [
        ("TOLLGATE_EDGE__LISTENS", "x"),
        ("TOLLGATE_LOG__LEVEL", "loud"),
    ];
    let error = load(file, &environment, &[("admin.listen", "8081")]).unwrap_err();
    insta::assert_snapshot!(error, @r#"
    t.toml:2:1: links.stroe: unknown key; did you mean links.store?
    t.toml:3:3: links.redirect: expected 301, 302, 307 or 308, found 303
    t.toml:4:1: links.cache: give the URL of a Redis, such as "redis://127.0.0.1:6379/0", or leave it empty: then links are cached in memory only
    t.toml:5:1: links.store: the engine "mysql" is not supported by this build: use "sqlite:" and a path, or "postgres://" and an address
    t.toml:7:1: links.memory_cache.ttl: expected a duration above zero with its unit, such as "500ms", "30s" or "1h", found 5
    t.toml:8:2: edgy: unknown key; did you mean edge?
    t.toml:11:1: edge.tls_cert: TLS needs both files: set edge.tls_key as well
    t.toml:13:1: log.format: expected "text" or "json", found "xml"
    environment variable TOLLGATE_EDGE__LISTENS: no key has this name; did you mean TOLLGATE_EDGE__LISTEN?
    environment variable TOLLGATE_LOG__LEVEL: log.level: expected a level (error, warn, info, debug, trace), or levels by module such as "info,tollgate_links=debug", found "loud"
    --flag: admin.listen: expected an address with a port, such as "127.0.0.1:8080" or "[::]:8080", found "8081"
    "#);
}

#[test]
fn links_may_be_in_a_postgres_whose_password_is_not_shown() {
    let url = "postgres://me:sesame@one:5432,two/links?sslmode=verify-full";
    let config = load("", &[("TOLLGATE_LINKS__STORE", url)], &[]).unwrap();
    let Engine::Postgres(secret) = &config.links.store else {
        panic!("{config:?}");
    };
    assert_eq!(secret.expose(), url);
    assert_eq!(config.links_file(Path::new("data")), None);
    assert!(!format!("{config:?}").contains("sesame"));
    let error = load(
        "",
        &[("TOLLGATE_LINKS__STORE", "postgres:me:sesame@a")],
        &[],
    )
    .unwrap_err();
    assert!(
        error.contains("links.store: this is no URL of a PostgreSQL"),
        "{error}"
    );
    assert!(!error.contains("sesame"), "{error}");
}

#[test]
fn links_may_be_spread_over_shards() {
    let shards = |file: &str, env: &[(&str, &str)]| {
        let config = load(file, env, &[]).unwrap();
        assert!(!format!("{config:?}").contains("sesame"));
        assert_eq!(config.links_file(Path::new("data")), None);
        match config.links.store {
            Engine::Shards(urls) => urls.iter().map(|url| url.expose().to_owned()).collect(),
            other => panic!("{other:?}"),
        }
    };
    let (one, two) = (
        "postgres://u:sesame@a,b/d",
        "postgres://u:sesame@c/d?weight=2",
    );
    let file = format!("[links]\nstore = ['{one}', '{two}']");
    let found: Vec<String> = shards(&file, &[]);
    assert_eq!(found, [one, two]);
    let given = format!(" {one} {two}\n");
    let found: Vec<String> = shards("", &[("TOLLGATE_LINKS__STORE", &given)]);
    assert_eq!(found, [one, two]);
    let found: Vec<String> = shards(&format!("[links]\nstore = ['{one}']"), &[]);
    assert_eq!(found, [one]);
    for wrong in [
        "[links]\nstore = []",
        "[links]\nstore = ['postgres://u:sesame@a/d', 'sqlite:x.db']",
        "[links]\nstore = ['postgres://u:sesame@a/d', 1]",
        "[clicks]\nstore = ['postgres://u:sesame@a/d']",
    ] {
        let error = load(wrong, &[], &[]).unwrap_err();
        assert!(error.contains(".store: "), "{error}");
        assert!(!error.contains("sesame"), "{error}");
    }
    let config = load("[links]\nstore = 'sqlite:/a b/l.db'", &[], &[]).unwrap();
    assert_eq!(
        config.links_file(Path::new("data")),
        Some("/a b/l.db".into())
    );
}

#[test]
fn statistics_may_be_in_a_postgres_whose_password_is_not_shown() {
    let url = "postgres://me:sesame@one:5432/clicks";
    let config = load("", &[("TOLLGATE_CLICKS__STORE", url)], &[]).unwrap();
    let Engine::Postgres(secret) = &config.clicks.store else {
        panic!("{config:?}");
    };
    assert_eq!(secret.expose(), url);
    assert_eq!(config.clicks_file(Path::new("data")), None);
    assert!(!format!("{config:?}").contains("sesame"));
    let config = load("[clicks]\nstore = 'sqlite:/x/c.db'", &[], &[]).unwrap();
    assert_eq!(
        config.clicks_file(Path::new("data")),
        Some("/x/c.db".into())
    );
    let wrong = [("TOLLGATE_CLICKS__STORE", "mysql://me:sesame@a")];
    let error = load("", &wrong, &[]).unwrap_err();
    assert!(
        error.contains("clicks.store: the engine \"mysql\" is not supported"),
        "{error}"
    );
    assert!(!error.contains("sesame"), "{error}");
}

#[test]
fn a_queue_that_is_shared_needs_statistics_that_are() {
    let load_queue = |queue: &str, store: &str| {
        let given = [
            ("TOLLGATE_CLICKS__QUEUE", queue),
            ("TOLLGATE_CLICKS__STORE", store),
        ];
        load("", &given, &[])
    };
    let store = "postgres://me@one/clicks";
    for url in [
        "redis://:sesame@h:6379/clicks",
        "redis://:sesame@h/2/clicks",
        "rediss://:sesame@h/clicks",
        "redis+sentinel://:sesame@a,b:26379/main/clicks",
        "redis+cluster://:sesame@a,b/clicks",
    ] {
        let config = load_queue(url, store).unwrap();
        let ClickQueue::Redis(secret) = &config.clicks.queue else {
            panic!("{config:?}");
        };
        assert_eq!(secret.expose(), url);
        assert!(!format!("{config:?}").contains("sesame"));
        let error = load_queue(url, "").unwrap_err();
        assert!(
            error.contains("clicks.queue: servers that share a queue"),
            "{error}"
        );
        assert!(!error.contains("sesame"), "{error}");
    }
    assert_eq!(
        load_queue("local:", "").unwrap().clicks.queue,
        ClickQueue::Local
    );
    for wrong in [
        "redis://:sesame@h",
        "redis://:sesame@h/",
        "kafkas://me:sesame@h",
        "sesame",
    ] {
        let error = load_queue(wrong, store).unwrap_err();
        assert!(error.contains("clicks.queue: give \"local:\""), "{error}");
        assert!(!error.contains("sesame"), "{error}");
    }
}

#[test]
fn brokers_are_told_who_comes_and_tls_files_need_tls() {
    let load_kafka = |url: &str, more: &str| {
        let file = format!("[clicks.kafka]\n{more}");
        let given = [
            ("TOLLGATE_CLICKS__QUEUE", url),
            ("TOLLGATE_CLICKS__STORE", "postgres://me@one/clicks"),
        ];
        load(&file, &given, &[])
    };
    let url = "kafkas://me:sesame@a:9093,b:9093/clicks";
    let files =
        "sasl_mechanism = 'plain'\nca_file = 'ca.pem'\nclient_cert = 'c.pem'\nclient_key = 'k.pem'";
    let config = load_kafka(url, files).unwrap();
    assert!(matches!(&config.clicks.queue, ClickQueue::Kafka(told) if told.expose() == url));
    assert_eq!(config.clicks_kafka.sasl_mechanism, SaslMechanism::Plain);
    assert_eq!(config.clicks_kafka.ca_file, Some("ca.pem".into()));
    assert!(!format!("{config:?}").contains("sesame"));
    let config = load_kafka(url, "").unwrap();
    let by_default = config.clicks_kafka.sasl_mechanism;
    assert_eq!(by_default, SaslMechanism::ScramSha512);

    let error = load_kafka("kafka://me:sesame@a/clicks", files).unwrap_err();
    insta::assert_snapshot!(error, @r"
    t.toml:3:1: clicks.kafka.ca_file: clicks.queue is without TLS: begin it with kafkas:// instead of kafka://
    t.toml:4:1: clicks.kafka.client_cert: clicks.queue is without TLS: begin it with kafkas:// instead of kafka://
    ");
    let error = load_kafka(url, "sasl_mechanism = 'gssapi'\nclient_cert = 'c.pem'").unwrap_err();
    insta::assert_snapshot!(error, @r#"
    t.toml:2:1: clicks.kafka.sasl_mechanism: expected "scram-sha-512", "scram-sha-256" or "plain", found "gssapi"
    "#);
    let error = load_kafka(url, "client_cert = 'c.pem'").unwrap_err();
    insta::assert_snapshot!(error, @r"
    t.toml:2:1: clicks.kafka.client_cert: TLS needs both files: set clicks.kafka.client_key as well
    ");
}

#[test]
fn hosts_and_tls_files_are_checked_together() {
    let file = "[links]\nbase_url = 'https://a.example'\ndomains = ['http://A.example:81']\n\
                [edge]\ntls_key = 'k.pem'";
    let error = load(file, &[], &[]).unwrap_err();
    insta::assert_snapshot!(error, @r#"
    t.toml:3:1: links.domains: the host "a.example" is given twice
    t.toml:5:1: edge.tls_key: TLS needs both files: set edge.tls_cert as well
    "#);
}

#[test]
fn links_may_be_cached_in_a_redis_whose_password_is_not_shown() {
    let cache = |url: &str| load("", &[("TOLLGATE_LINKS__CACHE", url)], &[]);
    assert_eq!(cache("").unwrap().links.cache, None);
    for url in [
        "rediss://user:sesame@redis.example:6380/2",
        "redis+sentinel://:sesame@a:7000,b,c/main",
        "redis+cluster://:sesame@a:7000,b,c",
    ] {
        let config = cache(url).unwrap();
        assert_eq!(config.links.cache.as_ref().unwrap().expose(), url);
        assert!(!format!("{config:?}").contains("sesame"));
    }
    for (url, said) in [
        ("memory:sesame", "links.cache: give the URL of a Redis"),
        ("redis://:sesame@", "links.cache: this is no URL of a Redis"),
        (
            "redis+cluster://:sesame@a#insecure",
            "links.cache: give the URL of a Redis",
        ),
    ] {
        let error = cache(url).unwrap_err();
        assert!(error.contains(said) && !error.contains("sesame"), "{error}");
    }
    assert!(load("[links.shared_cache]\nprefix = '{p}'", &[], &[]).is_err());
}

#[test]
fn limits_are_counted_here_or_in_a_redis_whose_password_is_not_shown() {
    let store = |url: &str| {
        load(
            &format!("[limits]\nstore = {url:?}\nprefix = 'p:'"),
            &[],
            &[],
        )
    };
    assert_eq!(store("memory:").unwrap().limits.store, LimitStore::Memory);
    for url in [
        "redis://127.0.0.1",
        "rediss://user:hush@redis.example:6380/2",
        "redis+sentinel://:hush@a:7000,b,c/main",
        "redis+cluster://:hush@a:7000,b,c",
        "rediss+cluster://:hush@a",
    ] {
        let config = store(url).unwrap();
        match &config.limits.store {
            LimitStore::Redis(held) => assert_eq!(held.expose(), url),
            LimitStore::Memory => panic!("{url}"),
        }
        assert!(!format!("{config:?}").contains("hush"));
    }
    for (url, said) in [
        (
            "rediss+cluster://:hush@a#insecure",
            "give \"memory:\" or the URL of a Redis",
        ),
        ("redis://:hush@", "this is no URL of a Redis"),
        ("rediss://:hush@a/#insecure", "this is no URL of a Redis"),
        ("etcd://:hush@a", "give \"memory:\" or the URL of a Redis"),
    ] {
        let error = store(url).unwrap_err();
        assert!(error.contains(said) && !error.contains("secret"), "{error}");
    }
    assert!(load("[limits]\nprefix = '{p}'", &[], &[]).is_err());
}

#[test]
fn budgets_are_counted_nowhere_or_in_a_redis_whose_password_is_not_shown() {
    let config = load("", &[], &[]).unwrap();
    assert!(config.limits_global.store.is_none());
    let global = |text: &str| load(&format!("[limits.global]\n{text}"), &[], &[]);
    let url = "rediss://user:hush@redis.example:6380/2";
    let text = format!("store = {url:?}\nevery = '200ms'\ndeadline = '1s'\nmax_keys = 7");
    let config = global(&text).unwrap();
    let read = &config.limits_global;
    assert_eq!(read.store.as_ref().unwrap().expose(), url);
    assert_eq!((read.every.as_millis(), read.max_keys), (200, 7));
    assert!(!format!("{config:?}").contains("hush"));
    for (text, said) in [
        ("store = 'memory:'", "then budgets are not enforced"),
        ("store = 'redis://:hush@'", "this is no URL of a Redis"),
        ("every = '0s'", "limits.global.every"),
        ("max_keys = 0", "limits.global.max_keys"),
    ] {
        let error = global(text).unwrap_err();
        assert!(error.contains(said) && !error.contains("hush"), "{error}");
    }
}

#[test]
fn what_is_no_toml_is_told_by_line() {
    let error = load("[links]\nstore = \n", &[], &[]).unwrap_err();
    assert!(error.starts_with("t.toml:2:"), "{error}");
    let error = load("links = 3", &[], &[]).unwrap_err();
    assert!(
        error.contains("t.toml:1:1: links: this is a table"),
        "{error}"
    );
}

#[test]
fn an_unreadable_file_is_named() {
    let missing = Path::new("/nonexistent/t.toml");
    let error = Config::load(&Sources {
        file: Some(missing),
        ..Sources::default()
    })
    .unwrap_err();
    assert_eq!(error.0.len(), 1);
    assert_eq!(error.0[0].place, Place::File(missing.to_owned()));
}

#[test]
fn the_committed_reference_is_up_to_date() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let committed = std::fs::read_to_string(committed).unwrap();
    assert!(
        committed == reference(),
        "docs/configuration.md is old: run `tollgate config reference > docs/configuration.md`"
    );
}

#[test]
fn links_clicks_and_queues_may_be_in_engines_that_are_theirs_alone() {
    let given = [
        ("TOLLGATE_LINKS__STORE", "dynamodb://eu-central-1/links"),
        ("TOLLGATE_CLICKS__STORE", "clickhouse://me:sesame@h/clicks"),
        ("TOLLGATE_CLICKS__QUEUE", "kafka://a:9092,b:9092/clicks"),
    ];
    let config = load("", &given, &[]).unwrap();
    assert!(matches!(config.links.store, Engine::Dynamo(_)));
    assert!(matches!(config.clicks.store, Engine::ClickHouse(_)));
    let ClickQueue::Kafka(queue) = &config.clicks.queue else {
        panic!("{config:?}");
    };
    assert_eq!(queue.expose(), "kafka://a:9092,b:9092/clicks");
    assert_eq!(config.links_file(Path::new("data")), None);
    assert_eq!(config.clicks_file(Path::new("data")), None);
    assert!(!format!("{config:?}").contains("sesame"));
    for (name, url, told) in [
        ("TOLLGATE_LINKS__STORE", "dynamodb://x", "names no table"),
        (
            "TOLLGATE_LINKS__STORE",
            "clickhouse://me:sesame@h/d",
            "is not supported",
        ),
        (
            "TOLLGATE_CLICKS__STORE",
            "clickhouse://me:sesame@h",
            "names no database",
        ),
        (
            "TOLLGATE_CLICKS__STORE",
            "dynamodb://x/links",
            "is not supported",
        ),
        (
            "TOLLGATE_CLICKS__QUEUE",
            "kafka://a:9092",
            "brokers of a Kafka",
        ),
    ] {
        let error = load("", &[(name, url)], &[]).unwrap_err();
        assert!(error.contains(told), "{error}");
        assert!(!error.contains("sesame"), "{error}");
    }
}
