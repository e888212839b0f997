//! `tollgate key …`: through the API, or straight on the store.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tollgate_access::{ApiKey, CreatedKey, KeyId, KeyIdError, Keys, NewKey, Scopes};
use tollgate_audit::{Action, AuditLog};
use tollgate_clock::UnixMillis;
use tollgate_links::Domains;
use ureq::http::Method;

use crate::args::{KeyArgs, KeyCommand, KeyCreateArgs, KeyRevokeArgs, KeyRotateArgs, PlaceArgs};
use crate::client::{Client, NOTHING, segment};
use crate::{BadUsage, changes, config, open, show};

const PAGE_KEYS: usize = 1_000;

/// A key as the API shows it.
#[derive(Debug, Serialize, Deserialize)]
struct KeyView {
    id: String,
    name: String,
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    created_at: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<UnixMillis>,
}

/// A key that was just made.
#[derive(Debug, Serialize, Deserialize)]
struct NewKeyView {
    secret: String,
    #[serde(flatten)]
    key: KeyView,
}

/// A key somebody wants.
#[derive(Debug, Serialize)]
struct KeyDraft {
    name: String,
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
}

/// Where the keys are.
enum Place {
    Server(Client),
    Store {
        keys: Keys,
        domains: Domains,
        audit: Box<AuditLog>,
        runtime: tokio::runtime::Runtime,
    },
}

/// What becomes of a store that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// It is made.
    Made,
    /// The command fails.
    Fails,
}

/// Runs `tollgate key …`.
pub(crate) fn run(args: KeyArgs) -> anyhow::Result<()> {
    match args.command {
        KeyCommand::Create(args) => create(args),
        KeyCommand::List(args) => list(&args.place),
        KeyCommand::Rotate(args) => rotate(&args),
        KeyCommand::Revoke(args) => revoke(&args),
    }
}

