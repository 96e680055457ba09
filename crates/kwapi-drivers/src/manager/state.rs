//! What of the probes' sessions outlives the process, so that a meter's curve goes on after a stop.
//!
//! A task of its own writes and syncs, for all meters together: who begins a run waits for the sync that is next, and
//! many that begin at once share it. A directory that cannot be used is told, once, and the meters run without: their
//! messages have no curve then.

mod file;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Keep, ProbeId, SessionEntry, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use file::{StateContents, StateEntry, StateError, StateFile, StateKey};

/// What was told is written no later than this.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// So many entries are written at once: what a hundred thousand probes tell within a second does not wait all together.
const WRITE_AT: usize = 4_096;
/// What was written is synced no later than this.
const SYNC_EVERY: Duration = Duration::from_secs(60);
/// A sync that takes longer is taken for failed.
const SYNC_MAX: Duration = Duration::from_secs(10);
/// A manager that is just being stopped lets go of the file within this.
const LOCK_MAX: Duration = Duration::from_secs(3);
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// The state of a manager; without a directory it keeps nothing.
#[derive(Debug, Default)]
pub(super) struct ManagerState {
    shared: Option<Arc<Shared>>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Notify,
    /// The latest generation of `pending` that was dealt with; none before the file has been read.
    done: watch::Sender<Option<u64>>,
    /// What the file had and no session has taken over yet.
    past: Mutex<HashMap<ProbeId, Vec<SessionEntry>>>,
    configured: Mutex<ConfiguredNames>,
    /// Probes whose latest entry could not be written or synced.
    unkept: Mutex<HashSet<ProbeId>>,
    seen: Mutex<Seen>,
}

/// What waits to be written: the newest of each key.
#[derive(Debug, Default)]
struct Pending {
    generation: u64,
    entries: HashMap<StateKey, (StateEntry, bool)>,
    sync: bool,
}

/// Which probes there are: those named, and the templates that name more.
#[derive(Clone, Debug, Default)]
struct ConfiguredNames {
    probes: HashSet<ProbeId>,
    templates: HashSet<String>,
    sums: HashSet<ProbeId>,
    is_swept: bool,
}

impl ConfiguredNames {
    fn has(&self, probe: &ProbeId, template: Option<&str>) -> bool {
        self.probes.contains(probe)
            || self.sums.contains(probe)
            || template.is_some_and(|template| self.templates.contains(template))
    }
}

/// What is to be said of the state.
#[derive(Clone, Debug, Default)]
struct Seen {
    trouble: Option<String>,
    newest: Timestamp,
}

