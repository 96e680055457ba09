//! Reading: a pass over the sorted probes that records what it is about to show.

use std::fs::File;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{ProbeId, silent_after};
use parking_lot::MutexGuard;

use super::accounts_file::AccountsFile;
use super::accounts_format::AccountsWriter;
use super::probe::{ById, LiveProbe, ProbeView};
use super::{Live, LiveConfig};

/// What a pass takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Probes whose value is of now: what a poller is given.
    Fresh,
    /// Stale ones too, as long as they are not cleaned away: all known probes.
    Known,
}

/// Where a probe stands in the sorted list. Probes are added to it and never taken out: as long as `count` is the
/// same, so are all places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPlace {
    /// From 0.
    pub index: usize,
    /// How many there are, those not shown included.
    pub count: usize,
}

/// The sorted list and the record behind it.
#[derive(Debug)]
pub(super) struct Walk {
    sorted: Vec<Arc<LiveProbe>>,
    store: Option<AccountsFile>,
    buffer: AccountsWriter,
    recorded_at: Duration,
    synced_at: Duration,
    is_synced: bool,
    writes_failed: u64,
    /// Why the last write failed, if it did.
    failure: Option<String>,
}

impl Walk {
    pub(super) fn new(mut probes: Vec<Arc<LiveProbe>>, store: Option<AccountsFile>, now: Duration) -> Self {
        probes.sort_by(|a, b| a.id.cmp(&b.id));
        Self {
            sorted: probes,
            store,
            buffer: AccountsWriter::default(),
            recorded_at: now,
            synced_at: now,
            is_synced: true,
            writes_failed: 0,
            failure: None,
        }
    }

    pub(super) fn writes_failed(&self) -> u64 {
        self.writes_failed
    }

    pub(super) fn record_bytes(&self) -> u64 {
        self.store.as_ref().map_or(0, AccountsFile::bytes)
    }

    fn merge(&mut self, newcomers: Vec<Arc<LiveProbe>>) {
        if !newcomers.is_empty() {
            self.sorted.reserve_exact(newcomers.len());
            self.sorted.extend(newcomers);
            self.sorted.sort_by(|a, b| a.id.cmp(&b.id)); // Merges what is sorted already.
        }
    }

    /// Why accounts are not on record, if they are not.
    pub(super) fn trouble(&self) -> Option<String> {
        self.failure.clone()
    }

    /// Every account, on record or not.
    pub(super) fn record_all(&self, out: &mut AccountsWriter) {
        for probe in &self.sorted {
            probe.record(true, |id, account| out.account(id, account));
        }
    }

    /// Records what has changed, if it is time, and compacts the record if it has grown.
    pub(super) fn record_due(&mut self, now: Duration, interval: Duration, all: bool) {
        let Some(store) = &mut self.store else { return };
        if !all && now.saturating_sub(self.recorded_at) < interval {
            return;
        }
        self.recorded_at = now;
        let compacts = store.is_bloated();
        self.record(compacts);
    }

    /// Every probe, sorted by id.
    pub(super) fn each(&self, each: impl FnMut(&LiveProbe)) {
        self.sorted.iter().map(|probe| &**probe).for_each(each);
    }

    /// Puts what has changed on record; with `compacts`, everything in a new file.
    fn record(&mut self, compacts: bool) {
        if compacts {
            self.buffer = AccountsWriter::file();
        } else {
            self.buffer.clear();
        }
        for probe in &self.sorted {
            probe.record(compacts, |id, account| self.buffer.account(id, account));
        }
        self.write(compacts);
    }

    /// A handle to sync with, if it is time and there is something to sync.
    pub(super) fn sync_due(&mut self, now: Duration, interval: Duration, all: bool) -> Option<File> {
        let is_due = all || now.saturating_sub(self.synced_at) >= interval;
        let store = self.store.as_ref().filter(|_| is_due && !self.is_synced)?;
        let handle = store.handle()?;
        self.synced_at = now;
        self.is_synced = true;
        Some(handle)
    }

    pub(super) fn sync_failed(&mut self) {
        self.is_synced = false;
        self.writes_failed += 1;
    }