impl Place {
    fn of(args: &PlaceArgs, absent: Absent) -> anyhow::Result<Self> {
        if let Some(client) = Client::of_place(args)? {
            return Ok(Self::Server(client));
        }
        let config = config::of_store(&args.store)?;
        let file = config.keys_file(&args.store.data_dir);
        // Making one would answer a mistyped directory with "no keys".
        if absent == Absent::Fails && !file.exists() {
            anyhow::bail!(
                "there is no store of keys at {}: name the one you mean by --data-dir or --config, \
                 or a running server by --server and --key",
                file.display()
            );
        }
        Ok(Self::Store {
            keys: open::keys(&file)?.0,
            domains: open::domains(&config, None)?,
            audit: Box::new(changes::log(&config, &args.store.data_dir)?),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }
}

fn create(args: KeyCreateArgs) -> anyhow::Result<()> {
    let scopes: Scopes = args
        .scopes
        .join(",")
        .parse()
        .map_err(|error| BadUsage(format!("--scopes: {error}")))?;
    let created = match Place::of(&args.place, Absent::Made)? {
        Place::Server(client) => {
            let draft = KeyDraft {
                name: args.name,
                scopes: args.scopes,
                domain: args.domain,
                expires_at: args.expires_at,
            };
            client.call(Method::POST, "/api/v1/keys", &[], &[], Some(&draft))?
        }
        Place::Store {
            keys,
            domains,
            audit,
            runtime,
        } => {
            let domain = args.domain.as_deref();
            let new = NewKey {
                name: args.name,
                scopes,
                domain: domain.map(|name| domains.named(Some(name))).transpose()?,
                expires_at: args.expires_at,
            };
            let CreatedKey { key, secret } = runtime.block_on(async {
                audit.ready().await?;
                let created = keys.create(new).await?;
                let key = view(&created.key, &domains);
                let fields = json!({
                    "name": [null, key.name],
                    "scopes": [null, key.scopes],
                    "domain": [null, key.domain],
                    "expires_at": [null, key.expires_at],
                });
                changes::by_user(&audit, Action::KeyCreate, key.id, fields).await?;
                anyhow::Ok(created)
            })?;
            NewKeyView {
                secret: secret.expose().to_owned(),
                key: view(&key, &domains),
            }
        }
    };
    if args.place.json {
        return show::json(&created);
    }
    eprintln!(
        "key {} is made; its secret is shown only once:",
        created.key.id
    );
    show::line(created.secret)
}

fn rotate(args: &KeyRotateArgs) -> anyhow::Result<()> {
    #[derive(Serialize, Deserialize)]
    struct Rotated {
        id: String,
        secret: String,
        old_until: UnixMillis,
    }
    let rotated = match Place::of(&args.place, Absent::Fails)? {
        Place::Server(client) => {
            let path = format!("/api/v1/keys/{}/rotate", segment(&args.id));
            let grace = args.grace.as_secs().to_string();
            let query = [("grace", Some(grace.as_str()))];
            client.call(Method::POST, &path, &query, &[], NOTHING)?
        }
        Place::Store {
            keys,
            audit,
            runtime,
            ..
        } => {
            let id = identifier(&args.id)?;
            runtime.block_on(async {
                audit.ready().await?;
                let rotated = keys.rotate(&id, args.grace).await?;
                let fields = json!({"old_until": [null, rotated.old_until]});
                changes::by_user(&audit, Action::KeyRotate, id.to_string(), fields).await?;
                anyhow::Ok(Rotated {
                    id: id.to_string(),
                    secret: rotated.secret.expose().to_owned(),
                    old_until: rotated.old_until,
                })
            })?
        }
    };
    if args.place.json {
        return show::json(&rotated);
    }
    eprintln!(
        "key {} has another secret, which is shown only once; the one before is accepted until {}:",
        rotated.id, rotated.old_until
    );
    show::line(rotated.secret)
}

fn list(args: &PlaceArgs) -> anyhow::Result<()> {
    let all = match Place::of(args, Absent::Fails)? {
        Place::Server(client) => list_server(&client)?,
        Place::Store {
            keys,
            domains,
            runtime,
            ..
        } => runtime.block_on(async {
            let mut all: Vec<ApiKey> = Vec::new();
            loop {
                let page = keys.list(all.last().map(|key| &key.id), PAGE_KEYS).await?;
                if page.is_empty() {
                    break;
                }
                all.extend(page);
            }
            anyhow::Ok(all.iter().map(|key| view(key, &domains)).collect())
        })?,
    };
    if args.json {
        return show::json(&all);
    }
    let rows = all.into_iter().map(|key| {
        let end = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("expires {at}"),
            (None, None) => String::new(),
        };
        vec![
            key.id,
            key.name,
            key.scopes.join(" "),
            key.domain.unwrap_or_default(),
            key.created_at.to_string(),
            end,
        ]
    });
    show::table(&["ID", "NAME", "SCOPES", "DOMAIN", "CREATED", "END"], rows)
}

fn list_server(client: &Client) -> anyhow::Result<Vec<KeyView>> {
    #[derive(Deserialize)]
    struct Page {
        keys: Vec<KeyView>,
        next_cursor: Option<String>,
    }
    let limit = PAGE_KEYS.to_string();
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let query = [
            ("limit", Some(limit.as_str())),
            ("cursor", cursor.as_deref()),
        ];
        let page: Page = client.call(Method::GET, "/api/v1/keys", &query, &[], NOTHING)?;
        all.extend(page.keys);
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

fn revoke(args: &KeyRevokeArgs) -> anyhow::Result<()> {
    match Place::of(&args.place, Absent::Fails)? {
        Place::Server(client) => {
            let path = format!("/api/v1/keys/{}", segment(&args.id));
            client.send(Method::DELETE, &path, &[], &[], NOTHING)?;
        }
        Place::Store {
            keys,
            audit,
            runtime,
            ..
        } => {
            let id = identifier(&args.id)?;
            runtime.block_on(async {
                audit.ready().await?;
                let before = keys.get(&id).await?;
                let after = keys.revoke(&id).await?;
                if before.revoked_at.is_none() {
                    let fields = json!({"revoked_at": [null, after.revoked_at]});
                    changes::by_user(&audit, Action::KeyRevoke, id.to_string(), fields).await?;
                }
                anyhow::Ok(())
            })?;
        }
    }
    if args.place.json {
        return show::json(&serde_json::json!({ "revoked": args.id }));
    }
    show::line(format_args!("revoked {}", args.id))
}

fn identifier(text: &str) -> anyhow::Result<KeyId> {
    let id = text.parse();
    Ok(id.map_err(|error: KeyIdError| BadUsage(error.to_string()))?)
}

fn view(key: &ApiKey, domains: &Domains) -> KeyView {
    KeyView {
        id: key.id.to_string(),
        name: key.name.clone(),
        scopes: key.scopes.iter().map(|scope| scope.to_string()).collect(),
        domain: key.domain.as_ref().map(|domain| domains.host_of(domain)),
        created_at: key.created_at,
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
    }
}
