//! A segment: a file with its number as its name, and a head that says whose it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

/// Tells the format and its version.
const MARK: [u8; 8] = *b"tgclick1";
/// Bytes before the first frame.
pub(super) const HEAD: u64 = 32;
const EXTENSION: &str = "clicks";

/// Which segment of which spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentId {
    pub(super) spool: u64,
    pub(super) number: u64,
}

impl SegmentId {
    /// Seeds the checksums of its frames: a frame of another segment is none here.
    pub(super) fn seed(self) -> u64 {
        self.spool ^ self.number.rotate_left(32)
    }

    /// Mark, spool, number, and a checksum of those.
    pub(super) fn head(self) -> [u8; HEAD as usize] {
        let mut head = [0; HEAD as usize];
        head[..8].copy_from_slice(&MARK);
        head[8..16].copy_from_slice(&self.spool.to_le_bytes());
        head[16..24].copy_from_slice(&self.number.to_le_bytes());
        let checksum = xxh3_64(&head[..24]);
        head[24..].copy_from_slice(&checksum.to_le_bytes());
        head
    }

    /// Which segment a file is. None if it is none, or not whole.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        File::open(path)?.take(HEAD).read_to_end(&mut head)?;
        let field = |at: usize| Some(u64::from_le_bytes(*head.get(at..)?.first_chunk()?));
        let Some((spool, number)) = field(8).zip(field(16)) else {
            return Ok(None);
        };
        let id = Self { spool, number };
        Ok((head == id.head()).then_some(id))
    }
}

/// Where the segment of this number is.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    // Twenty digits hold every number, and sort as it does.
    directory.join(format!("{number:020}.{EXTENSION}"))
}

/// The number in the name of a segment.
pub(super) fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// A segment that is written.
pub(super) trait SegmentFile: Send + Sync {
    /// Appends all of `bytes`; after an error, some of them.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Drops what is beyond `length`.
    fn cut(&self, length: u64) -> io::Result<()>;
    /// Waits until the disk has it.
    fn sync(&self) -> io::Result<()>;
}

/// Makes segments; a test has disks that are full when it wants.
pub(super) trait Disk: Send {
    /// A new file, which is not there yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
}

/// Files.
#[derive(Debug)]
pub(super) struct Files;

impl Disk for Files {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            // Where people went is nobody else's business.
            .mode(0o600)
            .open(path)?;
        Ok(Box::new(file))
    }
}

impl SegmentFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers() {
        let directory = Path::new("/spool");
        for n in [0, 7, u64::MAX] {
            assert_eq!(number(&path(directory, n)), Some(n));
        }
        for other in [
            "7.clicks",
            "lock",
            "00000000000000000007.click",
            "-0000000000000000007.clicks",
        ] {
            assert_eq!(number(&directory.join(other)), None, "{other}");
        }
    }
}
