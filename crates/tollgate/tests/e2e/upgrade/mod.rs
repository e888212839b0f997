//! Files and databases of every earlier version of the schema are brought up to date, and what they hold is read.
//!
//! `fixtures/STORE-VERSION.sql` is what `sqlite3 FILE .dump` or `pg_dump` wrote of a store whose schema was new then, filled
//! by [`content::make`]. When a step is added, run this once, with the code before it:
//! `KEEP_FIXTURES=1 cargo test -p tollgate --test e2e upgrade::`

mod content;
#[cfg(feature = "postgres")]
mod postgres;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::server::{Options, both, new_home, run};

/// The files, and the components in them.
const FILES: [(&str, &str); 5] = [
    ("links", "links"),
    ("keys", "access"),
    ("clicks", "clicks"),
    ("webhooks", "webhooks"),
    ("audit", "audit"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/upgrade/fixtures")
}

fn fixture(store: &str, version: u32) -> PathBuf {
    fixtures().join(format!("{store}-{version}.sql"))
}

/// Nothing that a fixture holds becomes too old.
fn options() -> Options {
    Options::default().config(
        "[links]\npool_target = 5\n[links.sweep]\nkeep_idempotency = \"36500d\"\n[clicks]\nretain_raw = \"36500d\"\non_link_delete = \"keep\"",
    )
}

fn open(home: &Path, file: &str) -> Connection {
    Connection::open(home.join("data").join(format!("{file}.db"))).unwrap()
}

fn version(database: &Connection, component: &str) -> u32 {
    let select = "SELECT version FROM schema_versions WHERE component = ?1";
    database
        .query_row(select, [component], |row| row.get(0))
        .unwrap()
}

/// A directory with the keys of the fixtures, and nothing else: an idempotency key belongs to the API key that it came with.
fn home_with_keys() -> Arc<TempDir> {
    let home = new_home();
    std::fs::create_dir(home.path().join("data")).unwrap();
    if let Some(newest) = kept("keys").last() {
        load(home.path(), "keys", *newest);
    }
    home
}

/// Files as they were when all schemas had this version, or the last one that they have.
fn old_home(generation: u32) -> Arc<TempDir> {
    let home = new_home();
    std::fs::create_dir(home.path().join("data")).unwrap();
    for (file, _) in FILES {
        let newest = (1..=generation)
            .rev()
            .find(|version| fixture(file, *version).exists());
        load(home.path(), file, newest.unwrap());
    }
    home
}

fn load(home: &Path, file: &str, version: u32) {
    let dump = std::fs::read_to_string(fixture(file, version)).unwrap();
    open(home, file).execute_batch(&dump).unwrap();
}

/// The versions of a store that there are fixtures of, from the first on.
fn kept(store: &str) -> Vec<u32> {
    (1..)
        .take_while(|version| fixture(store, *version).exists())
        .collect()
}

#[test]
fn every_version_has_a_fixture() {
    let server = options().start_in(&home_with_keys());
    content::make(&server.client());
    let home = server.stop();
    for (file, component) in FILES {
        let newest = version(&open(home.path(), file), component);
        let to = fixture(file, newest);
        if std::env::var_os("KEEP_FIXTURES").is_some() && !to.exists() {
            let file = home.path().join("data").join(format!("{file}.db"));
            std::fs::write(&to, run(Command::new("sqlite3").arg(file).arg(".dump"))).unwrap();
        }
        assert_eq!(
            kept(file),
            (1..=newest).collect::<Vec<_>>(),
            "{file}: keep a fixture"
        );
    }
    content::check(&options().start_in(&home).client());
}

#[test]
fn files_of_every_earlier_version_are_upgraded_and_read() {
    let newest = FILES
        .iter()
        .map(|(file, _)| kept(file).len() as u32)
        .max()
        .unwrap();
    for generation in 1..=newest {
        let home = old_home(generation);
        let server = options().start_in(&home);
        content::check(&server.client());
        let home = server.stop();
        for (file, component) in FILES {
            let is = version(&open(home.path(), file), component);
            assert_eq!(is, kept(file).len() as u32, "{file}");
        }
    }
}

/// What makes a table, an index and so on, without what differs in spaces, comments, and tables of a single day.
fn schema(database: &Connection) -> Vec<String> {
    let select = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name NOT GLOB 'clicks_[0-9]*' \
                  AND tbl_name NOT LIKE 'sqlite_%'";
    let mut statement = database.prepare(select).unwrap();
    let rows = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    let mut schema: Vec<String> = rows
        .map(|sql| {
            let sql = sql.unwrap();
            let lines = sql.lines().map(|line| line.split("--").next().unwrap());
            let text = lines.collect::<Vec<_>>().join(" ");
            text.split_whitespace().collect::<String>()
        })
        .collect();
    schema.sort();
    schema
}

#[test]
fn an_upgraded_file_has_the_schema_of_a_new_one() {
    let fresh = options().start().stop();
    for (file, _) in FILES {
        for version in kept(file) {
            let home = new_home();
            std::fs::create_dir(home.path().join("data")).unwrap();
            load(home.path(), file, version);
            let home = options().start_in(&home).stop();
            let (upgraded, fresh) = (
                schema(&open(home.path(), file)),
                schema(&open(fresh.path(), file)),
            );
            assert_eq!(upgraded, fresh, "{file} from version {version}");
        }
    }
}

/// The columns of all tables: whether a statement that does not know of one can insert a row.
fn columns(database: &Connection) -> BTreeMap<(String, String), (String, bool)> {
    let select = "SELECT t.name, c.name, c.type, c.\"notnull\" = 0 OR c.dflt_value IS NOT NULL \
                  FROM sqlite_schema t, pragma_table_info(t.name) c \
                  WHERE t.type = 'table' AND t.name NOT GLOB 'clicks_[0-9]*'";
    let mut statement = database.prepare(select).unwrap();
    let rows = statement
        .query_map([], |row| {
            Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)))
        })
        .unwrap();
    rows.map(Result::unwrap).collect()
}

