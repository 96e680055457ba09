//! The accounts of a process with a journal: a snapshot file with the position in the journal that it stands for. The
//! account is the journal's fold: a start reads the snapshot and takes what the journal has beyond it again, by the
//! recorded decisions.
//!
//! A snapshot is written beside the last, synced, and renamed into place after the journal is synced up to its position;
//! the one before is kept, and so is the journal from its position on. A record that a flipped bit has spoiled is made
//! again from the older snapshot and the journal.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use kwapi_core::{Account, ProbeId, WallClock};
use kwapi_history::journal::{Bookmark, Credited, Journal, Position};

use crate::live::{AccountsEntry, AccountsWriter, Live, note_damage, read_accounts};

/// The snapshot in the directory of history, the one before it, and what is being written.
const NAME: &str = "accounts";
const NAME_BEFORE: &str = "accounts.before";
const NAME_NEW: &str = "accounts.new";
/// How often a snapshot is written: how much of the journal a start reads again.
const INTERVAL: Duration = Duration::from_secs(30);
/// The accounts as a reader of the journal.
const READER: &str = "accounts";

/// What the snapshots hold.
#[derive(Debug, Default)]
pub struct Kept {
    newest: Snapshot,
    before: Snapshot,
}

#[derive(Debug, Default)]
struct Snapshot {
    /// None: there is no such file, or its position cannot be read.
    position: Option<Position>,
    accounts: HashMap<ProbeId, Account>,
    is_damaged: bool,
}

impl Kept {
    /// Reads the snapshots in `directory`. Where there is none yet, the accounts of the version before are taken over
    /// from `former`, its record.
    ///
    /// # Errors
    /// When a file is there and the disk does not give it: starting all the same would begin totals again.
    pub fn read(directory: &Path, former: &Path) -> io::Result<Self> {
        let newest = Snapshot::read(&directory.join(NAME))?;
        // Nobody needs the other where the newest is whole, and it takes as long to read.
        let is_whole = newest.as_ref().is_some_and(Snapshot::is_whole);
        let before = if is_whole { None } else { Snapshot::read(&directory.join(NAME_BEFORE))? };
        if newest.is_none() && before.is_none() {
            let mut taken_over = Snapshot::read(former)?.unwrap_or_default();
            if !taken_over.accounts.is_empty() {
                let accounts = taken_over.accounts.len();
                tracing::info!(accounts, from = %former.display(), "accounts migrated");
            }
            // They have what the journal of that version has.
            taken_over.position = None;
            return Ok(Self { newest: taken_over, before: Snapshot::default() });
        }
        Ok(Self { newest: newest.unwrap_or_default(), before: before.unwrap_or_default() })
    }

    /// The position up to which anything is known: the journal must continue after it.
    pub fn position_in(directory: &Path) -> Position {
        let position_in = |name: &str| {
            let path = directory.join(name);
            // It is at the beginning, and where that is damaged, at the end.
            position_of(&path).ok().flatten().or_else(|| {
                let mut found = None;
                read_accounts(&fs::read(&path).unwrap_or_default(), |entry| {
                    if let AccountsEntry::Position(position) = entry {
                        found = found.max(Some(position));
                    }
                });
                found
            })
        };
        [NAME, NAME_BEFORE].into_iter().filter_map(position_in).max().unwrap_or_default()
    }

