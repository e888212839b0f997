use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::Error;

/// What [`migrate`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Version before; 0 if there was nothing.
    pub from: u32,
    /// Version now.
    pub to: u32,
}

/// Brings the tables of one component up to date. Step `n` leads from version `n` to `n + 1`; all
/// that are missing run in one transaction, so that two processes can start at once and a crash
/// leaves the old schema whole. Components share a file without knowing of each other.
///
/// # Errors
/// [`Error::NewerSchema`] if the file knows more steps than given; otherwise see [`Error`].
pub fn migrate(
    connection: &mut Connection,
    place: &Path,
    component: &str,
    steps: &[&str],
) -> Result<Migrated, Error> {
    let of = |error: rusqlite::Error| Error::of(place, &error);
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let check = |found: u32| {
        if found > known {
            return Err(Error::NewerSchema {
                place: format!("{} ({component})", place.display()),
                found,
                known,
            });
        }
        Ok(found)
    };
    // A look without a lock, so that a file that is up to date opens even if it cannot be written.
    if check(version(connection, component).map_err(of)?)? == known {
        return Ok(Migrated {
            from: known,
            to: known,
        });
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(of)?;
    let from = check(version(&transaction, component).map_err(of)?)?;
    for step in steps.iter().skip(from as usize) {
        transaction.execute_batch(step).map_err(of)?;
    }
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_versions(
                component TEXT PRIMARY KEY, version INTEGER NOT NULL
             ) STRICT, WITHOUT ROWID",
        )
        .map_err(of)?;
    transaction
        .execute(
            "INSERT OR REPLACE INTO schema_versions(component, version) VALUES (?1, ?2)",
            (component, known),
        )
        .map_err(of)?;
    transaction.commit().map_err(of)?;
    Ok(Migrated { from, to: known })
}

fn version(connection: &Connection, component: &str) -> rusqlite::Result<u32> {
    let has_table: bool = connection.query_row(
        "SELECT EXISTS(SELECT 1 FROM sqlite_schema WHERE name = 'schema_versions')",
        [],
        |row| row.get(0),
    )?;
    if !has_table {
        return Ok(0);
    }
    let version = connection
        .query_row(
            "SELECT version FROM schema_versions WHERE component = ?1",
            [component],
            |row| row.get(0),
        )
        .optional()?;
    Ok(version.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OpenOptions, open};

    const ONE: &str = "CREATE TABLE a(x);";
    const TWO: &str = "ALTER TABLE a ADD COLUMN y;";

    #[test]
    fn components_are_upgraded_step_by_step_and_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let mut connection = open(&path, &OpenOptions::default()).unwrap();
        let mut run = |component, steps: &[&str]| migrate(&mut connection, &path, component, steps);
        assert_eq!(run("a", &[ONE]).unwrap(), Migrated { from: 0, to: 1 });
        assert_eq!(run("a", &[ONE, TWO]).unwrap(), Migrated { from: 1, to: 2 });
        assert_eq!(run("a", &[ONE, TWO]).unwrap(), Migrated { from: 2, to: 2 });
        let other = run("b", &["CREATE TABLE b(x);"]).unwrap();
        assert_eq!(other, Migrated { from: 0, to: 1 });
        let error = run("a", &[ONE]).unwrap_err();
        assert!(
            matches!(
                &error,
                Error::NewerSchema {
                    found: 2,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_failing_step_leaves_the_old_schema() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let mut connection = open(&path, &OpenOptions::default()).unwrap();
        migrate(&mut connection, &path, "a", &[ONE, "CREATE TABLE a(x);"]).unwrap_err();
        assert_eq!(
            migrate(&mut connection, &path, "a", &[ONE]).unwrap(),
            Migrated { from: 0, to: 1 }
        );
    }

    #[test]
    fn many_may_start_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let fresh = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let options = OpenOptions {
                            busy_timeout: std::time::Duration::from_secs(60),
                            ..OpenOptions::default()
                        };
                        let mut connection = open(&path, &options).unwrap();
                        migrate(&mut connection, &path, "a", &[ONE, TWO]).unwrap()
                    })
                })
                .collect();
            let migrated = starts.into_iter().map(|start| start.join().unwrap());
            migrated.filter(|migrated| migrated.from == 0).count()
        });
        assert_eq!(fresh, 1);
    }
}
