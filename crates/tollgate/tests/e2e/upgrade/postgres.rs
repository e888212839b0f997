//! The same of links and statistics in a PostgreSQL.

use std::process::Command;

use super::{content, fixture, home_with_keys, kept, old_home, options};
use crate::private_postgres::{PrivatePostgres, binaries};
use crate::server::{both, run};

/// The components, by whose names fixtures are called `NAME.pg-VERSION.sql`, and what their tables begin with.
const COMPONENTS: [(&str, &str); 2] = [("links", "link"), ("clicks", "click")];

fn version(postgres: &PrivatePostgres, database: &str, component: &str) -> u32 {
    let select = format!("SELECT version FROM tollgate_schema WHERE component = '{component}'");
    postgres.sql(database, &select).parse().unwrap()
}

/// Only the version of one of the components is in its dump.
fn dump(postgres: &PrivatePostgres, tables: &str) -> String {
    let mut command = Command::new(binaries().join("pg_dump"));
    command
        .args(["--inserts", "--no-owner", "--no-privileges"])
        .arg(format!("--table={tables}*"))
        .arg(postgres.url("postgres"));
    let dump = run(&mut command);
    // What keeps a foreign dump from giving orders to psql differs in each.
    let lines = dump.lines().filter(|line| !line.starts_with('\\'));
    lines.fold(String::new(), |dump, line| dump + line + "\n")
}

fn load(postgres: &PrivatePostgres, database: &str, component: &str, version: u32) {
    let file = fixture(&format!("{component}.pg"), version);
    let mut command = Command::new(binaries().join("psql"));
    command
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(file)
        .arg(postgres.url(database));
    run(&mut command);
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS tollgate_schema(component text PRIMARY KEY, version bigint NOT NULL);
         INSERT INTO tollgate_schema VALUES ('{component}', {version})"
    );
    postgres.sql(database, &statement);
}

#[test]
fn every_version_has_a_fixture() {
    let postgres = PrivatePostgres::start();
    let options = options().stores(&postgres.url("postgres"));
    let server = options.start_in(&home_with_keys());
    content::make(&server.client());
    let home = server.stop();
    for (component, tables) in COMPONENTS {
        let newest = version(&postgres, "postgres", component);
        let to = fixture(&format!("{component}.pg"), newest);
        if std::env::var_os("KEEP_FIXTURES").is_some() && !to.exists() {
            std::fs::write(&to, dump(&postgres, tables)).unwrap();
        }
        let kept = kept(&format!("{component}.pg"));
        assert_eq!(
            kept,
            (1..=newest).collect::<Vec<_>>(),
            "{component}: keep a fixture"
        );
    }
    content::check(&options.start_in(&home).client());
}

#[test]
fn databases_of_every_earlier_version_are_upgraded_and_read() {
    let postgres = PrivatePostgres::start();
    let versions = COMPONENTS.map(|(component, _)| kept(&format!("{component}.pg")));
    let newest = versions.iter().map(|it| it.len() as u32).max().unwrap();
    for generation in 1..=newest {
        let database = postgres.database();
        for ((component, _), versions) in COMPONENTS.iter().zip(&versions) {
            load(
                &postgres,
                &database,
                component,
                generation.min(versions.len() as u32),
            );
        }
        // Keys and webhooks are in files.
        let home = old_home(generation);
        let server = options().stores(&postgres.url(&database)).start_in(&home);
        content::check(&server.client());
        server.stop();
        for ((component, _), versions) in COMPONENTS.iter().zip(&versions) {
            let is = version(&postgres, &database, component);
            assert_eq!(is, versions.len() as u32, "{component}");
        }
    }
}

#[test]
fn databases_of_a_newer_version_are_refused() {
    let postgres = PrivatePostgres::start();
    for (component, _) in COMPONENTS {
        let options = options().stores(&postgres.url("postgres"));
        let home = options.start().stop();
        let update = |version: u32| {
            let set = format!(
                "UPDATE tollgate_schema SET version = {version} WHERE component = '{component}'"
            );
            postgres.sql("postgres", &set);
        };
        let before = version(&postgres, "postgres", component);
        update(9999);
        let output = options.fails_to_start(&home);
        let text = both(&output);
        assert!(text.contains("9999") && text.contains("upgrade"), "{text}");
        update(before);
    }
}
