//! The record file: accounts appended as they change, the last one of a probe counting.
//!
//! Appends are plain writes: they survive the end of the process, however it ends. What survives the end of the
//! machine is what was synced. When the file has grown to several times what it need hold, a new one is written
//! beside it, synced, and renamed over it, so that at every instant one whole file has the name.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kwapi_core::{Account, ProbeId};

use super::record::{self, Intact};

/// The record's name in the collector's directory.
const NAME: &str = "accounts.log";
/// What is being written in its place.
const NAME_NEW: &str = "accounts.new";
/// Where a damaged one is put, for whoever wants to look; the next damaged one replaces it.
const NAME_DAMAGED: &str = "accounts.damaged";
/// A record this much larger than its last compaction is compacted again…
const GROWTH_MAX: u64 = 4;
/// …but not below this size.
const COMPACT_BYTES_MIN: u64 = 4 << 20;

/// The record cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct StoreError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// An open record.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    file: File,
    /// Its size now, and after it was last compacted.
    bytes: u64,
    bytes_compacted: u64,
    /// Whether a write failed half-way, so that what follows it would not be read.
    is_torn: bool,
}

impl Store {
    /// Opens the record in `directory`, making it if need be, and puts what it holds into `accounts`. What was
    /// appended one by one is compacted, so that no append ever follows a torn record.
    pub(super) fn open(directory: &Path, accounts: &mut Vec<(ProbeId, Account)>) -> Result<Self, StoreError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError { action, path, source }
        };
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
        let path = directory.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let mut latest = HashMap::new();
        let intact = record::decode_all(&bytes, |probe, account| {
            latest.insert(probe, account);
        });
        match intact {
            Intact::Yes | Intact::TornTail => {}
            Intact::Damaged | Intact::NotOurs => {
                let aside = directory.join(NAME_DAMAGED);
                fs::copy(&path, &aside).map_err(failed("copy to", &aside))?;
                tracing::error!(
                    accounts = latest.len(),
                    record = %path.display(),
                    copy = %aside.display(),
                    "the record of accounts is damaged: the totals of other probes begin again, or are older"
                );
            }
        }
        accounts.extend(latest);
        let mut snapshot = record::MAGIC.to_vec();
        for (probe, account) in accounts.iter() {
            record::encode(&mut snapshot, probe, account);
        }
        let file = replace(directory, &snapshot).map_err(failed("write", &path))?;
        let bytes = snapshot.len() as u64;
        let directory = directory.to_owned();
        Ok(Self { directory, file, bytes, bytes_compacted: bytes, is_torn: false })
    }

    /// Appends records.
    pub(super) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other("the record awaits its compaction after a failed write"));
        }
        if let Err(error) = self.file.write_all(records) {
            self.is_torn = true;
            return Err(error);
        }
        self.bytes += records.len() as u64;
        Ok(())
    }

    /// Whether [`Store::compact`] is due.
    pub(super) fn is_bloated(&self) -> bool {
        self.is_torn || self.bytes > (self.bytes_compacted * GROWTH_MAX).max(COMPACT_BYTES_MIN)
    }

    /// Puts `records`, one of each probe, in the place of all there is.
    pub(super) fn compact(&mut self, records: &[u8]) -> io::Result<()> {
        let mut snapshot = record::MAGIC.to_vec();
        snapshot.extend_from_slice(records);
        self.file = replace(&self.directory, &snapshot)?;
        self.bytes = snapshot.len() as u64;
        self.bytes_compacted = self.bytes;
        self.is_torn = false;
        Ok(())
    }

    /// The size of the record.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A second handle, to sync with while others write.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Writes a new file, and gives it the record's name once it is on the disk.
fn replace(directory: &Path, contents: &[u8]) -> io::Result<File> {
    let new = directory.join(NAME_NEW);
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(NAME))?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests;