impl ManagerState {
    /// Keeps state in `directory` from now on.
    pub(super) fn start(directory: PathBuf) -> Self {
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            wake: Notify::new(),
            done: watch::Sender::new(None),
            past: Mutex::default(),
            configured: Mutex::default(),
            unkept: Mutex::default(),
            seen: Mutex::default(),
        });
        let task = tokio::spawn(run(shared.clone(), directory));
        Self { shared: Some(shared), task: Some(task) }
    }

    /// When it returns, the state that was left by the process before is known, if there is any.
    pub(super) async fn ready(&self) {
        if let Some(shared) = &self.shared {
            _ = shared.done.subscribe().wait_for(Option::is_some).await;
        }
    }

    /// What the state has of `probe`; it is the session's from now on.
    pub(super) fn past(&self, probe: &ProbeId) -> Vec<SessionEntry> {
        let Some(shared) = &self.shared else { return Vec::new() };
        let mut past = shared.past.lock();
        let entries = past.remove(probe).unwrap_or_default();
        if past.is_empty() {
            *past = HashMap::new(); // With its room, for all the probes there were.
        }
        entries
    }

    /// Takes over what sessions that ended have to say, for those that follow.
    pub(super) fn leave(&self, template: Option<&str>, entries: Vec<SessionEntry>) {
        let Some(shared) = &self.shared else { return };
        let template: Option<Arc<str>> = template.map(Into::into);
        let mut past = shared.past.lock();
        let mut pending = shared.pending.lock();
        for entry in entries {
            pending.add(StateEntry { template: template.clone(), entry: entry.clone() }, false);
            past.entry(entry.probe.clone()).or_default().push(entry);
        }
    }

    /// Takes over what sessions that ended have to say, for the next process. What waits to be written meanwhile is
    /// bounded: a hundred thousand probes end at once.
    pub(super) async fn leave_last(
        &self,
        template: Option<&str>,
        entries: impl Iterator<Item = SessionEntry> + Send,
    ) {
        let Some(shared) = &self.shared else { return };
        let template: Option<Arc<str>> = template.map(Into::into);
        for entry in entries {
            let (waiting, generation) = {
                let mut pending = shared.pending.lock();
                pending.add(StateEntry { template: template.clone(), entry }, false);
                (pending.entries.len(), pending.generation)
            };
            if waiting >= WRITE_AT {
                shared.wake.notify_one();
                // A disk that does not answer is told of at the end, by `finish`.
                _ = timeout(SYNC_MAX, shared.is_done(generation)).await;
            }
        }
    }

    /// Tells the state; if one of the entries must be on disk before messages leave, returns when it is. Whether each
    /// is there says [`ManagerState::has`].
    pub(super) async fn keep(&self, template: Option<&str>, keeps: Vec<Keep>) {
        let Some(shared) = &self.shared else { return };
        if keeps.is_empty() {
            return;
        }
        let must_sync = keeps.iter().any(|keep| keep.sync);
        let template: Option<Arc<str>> = template.map(Into::into);
        let mut synced = Vec::new();
        let generation = {
            let mut pending = shared.pending.lock();
            for Keep { entry, sync, alone } in keeps {
                if sync {
                    synced.push(entry.probe.clone());
                }
                pending.add(StateEntry { template: template.clone(), entry }, alone);
            }
            pending.sync |= must_sync;
            if must_sync || pending.entries.len() >= WRITE_AT {
                shared.wake.notify_one();
            }
            pending.generation
        };
        if must_sync && timeout(SYNC_MAX, shared.is_done(generation)).await.is_err() {
            shared.unkept.lock().extend(synced);
        }
    }

    /// Whether what was kept of `probe` last is on disk.
    pub(super) fn has(&self, probe: &ProbeId) -> bool {
        self.shared.as_ref().is_some_and(|shared| !shared.unkept.lock().contains(probe))
    }

    /// From now on there are these probes, and those of these templates.
    pub(super) fn configure(&self, probes: HashSet<ProbeId>, templates: HashSet<String>) {
        if let Some(shared) = &self.shared {
            let mut configured = shared.configured.lock();
            let sums = std::mem::take(&mut configured.sums);
            *configured = ConfiguredNames { probes, templates, sums, is_swept: false };
        }
    }

    /// From now on there are these sums.
    pub(super) fn configure_sums(&self, sums: HashSet<ProbeId>) {
        if let Some(shared) = &self.shared {
            let mut configured = shared.configured.lock();
            (configured.sums, configured.is_swept) = (sums, false);
        }
    }

    /// Writes and syncs all that was told; for the end.
    pub(super) async fn finish(&self) {
        let Some(shared) = &self.shared else { return };
        let generation = {
            let mut pending = shared.pending.lock();
            pending.sync = true;
            pending.generation
        };
        shared.wake.notify_one();
        if timeout(SYNC_MAX, shared.is_done(generation)).await.is_err() {
            tracing::error!("syncing the driver state timed out");
        }
    }

    /// What is wrong with the state, if anything is.
    pub(super) fn trouble(&self) -> Option<String> {
        self.shared.as_ref().and_then(|shared| shared.seen.lock().trouble.clone())
    }

    /// The newest stamp that the process before left.
    pub(super) fn newest(&self) -> Timestamp {
        self.shared.as_ref().map_or(Timestamp::EPOCH, |shared| shared.seen.lock().newest)
    }
}

impl Drop for ManagerState {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Pending {
    fn add(&mut self, kept: StateEntry, alone: bool) {
        let key = StateKey::of(&kept.entry);
        let was_alone = self.entries.get(&key).is_some_and(|(_, alone)| *alone);
        self.entries.insert(key, (kept, alone || was_alone));
    }
}

impl Shared {
    async fn is_done(&self, generation: u64) {
        let is_done = |done: &Option<u64>| done.is_some_and(|done| done >= generation);
        _ = self.done.subscribe().wait_for(is_done).await;
    }

    /// Told once, until it changes.
    fn tell(&self, trouble: Option<String>) {
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
        for (key, (kept, alone)) in &batch.entries {
            let result = if *alone { self.keep_alone(file, key) } else { Ok(()) };
            if let Err(error) = result.and_then(|()| file.write(kept)) {
                failed(error, &key.probe, &mut unkept);
            }
        }
        if let Err(error) = if sync { file.sync() } else { Ok(()) } {
            unkept.extend(batch.entries.keys().map(|key| key.probe.clone()));
            trouble = Some(format!("cannot sync the driver state: {error}"));
        }
        (unkept, trouble)
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

/// Reads the file, then writes what is told, until aborted.
async fn run(shared: Arc<Shared>, directory: PathBuf) {
    let mut file = match open(&directory).await {
        Ok((file, found)) => {
            shared.take_in(found);
            Some(file)
        }
        Err(error) => {
            shared.tell(Some(format!("cannot open the driver state: {error}")));
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
        shared.tell(trouble);
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

#[cfg(test)]
mod tests;
