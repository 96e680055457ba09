//! Live: the newest of every probe, for whoever shows the present: the API, the pages, `/metrics`.
//!
//! [`Intake`](crate::intake::Intake) alone changes it. It and the readers meet only in one probe at a time, for the copy
//! of a few words: a reader of a hundred thousand probes never makes the intake wait for the rest of them. New probes
//! queue beside the sorted list, and the next reader merges them, so that registering is as cheap as updating.
//!
//! **What is published is on record first** (ADR 0007). Where there is a journal, intake appends a message before its
//! credit is visible here. Where there is none, a reader (see [`walk`]) appends the accounts it is about to show to the
//! record before it shows them. `kill -9` therefore takes back nothing that anybody has seen.

mod accounts_file;
mod accounts_format;
mod probe;
mod rivals;
mod walk;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwapi_bus::{Batch, Received};
use kwapi_core::{Account, Gaps, MonotonicClock, ProbeId, Timestamp, WallClock};
use kwapi_history::journal::Position;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::intake::{IntakeCounts, IntakeTally};

pub use probe::{Present, ProbeView};
pub use rivals::{ProbeRivals, PublisherName};
pub use walk::{ListPlace, Listing};

pub(crate) use accounts_format::{AccountsEntry, AccountsWriter, note_damage, read as read_accounts};
pub(crate) use probe::{CreditDraft, LiveProbe};

use probe::ById;
use walk::Walk;

/// How the present is shown, and where accounts are kept where there is no journal.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// Values of a probe that are further apart have unknown time between them, and a publisher silent for longer is gone.
    pub gaps: Gaps,
    /// A probe silent for longer leaves every list; its account is kept. `None`: never.
    pub cleaning_interval: Option<Duration>,
    /// Probes beyond this are refused and counted.
    pub probes_max: usize,
    /// Where accounts are recorded before they are shown; `None` where a journal has them, or in memory only.
    pub directory: Option<PathBuf>,
    /// How often accounts are recorded that nobody has read.
    pub record_interval: Duration,
    /// How often the record is forced to the disk: what a power loss may cost.
    pub sync_interval: Duration,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            gaps: Gaps::default(),
            cleaning_interval: Some(Duration::from_secs(300)),
            probes_max: 200_000,
            directory: None,
            record_interval: Duration::from_secs(5),
            sync_interval: Duration::from_secs(30),
        }
    }
}

/// A handle of what is live in a process; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: LiveConfig,
    wall: WallClock,
    clock: MonotonicClock,
    /// All probes ever received, to find one by its id.
    table: RwLock<HashSet<ById>>,
    /// Probes that the sorted list does not have yet.
    newcomers: Mutex<Vec<Arc<LiveProbe>>>,
    /// The sorted list and the record: held by one reader at a time, never by the intake.
    walk: Mutex<Walk>,
    /// Whether readers put accounts on record before they show them.
    has_record: bool,
    newest_recorded: Timestamp,
    /// Rises after each batch that changed something: equal generations, equal answers (but for silence).
    generation: watch::Sender<u64>,
    /// Up to where in the journal accounts are as it has them; `None` before the first append, and while they change.
    stands_at: Mutex<Option<Position>>,
    counts: IntakeTally,
    rivals: rivals::Rivals,
}

impl Default for Live {
    /// Where nothing is received, and so no time passes.
    fn default() -> Self {
        let (wall, clock) = (WallClock::new(|| Timestamp::EPOCH), MonotonicClock::new(|| Duration::ZERO));
        Self::open(LiveConfig::default(), Vec::new(), wall, clock)
    }
}

impl Live {
    /// Opens what is live, with the accounts of the configured directory, or else with `accounts`.
    ///
    /// What the disk refuses prevents nothing: what can be read counts, and [`Live::trouble`] reports what is wrong.
    pub fn open(
        config: LiveConfig,
        accounts: Vec<(ProbeId, Account)>,
        wall: WallClock,
        clock: MonotonicClock,
    ) -> Self {
        let mut accounts = accounts;
        let store = config
            .directory
            .as_ref()
            .map(|directory| accounts_file::AccountsFile::open(directory, &mut accounts));
        let now = clock.now();
        let newest_recorded = accounts.iter().map(|(_, account)| account.last()).max().unwrap_or_default();
        let probes: Vec<_> = accounts
            .into_iter()
            .zip(0..)
            .map(|((id, account), index)| Arc::new(LiveProbe::resumed(id, index, account, now)))
            .collect();
        let lost = probes.iter().map(|probe| probe.lost()).sum();
        let inner = Inner {
            table: RwLock::new(probes.iter().cloned().map(ById).collect()),
            newcomers: Mutex::new(Vec::new()),
            has_record: store.is_some(),
            newest_recorded,
            walk: Mutex::new(Walk::new(probes, store, now)),
            generation: watch::Sender::new(1),
            stands_at: Mutex::new(None),
            counts: IntakeTally::starting_at(lost),
            rivals: rivals::Rivals::default(),
            config,
            wall,
            clock,
        };
        Self(Arc::new(inner))
    }

    /// How it was configured.
    pub fn config(&self) -> &LiveConfig {
        &self.0.config
    }

    /// The probe of a message, registered if it is new; none where there are as many as there may be.
    pub(crate) fn find_or_register(&self, id: &ProbeId) -> Option<Arc<LiveProbe>> {
        if let Some(ById(probe)) = self.0.table.read().get(id.as_str()) {
            return Some(Arc::clone(probe));
        }
        let mut table = self.0.table.write();
        if table.len() >= self.0.config.probes_max {
            return None;
        }
        let index = u32::try_from(table.len()).ok()?;
        let probe = Arc::new(LiveProbe::new(id.clone(), index));
        table.insert(ById(Arc::clone(&probe)));
        drop(table);
        self.0.newcomers.lock().push(Arc::clone(&probe));
        Some(probe)
    }

