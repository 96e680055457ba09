//! The task that writes and syncs the state: a batch at a time, for all meters together.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::ProbeId;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::file::{StateContents, StateError, StateFile, StateKey};
use super::{Pending, Shared};

/// What was recorded is written no later than this.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// What was written is synced no later than this.
const SYNC_EVERY: Duration = Duration::from_secs(60);
/// A manager that is just being stopped releases the file within this.
const LOCK_MAX: Duration = Duration::from_secs(3);
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// Reads the file, then writes what is recorded, until aborted.
pub(super) async fn run(shared: Arc<Shared>, directory: PathBuf) {
    let mut file = match open(&directory).await {
        Ok((file, found)) => {
            shared.take_in(found);
            Some(file)
        }
        Err(error) => {
            shared.report(Some(format!("cannot open the driver state: {error}")));
            None
        }
    };
    shared.pending.lock().generation = 1;
    shared.done.send_replace(Some(0));
    let mut synced = Instant::now();
    let mut is_dirty = false;
    loop {
        tokio::select! {
            () = shared.wake.notified() => {}
            () = sleep(WRITE_EVERY) => {}
        }
        let batch = {
            let mut pending = shared.pending.lock();
            let generation = pending.generation + 1;
            std::mem::replace(&mut *pending, Pending { generation, ..Pending::default() })
        };
        let generation = batch.generation;
        is_dirty |= !batch.entries.is_empty();
        let sync = batch.sync || (is_dirty && synced.elapsed() >= SYNC_EVERY);
        if batch.entries.is_empty() && !sync {
            shared.done.send_replace(Some(generation));
            continue;
        }
        let Some(mut opened) = file.take() else {
            shared.unkept.lock().extend(batch.entries.into_keys().map(|key| key.probe));
            shared.done.send_replace(Some(generation));
            continue;
        };
        let probes: Vec<ProbeId> = batch.entries.keys().map(|key| key.probe.clone()).collect();
        let writing = shared.clone();
        let written = spawn_blocking(move || {
            let outcome = writing.apply(&mut opened, &batch, sync);
            (opened, outcome)
        });
        let Ok((opened, (unkept, trouble))) = written.await else { return };
        file = Some(opened);
        if sync && trouble.is_none() {
            (synced, is_dirty) = (Instant::now(), false);
        }
        {
            let mut all = shared.unkept.lock();
            for probe in &probes {
                all.remove(probe);
            }
            all.extend(unkept);
        }
        shared.report(trouble);
        shared.done.send_replace(Some(generation));
    }
}

/// Opens the file; one that another manager is just letting go of is waited for.
async fn open(directory: &Path) -> Result<(StateFile, StateContents), StateError> {
    let began = Instant::now();
    loop {
        let directory = directory.to_owned();
        let opened = spawn_blocking(move || StateFile::open(&directory)).await;
        match opened {
            Ok(Err(StateError::Locked(_))) if began.elapsed() < LOCK_MAX => sleep(LOCK_RETRY).await,
            Ok(opened) => return opened,
            Err(error) => {
                let source = std::io::Error::other(error);
                return Err(StateError::Io { path: PathBuf::new(), source });
            }
        }
    }
}

impl Shared {
    /// Reported once, until it changes.
    fn report(&self, trouble: Option<String>) {
        let mut seen = self.seen.lock();
        if seen.trouble == trouble {
            return;
        }
        if let Some(trouble) = &trouble {
            tracing::error!("{trouble}; meters keep running, but energy is not bridged across restarts");
        } else {
            tracing::info!("driver state is writable again");
        }
        seen.trouble = trouble;
    }

    /// Writes a batch; which probes' entries are not on disk.
    fn apply(&self, file: &mut StateFile, batch: &Pending, sync: bool) -> (HashSet<ProbeId>, Option<String>) {
        let mut unkept = HashSet::new();
        let mut trouble = None;
        let mut failed = |error: std::io::Error, probe: &ProbeId, unkept: &mut HashSet<ProbeId>| {
            unkept.insert(probe.clone());
            trouble = Some(format!("cannot write the driver state: {error}"));
        };
        // What ended sessions left comes before those that begin, which may delete it.
        let (alone, others): (Vec<_>, Vec<_>) = batch.entries.iter().partition(|(_, (_, alone))| *alone);
        for (key, (kept, alone)) in others.into_iter().chain(alone) {
            let result = if *alone { self.keep_alone(file, key) } else { Ok(()) };
            if let Err(error) = result.and_then(|()| file.write(kept)) {
                failed(error, &key.probe, &mut unkept);
            }
        }
        if let Err(error) = if sync { file.sync() } else { Ok(()) } {
            unkept.extend(batch.entries.keys().map(|key| key.probe.clone()));
            trouble = Some(format!("cannot sync the driver state: {error}"));
        }
        self.report_shared(file);
        (unkept, trouble)
    }

    /// Notes which registers several probes are read from; reports those that are new.
    fn report_shared(&self, file: &mut StateFile) {
        let (new, all) = file.shared();
        *self.shared.lock() = all;
        let new: Vec<_> = new.iter().filter_map(|sharers| self.two_measured(sharers)).collect();
        if let Some((probe, other)) = new.first() {
            tracing::warn!(
                %probe, %other, more = new.len() - 1,
                "two probes are read from the same energy counter: only one of them is bridged across restarts; remove the other"
            );
        }
    }

    fn keep_alone(&self, file: &mut StateFile, key: &StateKey) -> std::io::Result<()> {
        let mut deleted = file.keep_alone(key)?;
        let configured = {
            let mut configured = self.configured.lock();
            let is_swept = std::mem::replace(&mut configured.is_swept, true);
            (!is_swept).then(|| configured.clone())
        };
        if let Some(configured) = configured {
            deleted.extend(file.retain(|probe, template| configured.has(probe, template))?);
        }
        let mut past = self.past.lock();
        for key in deleted {
            if let Some(entries) = past.get_mut(&key.probe) {
                entries.retain(|entry| StateKey::of(entry) != key);
            }
        }
        Ok(())
    }

    fn take_in(&self, found: StateContents) {
        if found.damaged > 0 {
            let entries = found.damaged;
            tracing::error!(entries, "corrupt entries in the driver state; their meters start afresh");
        }
        if let Some(aside) = &found.set_aside {
            tracing::error!(
                file = %aside.display(),
                "driver state corrupt or of another version: renamed, all meters start afresh"
            );
        }
        self.seen.lock().newest = found.entries.iter().map(|entry| entry.newest).max().unwrap_or_default();
        let mut past = self.past.lock();
        for entry in found.entries {
            past.entry(entry.probe.clone()).or_default().push(entry);
        }
    }
}
