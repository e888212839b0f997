//! Bringing tables up to date.

use crate::error::Error;
use crate::failure::Failure;
use crate::pool::{Connections, Session};

/// The tables of a component, which may share a database with others.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Its name.
    pub component: &'static str,
    /// Each step leads to the next version; a step that was released never changes.
    pub steps: &'static [&'static str],
    /// The number of an advisory lock of its own, held while tables are made.
    pub lock: i64,
}

/// Makes the tables, or upgrades them. Several instances may start at once: one of them does it, the
/// others wait. What is up to date is only read, so that it may be a standby.
pub(crate) async fn migrate(connections: &Connections, schema: &Schema) -> Result<(), Error> {
    connections
        .write(async || {
            let mut session = connections.session().await?;
            take_steps(&mut session, schema, connections.place()).await
        })
        .await
}

async fn take_steps(session: &mut Session, schema: &Schema, place: &str) -> Result<(), Failure> {
    let steps = schema.steps;
    if version(session, schema, place).await? == steps.len() {
        return Ok(());
    }
    session.begin().await?;
    session
        .rows("SELECT pg_advisory_xact_lock($1)", &[&schema.lock])
        .await?;
    // Of all components: those of another one may be made at the same time.
    session
        .rows("SELECT pg_advisory_xact_lock($1)", &[&VERSIONS_LOCK])
        .await?;
    session
        .script(
            "CREATE TABLE IF NOT EXISTS tollgate_schema(
                component text PRIMARY KEY, version bigint NOT NULL)",
        )
        .await?;
    let found = version(session, schema, place).await?;
    for step in &steps[found..] {
        session.script(step).await?;
    }
    if found < steps.len() {
        session
            .change(
                "INSERT INTO tollgate_schema(component, version) VALUES ($1, $2)
                 ON CONFLICT (component) DO UPDATE SET version = excluded.version",
                &[&schema.component, &(steps.len() as i64)],
            )
            .await?;
    }
    session.commit().await
}

/// Held while the table of the versions is made.
const VERSIONS_LOCK: i64 = 0x7467_7665_7273_0000;

/// How many steps were taken.
async fn version(session: &mut Session, schema: &Schema, place: &str) -> Result<usize, Failure> {
    let there = session
        .one("SELECT to_regclass('tollgate_schema') IS NOT NULL", &[])
        .await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let row = session
        .row(
            "SELECT version FROM tollgate_schema WHERE component = $1",
            &[&schema.component],
        )
        .await?;
    let found = match row {
        Some(row) => u32::try_from(row.try_get::<_, i64>(0)?)
            .map_err(|error| Failure::Damaged(format!("the version of the schema: {error}")))?,
        None => 0,
    };
    let known = schema.steps.len() as u32;
    if found > known {
        return Err(Failure::Refused(Error::NewerSchema {
            place: place.to_owned(),
            found,
            known,
        }));
    }
    Ok(found as usize)
}
