//! What of the probes' sessions outlives the process, so that a meter's curve continues after a stop.
//!
//! A task of its own writes and syncs, for all meters together: who begins a run waits for the sync that is next, and
//! many that begin at once share it. A directory that cannot be used is reported, once, and the meters run without: their
//! messages have no curve then.

mod file;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod writing;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Keep, ProbeId, SessionEntry, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::exercise_entry;

use file::{Sharer, StateEntry, StateKey};

/// So many entries are written at once: what a hundred thousand probes record within a second does not wait all together.
const WRITE_AT: usize = 4_096;
/// A sync that takes longer is taken for failed.
const SYNC_MAX: Duration = Duration::from_secs(10);

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
    /// The probes of each register that several are written of.
    shared: Mutex<Vec<Vec<Sharer>>>,
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

/// What is to be reported of the state.
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
            shared: Mutex::default(),
            seen: Mutex::default(),
        });
        let task = tokio::spawn(writing::run(shared.clone(), directory));
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

    /// Takes over what sessions that ended leave behind, for those that follow.
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

    /// Takes over what sessions that ended leave behind, for the next process. What waits to be written meanwhile is
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
                // A disk that does not answer is reported at the end, by `finish`.
                _ = timeout(SYNC_MAX, shared.is_done(generation)).await;
            }
        }
    }

    /// Updates the state; if one of the entries must be on disk before messages leave, returns when it is. Whether each
    /// is there is shown by [`ManagerState::has`].
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

    /// Writes and syncs all that was recorded; for the end.
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

    /// The probes that are read from a register from which another is read as well, each with such another: only one of them
    /// continues its curve after a stop.
    pub(super) fn shared_registers(&self) -> HashMap<ProbeId, ProbeId> {
        let Some(shared) = &self.shared else { return HashMap::new() };
        let all = shared.shared.lock();
        let pairs = all.iter().flat_map(|sharers| {
            let first = shared.two_measured(sharers);
            sharers.iter().filter_map(move |(probe, _)| {
                let (one, other) = first?;
                Some((probe.clone(), if probe == one { other } else { one }.clone()))
            })
        });
        pairs.collect()
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
    /// Two of the probes that are configured.
    fn two_measured<'a>(&self, sharers: &'a [Sharer]) -> Option<(&'a ProbeId, &'a ProbeId)> {
        let configured = self.configured.lock();
        let mut measured = sharers
            .iter()
            .filter(|(probe, template)| configured.has(probe, template.as_deref()))
            .map(|(probe, _)| probe);
        Some((measured.next()?, measured.next()?))
    }

    async fn is_done(&self, generation: u64) {
        let is_done = |done: &Option<u64>| done.is_some_and(|done| done >= generation);
        _ = self.done.subscribe().wait_for(is_done).await;
    }
}

#[cfg(test)]
mod tests;