    /// Probes that two publishers claim at present, with the names of both; 1 000 at most.
    pub fn rivals(&self) -> Vec<ProbeRivals> {
        self.0.rivals.now(self.now())
    }

    /// Takes note of a message that was credited, or refused because another publisher is alive.
    pub(crate) fn note_publisher(&self, received: &Received, is_credited: bool) {
        if is_credited {
            self.0.rivals.credited(received);
        } else {
            self.0.rivals.refused(received);
        }
    }

    /// Shows the watts of a batch that waits to be recorded, beside the totals that are.
    pub(crate) fn show_ahead(&self, batch: &Batch) {
        let table = self.0.table.read();
        for received in &batch.measurements {
            if let Some(ById(probe)) = table.get(received.measurement.probe.as_str()) {
                probe.show_ahead(received);
            }
        }
        drop(table);
        self.changed();
    }

    /// Shows the watts of a batch while what was stored before it is still read, beside the totals that are recorded by then.
    /// It is credited to nobody and counted nowhere: it comes again.
    pub(crate) fn show_live(&self, batch: &Batch) {
        let mut is_changed = false;
        for received in &batch.measurements {
            if let Some(probe) = self.find_or_register(&received.measurement.probe) {
                is_changed |= probe.show_live(received);
            }
        }
        if is_changed {
            self.changed();
        }
    }

    /// Informs whoever waits that something is new.
    pub(crate) fn changed(&self) {
        self.0.generation.send_modify(|generation| *generation += 1);
    }

    /// Notes that accounts are about to change; returns up to where they were as the journal has them.
    pub(crate) fn changing(&self) -> Option<Position> {
        self.0.stands_at.lock().take()
    }

    /// Notes that all accounts are as the journal has them up to `position`.
    pub(crate) fn stands_at(&self, position: Option<Position>) {
        *self.0.stands_at.lock() = position;
    }

    /// What `read` finds, and the position in the journal at which all of it is true, unless accounts changed meanwhile.
    pub(crate) fn at_one_position<T>(&self, read: impl FnOnce() -> T) -> (T, Option<Position>) {
        let before = *self.0.stands_at.lock();
        let found = read();
        let after = *self.0.stands_at.lock();
        (found, after.filter(|_| before == after))
    }

    pub(crate) fn tally(&self) -> &IntakeTally {
        &self.0.counts
    }

    /// What has happened since the start.
    pub fn counts(&self) -> IntakeCounts {
        let (writes_failed, record_bytes) = {
            let walk = self.0.walk.lock();
            (walk.writes_failed(), walk.record_bytes())
        };
        self.0.counts.snapshot(self.probes() as u64, writes_failed, record_bytes)
    }

    /// What keeps accounts from being recorded, if anything does.
    pub fn trouble(&self) -> Option<String> {
        self.0.walk.lock().trouble()
    }

    /// The newest stamp of the accounts that were found at the start.
    pub fn newest_recorded(&self) -> Timestamp {
        self.0.newest_recorded
    }

    /// How many probes there are, silent ones included.
    pub fn probes(&self) -> usize {
        self.0.table.read().len()
    }

    /// Rises with each batch that changed something.
    pub(crate) fn generation(&self) -> u64 {
        *self.0.generation.borrow()
    }

    /// Wakes whoever awaits it when something is new.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// Now, on the clock that silence is measured on.
    pub fn now(&self) -> Duration {
        self.0.clock.now()
    }

    /// The wall clock, to label answers.
    pub fn wall(&self) -> &WallClock {
        &self.0.wall
    }

    /// Hands over every account, sorted by id.
    pub(crate) fn each_account(&self, mut each: impl FnMut(&ProbeId, &Account)) {
        self.lock_walk().each(|probe| probe.read(&mut each));
    }

    /// What `read` finds in the account of a probe, if there is one.
    pub(crate) fn with_account<T>(&self, id: &str, read: impl FnOnce(&ProbeId, &Account) -> T) -> Option<T> {
        let probe = self.0.table.read().get(id).map(|ById(probe)| Arc::clone(probe))?;
        Some(probe.read(read))
    }

    /// Appends each account to `out`, for a snapshot.
    pub(crate) fn record_all(&self, out: &mut AccountsWriter) {
        let walk = self.lock_walk();
        walk.record_all(out);
    }

    /// Records, syncs and compacts until `shutdown`, then records a last time.
    pub async fn keep(self, shutdown: impl Future<Output = ()> + Send) {
        /// Fine enough for any sensible `record_interval`.
        const TICK: Duration = Duration::from_millis(250);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let ended = tokio::time::timeout(TICK, &mut shutdown).await.is_ok();
            let live = self.clone();
            // Writing and above all syncing wait for the disk.
            let done = tokio::task::spawn_blocking(move || live.maintain(ended)).await;
            if let Err(error) = done {
                tracing::error!(%error, "the accounts writer stopped");
                return;
            }
            if ended {
                return;
            }
        }
    }

    /// Does what is due; everything when `all`.
    pub fn maintain(&self, all: bool) {
        let now = self.now();
        let unsynced = {
            let mut walk = self.lock_walk();
            walk.record_due(now, self.0.config.record_interval, all);
            walk.sync_due(now, self.0.config.sync_interval, all)
        };
        // Outside the lock: a slow disk must not keep readers waiting.
        if let Some(file) = unsynced
            && let Err(error) = file.sync_data()
        {
            tracing::error!(%error, "cannot sync the accounts to disk");
            self.0.walk.lock().sync_failed();
        }
    }
}
