//! `tollgate restore`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tollgate_audit::Action;
use tollgate_config::Config;

use super::copy;
use super::manifest::{Entry, Manifest, Part};
use crate::args::BackupArgs;
use crate::{changes, config, open, show};

/// Puts the files of a backup where a server will look for them. Nothing is replaced.
pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<()> {
    let config = config::of_store(&args.store)?;
    let manifest = Manifest::read(&args.directory)?;
    let mut moves = Vec::new();
    for entry in &manifest.files {
        entry.check(&args.directory)?;
        let to = target(entry, &config, &args.store.data_dir)?;
        moves.push((args.directory.join(&entry.path), to));
    }
    for (_, to) in &moves {
        refuse_what_is_there(to)?;
    }
    for (from, to) in &moves {
        open::directory_of(to)?;
        // Renamed when it is whole: a restore that broke off is no store that looks like one.
        let part = open::with_ending(to, ".part");
        copy(from, &part)
            .and_then(|()| fs::rename(&part, to))
            .with_context(|| format!("{} cannot be written", to.display()))?;
    }
    changes::note(
        &config,
        &args.store.data_dir,
        Action::DataRestore,
        &args.directory,
    )?;
    show::line(format_args!(
        "{} files as they were at {}, each checked",
        moves.len(),
        manifest.made_at
    ))
}

fn target(entry: &Entry, config: &Config, data_dir: &Path) -> anyhow::Result<PathBuf> {
    let Some(place) = entry.part.place(config, data_dir) else {
        bail!(
            "the backup has links in a file, but links.store is a PostgreSQL: restore with a \
             configuration that keeps them in a file, then export and import them"
        );
    };
    match (entry.part, entry.path.file_name()) {
        (Part::Spool | Part::Policies, Some(name)) => Ok(place.join(name)),
        _ => Ok(place),
    }
}

/// Neither a store, nor a log that would be taken for that of the restored one.
fn refuse_what_is_there(to: &Path) -> anyhow::Result<()> {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let path = open::with_ending(to, ending);
        if path.exists() {
            bail!(
                "{} is there: stop the server and move it away, or give another --data-dir",
                path.display()
            );
        }
    }
    Ok(())
}