    /// The accounts as the journal has them.
    ///
    /// # Errors
    /// When the disk does not give the journal.
    pub fn fold(self, journal: &Journal) -> io::Result<Vec<(ProbeId, Account)>> {
        let Self { newest, before } = self;
        let (mut accounts, from) = match newest.position {
            Some(position) => (newest.accounts, position),
            // There is no snapshot yet. What a version before wrote to the journal is in the accounts that were taken
            // over; what this one did, before it was killed, is not.
            None if before.position.is_none() => {
                let is_ours = |record: &Credited| record.taken.is_some();
                let folded = fold(journal, newest.accounts, is_ours, Position::default())?;
                return Ok(folded.into_iter().collect());
            }
            None => (HashMap::new(), Position::default()),
        };
        let mut spoiled = HashMap::new();
        if newest.is_damaged || newest.position.is_none() {
            let mut older = before.accounts;
            older.retain(|probe, _| !accounts.contains_key(probe));
            let is_spoiled = |record: &Credited| !accounts.contains_key(&record.probe);
            spoiled = fold(journal, older, is_spoiled, before.position.unwrap_or_default())?;
            if !spoiled.is_empty() {
                tracing::warn!(
                    accounts = spoiled.len(),
                    "accounts rebuilt from an older snapshot and the journal"
                );
            }
        }
        if newest.position.is_some() {
            accounts = fold(journal, accounts, |record| !spoiled.contains_key(&record.probe), from)?;
        }
        accounts.extend(spoiled);
        Ok(accounts.into_iter().collect())
    }
}

/// Takes again what the journal has from `from` on.
fn fold(
    journal: &Journal,
    mut accounts: HashMap<ProbeId, Account>,
    mut is_wanted: impl FnMut(&Credited) -> bool,
    from: Position,
) -> io::Result<HashMap<ProbeId, Account>> {
    let replayed = journal.replay(from, |record| {
        if is_wanted(record) {
            let account = accounts.entry(record.probe.clone()).or_default();
            match (&record.taken, &record.accounting) {
                (Some(taken), message) => account.replay(record.at, message.as_ref(), &taken.decision),
                // An earlier version wrote it, after one with snapshots had: its totals are as good.
                (None, Some(message)) => _ = account.credit(message, Duration::ZERO, Duration::MAX),
                (None, None) => {}
            }
        }
    })?;
    if replayed.lost_count > 0 {
        tracing::error!(
            stretches = replayed.lost_count,
            "parts of the journal are unreadable; their energy is credited with the next totals"
        );
    }
    Ok(accounts)
}

impl Snapshot {
    /// Whether nothing of it is missing.
    fn is_whole(&self) -> bool {
        self.position.is_some() && !self.is_damaged
    }

    fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        };
        let mut snapshot = Self::default();
        let contents = read_accounts(&bytes, |entry| match entry {
            AccountsEntry::Account(probe, account) => _ = snapshot.accounts.insert(probe, account),
            AccountsEntry::Position(position) => snapshot.position = Some(position),
        });
        note_damage(path, &contents, snapshot.accounts.len());
        snapshot.is_damaged = contents.stretches_damaged > 0 || contents.bytes_torn > 0;
        Ok(Some(snapshot))
    }
}

/// Writes snapshots while the intake works.
#[derive(Debug)]
pub struct Keeper {
    journal: Journal,
    /// None: as soon as may be.
    kept_at: Option<Duration>,
    /// What the last snapshot took, so that the next does not grow by doubling.
    bytes: usize,
    /// One snapshot at a time; when the disk is slow, the next waits.
    work: mpsc::SyncSender<Work>,
    thread: std::thread::JoinHandle<()>,
    wall: WallClock,
}

/// A snapshot, whole, and where it stands.
struct Work {
    snapshot: AccountsWriter,
    position: Position,
}

