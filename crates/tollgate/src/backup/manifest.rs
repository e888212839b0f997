//! What a backup holds.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tollgate_clock::UnixMillis;
use tollgate_config::Config;

use crate::open;

/// The file that makes a directory a backup.
pub(super) const MANIFEST: &str = "backup.json";
/// The only version of the format so far.
const VERSION: u32 = 1;

/// One of the things a server keeps in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    Links,
    Keys,
    Clicks,
    Webhooks,
    /// Who changed what.
    Audit,
    /// Clicks that are not counted yet.
    Spool,
    /// Policies that were set through the API.
    Policies,
}

impl Part {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Keys => "keys",
            Self::Clicks => "clicks",
            Self::Webhooks => "webhooks",
            Self::Audit => "audit",
            Self::Spool => "spool",
            Self::Policies => "policies",
        }
    }

    /// What names of its files end with.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Links | Self::Keys | Self::Clicks | Self::Webhooks | Self::Audit => "db",
            Self::Spool => "clicks",
            Self::Policies => "yaml",
        }
    }

    /// The file or directory of a server; `None` if it is in none.
    pub(super) fn place(self, config: &Config, data_dir: &Path) -> Option<PathBuf> {
        Some(match self {
            Self::Links => return config.links_file(data_dir),
            Self::Keys => config.keys_file(data_dir),
            Self::Clicks => return config.clicks_file(data_dir),
            Self::Webhooks => config.webhooks_file(data_dir),
            Self::Audit => config.audit_file(data_dir),
            Self::Spool => config.spool_directory(data_dir),
            Self::Policies => open::policies(config, data_dir).directory,
        })
    }
}

/// One file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) part: Part,
    /// Where it is in the backup.
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Entry {
    /// A file as it is now.
    pub(super) fn of(part: Part, path: PathBuf, backup: &Path) -> anyhow::Result<Self> {
        let file = backup.join(&path);
        let (bytes, sha256) = digest(&file).with_context(|| file.display().to_string())?;
        Ok(Self {
            part,
            path,
            bytes,
            sha256,
        })
    }

    /// Whether the file still is what it was.
    pub(super) fn check(&self, backup: &Path) -> anyhow::Result<()> {
        let inside = |component| matches!(component, Component::Normal(_));
        if !self.path.components().all(inside) {
            bail!("{} is not a place in a backup", self.path.display());
        }
        let file = backup.join(&self.path);
        let (bytes, sha256) = digest(&file).with_context(|| file.display().to_string())?;
        if (bytes, &sha256) != (self.bytes, &self.sha256) {
            bail!(
                "{} is not as it was backed up: nothing is restored",
                file.display()
            );
        }
        Ok(())
    }
}

fn digest(file: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(file)?;
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
    let hash = hasher.finalize();
    Ok((bytes, base16ct::lower::encode_string(&hash)))
}

/// All of a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    /// The program that made it.
    tollgate: String,
    pub(super) made_at: String,
    pub(super) files: Vec<Entry>,
}

impl Manifest {
    pub(super) fn new(now: UnixMillis, files: Vec<Entry>) -> Self {
        Self {
            version: VERSION,
            tollgate: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: now.to_string(),
            files,
        }
    }

    pub(super) fn write(&self, backup: &Path) -> anyhow::Result<()> {
        let file = backup.join(MANIFEST);
        let unwritable = || format!("{} cannot be written", file.display());
        let mut part = tempfile::NamedTempFile::new_in(backup).with_context(unwritable)?;
        serde_json::to_writer_pretty(&mut part, self)?;
        part.as_file().sync_all().with_context(unwritable)?;
        part.persist(&file).with_context(unwritable)?;
        // The names are on the disk as well.
        let directory = File::open(backup).and_then(|directory| directory.sync_all());
        directory.with_context(unwritable)
    }

    pub(super) fn read(backup: &Path) -> anyhow::Result<Self> {
        let file = backup.join(MANIFEST);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "{} is no backup, or one that was not finished: it has no {MANIFEST}",
                backup.display()
            ),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        let manifest: Self =
            serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        if manifest.version != VERSION {
            bail!(
                "{} is of version {}, this program knows {VERSION}: use the program that made it ({})",
                file.display(),
                manifest.version,
                manifest.tollgate
            );
        }
        Ok(manifest)
    }
}
