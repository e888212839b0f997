//! The chain of hashes, and telling whether it is whole.

use std::fmt;
use std::io::{self, BufRead};
use std::path::Path;
use std::str::FromStr;

use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tollgate_sqlite::{Error, OpenOptions, open};

use crate::query::Recorded;

/// So that a hash of ours is none of anything else.
const CONTEXT: &[u8] = b"tollgate audit 1\0";

/// The hash that an entry has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) [u8; 32]);

impl Hash {
    /// What the first entry of all has before it.
    pub(crate) const ZERO: Self = Self([0; 32]);

    /// Of an entry, which follows one with the hash `before`.
    pub(crate) fn of(before: Self, seq: i64, text: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(CONTEXT);
        hash.update(before.0);
        hash.update(seq.to_le_bytes());
        hash.update(text.as_bytes());
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&base16ct::HexDisplay(&self.0), f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(());
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(bytes))
    }
}

/// An entry by its number and its hash: kept elsewhere, it tells later whether all up to it is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub(crate) seq: i64,
    pub(crate) hash: Hash,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "write it as the number of an entry, a colon and its hash".to_owned();
        let (seq, hash) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self {
            seq: seq.parse().map_err(|_| wrong())?,
            hash: hash.parse().map_err(|()| wrong())?,
        })
    }
}

/// A log that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many entries there are.
    pub entries: u64,
    /// Among them, those that were written without the chain and prove nothing.
    pub unchained: u64,
    /// The number of the last entry that was removed for its age or for room, if any was.
    pub removed_up_to: Option<i64>,
    /// The newest entry of the chain.
    pub head: Option<Head>,
}

/// A log that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Its hash is not that of what it says and of what stands before it.
    #[error("entry {0} is not what was written: it was changed, or an entry before it was")]
    Changed(i64),
    /// Numbers without an entry.
    #[error("entries {from} to {to} are missing")]
    Missing {
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
    /// There are entries that the log does not know to have.
    #[error("entry {0} was not written by the log: it knows of none after {1}")]
    Added(i64, i64),
    /// The entry that was kept elsewhere is another one here.
    #[error("entry {0} is not the one whose hash you gave: the log was written anew")]
    Rewritten(i64),
    /// It cannot be read as an entry.
    #[error("line {0} is no entry of an audit log")]
    Unreadable(u64),
}

/// Why nothing good can be said of a log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not as it was written.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// Its file cannot be read.
    #[error(transparent)]
    Store(#[from] Error),
    /// An export cannot be read.
    #[error("the export cannot be read: {0}")]
    Export(#[from] io::Error),
}

/// Follows the chain.
struct Walk<'a> {
    before: Hash,
    next: i64,
    expected: &'a [Head],
    verified: Verified,
}

impl<'a> Walk<'a> {
    fn new(before: Hash, next: i64, expected: &'a [Head]) -> Self {
        Self {
            before,
            next,
            expected,
            verified: Verified {
                entries: 0,
                unchained: 0,
                removed_up_to: None,
                head: None,
            },
        }
    }

    fn step(&mut self, seq: i64, text: &str, hash: Option<Hash>) -> Result<(), Broken> {
        if seq != self.next {
            let (from, to) = (self.next, seq - 1);
            return Err(if seq > self.next {
                Broken::Missing { from, to }
            } else {
                Broken::Changed(seq)
            });
        }
        self.next = seq + 1;
        self.verified.entries += 1;
        let known = self.expected.iter().find(|known| known.seq == seq);
        if known.is_some_and(|known| Some(known.hash) != hash) {
            return Err(Broken::Rewritten(seq));
        }
        match hash {
            Some(hash) if hash == Hash::of(self.before, seq, text) => {
                self.before = hash;
                self.verified.head = Some(Head { seq, hash });
                Ok(())
            }
            Some(_) => Err(Broken::Changed(seq)),
            None => {
                self.verified.unchained += 1;
                Ok(())
            }
        }
    }

    /// All that was to be found was.
    fn end(self) -> Result<Verified, Broken> {
        match self.expected.iter().find(|known| known.seq >= self.next) {
            Some(known) => Err(Broken::Missing {
                from: self.next,
                to: known.seq,
            }),
            None => Ok(self.verified),
        }
    }
}

/// Reads the whole log in `file`, also while it is written, and tells whether it is as it was written. `expected` are
/// entries that were kept elsewhere.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(file: &Path, expected: &[Head]) -> Result<Verified, VerifyError> {
    let options = OpenOptions {
        read_only: true,
        ..OpenOptions::default()
    };
    let connection = open(file, &options)?;
    let read = walk(&connection, expected);
    Ok(read.map_err(|error| Error::of(file, &error))??)
}