impl Keeper {
    /// A keeper of the accounts in the journal's directory.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(journal: Journal, wall: WallClock) -> io::Result<Self> {
        let (work, works) = mpsc::sync_channel::<Work>(0);
        let mut writer = SnapshotFile::of(&journal, wall.clone());
        let thread = std::thread::Builder::new().name("accounts".to_owned()).spawn(move || {
            while let Ok(work) = works.recv() {
                writer.write(&work);
            }
        })?;
        Ok(Self { journal, kept_at: None, bytes: 0, work, thread, wall })
    }

    /// Forces the journal to the disk.
    pub(super) fn journal_sync(&self) -> super::group_commit::Sync {
        let (journal, wall) = (self.journal.clone(), self.wall.clone());
        Box::new(move || journal.sync(wall.now()).map(drop))
    }

    /// Has a snapshot written if it is time. Between two batches: the accounts are those of the journal's end.
    pub(super) fn keep_if_due(&mut self, live: &Live) {
        let now = live.now();
        if self.kept_at.is_none_or(|kept_at| now.saturating_sub(kept_at) >= INTERVAL) {
            let is_first = self.kept_at.replace(now).is_none();
            let snapshot = self.snapshot(live);
            // Where the last one is still being written, the disk has enough to do. At the first one the thread may only not
            // have begun yet.
            if is_first { _ = self.work.send(snapshot) } else { _ = self.work.try_send(snapshot) }
        }
    }

    /// Has a last one written, and waits for it.
    pub(super) fn keep_last(mut self, live: &Live) {
        let snapshot = self.snapshot(live);
        _ = self.work.send(snapshot);
        let Self { work, thread, .. } = self;
        drop(work);
        if thread.join().is_err() {
            tracing::error!("the accounts thread panicked");
        }
    }

    fn snapshot(&mut self, live: &Live) -> Work {
        let position = self.journal.end();
        let mut snapshot = AccountsWriter::file();
        snapshot.reserve(self.bytes + self.bytes / 32);
        // At both ends, so that one flipped bit does not lose it.
        snapshot.position(position);
        live.record_all(&mut snapshot);
        snapshot.position(position);
        self.bytes = snapshot.bytes().len();
        Work { snapshot, position }
    }
}

/// Writes a snapshot of `accounts`, which are those of the journal's end. For who appends without an intake.
///
/// # Errors
/// When the disk refuses: the snapshot before stands.
pub fn write<'a>(
    journal: &Journal,
    accounts: impl Iterator<Item = (&'a ProbeId, &'a Account)>,
    wall: &WallClock,
) -> io::Result<()> {
    let position = journal.end();
    let mut snapshot = AccountsWriter::file();
    snapshot.position(position);
    accounts.for_each(|(probe, account)| snapshot.account(probe, account));
    snapshot.position(position);
    SnapshotFile::of(journal, wall.clone()).try_to_write(&Work { snapshot, position })
}

/// Where snapshots go.
struct SnapshotFile {
    directory: PathBuf,
    bookmark: Bookmark,
    journal: Journal,
    wall: WallClock,
    has_failed: bool,
}

impl SnapshotFile {
    fn of(journal: &Journal, wall: WallClock) -> Self {
        Self {
            directory: journal.home().to_owned(),
            bookmark: journal.bookmark(READER, kwapi_history::journal::Need::Required),
            journal: journal.clone(),
            wall,
            has_failed: false,
        }
    }

    fn write(&mut self, work: &Work) {
        match self.try_to_write(work) {
            Ok(()) => {
                if std::mem::take(&mut self.has_failed) {
                    tracing::info!("account snapshots are writable again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::error!(%error, "cannot write the account snapshot; the next start replays more of the journal");
                }
            }
        }
    }

    fn try_to_write(&self, work: &Work) -> io::Result<()> {
        self.journal.sync(self.wall.now())?;
        let [new, name, before] = [NAME_NEW, NAME, NAME_BEFORE].map(|name| self.directory.join(name));
        let mut file = File::create(&new)?;
        file.write_all(work.snapshot.bytes())?;
        file.sync_all()?;
        drop(file);
        // What the journal keeps for us begins where the snapshot before this one stands.
        let stands_at = position_of(&name)?;
        match fs::rename(&name, &before) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::rename(&new, &name)?;
        File::open(&self.directory)?.sync_all()?;
        self.bookmark.commit(stands_at.unwrap_or(work.position))
    }
}

/// Where the snapshot in a file stands; it is at its beginning.
fn position_of(path: &Path) -> io::Result<Option<Position>> {
    use std::io::Read as _;
    /// The file's header and the first record.
    const HEAD_BYTES: u64 = 17 + 11 + 16;
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(HEAD_BYTES).read_to_end(&mut head)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut found = None;
    read_accounts(&head, |entry| {
        if let AccountsEntry::Position(position) = entry {
            found = Some(position);
        }
    });
    Ok(found)
}

#[cfg(test)]
mod tests;
