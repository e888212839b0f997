//! `tollgate backup` and `tollgate restore`: all that a server keeps in files, while it runs.

mod manifest;
mod restore;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tollgate_clock::{Clock as _, SystemClock};
use tollgate_config::Config;

use self::manifest::{Entry, MANIFEST, Manifest, Part};
use crate::args::BackupArgs;
use crate::{config, open, show};

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
    // What is counted while this copies, is deleted from the spool: once before, once after the
    // statistics, and nothing behind their position is missing.
    let spool = config.spool_directory(data_dir);
    directory(&spool, Part::Spool, to)?;
    store(&config, data_dir, Part::Clicks, to, &mut files)?;
    directory(&spool, Part::Spool, to)?;
    directory(&Part::Policies.place(&config, data_dir), Part::Policies, to)?;
    for part in [Part::Spool, Part::Policies] {
        entries(part, to, &mut files)?;
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
    let Some(from) = part.file(config, data_dir) else {
        return show::line("links are in a PostgreSQL: back that up by its own means");
    };
    if !from.exists() {
        return show::line(format_args!("there is no {}: left out", from.display()));
    }
    let path = PathBuf::from(format!("{}.db", part.name()));
    tollgate_sqlite::copy(&from, &to.join(&path))?;
    files.push(Entry::of(part, path, to)?);
    Ok(())
}

/// Copies the files of a directory, again those that were copied before.
fn directory(from: &Path, part: Part, to: &Path) -> anyhow::Result<()> {
    let to = to.join(part.name());
    let listing = match fs::read_dir(from) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| from.display().to_string()),
    };
    open::directory_of(&to.join("file"))?;
    for file in listing {
        let file = file.with_context(|| from.display().to_string())?.path();
        if file.extension() != Some(OsStr::new(part.extension())) {
            continue;
        }
        let Some(name) = file.file_name() else {
            continue;
        };
        match copy(&file, &to.join(name)) {
            Ok(()) => {}
            // Counted meanwhile, and deleted.
            Err(error) if error.kind() == ErrorKind::NotFound && part == Part::Spool => {}
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        }
    }
    Ok(())
}

fn entries(part: Part, to: &Path, files: &mut Vec<Entry>) -> anyhow::Result<()> {
    let listing = match fs::read_dir(to.join(part.name())) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| to.display().to_string()),
    };
    let mut names = Vec::new();
    for file in listing {
        names.push(file?.file_name());
    }
    names.sort();
    for name in names {
        files.push(Entry::of(part, Path::new(part.name()).join(name), to)?);
    }
    Ok(())
}

/// Copies one file, and waits until the disk has it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}
