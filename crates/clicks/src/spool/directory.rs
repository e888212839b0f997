//! Opening a spool: locking it, and looking through what an earlier process left.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::frame::{self, Found};
use super::segment::{self, HEAD, SegmentId};

/// The file that is locked; empty.
const LOCK: &str = "lock";

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Two writers would mix their clicks up.
    #[error(
        "the spool of clicks {0} is used by another process: end that one, or give this one a \
         directory of its own"
    )]
    Locked(PathBuf),
    /// The directory, or what is in it, cannot be used.
    #[error("the spool of clicks {path} cannot be used: {error}")]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A thread cannot be started.
    #[error("the thread that writes clicks cannot be started: {0}")]
    Thread(io::Error),
}

/// A spool directory of our own, and what was in it.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// Whose segments these are; of an empty directory, what was proposed.
    pub(super) identity: u64,
    /// Segments with their lengths.
    pub(super) segments: BTreeMap<u64, u64>,
    /// The largest number of a segment that is here.
    pub(super) newest: u64,
    /// Bytes that were cut off because they were no whole frame.
    pub(super) torn: u64,
    /// Locked until this is dropped, or the process ends in whatever way.
    pub(super) lock: File,
}

impl Directory {
    /// Opens a directory, or makes it. If it has no segments, the spool becomes `identity`.
    pub(super) fn open(path: &Path, identity: u64) -> Result<Self, SpoolError> {
        let refuse = |error| SpoolError::Io {
            path: path.to_owned(),
            error,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(refuse)?;
        let lock = lock(path)?;
        let mut files: Vec<(u64, PathBuf)> = fs::read_dir(path)
            .and_then(|entries| {
                entries
                    .filter_map(|entry| {
                        let path = entry.map(|entry| entry.path());
                        path.map(|path| Some((segment::number(&path)?, path)))
                            .transpose()
                    })
                    .collect()
            })
            .map_err(refuse)?;
        files.sort_unstable();

        let mut directory = Self {
            path: path.to_owned(),
            identity,
            segments: BTreeMap::new(),
            newest: files.last().map_or(0, |(number, _)| *number),
            torn: 0,
            lock,
        };
        directory.take(&files)?;
        Ok(directory)
    }

    /// Takes the segments that belong together: the newest whole one tells which.
    fn take(&mut self, files: &[(u64, PathBuf)]) -> Result<(), SpoolError> {
        let mut ours = None;
        for (number, path) in files.iter().rev() {
            let refuse = |error| SpoolError::Io {
                path: path.clone(),
                error,
            };
            let id = SegmentId::of(path).map_err(refuse)?;
            match id.filter(|id| id.number == *number && *ours.get_or_insert(id.spool) == id.spool)
            {
                Some(id) => {
                    // Only the last one that was written can end in the middle of a frame.
                    let length = match self.segments.is_empty() {
                        true => self.cut(path, id).map_err(refuse)?,
                        false => fs::metadata(path).map_err(refuse)?.len(),
                    };
                    self.segments.insert(*number, length);
                }
                // Made, but killed before there was anything in it.
                None if fs::metadata(path).map_err(refuse)?.len() < HEAD => {
                    fs::remove_file(path).map_err(refuse)?;
                }
                None => tracing::error!(
                    file = %path.display(),
                    "this is no segment of the spool of clicks: it is left alone, and not read"
                ),
            }
        }
        self.identity = ours.unwrap_or(self.identity);
        Ok(())
    }

    /// Cuts off the end that is no whole frame, and answers the length that is left. Damage with
    /// frames behind it stays: readers step over it.
    fn cut(&mut self, path: &Path, id: SegmentId) -> io::Result<u64> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        let whole = end_of_frames(&mut file, id)?;
        if whole < length {
            let torn = length - whole;
            tracing::warn!(
                file = %path.display(),
                bytes = torn,
                "the last clicks of an earlier process were not written whole: they are cut off"
            );
            self.torn += torn;
            file.set_len(whole)?;
            file.sync_all()?;
        }
        Ok(whole)
    }
}

fn lock(directory: &Path) -> Result<File, SpoolError> {
    let path = directory.join(LOCK);
    let refuse = |error| SpoolError::Io {
        path: path.clone(),
        error,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::Locked(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(refuse(error)),
    }
}

/// Where the last whole frame of a segment ends.
fn end_of_frames(file: &mut File, id: SegmentId) -> io::Result<u64> {
    /// Bytes read at once: many frames, and at least a whole one.
    const WINDOW: u64 = 4 << 20;
    let mut window = Vec::new();
    let (mut begin, mut end) = (HEAD, HEAD);
    loop {
        window.clear();
        file.seek(SeekFrom::Start(begin))?;
        let read = file.take(WINDOW).read_to_end(&mut window)? as u64;
        let last = read < WINDOW;
        let mut rest = &window[..];
        loop {
            let (skipped, found) = frame::find(rest, id.seed(), last);
            rest = &rest[skipped..];
            match found {
                Found::Frame(frame) => {
                    rest = &rest[frame.bytes()..];
                    end = begin + (window.len() - rest.len()) as u64;
                }
                Found::Begun | Found::Nothing => break,
            }
        }
        if last {
            return Ok(end);
        }
        // A frame is shorter than a window, so this gets on.
        begin += (window.len() - rest.len()) as u64;
    }
}

/// Makes a new name in a directory outlast a power cut.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // Some file systems sync no directories, and need not.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}
