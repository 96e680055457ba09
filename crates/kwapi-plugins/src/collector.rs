//! The collector: the latest watts and the energy account of every probe, fed by the bus and read by the API.
//!
//! The feed and the readers meet only in one probe at a time, for the copy of a few words: a reader of a hundred
//! thousand probes never makes the feed wait for the rest of them. New probes queue beside the sorted list, and the
//! next reader merges them, so that registering is as cheap as updating.
//!
//! **What is published is on record first.** A reader (see [`walk`]) appends the accounts it is about to show to the
//! record before it shows them. `kill -9` therefore takes back nothing that anybody has seen, and the energy between
//! the record and the end comes with the next message's running totals.

mod counts;
mod probe;
mod record;
mod store;
mod walk;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kwapi_bus::{Batch, Received};
use kwapi_core::{ProbeId, WallClock};
use parking_lot::{Mutex, RwLock};

pub use counts::CollectorCounts;
pub use kwapi_core::MonotonicClock;
pub use probe::ProbeView;
#[doc(hidden)]
pub use record::{Intact, decode_all};
pub use store::StoreError;
pub use walk::{Listing, Place};

use counts::Counts;
use probe::{ById, Outcome, Probe};
use walk::Walk;

/// How the collector behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Values further apart than this have unknown time between them, and a publisher silent for longer is gone.
    pub max_gap: Duration,
    /// A probe silent for longer leaves every list; its account is kept. `None`: never.
    pub cleaning_interval: Option<Duration>,
    /// Probes beyond this are refused and counted.
    pub probes_max: usize,
    /// Where the accounts are kept; `None`: in memory only.
    pub directory: Option<PathBuf>,
    /// How often accounts are recorded that nobody has read.
    pub record_interval: Duration,
    /// How often the record is forced to the disk: what a power loss may cost.
    pub sync_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_gap: Duration::from_secs(60),
            cleaning_interval: Some(Duration::from_secs(300)),
            probes_max: 200_000,
            directory: None,
            record_interval: Duration::from_secs(5),
            sync_interval: Duration::from_secs(30),
        }
    }
}

/// A handle of the one collector of a process; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Collector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    wall: WallClock,
    clock: MonotonicClock,
    /// All probes ever heard of, to find one by its id.
    table: RwLock<HashSet<ById>>,
    /// Probes that the sorted list does not have yet.
    newcomers: Mutex<Vec<Arc<Probe>>>,
    /// The sorted list and the record: held by one reader at a time, never by the feed.
    walk: Mutex<Walk>,
    /// Rises after each batch that changed something: equal generations, equal answers (but for silence).
    generation: AtomicU64,
    counts: Counts,
}

impl Collector {
    /// Opens the collector, with the accounts its directory has.
    ///
    /// # Errors
    /// When the directory cannot be read or written. A damaged record is no error: what is intact counts, and the
    /// damaged file is set aside.
    pub fn open(config: Config, wall: WallClock, clock: MonotonicClock) -> Result<Self, StoreError> {
        let mut accounts = Vec::new();
        let store = match &config.directory {
            Some(directory) => Some(store::Store::open(directory, &mut accounts)?),
            None => None,
        };
        let now = clock.now();
        let probes: Vec<_> =
            accounts.into_iter().map(|(id, account)| Arc::new(Probe::resumed(id, account, now))).collect();
        let lost = probes.iter().map(|probe| probe.lost()).sum();
        let inner = Inner {
            table: RwLock::new(probes.iter().cloned().map(ById).collect()),
            newcomers: Mutex::new(Vec::new()),
            walk: Mutex::new(Walk::new(probes, store, now)),
            generation: AtomicU64::new(1),
            counts: Counts::starting_at(lost),
            config,
            wall,
            clock,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// How this collector was configured.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Credits a batch. Called by one thread at a time; never waits for a reader beyond the copy of one probe.
    pub fn feed(&self, batch: &Batch) {
        for received in &batch.measurements {
            self.feed_one(received);
        }
        if !batch.measurements.is_empty() {
            self.0.generation.fetch_add(1, Ordering::Release);
        }
    }

    fn feed_one(&self, received: &Received) {
        let inner = &*self.0;
        let id = &received.measurement.probe;
        let known = inner.table.read().get(id.as_str()).map(|ById(probe)| Arc::clone(probe));
        let probe = match known {
            Some(probe) => probe,
            None => match self.register(id) {
                Some(probe) => probe,
                None => return inner.counts.count(Outcome::TooManyProbes),
            },
        };
        let (outcome, lost) = probe.credit(received, inner.config.max_gap);
        inner.counts.count(outcome);
        inner.counts.lost(lost);
    }

    fn register(&self, id: &ProbeId) -> Option<Arc<Probe>> {
        let mut table = self.0.table.write();
        if table.len() >= self.0.config.probes_max {
            return None;
        }
        let probe = Arc::new(Probe::new(id.clone()));
        table.insert(ById(Arc::clone(&probe)));
        drop(table);
        self.0.newcomers.lock().push(Arc::clone(&probe));
        Some(probe)
    }

    /// What has happened since the start.
    pub fn counts(&self) -> CollectorCounts {
        let (writes_failed, record_bytes) = {
            let walk = self.0.walk.lock();
            (walk.writes_failed(), walk.record_bytes())
        };
        self.0.counts.snapshot(self.probes() as u64, writes_failed, record_bytes)
    }

    /// How many probes there are, silent ones included.
    pub fn probes(&self) -> usize {
        self.0.table.read().len()
    }

    /// Rises with each batch fed.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Now, on the clock that silence is measured on.
    pub fn now(&self) -> Duration {
        self.0.clock.now()
    }

    /// The wall clock, to label answers.
    pub fn wall(&self) -> &WallClock {
        &self.0.wall
    }

    /// Records, syncs and compacts until `shutdown`, then records a last time.
    pub async fn keep(self, shutdown: impl Future<Output = ()> + Send) {
        /// Fine enough for any sensible `record_interval`.
        const TICK: Duration = Duration::from_millis(250);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let ended = tokio::time::timeout(TICK, &mut shutdown).await.is_ok();
            let collector = self.clone();
            // Writing and above all syncing wait for the disk.
            let done = tokio::task::spawn_blocking(move || collector.maintain(ended)).await;
            if let Err(error) = done {
                tracing::error!(%error, "the collector's record stopped");
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
            tracing::error!(%error, "cannot force the accounts to the disk");
            self.0.walk.lock().sync_failed();
        }
    }
}

#[cfg(test)]
mod tests;
