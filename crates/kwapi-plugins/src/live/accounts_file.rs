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
use kwapi_history::replace_file;

use super::accounts_format::{self, AccountsEntry, AccountsWriter};

/// The record's name in its directory.
const NAME: &str = "accounts.log";
/// A record this much larger than its last compaction is compacted again…
const GROWTH_MAX: u64 = 4;
/// …but not below this size.
const COMPACT_BYTES_MIN: u64 = 4 << 20;

/// A record.
#[derive(Debug)]
pub(super) struct AccountsFile {
    directory: PathBuf,
    /// None as long as the disk does not let one be opened.
    file: Option<File>,
    /// Its size now, and after it was last compacted.
    bytes: u64,
    bytes_compacted: u64,
    /// Whether it must be rewritten before anything is appended: a version before wrote it, a write failed half-way,
    /// or it is damaged.
    is_unfit: bool,
}

impl AccountsFile {
    /// Opens the record in `directory`, making it if need be, and puts what it holds into `accounts`. Nothing is written
    /// where nothing need be: a full disk keeps nobody from starting.
    pub(super) fn open(directory: &Path, accounts: &mut Vec<(ProbeId, Account)>) -> Self {
        let path = directory.join(NAME);
        let mut store = Self {
            directory: directory.to_owned(),
            file: None,
            bytes: 0,
            bytes_compacted: 0,
            is_unfit: true,
        };
        if let Err(error) = fs::create_dir_all(directory) {
            tracing::error!(%error, directory = %directory.display(), "cannot create the accounts directory");
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return store,
            Err(error) => {
                // What is there is not to be written over.
                tracing::error!(%error, record = %path.display(), "cannot read the accounts file; totals start again");
                _ = fs::rename(&path, path.with_extension("unreadable"));
                return store;
            }
        };
        let mut latest = HashMap::new();
        let contents = accounts_format::read(&bytes, |entry| {
            if let AccountsEntry::Account(probe, account) = entry {
                latest.insert(probe, account);
            }
        });
        accounts_format::note_damage(&path, &contents, latest.len());
        accounts.extend(latest);
        store.bytes = bytes.len() as u64;
        store.is_unfit = bytes.is_empty() || contents.is_of_before || contents.stretches_damaged > 0;
        if contents.of_later > 0 {
            // They are for that version to read again.
            _ = fs::copy(&path, path.with_extension("later"));
            store.is_unfit = true;
        }
        if !store.is_unfit {
            match OpenOptions::new().append(true).open(&path) {
                Ok(file) => store.file = Some(file),
                Err(error) => {
                    tracing::error!(%error, record = %path.display(), "cannot append to the accounts file");
                }
            }
        }
        store
    }

    /// Appends records.
    pub(super) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) if !self.is_unfit => file,
            Some(_) | None => return Err(io::Error::other("accounts file is waiting for compaction")),
        };
        if let Err(error) = file.write_all(records) {
            self.is_unfit = true;
            return Err(error);
        }
        self.bytes += records.len() as u64;
        Ok(())
    }

    /// Whether [`AccountsFile::compact`] is due.
    pub(super) fn is_bloated(&self) -> bool {
        self.is_unfit() || self.bytes > (self.bytes_compacted * GROWTH_MAX).max(COMPACT_BYTES_MIN)
    }

    /// Whether nothing can be appended before [`AccountsFile::compact`].
    pub(super) fn is_unfit(&self) -> bool {
        self.is_unfit || self.file.is_none()
    }

    /// Puts `records`, a whole file with one of each probe, in the place of all there is.
    pub(super) fn compact(&mut self, records: &AccountsWriter) -> io::Result<()> {
        self.file = Some(replace_file(&self.directory.join(NAME), records.bytes())?);
        self.bytes = records.bytes().len() as u64;
        self.bytes_compacted = self.bytes;
        self.is_unfit = false;
        Ok(())
    }

    /// The size of the record.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A second handle, to sync with while others write.
    pub(super) fn handle(&self) -> Option<File> {
        self.file.as_ref().and_then(|file| file.try_clone().ok())
    }
}

#[cfg(test)]
mod tests;