fn walk(connection: &Connection, expected: &[Head]) -> rusqlite::Result<Result<Verified, Broken>> {
    let connection = connection.unchecked_transaction()?;
    let ends = Ends::read(&connection)?;
    let mut walk = Walk::new(
        ends.removed_hash.unwrap_or(Hash::ZERO),
        ends.removed + 1,
        expected,
    );
    walk.verified.removed_up_to = (ends.removed > 0).then_some(ends.removed);
    let mut statement =
        connection.prepare("SELECT seq, entry, hash FROM audit_entries ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let hash: Option<[u8; 32]> = row.get(2)?;
        let stepped = walk.step(seq, row.get_ref(1)?.as_str()?, hash.map(Hash));
        if let Err(broken) = stepped {
            return Ok(Err(broken));
        }
    }
    let last = walk.next - 1;
    if last < ends.last {
        let (from, to) = (walk.next, ends.last);
        return Ok(Err(Broken::Missing { from, to }));
    }
    if last > ends.last {
        return Ok(Err(Broken::Added(ends.last + 1, ends.last)));
    }
    // Also of an entry whose hash was taken away, as if it was written without the chain.
    if ends.last_hash.unwrap_or(walk.before) != walk.before {
        return Ok(Err(Broken::Changed(last)));
    }
    Ok(walk.end())
}

/// Reads what was exported, one entry a line, oldest first, and tells whether the lines are as they were written. The
/// first may be any entry; its own hash is believed.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify_export(export: impl BufRead, expected: &[Head]) -> Result<Verified, VerifyError> {
    let mut walk: Option<Walk<'_>> = None;
    for (line, number) in export.lines().zip(1..) {
        let line = line?;
        let (seq, text, hash) = taken_apart(&line).ok_or(Broken::Unreadable(number))?;
        match &mut walk {
            Some(walk) => walk.step(seq, &text, hash)?,
            None if seq == 1 => {
                let mut begun = Walk::new(Hash::ZERO, 1, expected);
                begun.step(seq, &text, hash)?;
                walk = Some(begun);
            }
            None => {
                // What stood before it is not there: its hash is where the chain begins.
                let mut begun = Walk::new(hash.unwrap_or(Hash::ZERO), seq + 1, expected);
                begun.verified.entries = 1;
                begun.verified.removed_up_to = Some(seq - 1);
                begun.verified.unchained = u64::from(hash.is_none());
                begun.verified.head = hash.map(|hash| Head { seq, hash });
                let known = expected.iter().find(|known| known.seq == seq);
                if known.is_some_and(|known| Some(known.hash) != hash) {
                    return Err(Broken::Rewritten(seq).into());
                }
                walk = Some(begun);
            }
        }
    }
    let walk = walk.unwrap_or_else(|| Walk::new(Hash::ZERO, 1, expected));
    Ok(walk.end()?)
}

/// The number, the text and the hash of a line that [`Recorded::line`] has made.
fn taken_apart(line: &str) -> Option<(i64, String, Option<Hash>)> {
    let mut value: Value = serde_json::from_str(line).ok()?;
    let fields = value.as_object_mut()?;
    let seq = fields.remove(Recorded::SEQ)?.as_i64()?;
    let hash = match fields.remove(Recorded::HASH) {
        Some(hash) => Some(hash.as_str()?.parse().ok()?),
        None => None,
    };
    Some((seq, value.to_string(), hash))
}

/// What the log knows of its two ends.
pub(crate) struct Ends {
    /// The number of the newest entry.
    pub(crate) last: i64,
    /// The hash of the newest entry of the chain.
    pub(crate) last_hash: Option<Hash>,
    /// The number of the newest entry that was removed.
    pub(crate) removed: i64,
    /// What the oldest entry that is left has before it.
    pub(crate) removed_hash: Option<Hash>,
}

impl Ends {
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection
            .prepare_cached("SELECT last, last_hash, removed, removed_hash FROM audit_ends")?
            .query_row([], |row| {
                Ok(Self {
                    last: row.get(0)?,
                    last_hash: row.get::<_, Option<[u8; 32]>>(1)?.map(Hash),
                    removed: row.get(2)?,
                    removed_hash: row.get::<_, Option<[u8; 32]>>(3)?.map(Hash),
                })
            })
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let update =
            "UPDATE audit_ends SET last = ?1, last_hash = ?2, removed = ?3, removed_hash = ?4";
        connection.prepare_cached(update)?.execute((
            self.last,
            self.last_hash.map(|hash| hash.0),
            self.removed,
            self.removed_hash.map(|hash| hash.0),
        ))?;
        Ok(())
    }
}