    /// Puts what is buffered on record. What cannot be written is shown all the same, since a full disk must not
    /// blind the operator, and is written with the next change that can be.
    fn write(&mut self, compacts: bool) {
        let is_needed = compacts || !self.buffer.bytes().is_empty();
        let Some(store) = self.store.as_mut().filter(|_| is_needed) else { return };
        let written = if compacts { store.compact(&self.buffer) } else { store.append(self.buffer.bytes()) };
        match written {
            Ok(()) => {
                self.is_synced = compacts;
                if self.failure.take().is_some() {
                    tracing::info!("accounts are recorded again");
                }
            }
            Err(error) => {
                self.writes_failed += 1;
                if self.failure.is_none() {
                    tracing::error!(%error, "cannot record accounts; totals may fall if the process stops now");
                }
                self.failure = Some(format!("cannot record accounts: {error}"));
                for probe in &self.sorted {
                    probe.unrecord();
                }
            }
        }
        // What one pass needed, the next will need; a snapshot of everything is needed seldom.
        if compacts {
            self.buffer = AccountsWriter::default();
        }
    }

    /// Makes the record fit to be appended to, before the first of what is shown is.
    fn make_fit(&mut self) {
        if self.failure.is_none() && self.store.as_ref().is_some_and(AccountsFile::is_unfit) {
            self.record(true);
        }
    }
}

impl Live {
    /// The walk, with all newcomers in their places.
    pub(super) fn lock_walk(&self) -> MutexGuard<'_, Walk> {
        let mut walk = self.0.walk.lock();
        let newcomers = std::mem::take(&mut *self.0.newcomers.lock());
        walk.merge(newcomers);
        walk
    }

    /// Shows the probes of `listing`, sorted by id, from the first after `after` on, until `show` breaks. What was
    /// shown is on record when this returns.
    /// Returns when, on the monotonic clock, the first of them leaves the listing if it stays silent.
    pub fn read(
        &self,
        listing: Listing,
        after: Option<&str>,
        mut show: impl FnMut(ListPlace, &ProbeId, &ProbeView) -> ControlFlow<()>,
    ) -> Duration {
        let config = &self.0.config;
        let mut walk = self.lock_walk();
        walk.make_fit();
        let now = self.now();
        let Walk { sorted, buffer, store, .. } = &mut *walk;
        let has_store = store.is_some();
        buffer.clear();
        let begin = after.map_or(0, |after| sorted.partition_point(|probe| probe.id.as_str() <= after));
        let count = sorted.len();
        let mut until = Duration::MAX;
        for (index, probe) in sorted.iter().enumerate().skip(begin) {
            let view = probe.view(now, config.gaps.of(&probe.id), |id, account| {
                if has_store {
                    buffer.account(id, account);
                }
            });
            let Some(view) = view else { continue };
            let leaves = view.leaves(listing, config, config.gaps.of(&probe.id));
            if now > leaves {
                continue;
            }
            until = until.min(leaves);
            if show(ListPlace { index, count }, &probe.id, &view).is_break() {
                break;
            }
        }
        walk.write(false);
        until
    }

    /// One probe that is known, stale or not; on record when this returns.
    pub fn probe(&self, id: &str) -> Option<(ProbeId, ProbeView)> {
        let probe = self.0.table.read().get(id).map(|ById(probe)| Arc::clone(probe))?;
        let (now, config) = (self.now(), &self.0.config);
        let view = if self.0.has_record {
            let mut walk = self.lock_walk();
            walk.make_fit();
            walk.buffer.clear();
            let view =
                probe.view(now, config.gaps.of(&probe.id), |id, account| walk.buffer.account(id, account));
            walk.write(false);
            view
        } else {
            probe.view(now, config.gaps.of(&probe.id), |_, _| ())
        };
        let view = view.filter(|view| now <= view.leaves(Listing::Known, config, Duration::ZERO))?;
        Some((probe.id.clone(), view))
    }
}

impl ProbeView {
    /// The last instant of the monotonic clock at which the probe is in `listing`, should it stay silent.
    fn leaves(&self, listing: Listing, config: &LiveConfig, max_gap: Duration) -> Duration {
        let cleaned = config
            .cleaning_interval
            .map_or(Duration::MAX, |interval| self.received_at.saturating_add(interval));
        match listing {
            Listing::Known => cleaned,
            Listing::Fresh => {
                cleaned.min(self.received_at.saturating_add(silent_after(self.interval, max_gap)))
            }
        }
    }
}