/// Servers of the version before go on while the schema is upgraded: what they read and write stays, and what is new
/// can be left out.
#[test]
fn each_version_only_adds_to_the_one_before() {
    for (file, _) in FILES {
        for pair in kept(file).windows(2) {
            let [old, new] = [pair[0], pair[1]].map(|version| {
                let database = Connection::open_in_memory().unwrap();
                let dump = std::fs::read_to_string(fixture(file, version)).unwrap();
                database.execute_batch(&dump).unwrap();
                columns(&database)
            });
            for (name, (kind, _)) in &old {
                assert_eq!(
                    new.get(name).map(|it| &it.0),
                    Some(kind),
                    "{file}: {name:?}"
                );
            }
            for (name, (_, can_be_left_out)) in new {
                let is_of_new_table = !old.keys().any(|it| it.0 == name.0);
                let is_new = !old.contains_key(&name);
                assert!(
                    !is_new || is_of_new_table || can_be_left_out,
                    "{file}: {name:?}"
                );
            }
        }
    }
}

/// The statements of the version before people had keys, on a connection that it has opened, while the file is upgraded.
#[test]
fn a_server_with_the_first_schema_of_keys_goes_on_after_an_upgrade() {
    const COLUMNS: &str = "id, name, scopes, domain, created_at, expires_at, revoked_at, secret";
    let home = old_home(1);
    let old = open(home.path(), "keys");
    let insert = format!(
        "INSERT INTO api_keys({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING"
    );
    let insert_first = format!(
        "INSERT INTO api_keys({COLUMNS}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (SELECT 1 FROM api_keys)"
    );
    let by_secret = format!("SELECT {COLUMNS} FROM api_keys WHERE secret = ?1");
    let one = format!("SELECT {COLUMNS} FROM api_keys WHERE id = ?1");
    let list = format!("SELECT {COLUMNS} FROM api_keys WHERE id > ?1 ORDER BY id LIMIT ?2");
    let revoke = "UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    // Prepared before, as a server keeps them.
    let all = [&insert, &insert_first, &by_secret, &one, &list, revoke];
    let [
        mut insert,
        mut insert_first,
        mut by_secret,
        mut one,
        mut list,
        mut revoke,
    ] = all.map(|statement| old.prepare(statement).unwrap());

    let server = options().start_in(&home);
    let row = params![
        "key_old",
        "old",
        "links:read",
        None::<String>,
        1,
        None::<i64>,
        None::<i64>,
        [7_u8; 32]
    ];
    assert_eq!(insert.execute(row).unwrap(), 1);
    assert_eq!(insert_first.execute(row).unwrap(), 0);
    let name = |row: &rusqlite::Row<'_>| row.get::<_, String>(1);
    assert_eq!(by_secret.query_row([[7_u8; 32]], name).unwrap(), "old");
    assert_eq!(one.query_row(["key_old"], name).unwrap(), "old");
    let listed = list.query_map(params!["", 100], name).unwrap().count();
    assert_eq!(revoke.execute(params!["key_old", 2]).unwrap(), 1);

    let keys = server
        .client()
        .api("GET", "/api/v1/keys?limit=100")
        .expect(200)
        .json();
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(
        keys.len(),
        listed,
        "the new one sees what the old one wrote"
    );
    let it = keys.iter().find(|key| key["name"] == "old").unwrap();
    assert!(it["revoked_at"].is_string(), "{it}");
}

#[test]
fn files_of_a_newer_version_are_refused_and_named() {
    for (file, component) in FILES {
        let home = options().start().stop();
        let update = "UPDATE schema_versions SET version = 9999 WHERE component = ?1";
        assert_eq!(
            open(home.path(), file)
                .execute(update, [component])
                .unwrap(),
            1
        );
        let output = options().fails_to_start(&home);
        let text = both(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for part in [&format!("{file}.db"), "9999", "upgrade"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(version(&open(home.path(), file), component), 9999);
    }
}

/// The steps that there are, and their hashes as `sha256sum` tells them.
fn steps(directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            steps(&path, found);
        } else if path.extension().is_some_and(|it| it == "sql")
            && path.parent().unwrap().ends_with("steps")
        {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let crates = root.join("crates").canonicalize().unwrap();
            let name = path.canonicalize().unwrap();
            let name = name.strip_prefix(crates).unwrap().display().to_string();
            let hash = Sha256::digest(std::fs::read(&path).unwrap());
            let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            found.insert(format!("crates/{name}"), hash);
        }
    }
}

/// A file remembers how many steps it has taken, not what they said.
#[test]
fn a_step_that_was_released_never_changes() {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap() {
        let source = entry.unwrap().path().join("src");
        if source.is_dir() {
            steps(&source, &mut found);
        }
    }
    let lines = include_str!("released.sha256").lines();
    let released: BTreeMap<_, _> = lines
        .map(|line| line.split_once("  ").unwrap())
        .map(|(hash, name)| (name.to_owned(), hash.to_owned()))
        .collect();
    assert_eq!(
        found, released,
        "add another step instead of changing one, and its line of `sha256sum` to released.sha256"
    );
}
