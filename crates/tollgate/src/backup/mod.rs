//! `tollgate backup` and `tollgate restore`: all that a server keeps in files, while it runs.

mod manifest;
mod restore;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tollgate_audit::Action;
use tollgate_clock::{Clock as _, SystemClock};
use tollgate_config::Config;

use self::manifest::{Entry, MANIFEST, Manifest, Part};
use crate::args::BackupArgs;
use crate::{changes, config, open, show};

pub(crate) use self::restore::run as restore;

/// Runs `tollgate backup`.
pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<()> {
    let (data_dir, to) = (&args.store.data_dir, &args.directory);
    let config = config::of_store(&args.store)?;
    if to.exists() {
        bail!(
            "{} is there already: a backup needs a directory of its own",
            to.display()
        );
    }
    open::directory_of(&to.join(MANIFEST))?;
    let mut files = Vec::new();
    // A webhook may be told twice of what happened in between, but not miss it: so its position is
    // older than the links.
    for part in [Part::Webhooks, Part::Links, Part::Keys] {
        store(&config, data_dir, part, to, &mut files)?;
    }
    // After what it tells of: no change is in the backup that is not in its log.
    store(&config, data_dir, Part::Audit, to, &mut files)?;
    // What is counted while this copies, is deleted from the spool: once before, once after the
    // statistics, and nothing behind their position is missing.
    let mut copied = BTreeSet::new();
    directory(&config, data_dir, Part::Spool, to, &mut copied)?;
    store(&config, data_dir, Part::Clicks, to, &mut files)?;
    directory(&config, data_dir, Part::Spool, to, &mut copied)?;
    directory(&config, data_dir, Part::Policies, to, &mut copied)?;
    for (part, name) in copied {
        files.push(Entry::of(part, Path::new(part.name()).join(name), to)?);
    }
    if files.is_empty() {
        // It is empty; whoever corrects the path may use the name again.
        let _ = fs::remove_dir_all(to);
        bail!("there is nothing to back up: is the server's data elsewhere? See --data-dir");
    }
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let count = files.len();
    // The last thing: a directory without one is no backup.
    Manifest::new(SystemClock::new().now(), files).write(to)?;
    changes::note(&config, data_dir, Action::DataBackup, to)?;
    show::line(format_args!(
        "{count} files, {bytes} bytes, each checked, in {}",
        to.display()
    ))
}

/// Copies a store, if it is in a file.
fn store(
    config: &Config,
    data_dir: &Path,
    part: Part,
    to: &Path,
    files: &mut Vec<Entry>,
) -> anyhow::Result<()> {
    let Some(from) = part.place(config, data_dir) else {
        return show::line(format_args!(
            "{} are in a PostgreSQL: back that up by its own means",
            part.name()
        ));
    };
    if !from.exists() {
        return show::line(format_args!("there is no {}: left out", from.display()));
    }
    let path = PathBuf::from(format!("{}.{}", part.name(), part.extension()));
    tollgate_sqlite::copy(&from, &to.join(&path))?;
    files.push(Entry::of(part, path, to)?);
    Ok(())
}

/// Copies the files of a directory, again those that were copied before, and notes their names.
fn directory(
    config: &Config,
    data_dir: &Path,
    part: Part,
    to: &Path,
    copied: &mut BTreeSet<(Part, OsString)>,
) -> anyhow::Result<()> {
    let Some(from) = part.place(config, data_dir) else {
        return Ok(());
    };
    let to = to.join(part.name());
    let listing = match fs::read_dir(&from) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| from.display().to_string()),
    };
    open::directory_of(&to.join("file"))?;
    for file in listing {
        let file = file.with_context(|| from.display().to_string())?;
        let (path, name) = (file.path(), file.file_name());
        if path.extension() != Some(OsStr::new(part.extension())) {
            continue;
        }
        match copy(&path, &to.join(&name)) {
            Ok(()) => {
                copied.insert((part, name));
            }
            // Counted meanwhile, and deleted.
            Err(error) if error.kind() == ErrorKind::NotFound && part == Part::Spool => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    Ok(())
}

/// Copies one file, and waits until the disk has it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}
